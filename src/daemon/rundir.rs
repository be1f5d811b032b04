//! The run directory: made if missing, locked while the daemon lives. The kernel drops the lock with the process,
//! so a crash leaves nothing that could refuse the next start.
#![expect(clippy::disallowed_methods, reason = "a start waits for a command that has the directory")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

/// How long who is no daemon may have the directory before somebody else gives up: `vipd ipvsadm` needs a second to load
/// the eBPF plane, milliseconds else.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
pub const PAUSE: Duration = Duration::from_millis(20);

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

/// Who asks for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is named to whoever comes later, who need not wait.
    Daemon,
    /// A command that changes something; it has the directory for a moment.
    Command,
    /// A command that writes nothing; any number at once.
    Reader,
}

/// The lock; whoever holds it owns the directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl RunDir {
    /// # Errors
    /// [`RunDirError`] where it cannot be made, or somebody holds it now.
    pub fn lock(path: &Path, holder: Holder) -> Result<Self, RunDirError> {
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
        let kind = match holder {
            Holder::Daemon | Holder::Command => FlockArg::LockExclusiveNonblock,
            Holder::Reader => FlockArg::LockSharedNonblock,
        };
        match Flock::lock(file, kind) {
            Ok(mut lock) => {
                let note = |file: &mut File| -> std::io::Result<()> {
                    file.set_len(0)?;
                    if holder != Holder::Daemon {
                        return Ok(());
                    }
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

    /// For the daemon: wait for commands that have the directory, [`PATIENCE`] at most; not for another daemon.
    ///
    /// # Errors
    /// [`RunDirError`].
    pub fn lock_for_daemon(path: &Path) -> Result<Self, RunDirError> {
        let mut waited = Duration::ZERO;
        loop {
            match Self::lock(path, Holder::Daemon) {
                Err(RunDirError::Locked { holder: None, .. }) if waited < PATIENCE => {
                    std::thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                done => return done,
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_the_directory_and_nobody_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let rows = [
            ("two readers", Holder::Reader, Holder::Reader, true),
            ("a reader and a change", Holder::Reader, Holder::Command, false),
            ("a change and a reader", Holder::Command, Holder::Reader, false),
            ("two changes", Holder::Command, Holder::Command, false),
            ("a daemon and a reader", Holder::Daemon, Holder::Reader, false),
        ];
        for (name, first, second, both) in rows {
            let held = RunDir::lock(dir.path(), first).unwrap();
            let tried = RunDir::lock(dir.path(), second);
            assert_eq!(tried.is_ok(), both, "{name}");
            if let Err(RunDirError::Locked { holder, .. }) = tried {
                let pid = std::process::id().to_string();
                assert_eq!(holder, (first == Holder::Daemon).then_some(pid), "{name}: a daemon is named");
            }
            drop(held);
        }
    }

    #[test]
    fn a_daemon_waits_for_a_command_and_not_for_a_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let (told, hears) = std::sync::mpsc::channel();
        let command = RunDir::lock(dir.path(), Holder::Command).unwrap();
        let path = dir.path().to_owned();
        let starting = std::thread::spawn(move || {
            told.send(()).unwrap();
            RunDir::lock_for_daemon(&path)
        });
        hears.recv().unwrap();
        assert!(!starting.is_finished(), "it would have given up");
        drop(command);
        let daemon = starting.join().unwrap().unwrap();
        assert!(matches!(RunDir::lock_for_daemon(dir.path()), Err(RunDirError::Locked { holder: Some(_), .. })));
        drop(daemon);
    }
}
