//! A disk that hangs on demand: a filesystem of its own in a file, frozen so that whoever writes to it waits.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::command::run;
use super::error::LabError;

/// The least that holds a journal is 8 MiB; this one has none.
const BYTES: u64 = 4 << 20;

/// Mounted until dropped.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mount a new one over the directory `at`; its file is beside it.
    ///
    /// # Errors
    /// [`LabError`] where there is no `mkfs.ext4`, no loop device, or `at` is no directory.
    pub fn mount(at: &Path) -> Result<Self, LabError> {
        let image = at.with_extension("disk");
        let made = File::create(&image).and_then(|file| file.set_len(BYTES));
        made.map_err(|source| LabError::File { action: "make", path: image.clone(), source })?;
        let (image, place) = (image.display().to_string(), at.display().to_string());
        run("mkfs.ext4", &["-q", "-O", "^has_journal", &image])?;
        run("mount", &["-o", "loop", &image, &place])?;
        Ok(Self { at: at.to_owned() })
    }

    /// Whoever writes to it waits until [`Disk::go_on`].
    ///
    /// # Errors
    /// [`LabError::Command`]
    pub fn hang(&self) -> Result<(), LabError> {
        self.freeze("--freeze")
    }

    /// # Errors
    /// [`LabError::Command`], also where it does not hang.
    pub fn go_on(&self) -> Result<(), LabError> {
        self.freeze("--unfreeze")
    }

    fn freeze(&self, how: &str) -> Result<(), LabError> {
        run("fsfreeze", &[how, &self.at.display().to_string()]).map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // One that does not hang is an error that says so.
        self.go_on().ok();
        if let Err(error) = umount2(&self.at, MntFlags::MNT_DETACH) {
            tracing::warn!(at = %self.at.display(), %error, "a disk of the lab stays mounted");
        }
        fs::remove_file(self.at.with_extension("disk")).ok();
    }
}

/// A frozen one, which a killed lab left, cannot be unmounted.
pub(super) fn thaw(at: &Path) {
    run("fsfreeze", &["--unfreeze", &at.display().to_string()]).ok();
}
