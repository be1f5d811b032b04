//! The run directory: made if missing, locked while the daemon lives. The kernel drops the lock with the process,
//! so a crash leaves nothing that could refuse the next start.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// Where the daemon's socket is within the run directory.
pub fn control_socket(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}

#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    #[error("run directory {path}: {source}")]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("another vipd{} runs with --run-dir {path}; stop it, or choose another --run-dir", holder.as_ref().map_or_else(String::new, |pid| format!(" (pid {pid})")))]
    Locked { path: PathBuf, holder: Option<String> },
}

/// The lock; whoever holds it owns the directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl RunDir {
    /// # Errors
    /// [`RunDirError`] where it cannot be made, or another daemon holds it.
    pub fn lock(path: &Path) -> Result<Self, RunDirError> {
        let wrong = |source| RunDirError::Directory { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(wrong)?;
        let path = path.canonicalize().map_err(wrong)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join("lock"))
            .map_err(wrong)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let note = |file: &mut File| -> std::io::Result<()> {
                    file.set_len(0)?;
                    file.rewind()?;
                    writeln!(file, "{}", std::process::id())
                };
                note(&mut lock).map_err(wrong)?;
                Ok(Self { path, _lock: lock })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let holder = file.read_to_string(&mut text).ok().map(|_| text.trim().to_owned());
                Err(RunDirError::Locked { path, holder: holder.filter(|pid| !pid.is_empty()) })
            }
            Err((_, errno)) => Err(wrong(errno.into())),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
