//! Links of the fence that outlive their process: a directory in the bpffs of the run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::SchedClassifierLink;

use crate::base::io::{bpffs, detach::detach};

/// Below the bpffs, whose other pins are those of the forwarding plane.
const DIRECTORY: &str = "fence";

/// Dropped, it takes all of them off: who ends in order leaves nothing.
#[derive(Debug)]
pub struct Pins {
    bpffs: PathBuf,
    /// Those of an earlier process are gone.
    swept: bool,
}

impl Pins {
    /// # Errors
    /// Of the kernel: no bpffs, or no permission.
    pub fn open(at: &Path) -> io::Result<Self> {
        bpffs::mount(at)?;
        let pins = Self { bpffs: at.to_owned(), swept: false };
        fs::create_dir_all(pins.directory())?;
        Ok(pins)
    }

    /// Those of an earlier process.
    pub fn left(at: &Path) -> Option<Self> {
        let pins = Self { bpffs: at.to_owned(), swept: false };
        pins.directory().is_dir().then_some(pins)
    }

    fn directory(&self) -> PathBuf {
        self.bpffs.join(DIRECTORY)
    }

    fn of(&self, index: u32) -> PathBuf {
        self.directory().join(index.to_string())
    }

    /// # Errors
    /// Of the kernel; then the program is off this interface again.
    pub fn keep(&self, index: u32, link: SchedClassifierLink) -> io::Result<PinnedLink> {
        self.remove(index)?;
        FdLink::try_from(link).map_err(io::Error::other)?.pin(self.of(index)).map_err(io::Error::other)
    }

    /// Take the program off this interface; one that is gone is as wished.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn remove(&self, index: u32) -> io::Result<()> {
        detach(&self.of(index))
    }

    /// Take off what an earlier process left, once the program stands where `is_ours`.
    pub fn sweep(&mut self, is_ours: impl Fn(u32) -> bool) {
        if !std::mem::replace(&mut self.swept, true) {
            // What cannot be taken off fences nobody for longer than a lease.
            let _ = self.remove_all(|index| !is_ours(index));
        }
    }

    fn remove_all(&self, which: impl Fn(u32) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(self.directory())? {
            let index = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            index.filter(|index| which(*index)).map_or(Ok(()), |index| self.remove(index))?;
        }
        Ok(())
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // Nothing is held any more, so what stays fences nobody.
        let _ = self.remove_all(|_| true);
        let _ = fs::remove_dir(self.directory()).and_then(|()| bpffs::unmount_empty(&self.bpffs));
    }
}
