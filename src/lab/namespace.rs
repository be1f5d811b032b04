//! A network namespace with a name, and threads and processes inside it.
//!
//! Names are `vipd-PID-N-ROLE`, PID being the process that made the lab: [`super::leftovers`] finds by it what
//! a killed lab left behind. Dropping a namespace kills what runs inside.
#![expect(clippy::disallowed_methods, reason = "the lab opens namespaces")]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command::ip;
use super::error::LabError;

/// Where iproute2 keeps the names.
pub const NETNS_DIR: &str = "/run/netns";

#[derive(Debug)]
pub struct Namespace {
    name: String,
    path: PathBuf,
}

impl Namespace {
    /// Make it, with its loopback up.
    ///
    /// # Errors
    /// [`LabError::Command`] where the name exists or we may not.
    pub fn create(name: &str) -> Result<Self, LabError> {
        ip(&format!("netns add {name}"))?;
        let namespace = Self { name: name.to_owned(), path: Path::new(NETNS_DIR).join(name) };
        ip(&format!("-n {name} link set lo up"))?;
        Ok(namespace)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Run `work` on a thread of its own inside; returns when it is done.
    ///
    /// A process that `work` starts lives inside too, since a child inherits the namespace of its thread.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let file = self.open()?;
        let enter = || enter(&file, &self.name).map(|()| work());
        thread::scope(|scope| {
            let thread = thread::Builder::new()
                .name(self.name.clone())
                .spawn_scoped(scope, enter)
                .map_err(|source| LabError::Thread { name: self.name.clone(), source })?;
            thread.join().map_err(|_| LabError::Panicked { name: self.name.clone() })?
        })
    }

    /// Start a thread that stays inside for as long as `work` goes on.
    pub fn thread(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<Result<(), LabError>>, LabError> {
        let file = self.open()?;
        let namespace = self.name.clone();
        let enter = move || enter(&file, &namespace).map(|()| work());
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(enter)
            .map_err(|source| LabError::Thread { name: name.to_owned(), source })
    }

    /// Every process whose first thread is inside, except our own.
    pub fn processes(&self) -> Vec<Pid> {
        processes_in(&self.path)
    }

    /// Kill -9 of every process inside; gives how many there were.
    pub fn kill_all(&self) -> usize {
        kill_all(&self.path)
    }

    fn open(&self) -> Result<File, LabError> {
        File::open(&self.path).map_err(|source| LabError::File { action: "open", path: self.path.clone(), source })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(namespace = self.name, %error, "a network namespace of the lab stays");
        }
    }
}

fn enter(file: &File, name: &str) -> Result<(), LabError> {
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|source| LabError::Namespace { name: name.to_owned(), source })
}

fn processes_in(path: &Path) -> Vec<Pid> {
    let Ok(wanted) = fs::metadata(path).map(|meta| (meta.dev(), meta.ino())) else { return vec![] };
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let lives_there =
        |pid: &i32| fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|meta| (meta.dev(), meta.ino()) == wanted);
    let mut found: Vec<Pid> = pids.filter(lives_there).map(Pid::from_raw).filter(|&pid| pid != Pid::this()).collect();
    found.sort_unstable();
    found
}

/// Stop all before the first is killed: a child that hears of its parent's death would begin to tidy up.
fn kill_all(path: &Path) -> usize {
    let found = processes_in(path);
    // One that ended by itself in the meantime is as good as killed.
    for &pid in &found {
        kill(pid, Signal::SIGSTOP).ok();
    }
    // Children have the higher numbers, and go first: the end of a parent would wake them (a stopped process group that
    // becomes an orphan gets SIGHUP and SIGCONT), and keepalived's would take the VIP away before its own end comes.
    for &pid in found.iter().rev() {
        kill(pid, Signal::SIGKILL).ok();
    }
    found.len()
}

/// Kill what runs in the namespace at `path`, and take its name away.
///
/// # Errors
/// [`LabError::File`] where the name cannot be removed.
pub(super) fn remove(path: &Path) -> Result<(), LabError> {
    kill_all(path);
    // A name that is no mount point (a half-made namespace) is a plain file.
    umount2(path, MntFlags::MNT_DETACH).ok();
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LabError::File { action: "remove", path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
