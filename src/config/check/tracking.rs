//! What instances track, and what its failure does to their priority.

use std::collections::{HashMap, HashSet};

use crate::base::Priority;
use crate::config::model::{Config, TrackScript, VrrpInstance, VrrpScript};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;

/// What a tracker may leave of a priority (RFC 9568 section 5.2.4: 255 is the owner's, 0 resigns).
const LEAST: i32 = 1;
const MOST: i32 = 254;

pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    let scripts: HashMap<&str, &VrrpScript> =
        config.scripts.iter().map(|script| (script.name.as_str(), script)).collect();
    // Groups whose members may not have weights of their own.
    let grouped: HashMap<&str, &str> = config
        .sync_groups
        .iter()
        .filter(|group| !group.tracking_weight)
        .flat_map(|group| group.members.iter().map(|member| (member.as_str(), group.name.as_str())))
        .collect();
    let mut used = HashSet::new();
    let all = config.sync_groups.iter().map(|group| (group.name.as_str(), &group.track_scripts));
    for (name, tracked) in
        all.chain(config.instances.iter().map(|instance| (instance.name.as_str(), &instance.track_scripts)))
    {
        for entry in tracked {
            if !scripts.contains_key(entry.script.as_str()) {
                problems.push(undefined(name, entry));
            }
            used.insert(entry.script.as_str());
        }
    }
    for instance in &config.instances {
        let group = grouped.get(instance.name.as_str()).copied();
        weights(instance, group, &scripts, problems);
    }
    for script in config.scripts.iter().filter(|script| !used.contains(script.name.as_str())) {
        let message = format!("vrrp_script `{}` is tracked by nobody", script.name);
        problems.push(
            Problem::new("unused-script", Severity::Warning, script.at, message)
                .label("does not run")
                .help(format!("add to an instance: track_script {{ {} }}", script.name)),
        );
    }
}

fn undefined(name: &str, entry: &TrackScript) -> Problem {
    let message = format!("`{name}` tracks the vrrp_script `{}`, which does not exist", entry.script);
    Problem::new("undefined-script", Severity::Error, entry.at, message)
        .label("left out")
        .help("define the script, or remove the line")
}

/// A tracker with a weight: what it is, where it stands, what it adds while good and while bad.
struct Weighted<'a> {
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

fn weights(
    instance: &VrrpInstance,
    group: Option<&str>,
    scripts: &HashMap<&str, &VrrpScript>,
    problems: &mut Vec<Problem>,
) {
    let of_scripts = instance.track_scripts.iter().filter_map(|entry| {
        let script = scripts.get(entry.script.as_str())?;
        let (weight, reverse) = entry.weight.map_or((script.weight, script.reverse), |weight| (weight, entry.reverse));
        Some(Weighted { name: &entry.script, at: entry.at, weight: weight.into(), reverse })
    });
    let of_interfaces = instance.track_interfaces.iter().map(|entry| Weighted {
        name: entry.interface.as_str(),
        at: entry.at,
        weight: entry.weight.unwrap_or(0).into(),
        reverse: entry.reverse,
    });
    let tracked: Vec<Weighted<'_>> = of_scripts.chain(of_interfaces).filter(|entry| entry.weight != 0).collect();
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
        problems
            .push(Problem::new("weight-ignored", Severity::Error, entry.at, message).label("not looked at").help(help));
    }
    if group.is_none() && !instance.priority.is_owner() {
        effects(instance, &tracked, problems);
    }
}

/// What the failure of one tracker alone does to the priority, where that is less than it seems.
fn effects(instance: &VrrpInstance, tracked: &[Weighted<'_>], problems: &mut Vec<Problem>) {
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
