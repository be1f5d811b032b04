//! The run directory: made if missing, locked while the daemon lives. The kernel drops the lock with the process,
//! so a crash leaves nothing that could refuse the next start: what the file says counts only beside a lock.
#![expect(clippy::disallowed_methods, reason = "a start waits for who has the directory for a moment")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// How long who is no daemon, or one that ends, may have the directory before somebody else gives up: `vipd ipvsadm` needs a
/// second to load the eBPF plane, milliseconds else; a daemon hands over in `Active_Down`, and waits 2 s for scripts.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// What a daemon that ends says beside its process id.
const ENDING: &str = "ending";
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
    Locked { path: PathBuf, holder: Option<Pid> },
    #[error("another vipd (pid {pid}) is ending, and still has --run-dir {path}; start again when it is gone")]
    Ending { path: PathBuf, pid: Pid },
}

/// Who asks for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is named to whoever comes later, who need not wait until it ends.
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
    lock: Flock<File>,
}

impl RunDir {
    /// # Errors
    /// [`RunDirError`] where it cannot be made, or somebody holds it now.
    pub fn lock(path: &Path, holder: Holder) -> Result<Self, RunDirError> {
        Self::lock_file(path, "lock", holder)
    }

    /// The eBPF plane of the directory alone: a daemon without virtual servers has the directory, and leaves it to commands.
    ///
    /// # Errors
    /// As [`RunDir::lock`].
    pub fn lock_plane(path: &Path, holder: Holder) -> Result<Self, RunDirError> {
        Self::lock_file(path, "plane.lock", holder)
    }

    /// [`RunDir::lock_plane`] for the daemon: wait for commands, [`PATIENCE`] at most.
    ///
    /// # Errors
    /// [`RunDirError`].
    pub async fn lock_plane_for_daemon(path: &Path) -> Result<Self, RunDirError> {
        let mut waited = Duration::ZERO;
        loop {
            match Self::lock_plane(path, Holder::Daemon) {
                Err(RunDirError::Locked { .. } | RunDirError::Ending { .. }) if waited < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                    waited += PAUSE;
                }
                done => return done,
            }
        }
    }

    fn lock_file(path: &Path, name: &str, holder: Holder) -> Result<Self, RunDirError> {
        let wrong = |source| RunDirError::Directory { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(wrong)?;
        let path = path.canonicalize().map_err(wrong)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join(name))
            .map_err(wrong)?;
        let kind = match holder {
            Holder::Daemon | Holder::Command => FlockArg::LockExclusiveNonblock,
            Holder::Reader => FlockArg::LockSharedNonblock,
        };
        match Flock::lock(file, kind) {
            Ok(lock) => {
                let own = if holder == Holder::Daemon { format!("{}\n", Pid::this()) } else { String::new() };
                lock.set_len(0).and_then(|()| lock.write_all_at(own.as_bytes(), 0)).map_err(wrong)?;
                Ok(Self { path, lock })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text).ok();
                Err(match read.and_then(|_| named(&text)) {
                    Some((pid, true)) => RunDirError::Ending { path, pid },
                    Some((pid, false)) => RunDirError::Locked { path, holder: Some(pid) },
                    None => RunDirError::Locked { path, holder: None },
                })
            }
            Err((_, errno)) => Err(wrong(errno.into())),
        }
    }

    /// For the daemon: wait for commands that have the directory, and for a daemon that ends, [`PATIENCE`] at most; not for
    /// another daemon.
    ///
    /// # Errors
    /// [`RunDirError`].
    pub fn lock_for_daemon(path: &Path) -> Result<Self, RunDirError> {
        let mut waited = Duration::ZERO;
        loop {
            match Self::lock(path, Holder::Daemon) {
                Err(RunDirError::Locked { holder: None, .. } | RunDirError::Ending { .. }) if waited < PATIENCE => {
                    std::thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                done => return done,
            }
        }
    }

    /// This daemon ends: the next one is to wait for that.
    pub fn ending(&self) {
        let text = format!("{} {ENDING}\n", Pid::this());
        if let Err(error) = self.lock.write_all_at(text.as_bytes(), 0) {
            tracing::warn!(%error, "a daemon that starts before this one has ended does not wait for it");
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The daemon that the file names, and whether it ends. One that lives no more, as after a crash, is not who has the lock now.
fn named(text: &str) -> Option<(Pid, bool)> {
    let mut words = text.split_whitespace();
    let pid = Pid::from_raw(words.next()?.parse().ok()?);
    (kill(pid, None) != Err(Errno::ESRCH)).then(|| (pid, words.next() == Some(ENDING)))
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
                assert_eq!(holder, (first == Holder::Daemon).then_some(Pid::this()), "{name}: a daemon is named");
            }
            drop(held);
        }
    }

    #[test]
    fn a_daemon_waits_for_a_command_and_for_a_daemon_that_ends_and_for_no_other() {
        let dir = tempfile::tempdir().unwrap();
        for holder in [Holder::Command, Holder::Daemon] {
            let (told, hears) = std::sync::mpsc::channel();
            let before = RunDir::lock(dir.path(), holder).unwrap();
            if holder == Holder::Daemon {
                let refused = || RunDir::lock_for_daemon(dir.path()).unwrap_err();
                assert!(matches!(refused(), RunDirError::Locked { holder: Some(_), .. }), "it does not end yet");
                before.ending();
                let ends = RunDir::lock(dir.path(), Holder::Daemon).unwrap_err();
                assert!(matches!(ends, RunDirError::Ending { pid, .. } if pid == Pid::this()), "{ends}");
            }
            let path = dir.path().to_owned();
            let starting = std::thread::spawn(move || {
                told.send(()).unwrap();
                RunDir::lock_for_daemon(&path)
            });
            hears.recv().unwrap();
            assert!(!starting.is_finished(), "{holder:?}: it would have given up");
            drop(before);
            let daemon = starting.join().unwrap().unwrap();
            assert!(matches!(RunDir::lock_for_daemon(dir.path()), Err(RunDirError::Locked { holder: Some(_), .. })));
            drop(daemon);
        }
    }

    #[test]
    fn a_daemon_that_was_killed_is_not_who_has_the_lock_now() {
        let dir = tempfile::tempdir().unwrap();
        let command = RunDir::lock(dir.path(), Holder::Command).unwrap();
        // Beyond the greatest that there can be (PID_MAX_LIMIT, 2^22); none; none.
        for text in ["4194305\n", "4194305 ending\n", "", "no number\n"] {
            std::fs::write(dir.path().join("lock"), text).unwrap();
            let refused = RunDir::lock(dir.path(), Holder::Daemon).unwrap_err();
            assert!(matches!(refused, RunDirError::Locked { holder: None, .. }), "{text:?}: {refused}");
        }
        drop(command);
        std::fs::write(dir.path().join("lock"), "4194305 ending\n").unwrap();
        drop(RunDir::lock(dir.path(), Holder::Daemon).unwrap());
    }
}
