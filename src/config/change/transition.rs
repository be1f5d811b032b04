//! What a reload does to virtual routers. They are matched as the running daemon matches them: by interface, family
//! and VRID; names do not matter.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::base::{Family, IfName, Priority, Vrid};
use crate::config::model::{Config, InitialState, SyncGroup, Trackable, Tracking, VrrpInstance, VrrpVersion};

/// One virtual router, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    pub instance: String,
    pub expected: Expected,
    /// Why the state may move afterwards; empty: it does not.
    pub risks: Vec<Risk>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// State, timers and counters are kept.
    NoTransition,
    /// The same, under another name.
    Renamed { from: String },
    /// It is new, and begins as Backup; with `short_wait` it does not wait for a whole `Active_Down` first.
    Starts { short_wait: bool },
    /// It is new, and has the priority of the owner of its addresses (RFC 9568 section 6.4.1).
    StartsAsOwner,
    /// A master sends priority 0 and serves until the peer has taken over.
    HandsOver { because: Gone },
}

/// Why a virtual router goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    Removed,
    /// The name stays, but it names another virtual router.
    Replaced {
        by: String,
    },
}

/// What may move the state after the reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    PriorityRaised {
        from: u8,
        to: u8,
    },
    PriorityLowered {
        from: u8,
        to: u8,
    },
    /// Something else is tracked, weighs otherwise, or is another thing under the same name.
    Tracking,
    /// It follows other virtual routers than before; `None`: none any more.
    SyncGroup {
        name: Option<String>,
    },
    /// Peers of before do not understand its adverts, or hear none: what changed.
    Adverts {
        what: Vec<&'static str>,
    },
}

/// What the daemon knows a virtual router by.
type Key<'a> = (&'a IfName, Family, Vrid);

pub(super) fn key(instance: &VrrpInstance) -> Key<'_> {
    (&instance.interface, instance.family, instance.vrid)
}

fn described((interface, family, vrid): Key<'_>) -> String {
    let family = match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    format!("{family} VRID {vrid} on {interface}")
}

/// Of every virtual router: those of the new configuration in its order, each after the one that it replaces, then those
/// that go.
pub(super) fn transitions(old: &Config, new: &Config) -> Vec<Transition> {
    let hands_over = |instance: &VrrpInstance, because| Transition {
        instance: instance.name.clone(),
        expected: Expected::HandsOver { because },
        risks: vec![],
    };
    let gone = old.instances.iter().filter(|instance| !new.instances.iter().any(|after| key(after) == key(instance)));
    let (replaced, removed): (Vec<_>, Vec<_>) =
        gone.partition(|instance| new.instances.iter().any(|other| other.name == instance.name));
    let mut all = Vec::with_capacity(new.instances.len() + removed.len());
    for instance in &new.instances {
        if let Some(before) = replaced.iter().find(|before| before.name == instance.name) {
            all.push(hands_over(before, Gone::Replaced { by: described(key(instance)) }));
        }
        all.push(match old.instances.iter().find(|before| key(before) == key(instance)) {
            Some(before) => kept(before, instance, old, new),
            None => Transition { instance: instance.name.clone(), expected: starts(instance), risks: vec![] },
        });
    }
    all.extend(removed.into_iter().map(|instance| hands_over(instance, Gone::Removed)));
    all
}

fn starts(instance: &VrrpInstance) -> Expected {
    if instance.priority.is_owner() {
        return Expected::StartsAsOwner;
    }
    Expected::Starts { short_wait: instance.state == InitialState::Master }
}

fn kept(before: &VrrpInstance, after: &VrrpInstance, old: &Config, new: &Config) -> Transition {
    let mut risks = vec![];
    let (from, to) = (before.priority.get(), after.priority.get());
    match from.cmp(&to) {
        Ordering::Less => risks.push(Risk::PriorityRaised { from, to }),
        Ordering::Greater => risks.push(Risk::PriorityLowered { from, to }),
        Ordering::Equal => {}
    }
    let tracked = tracks(after, new);
    if tracks(before, old) != tracked
        || before.dont_track_primary != after.dont_track_primary
        || tracked.iter().any(|(kind, name, ..)| is_another(*kind, name, old, new))
    {
        risks.push(Risk::Tracking);
    }
    let members = |group: Option<&SyncGroup>| group.map(|group| group.members.clone());
    let group = group_of(after, new);
    if members(group_of(before, old)) != members(group) {
        risks.push(Risk::SyncGroup { name: group.map(|group| group.name.clone()) });
    }
    let what = adverts(before, after, old, new);
    if !what.is_empty() {
        risks.push(Risk::Adverts { what });
    }
    let same = before.name == after.name;
    let expected = if same { Expected::NoTransition } else { Expected::Renamed { from: before.name.clone() } };
    Transition { instance: after.name.clone(), expected, risks }
}

fn group_of<'a>(instance: &VrrpInstance, config: &'a Config) -> Option<&'a SyncGroup> {
    config.sync_groups.iter().find(|group| group.members.contains(&instance.name))
}

