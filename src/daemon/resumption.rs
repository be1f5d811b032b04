//! Which virtual routers a daemon that makes way for its successor leaves Active, kept in the run directory: the next one goes on
//! with them while no other router has missed their adverts.
#![expect(clippy::disallowed_methods, reason = "a small file of the daemon's own")]

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::MonoTime;
use crate::vrrp::reason::Standing;
use crate::vrrp::settings::Key;
use crate::vrrp::view::InstanceView;

/// One of them. The clock is that of the kernel: after a reboot all are over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    key: Key,
    until: MonoTime,
}

fn file(run_dir: &Path) -> PathBuf {
    run_dir.join("resume.json")
}

/// The last advert may be one interval old; the next one is missed when all of `Active_Down` but the skew, which depends on who
/// listens, has passed since then.
fn left(views: &[InstanceView], now: MonoTime) -> Vec<Left> {
    let active = views.iter().filter(|view| view.state == Standing::Active);
    let until = |view: &InstanceView| {
        let unheard = view.active_down.saturating_sub(view.skew).saturating_sub(view.interval.duration());
        now + unheard
    };
    let key = |view: &InstanceView| Key { interface: view.interface.clone(), family: view.family, vrid: view.vrid };
    active.map(|view| Left { key: key(view), until: until(view) }).collect()
}

/// Note them for the next daemon.
pub fn note(run_dir: &Path, views: &[InstanceView], now: MonoTime) {
    let path = file(run_dir);
    let write = || fs::write(&path, serde_json::to_string(&left(views, now))?);
    if let Err(error) = write() {
        tracing::warn!(path = %path.display(), %error, "the next daemon begins as Backup");
    }
}

/// What the last daemon noted and is not over yet; no further one finds it.
pub fn take(run_dir: &Path, now: MonoTime) -> BTreeMap<Key, MonoTime> {
    let path = file(run_dir);
    let read = || -> std::io::Result<Vec<Left>> {
        let text = fs::read_to_string(&path)?;
        fs::remove_file(&path)?;
        Ok(serde_json::from_str(&text)?)
    };
    let left = read().unwrap_or_else(|error| {
        if error.kind() != ErrorKind::NotFound {
            tracing::warn!(path = %path.display(), %error, "what the last daemon left is not gone on with");
        }
        vec![]
    });
    left.into_iter().filter(|one| now < one.until).map(|one| (one.key, one.until)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Family, Vrid};
    use crate::vrrp::fleet::Fleet;
    use crate::vrrp::settings::Settings;

    #[test]
    fn the_next_daemon_goes_on_once_and_only_while_nobody_has_missed_an_advert() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::new("A", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), Family::V4);
        let key = settings.key();
        let mut fleet = Fleet::default();
        let begun = MonoTime::from_start(Duration::from_secs(100));
        fleet.reconfigure(begun, vec![settings]);
        let mut views = fleet.views();
        let take = |after_s: f64| take(dir.path(), begun + Duration::from_secs_f64(after_s));
        note(dir.path(), &views, begun);
        assert!(take(0.0).is_empty(), "it was not Active");
        views[0].state = Standing::Active;
        // Adverts of 1 s: the third after the last one is not yet due.
        note(dir.path(), &views, begun);
        assert_eq!(take(1.9).into_keys().collect::<Vec<_>>(), [key]);
        assert!(take(1.9).is_empty(), "taken");
        note(dir.path(), &views, begun);
        assert!(take(2.0).is_empty(), "over");
        std::fs::write(dir.path().join("resume.json"), "[{").unwrap();
        assert!(take(0.0).is_empty());
    }
}
