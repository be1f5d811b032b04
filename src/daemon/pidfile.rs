//! Pid files as keepalived keeps them. The lock of the run directory is what keeps a second daemon out; a pid file tells
//! other programs whom to signal.
#![expect(clippy::disallowed_methods, reason = "pid files are files")]

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::kill;
use nix::unistd::Pid;

#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    #[error("daemon is already running: {path} names the process {pid}")]
    Running { path: PathBuf, pid: i32 },
    #[error("pid file {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// A file with our pid; it goes away with this.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    pid: u32,
}

/// Whether nobody who lives is named there: a file without a pid counts as nobody.
///
/// # Errors
/// [`PidFileError::Running`].
pub fn check(path: &Path) -> Result<(), PidFileError> {
    let named = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i32>().ok());
    match named.filter(|pid| *pid > 0) {
        // The number may be ours by chance, after a crash and a restart of the machine.
        Some(pid) if Pid::from_raw(pid) != Pid::this() && kill(Pid::from_raw(pid), None) != Err(nix::Error::ESRCH) => {
            Err(PidFileError::Running { path: path.to_owned(), pid })
        }
        Some(_) | None => Ok(()),
    }
}

impl PidFile {
    /// Write our pid; a file that a crash left is replaced.
    ///
    /// # Errors
    /// [`PidFileError`] where a living process is named there, or where it cannot be written.
    pub fn write(path: &Path) -> Result<Self, PidFileError> {
        check(path)?;
        let wrong = |source| PidFileError::Write { path: path.to_owned(), source };
        let pid = std::process::id();
        replace(path, format!("{pid}\n").as_bytes(), 0o644).map_err(wrong)?;
        Ok(Self { path: path.to_owned(), pid })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody else's file stays.
        let ours = std::fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == self.pid.to_string());
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the pid file stays");
        }
    }
}

/// Write a file under a temporary name beside it, and rename it: readers see the old one or the new one, whole. No link
/// is followed.
///
/// # Errors
/// What the system says; the temporary file is removed then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_by(path, mode, |file| file.write_all(bytes))
}

/// The same, of what `write` writes bit by bit: a long text is never in memory as a whole.
///
/// # Errors
/// As [`replace`], and what `write` says.
pub fn replace_by(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    // What a crash of ours left under this name.
    drop(std::fs::remove_file(&temporary));
    let written = || -> io::Result<()> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()?;
        drop(file);
        std::fs::rename(&temporary, path)
    };
    written().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_refused_while_its_process_lives_and_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pid");
        for (name, text, refused) in [
            ("nobody", "", false),
            ("no number", "x\n", false),
            ("a process that cannot be", "999999999\n", false),
            ("init", "1\n", true),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(PidFile::write(&path).is_err(), refused, "{name}");
        }
        std::fs::remove_file(&path).unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        let file = PidFile::write(&path).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists(), "it is somebody else's now");
        assert!(PidFile::write(&dir.path().join("no/a.pid")).is_err());
    }

    #[test]
    fn a_file_is_replaced_whole_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("dump"), dir.path().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file stays");
    }
}
