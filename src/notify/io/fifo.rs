//! A named pipe that is written to and never waited for: a full one loses lines, and they are counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, mkfifo};

use super::script::look_up;
use crate::notify::command::Account;
use crate::notify::fifo::Line;

/// An open FIFO. One that we made is removed when it is dropped.
#[derive(Debug)]
pub struct Fifo {
    file: File,
    path: PathBuf,
    made: bool,
    lost: u64,
}

/// Why there is no FIFO.
#[derive(Debug, thiserror::Error)]
pub enum FifoError {
    #[error("{path} is there and is no FIFO")]
    NotAFifo { path: PathBuf },
    #[error("{path}: there is no account {account}")]
    Account { path: PathBuf, account: String },
    #[error("{path}: {source}")]
    System { path: PathBuf, source: io::Error },
}

impl Fifo {
    /// Open it, and make it (0644, for `account`) where it is missing. Name services and disks may take their time.
    ///
    /// # Errors
    /// [`FifoError`]
    pub fn open(path: &Path, account: Option<&Account>) -> Result<Self, FifoError> {
        let wrong = |source: io::Error| FifoError::System { path: path.to_owned(), source };
        let made = match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_fifo() => false,
            Ok(_) => return Err(FifoError::NotAFifo { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path, account)?;
                true
            }
            Err(error) => return Err(wrong(error)),
        };
        // For both ways: it never waits for a reader, and a reader that leaves is no error.
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(wrong)?;
        Ok(Self { file, path: path.to_owned(), made, lost: 0 })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Write one line, in one piece; whether it was the first that a full FIFO lost.
    pub fn write(&mut self, line: &Line) -> bool {
        let text = format!("{line}\n");
        if self.file.write(text.as_bytes()).is_ok_and(|written| written == text.len()) {
            return false;
        }
        self.lost = self.lost.saturating_add(1);
        self.lost == 1
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        if self.made {
            // One that somebody removed is gone already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn make(path: &Path, account: Option<&Account>) -> Result<(), FifoError> {
    let wrong = |errno: nix::Error| FifoError::System { path: path.to_owned(), source: errno.into() };
    let owner = match account {
        None => None,
        Some(account) => Some(look_up(account).map_err(|_| {
            let account = account.user.clone();
            FifoError::Account { path: path.to_owned(), account }
        })?),
    };
    mkfifo(path, Mode::from_bits_truncate(0o644)).map_err(wrong)?;
    if let Some((uid, gid)) = owner {
        nix::unistd::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(wrong)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn line(number: usize) -> Line {
        Line::Service { service: format!("FWM {number}"), up: true }
    }

    #[test]
    fn a_fifo_of_ours_goes_and_a_full_one_loses_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        let mut fifo = Fifo::open(&path, None).unwrap();
        let mut again = Fifo::open(&path, None).unwrap();
        let told: usize = (0..100_000).map(|number| usize::from(fifo.write(&line(number)))).sum();
        assert_eq!(told, 1, "it is told once that it is full");
        let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        // A pipe takes more when a whole page of it is read.
        let mut bytes = [0; 16_384];
        reader.read_exact(&mut bytes).unwrap();
        assert!(bytes.starts_with(b"VS FWM 0 UP\nVS FWM 1 UP\n"));
        assert!(!again.write(&line(0)), "there is room again");
        drop(again);
        assert!(path.exists(), "it is not the one who made it");
        drop(fifo);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_fifo_or_for_nobody_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        File::create(&path).unwrap();
        assert!(matches!(Fifo::open(&path, None), Err(FifoError::NotAFifo { .. })));
        let nobody = Account { user: "no such user".to_owned(), group: None };
        let path = dir.path().join("fifo");
        assert!(matches!(Fifo::open(&path, Some(&nobody)), Err(FifoError::Account { .. })));
        assert!(!path.exists());
    }
}
