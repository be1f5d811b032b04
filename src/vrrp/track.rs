//! What trackers make of a virtual router: its faults, and its effective priority. Recomputed from scratch.

pub mod connector;
pub mod file;
pub mod process;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::links::{Link, Links};
use super::reason::Fault;
use super::settings::{Outcome, Settings, Track, Tracked, Transport};
use super::view::TrackView;
use crate::base::Priority;

/// Results of what reports by itself: scripts, files, processes, static items. One without a first result is missing.
pub type Outcomes = BTreeMap<Tracked, Outcome>;

/// What a file takes from a priority, and what is a fault: its number times the weight.
const FILE_FAULT: i64 = -254;
/// The most that a file adds.
const FILE_MOST: i64 = 253;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Empty: fit.
    pub faults: Vec<Fault>,
    /// Something without weight has no result yet.
    pub unknown: bool,
    pub priority: Priority,
}

/// Judge one virtual router. `fights` is the fault of an address that others keep removing.
pub fn judge(settings: &Settings, links: &Links, outcomes: &Outcomes, fights: Option<Fault>) -> Verdict {
    let mut faults: Vec<Fault> = fights.into_iter().collect();
    let interface = &settings.interface;
    match links.get(interface) {
        None => faults.push(Fault::InterfaceGone { interface: interface.clone() }),
        Some(link) if !link.running && !settings.dont_track_primary => {
            faults.push(Fault::InterfaceDown { interface: interface.clone() });
        }
        Some(_) if links.source(settings).is_none() => faults.push(Fault::NoSource { interface: interface.clone() }),
        Some(link) => faults.extend(lost_source(settings, link).map(|source| Fault::SourceGone { source })),
    }
    match &settings.transport {
        Transport::Unicast { peers, .. } if peers.is_empty() => faults.push(Fault::NoPeer),
        Transport::Multicast { .. } | Transport::Unicast { .. } => (),
    }
    let mut unknown = false;
    let mut sum = i32::from(settings.priority.get());
    for track in &settings.track {
        match effect(track, outcome(&track.what, links, outcomes)) {
            Effect::Fault => {
                let fault = failed(&track.what, links);
                // It may track its own interface.
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
            Effect::Unknown => unknown = true,
            Effect::Weight(weight) if weights_count(settings) => sum += weight,
            Effect::None | Effect::Weight(_) => (),
        }
    }
    Verdict { faults, unknown, priority: clamp(settings.priority, sum) }
}

/// An interface is down or missing; all else has its own results, which are told by themselves.
fn failed(tracked: &Tracked, links: &Links) -> Fault {
    match tracked {
        Tracked::Interface(name) if links.get(name).is_none() => Fault::InterfaceGone { interface: name.clone() },
        Tracked::Interface(name) => Fault::InterfaceDown { interface: name.clone() },
        Tracked::Script(_) | Tracked::File(_) | Tracked::Process(_) | Tracked::Bfd(_) | Tracked::Static(_) => {
            Fault::TrackFailed { tracked: tracked.clone() }
        }
    }
}

/// The address that it is told to send from, and to watch, where it is gone.
fn lost_source(settings: &Settings, link: &Link) -> Option<IpAddr> {
    let source = settings.transport.source().filter(|_| settings.track_source)?;
    let there = link.addresses.iter().any(|held| held.usable && held.cidr.addr() == source);
    (!there).then_some(source)
}

/// In a sync group weights are ignored unless the group asks for them.
fn weights_count(settings: &Settings) -> bool {
    settings.sync_group.as_ref().is_none_or(|group| group.tracking_weight)
}

/// What is tracked, with its present result and what that does.
pub fn views(settings: &Settings, links: &Links, outcomes: &Outcomes) -> Vec<TrackView> {
    let view = |track: &Track| {
        let outcome = outcome(&track.what, links, outcomes);
        let (fault, adds) = match effect(track, outcome) {
            Effect::Fault => (true, 0),
            Effect::Weight(weight) if weights_count(settings) => (false, weight),
            Effect::None | Effect::Unknown | Effect::Weight(_) => (false, 0),
        };
        let Track { what, weight, reverse } = track.clone();
        TrackView { what, outcome, weight, reverse, fault, adds }
    };
    settings.track.iter().map(view).collect()
}

fn outcome(what: &Tracked, links: &Links, outcomes: &Outcomes) -> Option<Outcome> {
    match what {
        Tracked::Interface(name) => Some(Outcome::Good(links.get(name).is_some_and(|link| link.running))),
        Tracked::Script(_) | Tracked::File(_) | Tracked::Process(_) | Tracked::Bfd(_) | Tracked::Static(_) => {
            outcomes.get(what).copied()
        }
    }
}

/// What one tracker does.
enum Effect {
    None,
    Fault,
    Unknown,
    Weight(i32),
}

fn effect(track: &Track, outcome: Option<Outcome>) -> Effect {
    let weight = track.weight.filter(|weight| *weight != 0);
    match (weight, outcome) {
        (None, None) => Effect::Unknown,
        (Some(_), None) => Effect::None,
        // `reverse` has a meaning without a weight for files alone, as in keepalived.
        (None, Some(Outcome::Number(number))) => fault_if((number != 0) != track.reverse),
        (None, Some(Outcome::Good(good))) => fault_if(!good),
        (Some(weight), Some(Outcome::Good(good))) => Effect::Weight(weigh(track, weight, good)),
        (Some(weight), Some(Outcome::Number(number))) => weigh_number(track, weight, number),
    }
}

const fn fault_if(bad: bool) -> Effect {
    if bad { Effect::Fault } else { Effect::None }
}

/// The number of a file times its weight: at most 253, and a fault from -254 down.
fn weigh_number(track: &Track, weight: i16, number: i32) -> Effect {
    let product = i64::from(weight) * i64::from(number);
    let product = if track.reverse { -product } else { product };
    match i32::try_from(product.min(FILE_MOST)) {
        Ok(weight) if product > FILE_FAULT => Effect::Weight(weight),
        Ok(_) | Err(_) => Effect::Fault,
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
    use crate::vrrp::links::Held;
    use crate::vrrp::settings::{Peer, SyncGroup};

    fn links(running: bool) -> Links {
        let addresses = vec![Held { cidr: "10.0.0.1/24".parse().unwrap(), peer: None, ours: false, usable: true }];
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses };
        let other = Link { running, addresses: vec![], ..link.clone() };
        Links([("eth0".parse().unwrap(), link), ("eth1".parse().unwrap(), other)].into())
    }

    fn settings(track: Vec<Track>) -> Settings {
        let eth0: IfName = "eth0".parse().unwrap();
        Settings { track, ..Settings::new("VI_1", eth0, Vrid::new(1).unwrap(), Family::V4) }
    }

    fn chk(good: bool) -> (Tracked, Outcome) {
        (Tracked::Script("chk".into()), Outcome::Good(good))
    }

    #[test]
    fn unicast_without_a_peer_is_a_fault() {
        let peer = Peer::new("10.0.0.2".parse().unwrap());
        for (peers, faults) in [(vec![peer], vec![]), (vec![], vec![Fault::NoPeer])] {
            let transport = Transport::Unicast { source: None, peers, ttl: 255, only_peers: false };
            let settings = Settings { transport, ..settings(vec![]) };
            assert_eq!(judge(&settings, &links(true), &Outcomes::new(), None).faults, faults);
        }
    }

    #[test]
    fn the_state_of_its_own_interface_is_no_fault_with_dont_track_primary() {
        let eth0: IfName = "eth0".parse().unwrap();
        let mut down = links(true);
        down.0.get_mut(&eth0).unwrap().running = false;
        let tracked = Track { what: Tracked::Interface(eth0.clone()), weight: None, reverse: false };
        let is_down = Fault::InterfaceDown { interface: eth0.clone() };
        let rows = [
            (false, vec![], &down, vec![is_down.clone()]),
            (true, vec![], &down, vec![]),
            (true, vec![tracked], &down, vec![is_down]),
            (true, vec![], &Links::default(), vec![Fault::InterfaceGone { interface: eth0 }]),
        ];
        for (dont_track_primary, track, links, faults) in rows {
            let settings = Settings { dont_track_primary, ..settings(track) };
            let judged = judge(&settings, links, &Outcomes::new(), None).faults;
            assert_eq!(judged, faults, "dont_track_primary {dont_track_primary}");
        }
    }

    #[test]
    fn a_source_that_is_gone_is_a_fault_where_it_is_watched() {
        for (source, track_source, broken) in
            [("10.0.0.1", true, false), ("10.0.0.7", true, true), ("10.0.0.7", false, false)]
        {
            let source: IpAddr = source.parse().unwrap();
            let transport = Transport::Multicast { group: "224.0.0.18".parse().unwrap(), source: Some(source) };
            let settings = Settings { transport, track_source, ..settings(vec![]) };
            let faults = judge(&settings, &links(true), &Outcomes::new(), None).faults;
            let expected = if broken { vec![Fault::SourceGone { source }] } else { vec![] };
            assert_eq!(faults, expected, "{source} {track_source}");
        }
    }

    #[test]
    fn the_number_of_a_file_counts_with_its_weight() {
        let rows = [
            ("added", Some(2), false, 10, Some(120)),
            ("subtracted", Some(2), false, -10, Some(80)),
            ("reversed", Some(2), true, 10, Some(80)),
            ("at most 254", Some(100), false, i32::MAX, Some(254)),
            ("at least 1", Some(1), false, -253, Some(1)),
            ("a fault", Some(1), false, -254, None),
            ("a fault by the least number", Some(254), false, i32::MIN, None),
            ("no weight, no number", Some(0), false, 0, Some(100)),
            ("no weight, a number", Some(0), false, 7, None),
            ("no weight, reversed, a number", Some(0), true, 7, Some(100)),
            ("no weight, reversed, none", None, true, 0, None),
        ];
        for (name, weight, reverse, number, expected) in rows {
            let what = Tracked::File("f".into());
            let outcomes = [(what.clone(), Outcome::Number(number))].into();
            let verdict = judge(&settings(vec![Track { what, weight, reverse }]), &links(true), &outcomes, None);
            let priority = verdict.faults.is_empty().then_some(verdict.priority.get());
            assert_eq!(priority, expected, "{name}");
        }
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
            let outcomes = result.map(chk).into_iter().collect();
            let verdict = judge(&settings(vec![track]), &links(true), &outcomes, None);
            assert_eq!((verdict.priority.get(), verdict.unknown), (expected, false), "{name}");
            assert_eq!(verdict.faults, [], "{name}");
        }
    }

    #[test]
    fn without_a_weight_a_failure_is_a_fault_and_silence_is_unknown() {
        let script = Track { what: Tracked::Script("chk".into()), weight: None, reverse: false };
        let interface = Track { what: Tracked::Interface("eth1".parse().unwrap()), weight: Some(0), reverse: false };
        let both = settings(vec![script, interface]);
        assert!(judge(&both, &links(true), &Outcomes::new(), None).unknown);
        let bad = judge(&both, &links(false), &[chk(false)].into(), None);
        assert_eq!(bad.faults.len(), 2, "{bad:?}");
        let good = judge(&both, &links(true), &[chk(true)].into(), None);
        assert_eq!((good.faults, good.unknown), (vec![], false));
    }

    #[test]
    fn a_tracked_interface_is_told_as_down_or_as_missing() {
        let track =
            |name: &str| Track { what: Tracked::Interface(name.parse().unwrap()), weight: None, reverse: false };
        let all = ["eth0", "eth1", "eth7"].map(track);
        let mut links = links(false);
        links.0.get_mut(&"eth0".parse::<IfName>().unwrap()).unwrap().running = false;
        let told = judge(&settings(all.to_vec()), &links, &Outcomes::new(), None).faults;
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["interface eth0 is down", "interface eth1 is down", "there is no interface eth7"]);
    }

    #[test]
    fn the_owner_stays_the_owner_and_a_sync_group_ignores_weights() {
        let track =
            vec![Track { what: Tracked::Interface("eth1".parse().unwrap()), weight: Some(-50), reverse: false }];
        let owner = Settings { priority: Priority::OWNER, ..settings(track.clone()) };
        assert_eq!(judge(&owner, &links(false), &Outcomes::new(), None).priority, Priority::OWNER);
        for (tracking_weight, expected) in [(false, 100), (true, 50)] {
            let sync_group = Some(SyncGroup { name: "G".into(), tracking_weight });
            let member = Settings { sync_group, ..settings(track.clone()) };
            assert_eq!(judge(&member, &links(false), &Outcomes::new(), None).priority.get(), expected);
        }
    }
}
