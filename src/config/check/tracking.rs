//! What instances track, and what its failure does to their priority.

use std::collections::{HashMap, HashSet};

use crate::base::Priority;
use crate::config::collect::Problems;
use crate::config::model::{Config, TrackEntry, Trackable, VrrpInstance};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;

/// What a tracker may leave of a priority (RFC 9568 section 5.2.4: 255 is the owner's, 0 resigns).
const LEAST: i32 = 1;
const MOST: i32 = 254;

pub(super) fn check(config: &Config, problems: &mut Problems) {
    // Groups whose members may not have weights of their own.
    let grouped: HashMap<&str, &str> = config
        .sync_groups
        .iter()
        .filter(|group| !group.tracking_weight)
        .flat_map(|group| group.members.iter().map(|member| (member.as_str(), group.name.as_str())))
        .collect();
    let mut used = HashSet::new();
    let all = config.sync_groups.iter().map(|group| (group.name.as_str(), &group.track));
    for (name, tracked) in all.chain(config.instances.iter().map(|instance| (instance.name.as_str(), &instance.track)))
    {
        for (kind, entry) in tracked.all() {
            if config.weight_of(kind, &entry.name).is_none() {
                problems.push(undefined(name, kind, entry));
            }
            used.insert((kind, entry.name.as_str()));
        }
    }
    for entry in config.file_checks() {
        if config.weight_of(Trackable::File, &entry.name).is_none() {
            problems.push(undefined("FILE_CHECK", Trackable::File, entry));
        }
        used.insert((Trackable::File, entry.name.as_str()));
    }
    for (name, at) in config.bfd_checks() {
        if config.weight_of(Trackable::Bfd, name).is_none() {
            let entry = TrackEntry { name: name.to_owned(), weight: None, reverse: false, at };
            problems.push(undefined("BFD_CHECK", Trackable::Bfd, &entry));
        }
        used.insert((Trackable::Bfd, name));
    }
    for instance in &config.instances {
        let group = grouped.get(instance.name.as_str()).copied();
        weights(instance, group, config, problems);
    }
    interfaces(config, problems);
    let scripts = config.scripts.iter().map(|script| (Trackable::Script, script.name.as_str(), script.at));
    let files = config.track_files.iter().map(|file| (Trackable::File, file.name.as_str(), file.at));
    let processes =
        config.track_processes.iter().map(|process| (Trackable::Process, process.name.as_str(), process.at));
    let bfds = config.bfds.iter().filter(|bfd| bfd.for_vrrp || !bfd.for_checkers);
    let bfds = bfds.map(|bfd| (Trackable::Bfd, bfd.name.as_str(), bfd.at));
    let all = scripts.chain(files).chain(processes).chain(bfds);
    for (kind, name, at) in all.filter(|(kind, name, _)| !used.contains(&(*kind, *name))) {
        problems.push(unused(kind, name, at));
    }
}

/// An interface that a member tracks and its group too.
fn interfaces(config: &Config, problems: &mut Problems) {
    for group in config.sync_groups.iter().filter(|group| !group.track.interfaces.is_empty()) {
        for instance in config.instances.iter().filter(|instance| group.members.contains(&instance.name)) {
            for entry in &instance.track.interfaces {
                let Some(of_group) = group.track.interfaces.iter().find(|of| of.interface == entry.interface) else {
                    continue;
                };
                let message = format!(
                    "vrrp_instance `{}` and its sync group `{}` both track {}",
                    instance.name, group.name, entry.interface
                );
                problems.push(
                    Problem::new("tracked-twice", Severity::Error, entry.at, message)
                        .label("counts for the instance and for the group")
                        .related(of_group.at, "here for the group")
                        .help("remove one of the two lines"),
                );
            }
        }
    }
}

fn unused(kind: Trackable, name: &str, at: Span) -> Problem {
    let (code, label) = match kind {
        Trackable::Script => ("unused-script", "does not run"),
        Trackable::File => ("unused-track-file", "not read"),
        Trackable::Process => ("unused-track-process", "not watched"),
        Trackable::Bfd => ("unused-bfd", "up or down, it changes nothing"),
    };
    let message = format!("{} `{name}` is tracked by nobody", kind.block());
    let help = format!("add to an instance: {} {{ {name} }}", kind.list());
    Problem::new(code, Severity::Warning, at, message).label(label).help(help)
}

