//! Which virtual routers are in maintenance, kept in a file that outlives restarts and reboots.
#![expect(clippy::disallowed_methods, reason = "a small file of the daemon's own")]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::daemon::pidfile;
use crate::vrrp::fleet::Maintenance;

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("maintenance.json")
}

#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    #[error("{path}: {source}; whether this host is in maintenance is not known: repair or remove the file")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}; the maintenance would not survive a restart, so nothing was changed")]
    Write { path: PathBuf, source: std::io::Error },
}

/// What was set last; nothing where nobody ever set it.
///
/// # Errors
/// [`MaintenanceError::Read`]: a host in maintenance must not start to serve because a file is broken.
pub fn read(state_dir: &Path) -> Result<Maintenance, MaintenanceError> {
    let path = path(state_dir);
    match std::fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)) {
        Ok(maintenance) => Ok(maintenance),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Maintenance::default()),
        Err(source) => Err(MaintenanceError::Read { path, source }),
    }
}

/// Write it, to a temporary name, then renamed. It may wait for the disk.
///
/// # Errors
/// [`MaintenanceError::Write`]
pub fn write(state_dir: &Path, maintenance: &Maintenance) -> Result<(), MaintenanceError> {
    let path = path(state_dir);
    let written = serde_json::to_vec(maintenance).map_err(std::io::Error::from).and_then(|bytes| {
        std::fs::create_dir_all(state_dir)?;
        pidfile::replace(&path, &bytes, 0o644)
    });
    written.map_err(|source| MaintenanceError::Write { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_back_and_what_is_broken_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("deep/down");
        assert_eq!(read(&state_dir).unwrap(), Maintenance::default());
        let set = Maintenance { all: false, instances: ["VI_1".to_owned()].into() };
        write(&state_dir, &set).unwrap();
        assert_eq!(read(&state_dir).unwrap(), set);
        std::fs::write(path(&state_dir), "{").unwrap();
        assert!(read(&state_dir).unwrap_err().to_string().contains("repair or remove"));
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(write(&dir.path().join("file"), &set).unwrap_err().to_string().contains("nothing was changed"));
    }
}
