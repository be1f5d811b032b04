//! What a killed lab left behind: namespaces, processes inside, directories, mounts below them.
//!
//! The name says which process made it; only what belongs to a dead one is touched.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MntFlags, umount2};

use super::disk;
use super::error::LabError;
use super::namespace::{self, NETNS_DIR};

/// The directories of labs, `vipd-PID-N` each. Below `/run`, where only root can put a name.
pub const LAB_DIR: &str = "/run/vipd-lab";

/// A directory that goes with what is mounted below it when it is dropped.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// # Errors
    /// [`LabError::File`].
    pub(super) fn make(name: &str) -> Result<Self, LabError> {
        let path = Path::new(LAB_DIR).join(name);
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&path);
        made.map_err(|source| LabError::File { action: "make", path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// One of this process, for a daemon that may be killed with its mounts.
    ///
    /// # Errors
    /// [`LabError::File`].
    pub fn temporary() -> Result<Self, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self::make(&format!("vipd-{}-{}-files", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = remove_directory(&self.0) {
            tracing::warn!(%error, "the directory of the lab stays");
        }
    }
}

/// Remove what dead labs left; gives the names removed, and an error for each that stays.
pub fn remove() -> (Vec<String>, Vec<LabError>) {
    let (mut removed, mut failed) = (vec![], vec![]);
    let namespaces = dead_names(Path::new(NETNS_DIR)).into_iter().map(|path| (namespace::remove(&path), path));
    let directories = dead_names(Path::new(LAB_DIR)).into_iter().map(|path| (remove_directory(&path), path));
    for (result, path) in namespaces.chain(directories) {
        match result {
            Ok(()) => removed.extend(path.file_name().map(|name| name.to_string_lossy().into_owned())),
            Err(error) => failed.push(error),
        }
    }
    (removed, failed)
}

/// Unmount everything below `path`, innermost first, and remove it.
///
/// # Errors
/// [`LabError::File`] where something of it stays.
fn remove_directory(path: &Path) -> Result<(), LabError> {
    for mount in mounts_below(path) {
        disk::thaw(&mount);
        // One that stays is what makes the removal fail, with its name.
        umount2(&mount, MntFlags::MNT_DETACH).ok();
    }
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LabError::File { action: "remove", path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the table of mounts is a file")]
fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(path)).collect();
    below.reverse();
    below
}

fn dead_names(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return vec![] };
    let is_dead = |path: &PathBuf| {
        let maker = path.file_name().and_then(|name| maker(name.to_str()?));
        maker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_dead).collect()
}

/// The process that made `vipd-PID-N` or `vipd-PID-N-ROLE`.
fn maker(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix("vipd-")?.split('-');
    let pid = parts.next()?.parse().ok()?;
    parts.next()?.parse::<u32>().ok()?;
    Some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_labs_have_a_maker() {
        let rows = [
            ("vipd-77-0-switch", Some(77)),
            ("vipd-77-12", Some(77)),
            ("vipd-77-0-a-b", Some(77)),
            ("vipd-77", None),
            ("vipd-vrrp-77", None),
            ("vipd--1-0", None),
            ("other-77-0-switch", None),
        ];
        for (name, pid) in rows {
            assert_eq!(maker(name), pid, "{name}");
        }
    }
}
