//! What a daemon that makes way for its successor left Active and what its checks knew, kept in the run directory for that one.
#![expect(clippy::disallowed_methods, reason = "a small file of the daemon's own")]

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pidfile;
use crate::base::MonoTime;
use crate::healthcheck::board;
use crate::vrrp::fleet::LeftActive;

/// Results of checks are believed for so long, and as long as some virtual router goes on by the same note.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// What a daemon leaves to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub routers: Vec<LeftActive>,
    pub checks: board::Left,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The times are those of this boot (`/proc/sys/kernel/random/boot_id`).
    boot: String,
    at: MonoTime,
    routers: Vec<LeftActive>,
    /// As [`board::Left`]; of another version they may mean nothing, and the routers go on all the same.
    checks: Value,
}

fn file(run_dir: &Path) -> PathBuf {
    run_dir.join("left.json")
}

fn boot() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
}

/// Note this, which is so at `now`, for the next daemon; a failure is logged, and that one starts as after a crash.
pub fn write(run_dir: &Path, now: MonoTime, left: Left) {
    let path = file(run_dir);
    let write = || {
        let Left { routers, checks } = left;
        let note = Note { boot: boot()?, at: now, routers, checks: serde_json::to_value(checks)? };
        pidfile::replace(&path, &serde_json::to_vec(&note)?, 0o600)
    };
    if let Err(error) = write() {
        tracing::warn!(path = %path.display(), %error, "the next daemon does not know what is left to it, and starts as after a crash");
    }
}

/// Of what the last daemon left, the adverts that nobody has missed at `now`, and what checks found not long ago. No other
/// start finds it.
pub fn take(run_dir: &Path, now: MonoTime) -> Left {
    let path = file(run_dir);
    let take = || -> io::Result<Note> {
        let text = fs::read_to_string(&path)?;
        fs::remove_file(&path)?;
        Ok(serde_json::from_str(&text)?)
    };
    match take() {
        Ok(Note { boot: then, at, mut routers, checks }) if boot().is_ok_and(|boot| boot == then) => {
            routers.retain(|one| now < one.until);
            let believed = !routers.is_empty() || now < at + BELIEVED_FOR;
            let checks = if believed { read(&path, checks) } else { board::Left::default() };
            Left { routers, checks }
        }
        Ok(_) => Left::default(),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "what the last daemon left cannot be read; all starts as after a crash");
            }
            Left::default()
        }
    }
}

fn read(path: &Path, checks: Value) -> board::Left {
    serde_json::from_value(checks).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "what the checks of the last daemon have found cannot be read; they begin anew");
        board::Left::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::{Family, Vrid};
    use crate::vrrp::settings::Key;

    fn checks() -> board::Left {
        let id = json!({"service": "web", "destination": "a"});
        let learnt = json!({"judge": {"state": {"Down": {"failures": 2}}, "retry": 1, "on_local_error": "keep"},
            "wish": null, "agent": {"administration": "ready", "percent": null}, "last": null, "results": 2});
        let checks = json!([{"ids": [{"target": id, "index": 0}], "asks": 1, "learnt": learnt}]);
        serde_json::from_value(json!({"checks": checks, "targets": []})).unwrap()
    }

    #[test]
    fn what_is_left_is_found_once_in_its_time_and_in_the_same_boot() {
        let dir = tempfile::tempdir().unwrap();
        let at = |s| MonoTime::from_start(Duration::from_secs(s));
        let key = Key { interface: "eth0".parse().unwrap(), family: Family::V4, vrid: Vrid::new(7).unwrap() };
        let routers = |until| vec![LeftActive { key: key.clone(), until: at(until), sequence: 3 }];
        let nothing = Left::default;
        let path = file(dir.path());
        assert_eq!(take(dir.path(), at(1)), nothing(), "nobody left anything");
        let rows = [
            ("in time", 110, 109, true, true),
            ("nobody misses an advert any more", 103, 103, false, true),
            ("too late for both", 103, 110, false, false),
            ("adverts are rare", 130, 120, true, true),
        ];
        for (name, until, now, goes_on, believed) in rows {
            let left = Left { routers: routers(until), checks: checks() };
            write(dir.path(), at(100), left.clone());
            let found = take(dir.path(), at(now));
            assert_eq!((found.routers == left.routers, found.routers.is_empty()), (goes_on, !goes_on), "{name}");
            assert_eq!(found.checks, if believed { checks() } else { board::Left::default() }, "{name}");
            assert_eq!(take(dir.path(), at(now)), nothing(), "{name}: taken");
        }
        write(dir.path(), at(100), Left { routers: routers(110), checks: checks() });
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(boot().unwrap().trim(), "another")).unwrap();
        assert_eq!(take(dir.path(), at(101)), nothing(), "before a reboot");
        let of_another_version = text.replace("\"learnt\"", "\"results\"");
        assert_ne!(of_another_version, text);
        fs::write(&path, of_another_version).unwrap();
        let only_routers = Left { routers: routers(110), ..nothing() };
        assert_eq!(take(dir.path(), at(101)), only_routers, "the routers go on whatever the checks are");
        fs::write(&path, "{").unwrap();
        assert_eq!((take(dir.path(), at(101)), path.exists()), (nothing(), false), "unreadable");
    }
}