/// Whether the name of a script, file, process or BFD session stands for something else; `None` is an interface.
fn is_another(kind: Option<Trackable>, name: &str, old: &Config, new: &Config) -> bool {
    fn differs<T: PartialEq>(old: &[T], new: &[T], is_it: impl Fn(&T) -> bool) -> bool {
        old.iter().find(|one| is_it(one)) != new.iter().find(|one| is_it(one))
    }
    match kind {
        None => false,
        Some(Trackable::Script) => differs(&old.scripts, &new.scripts, |one| one.name == name),
        Some(Trackable::File) => differs(&old.track_files, &new.track_files, |one| one.name == name),
        Some(Trackable::Process) => differs(&old.track_processes, &new.track_processes, |one| one.name == name),
        Some(Trackable::Bfd) => differs(&old.bfds, &new.bfds, |one| one.name == name),
    }
}

/// What it tracks by itself and by its group, with the weights that count; a weight of 0 is a fault.
fn tracks<'a>(instance: &'a VrrpInstance, config: &'a Config) -> Vec<(Option<Trackable>, &'a str, i16, bool)> {
    let group = group_of(instance, config);
    // Otherwise those with a weight are not looked at.
    let counted = group.is_none_or(|group| group.tracking_weight);
    let blocks: Vec<&Tracking> = std::iter::once(&instance.track).chain(group.map(|group| &group.track)).collect();
    let named = blocks.iter().flat_map(|block| block.all()).map(|(kind, entry)| {
        let own = config.weight_of(kind, &entry.name).unwrap_or((0, false));
        let (weight, reverse) = entry.weight.map_or(own, |weight| (weight, entry.reverse));
        (Some(kind), entry.name.as_str(), weight, reverse)
    });
    let interfaces = blocks.iter().flat_map(|block| &block.interfaces);
    let interfaces = interfaces.map(|entry| (None, entry.interface.as_str(), entry.weight.unwrap_or(0), entry.reverse));
    let mut all: Vec<_> = interfaces.chain(named).filter(|(_, _, weight, _)| *weight == 0 || counted).collect();
    all.sort_unstable();
    all
}

/// Which parts of the adverts change that a peer has to know.
fn adverts(before: &VrrpInstance, after: &VrrpInstance, old: &Config, new: &Config) -> Vec<&'static str> {
    let unicast = |instance: &VrrpInstance| !instance.unicast_peers.is_empty();
    let group = |instance: &VrrpInstance, config: &Config| match (instance.mcast_group, after.family) {
        (Some(group), _) => Some(group),
        (None, Family::V4) => config.global.mcast_group4.map(IpAddr::V4),
        (None, Family::V6) => config.global.mcast_group6.map(IpAddr::V6),
    };
    // VRRPv2 has one interval for all routers; in VRRPv3 a Backup learns it (RFC 9568 section 6.4.2).
    let fixed = before.version == VrrpVersion::V2;
    let rows = [
        ("version", before.version != after.version),
        ("advert_int", fixed && before.interval != after.interval),
        ("authentication", (&before.auth_pass, before.auth_header) != (&after.auth_pass, after.auth_header)),
        ("multicast group", !unicast(after) && group(before, old) != group(after, new)),
        ("unicast or multicast", unicast(before) != unicast(after)),
        ("v3_checksum_as_v2", before.checksum_as_v2 != after.checksum_as_v2),
        ("old_unicast_checksum", unicast(after) && before.old_unicast_checksum != after.old_unicast_checksum),
        ("unicast_ttl", unicast(after) && before.unicast_ttl != after.unicast_ttl),
        ("unicast_peer", unicast(before) && unicast(after) && before.unicast_peers != after.unicast_peers),
    ];
    rows.iter().filter(|(_, changed)| *changed).map(|(what, _)| *what).collect()
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.instance, self.expected)?;
        for risk in &self.risks {
            write!(f, "; {risk}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTransition => f.write_str("no transition"),
            Self::Renamed { from } => write!(f, "no transition (its name was {from})"),
            Self::Starts { short_wait: true } => {
                f.write_str("starts: MASTER after one interval, unless it hears a better peer")
            }
            Self::StartsAsOwner => f.write_str("starts: MASTER at once, as the owner of the addresses"),
            Self::Starts { short_wait: false } => f.write_str("starts: BACKUP"),
            Self::HandsOver { because: Gone::Removed } => f.write_str("hands over: removed"),
            Self::HandsOver { because: Gone::Replaced { by } } => write!(f, "hands over: it becomes {by}"),
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PriorityRaised { from, to } if *to == Priority::OWNER.get() => {
                write!(f, "priority {from} -> {to}: the owner of the addresses takes over from every peer")
            }
            Self::PriorityRaised { from, to } => {
                write!(f, "priority {from} -> {to}: it may take over from a peer between the two")
            }
            Self::PriorityLowered { from, to } => {
                write!(f, "priority {from} -> {to}: a peer between the two may take over")
            }
            Self::Tracking => f.write_str("what it tracks changes: a failed one may lower its priority or be a fault"),
            Self::SyncGroup { name: Some(name) } => write!(f, "it follows the sync group {name}, as that is now"),
            Self::SyncGroup { name: None } => f.write_str("it follows no sync group any more"),
            Self::Adverts { what } => write!(f, "adverts change ({}): change the peers alike", what.join(", ")),
        }
    }
}
