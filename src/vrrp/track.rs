//! What trackers make of a virtual router: its faults, and its effective priority. Recomputed from scratch.

use std::collections::BTreeMap;

use super::links::Links;
use super::reason::Fault;
use super::settings::{Settings, Track, Tracked};
use super::view::TrackView;
use crate::base::Priority;

/// Results of the tracked scripts; a script without a first result is missing.
pub type Scripts = BTreeMap<String, bool>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Empty: fit.
    pub faults: Vec<Fault>,
    /// A script without weight has no result yet.
    pub unknown: bool,
    pub priority: Priority,
}

/// Judge one virtual router. `fights` is the fault of an address that others keep removing.
pub fn judge(settings: &Settings, links: &Links, scripts: &Scripts, fights: Option<Fault>) -> Verdict {
    let mut faults: Vec<Fault> = fights.into_iter().collect();
    let interface = &settings.interface;
    match links.get(interface) {
        None => faults.push(Fault::InterfaceGone { interface: interface.clone() }),
        Some(link) if !link.running && !settings.dont_track_primary => {
            faults.push(Fault::InterfaceDown { interface: interface.clone() });
        }
        Some(_) if links.source(settings).is_none() => faults.push(Fault::NoSource { interface: interface.clone() }),
        Some(_) => (),
    }
    let mut unknown = false;
    let mut sum = i32::from(settings.priority.get());
    for track in &settings.track {
        let good = is_good(&track.what, links, scripts);
        match (track.weight.filter(|weight| *weight != 0), good) {
            (None, Some(false)) => faults.push(Fault::TrackFailed { tracked: track.what.clone() }),
            (None, None) => unknown = true,
            (Some(weight), Some(good)) if weights_count(settings) => sum += weigh(track, weight, good),
            (None, Some(true)) | (Some(_), None | Some(_)) => (),
        }
    }
    Verdict { faults, unknown, priority: clamp(settings.priority, sum) }
}

/// In a sync group weights are ignored unless the group asks for them.
fn weights_count(settings: &Settings) -> bool {
    settings.sync_group.as_ref().is_none_or(|group| group.tracking_weight)
}

/// What is tracked, with its present result.
pub fn views(settings: &Settings, links: &Links, scripts: &Scripts) -> Vec<TrackView> {
    let view = |Track { what, weight, reverse }: &Track| TrackView {
        good: is_good(what, links, scripts),
        what: what.clone(),
        weight: *weight,
        reverse: *reverse,
    };
    settings.track.iter().map(view).collect()
}

fn is_good(what: &Tracked, links: &Links, scripts: &Scripts) -> Option<bool> {
    match what {
        Tracked::Interface(name) => Some(links.get(name).is_some_and(|link| link.running)),
        Tracked::Script(name) => scripts.get(name).copied(),
    }
}

/// Positive adds while good, negative subtracts while bad; `reverse` swaps good and bad.
fn weigh(track: &Track, weight: i16, good: bool) -> i32 {
    if (good != track.reverse) == (weight > 0) { i32::from(weight) } else { 0 }
}

/// 1..=254, and the owner stays the owner.
fn clamp(base: Priority, sum: i32) -> Priority {
    if base.is_owner() {
        return base;
    }
    u8::try_from(sum.clamp(1, 254)).ok().and_then(|sum| Priority::new(sum).ok()).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Family, IfName, Vrid};
    use crate::vrrp::links::{Held, Link};
    use crate::vrrp::settings::SyncGroup;

    fn links(running: bool) -> Links {
        let addresses = vec![Held { cidr: "10.0.0.1/24".parse().unwrap(), ours: false, usable: true }];
        let link = Link { index: 2, running: true, mac: None, addresses };
        let other = Link { running, addresses: vec![], ..link.clone() };
        Links([("eth0".parse().unwrap(), link), ("eth1".parse().unwrap(), other)].into())
    }

    fn settings(track: Vec<Track>) -> Settings {
        let eth0: IfName = "eth0".parse().unwrap();
        Settings { track, ..Settings::new("VI_1", eth0, Vrid::new(1).unwrap(), Family::V4) }
    }

    #[test]
    fn weights_move_the_priority_as_keepalived_does() {
        let script = |weight, reverse| Track { what: Tracked::Script("chk".into()), weight, reverse };
        let rows = [
            ("positive, good", script(Some(20), false), Some(true), 120),
            ("positive, bad", script(Some(20), false), Some(false), 100),
            ("negative, good", script(Some(-20), false), Some(true), 100),
            ("negative, bad", script(Some(-20), false), Some(false), 80),
            ("no result yet", script(Some(-20), false), None, 100),
            ("positive, reverse, good", script(Some(20), true), Some(true), 100),
            ("positive, reverse, bad", script(Some(20), true), Some(false), 120),
            ("negative, reverse, good", script(Some(-20), true), Some(true), 80),
            ("below 1", script(Some(-253), false), Some(false), 1),
            ("above 254", script(Some(253), false), Some(true), 254),
        ];
        for (name, track, result, expected) in rows {
            let scripts = result.map(|good| ("chk".to_owned(), good)).into_iter().collect();
            let verdict = judge(&settings(vec![track]), &links(true), &scripts, None);
            assert_eq!((verdict.priority.get(), verdict.unknown), (expected, false), "{name}");
            assert_eq!(verdict.faults, [], "{name}");
        }
    }

    #[test]
    fn without_a_weight_a_failure_is_a_fault_and_silence_is_unknown() {
        let script = Track { what: Tracked::Script("chk".into()), weight: None, reverse: false };
        let interface = Track { what: Tracked::Interface("eth1".parse().unwrap()), weight: Some(0), reverse: false };
        let both = settings(vec![script, interface]);
        assert!(judge(&both, &links(true), &Scripts::new(), None).unknown);
        let bad = judge(&both, &links(false), &[("chk".to_owned(), false)].into(), None);
        assert_eq!(bad.faults.len(), 2, "{bad:?}");
        let good = judge(&both, &links(true), &[("chk".to_owned(), true)].into(), None);
        assert_eq!((good.faults, good.unknown), (vec![], false));
    }

    #[test]
    fn the_owner_stays_the_owner_and_a_sync_group_ignores_weights() {
        let track =
            vec![Track { what: Tracked::Interface("eth1".parse().unwrap()), weight: Some(-50), reverse: false }];
        let owner = Settings { priority: Priority::OWNER, ..settings(track.clone()) };
        assert_eq!(judge(&owner, &links(false), &Scripts::new(), None).priority, Priority::OWNER);
        for (tracking_weight, expected) in [(false, 100), (true, 50)] {
            let sync_group = Some(SyncGroup { name: "G".into(), tracking_weight });
            let member = Settings { sync_group, ..settings(track.clone()) };
            assert_eq!(judge(&member, &links(false), &Scripts::new(), None).priority.get(), expected);
        }
    }
}
