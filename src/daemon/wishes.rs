//! What operators want of real servers (drain, disable, weight), kept in a file that outlives restarts and reboots.
#![expect(clippy::disallowed_methods, reason = "a small file of the daemon's own")]

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::daemon::pidfile;
use crate::lvs::pool::{PoolId, Wish};
use crate::lvs::table::DestinationKey;

/// One wish of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub pool: PoolId,
    pub real_server: DestinationKey,
    pub wish: Wish,
}

#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; it holds, and would not survive a restart")]
pub struct WishesError {
    pub path: PathBuf,
    pub source: std::io::Error,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("real-servers.json")
}

/// What was wanted last. A file that cannot be read is told, and the configuration stands: forwarding is not held up.
pub fn read(state_dir: &Path) -> Vec<Kept> {
    let path = path(state_dir);
    match std::fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)) {
        Ok(kept) => kept,
        Err(error) if error.kind() == ErrorKind::NotFound => vec![],
        Err(error) => {
            let path = path.display();
            tracing::error!(%path, %error, "what operators wanted of real servers is lost: say it again");
            vec![]
        }
    }
}

/// Write it, to a temporary name, then renamed. It may wait for the disk.
///
/// # Errors
/// [`WishesError`]
pub fn write(state_dir: &Path, kept: &[Kept]) -> Result<(), WishesError> {
    let path = path(state_dir);
    let written = serde_json::to_vec_pretty(kept).map_err(std::io::Error::from).and_then(|bytes| {
        std::fs::create_dir_all(state_dir)?;
        pidfile::replace(&path, &bytes, 0o644)
    });
    written.map_err(|source| WishesError { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Weight;
    use crate::lvs::table::{Protocol, ServiceKey};

    #[test]
    fn what_is_wanted_is_read_back_and_what_is_broken_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), []);
        let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: "192.0.2.1".parse().unwrap(), port: 80 };
        let real_server = DestinationKey { addr: "fd00::1".parse().unwrap(), port: 8080 };
        let kept = [
            Kept { pool: PoolId::Service(key), real_server, wish: Wish::Drain },
            Kept {
                pool: PoolId::Group { name: "web".into(), protocol: Protocol::Udp },
                real_server,
                wish: Wish::Weight(Weight::new(3).unwrap()),
            },
        ];
        let state_dir = dir.path().join("deep/down");
        write(&state_dir, &kept).unwrap();
        assert_eq!(read(&state_dir), kept);
        std::fs::write(path(&state_dir), "[{").unwrap();
        assert_eq!(read(&state_dir), []);
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(write(&dir.path().join("file"), &kept).unwrap_err().to_string().contains("would not survive"));
    }
}
