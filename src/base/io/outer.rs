//! A bpffs outside the mount namespace of this process, which may be its own alone: `ip netns exec` makes one for each command,
//! systemd one for a service with `PrivateMounts` and the like, and what is mounted there ends with it.
//!
//! The ancestors of this process lead to where it came from. It is theirs where they see the same run directory.
#![expect(clippy::disallowed_methods, reason = "namespaces are files")]

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// More generations than that nobody has.
const ANCESTORS_MAX: usize = 64;

/// What was found outside.
pub(super) enum Outer {
    /// This namespace is not inside another one.
    Nowhere,
    /// The bpffs on the same directory there, for [`attach`].
    Tree(OwnedFd),
    /// No other one can be entered, or none has this directory.
    Closed,
}

/// See to a bpffs on `dir`, an absolute path, in the outermost namespace that has its parent directory too; `make` mounts it.
pub(super) fn bpffs(dir: &Path, make: fn(&Path) -> io::Result<()>) -> Outer {
    let (Some(run_dir), Ok(here)) = (dir.parent(), identity(Path::new("/proc/self/ns/mnt"))) else {
        return Outer::Nowhere;
    };
    let Ok(same) = identity(run_dir) else { return Outer::Nowhere };
    let mut outside = false;
    // Kernel threads are where the host's first process is, and let themselves be asked where that one does not.
    for pid in kernel_threads().into_iter().chain(ancestors().into_iter().rev()) {
        let path = format!("/proc/{pid}/ns/mnt");
        if identity(Path::new(&path)).is_ok_and(|namespace| namespace == here) {
            continue;
        }
        outside = true;
        let entered = || {
            enter(&File::open(&path)?)?;
            if identity(run_dir)? != same {
                return Err(io::ErrorKind::NotFound.into());
            }
            make(dir)?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            open_tree(CWD, dir, flags).map_err(io::Error::from)
        };
        // A thread of its own goes there, and does not come back.
        if let Ok(Ok(tree)) = thread::scope(|scope| scope.spawn(entered).join()) {
            return Outer::Tree(tree);
        }
    }
    if outside { Outer::Closed } else { Outer::Nowhere }
}

/// Mount it on `dir` here, too.
///
/// # Errors
/// Of the kernel.
pub(super) fn attach(tree: &OwnedFd, dir: &Path) -> io::Result<()> {
    move_mount(tree, "", CWD, dir, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(io::Error::from)
}

fn enter(namespace: &File) -> io::Result<()> {
    // The kernel moves nobody who shares a working directory with another thread.
    unshare(CloneFlags::CLONE_FS)?;
    setns(namespace, CloneFlags::CLONE_NEWNS).map_err(io::Error::from)
}

/// Device and inode.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

fn kernel_threads() -> Option<u32> {
    let name = fs::read_to_string("/proc/2/comm").ok()?;
    (name == "kthreadd\n").then_some(2)
}

/// The nearest first.
fn ancestors() -> Vec<u32> {
    let parent = |pid: &u32| parent_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    std::iter::successors(Some(parent_id()), parent).take_while(|pid| *pid != 0).take(ANCESTORS_MAX).collect()
}

/// The fourth field of `/proc/PID/stat` (`proc_pid_stat(5)`); the second may hold anything.
fn parent_of(stat: &str) -> Option<u32> {
    let (_, behind) = stat.rsplit_once(") ")?;
    behind.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_stands_behind_whatever_the_name_is() {
        let rows = [
            ("7 (vipd) S 5 7 7 0", Some(5)),
            ("7 (a) S 9 ) x) R 5 7", Some(5)),
            ("1 (init) S 0 1", Some(0)),
            ("7 (vipd", None),
            ("7 (vipd) S", None),
        ];
        for (stat, parent) in rows {
            assert_eq!(parent_of(stat), parent, "{stat}");
        }
    }
}
