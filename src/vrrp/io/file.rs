//! Tracked files: reading and making them, and the kernel's word that one may have changed.
#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "its tests write files"))]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::vrrp::track::file::{FILE_MAX, number};

/// Why a file has no number.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it holds no number")]
    NoNumber,
}

/// The number in the file.
///
/// # Errors
/// [`ReadError`]
pub fn read(path: &Path) -> Result<i32, ReadError> {
    let mut bytes = vec![];
    // A pipe without a writer must not hold us up.
    let file = open_options().read(true).open(path)?;
    file.take(u64::try_from(FILE_MAX).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    std::str::from_utf8(&bytes).ok().and_then(number).ok_or(ReadError::NoNumber)
}

/// Write the number: into a new file, or with `overwrite` into any.
///
/// # Errors
/// Of the file system; a file that is there already is none.
pub fn init(path: &Path, value: i32, overwrite: bool) -> io::Result<()> {
    let mut options = open_options();
    options.write(true);
    let opened: io::Result<File> =
        if overwrite { options.create(true).truncate(true).open(path) } else { options.create_new(true).open(path) };
    match opened {
        Ok(mut file) => writeln!(file, "{value}"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn open_options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
    options
}

/// Directories whose files are tracked. That a file is replaced by a rename is seen too.
#[derive(Debug)]
pub struct Directories {
    inotify: Inotify,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
}

impl AsRawFd for Directories {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_fd().as_raw_fd()
    }
}

impl AsFd for Directories {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Directories {
    /// # Errors
    /// Where the system has no more instances (`fs.inotify.max_user_instances`).
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self { inotify, watched: BTreeMap::new() })
    }

    /// Watch these, and no others. One that is not there is tried again at the next call.
    pub fn watch(&mut self, wanted: &[&Path]) {
        let what = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let gone: Vec<PathBuf> =
            self.watched.keys().filter(|path| !wanted.contains(&path.as_path())).cloned().collect();
        for path in gone {
            if let Some(descriptor) = self.watched.remove(&path) {
                // A directory that is gone has taken its watch along.
                let _ = self.inotify.rm_watch(descriptor);
            }
        }
        for path in wanted {
            // A second watch of the same directory is the first one, and a new directory of that name gets its own.
            match self.inotify.add_watch(*path, what) {
                Ok(descriptor) => _ = self.watched.insert(path.to_path_buf(), descriptor),
                Err(_) => _ = self.watched.remove(*path),
            }
        }
    }

    /// Read what waits: all of it says "look again".
    pub fn drain(&self) {
        loop {
            match self.inotify.read_events() {
                Ok(events) if !events.is_empty() => {}
                Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(matches!(read(&path), Err(ReadError::Io(_))));
        init(&path, -7, false).unwrap();
        init(&path, 8, false).unwrap();
        assert_eq!(read(&path).unwrap(), -7);
        init(&path, 8, true).unwrap();
        assert_eq!(read(&path).unwrap(), 8);
        std::fs::write(&path, "x").unwrap();
        assert!(matches!(read(&path), Err(ReadError::NoNumber)));
        assert!(init(&dir.path().join("no/f"), 1, true).is_err());
        assert!(read(dir.path()).is_err());
    }
}
