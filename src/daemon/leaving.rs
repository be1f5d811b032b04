//! What a daemon that makes way for its successor left Active, kept in the run directory for that one.
#![expect(clippy::disallowed_methods, reason = "a small file of the daemon's own")]

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::pidfile;
use crate::base::MonoTime;
use crate::vrrp::fleet::LeftActive;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The times are those of this boot (`/proc/sys/kernel/random/boot_id`).
    boot: String,
    left: Vec<LeftActive>,
}

fn file(run_dir: &Path) -> PathBuf {
    run_dir.join("left.json")
}

fn boot() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
}

/// Note these for the next daemon; a failure is logged, and that one starts as after a crash.
pub fn write(run_dir: &Path, left: &[LeftActive]) {
    let path = file(run_dir);
    let write = || {
        let note = Note { boot: boot()?, left: left.to_vec() };
        pidfile::replace(&path, &serde_json::to_vec(&note)?, 0o600)
    };
    if let Err(error) = write() {
        tracing::warn!(path = %path.display(), %error, "the next daemon does not know what is left to it, and starts as after a crash");
    }
}

/// What the last daemon left and nobody has missed at `now`. No other start finds it.
pub fn take(run_dir: &Path, now: MonoTime) -> Vec<LeftActive> {
    let path = file(run_dir);
    let take = || -> io::Result<Note> {
        let text = fs::read_to_string(&path)?;
        fs::remove_file(&path)?;
        Ok(serde_json::from_str(&text)?)
    };
    match take() {
        Ok(Note { boot: then, left }) if boot().is_ok_and(|boot| boot == then) => {
            left.into_iter().filter(|one| now < one.until).collect()
        }
        Ok(_) => vec![],
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "what the last daemon left cannot be read; all starts as after a crash");
            }
            vec![]
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Family, Vrid};
    use crate::vrrp::settings::Key;

    #[test]
    fn what_is_left_is_found_once_in_its_time_and_in_the_same_boot() {
        let dir = tempfile::tempdir().unwrap();
        let at = |s| MonoTime::from_start(Duration::from_secs(s));
        let key = Key { interface: "eth0".parse().unwrap(), family: Family::V4, vrid: Vrid::new(7).unwrap() };
        let left = vec![LeftActive { key, until: at(10), lease_s: 5, sequence: 3 }];
        let path = file(dir.path());
        assert_eq!(take(dir.path(), at(1)), [], "nobody left anything");
        write(dir.path(), &left);
        assert_eq!(take(dir.path(), at(9)), left);
        assert_eq!(take(dir.path(), at(9)), [], "taken");
        write(dir.path(), &left);
        assert_eq!(take(dir.path(), at(10)), [], "too late");
        write(dir.path(), &left);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(boot().unwrap().trim(), "another")).unwrap();
        assert_eq!(take(dir.path(), at(9)), [], "before a reboot");
        fs::write(&path, "{").unwrap();
        assert_eq!((take(dir.path(), at(9)), path.exists()), (vec![], false), "unreadable");
    }
}