fn undefined(name: &str, kind: Trackable, entry: &TrackEntry) -> Problem {
    let code = match kind {
        Trackable::Script => "undefined-script",
        Trackable::File => "undefined-track-file",
        Trackable::Process => "undefined-track-process",
        Trackable::Bfd => "undefined-bfd",
    };
    let message = format!("`{name}` tracks the {} `{}`, which does not exist", kind.block(), entry.name);
    Problem::new(code, Severity::Error, entry.at, message).label("left out").help("define it, or remove the line")
}

/// A tracker with a weight: what it is, where it stands, what it adds while good and while bad.
struct Weighted<'a> {
    /// `None`: an interface.
    kind: Option<Trackable>,
    name: &'a str,
    at: Span,
    weight: i32,
    reverse: bool,
}

impl Weighted<'_> {
    /// Positive weights add while good, negative ones subtract while bad; `reverse` swaps good and bad.
    const fn change(&self, good: bool) -> i32 {
        let counts = if self.weight > 0 { good != self.reverse } else { good == self.reverse };
        if counts { self.weight } else { 0 }
    }
}

fn weights(instance: &VrrpInstance, group: Option<&str>, config: &Config, problems: &mut Problems) {
    let named = instance.track.all().filter_map(|(kind, entry)| {
        let own = config.weight_of(kind, &entry.name)?;
        let (weight, reverse) = entry.weight.map_or(own, |weight| (weight, entry.reverse));
        Some(Weighted { kind: Some(kind), name: &entry.name, at: entry.at, weight: weight.into(), reverse })
    });
    let of_interfaces = instance.track.interfaces.iter().map(|entry| Weighted {
        kind: None,
        name: entry.interface.as_str(),
        at: entry.at,
        weight: entry.weight.unwrap_or(0).into(),
        reverse: entry.reverse,
    });
    let mut tracked: Vec<Weighted<'_>> = named.chain(of_interfaces).filter(|entry| entry.weight != 0).collect();
    for entry in &tracked {
        let why = match group {
            Some(group) => format!("is in the sync group `{group}`, whose members have no weights of their own"),
            None if instance.priority.is_owner() => {
                "owns the addresses with priority 255, which never changes".to_owned()
            }
            None => continue,
        };
        let message =
            format!("`{}` has the weight {}, and vrrp_instance `{}` {why}", entry.name, entry.weight, instance.name);
        let help = match group {
            Some(_) => "remove the weight, or add `sync_group_tracking_weight` to the group",
            None => "remove the weight, or lower the priority",
        };
        // keepalived says nothing of processes.
        let severity = if entry.kind == Some(Trackable::Process) { Severity::Warning } else { Severity::Error };
        problems.push(Problem::new("weight-ignored", severity, entry.at, message).label("not looked at").help(help));
    }
    if group.is_none() && !instance.priority.is_owner() {
        // What a file adds depends on its number.
        tracked.retain(|entry| entry.kind != Some(Trackable::File));
        effects(instance, &tracked, problems);
    }
}

/// What the failure of one tracker alone does to the priority, where that is less than it seems.
fn effects(instance: &VrrpInstance, tracked: &[Weighted<'_>], problems: &mut Problems) {
    let base = i32::from(instance.priority.get());
    let good: i32 = base + tracked.iter().map(|entry| entry.change(true)).sum::<i32>();
    for entry in tracked {
        let failed = good - entry.change(true) + entry.change(false);
        let (from, to) = (good.clamp(LEAST, MOST), failed.clamp(LEAST, MOST));
        let name = &instance.name;
        let problem = if from == to {
            let message =
                format!("vrrp_instance `{name}`: the failure of `{}` leaves the priority at {from}", entry.name);
            Problem::new("weight-without-effect", Severity::Warning, entry.at, message)
                .label(format!("{good} and {failed}, both held to {LEAST}..{MOST}"))
                .help("lower the weights, or move the priority away from the border")
        } else if to == LEAST && from > to {
            let message = format!(
                "vrrp_instance `{name}`: the failure of `{}` lowers the priority from {from} to {LEAST}, the least there is",
                entry.name
            );
            Problem::new("weight-below-all", Severity::Note, entry.at, message)
                .label(format!("{failed}, held to {LEAST}..{MOST}: any healthy peer takes over"))
                .help("if both routers fail this check, their addresses decide; a smaller weight leaves room for other checks")
        } else if to > i32::from(Priority::DEFAULT.get()) && from > to {
            let message = format!(
                "vrrp_instance `{name}`: the failure of `{}` lowers the priority from {from} to {to}",
                entry.name
            );
            Problem::new("weight-above-default", Severity::Note, entry.at, message)
                .label(format!("a peer below {to} does not take over"))
                .help("the priority after the failure has to lie below the peer's")
        } else {
            continue;
        };
        problems.push(problem);
    }
}
