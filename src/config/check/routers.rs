//! Virtual routers beside each other: VRIDs, virtual addresses, sync groups.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::base::{Family, IfName, Vrid};
use crate::config::collect::Problems;
use crate::config::model::{Config, VrrpInstance};
use crate::config::problem::{Problem, Severity};

pub(super) fn check(config: &Config, problems: &mut Problems) {
    vrids(&config.instances, problems);
    addresses(&config.instances, problems);
    groups(config, problems);
    delays(config, problems);
}

/// What tells the packets of two routers apart.
type OnTheWire<'a> = (&'a IfName, Vrid, Family, Option<IpAddr>);

fn on_the_wire(instance: &VrrpInstance) -> OnTheWire<'_> {
    let source = instance.source.filter(|_| !instance.unicast_peers.is_empty());
    (&instance.interface, instance.vrid, instance.family, source)
}

fn vrids(instances: &[VrrpInstance], problems: &mut Problems) {
    let mut seen: HashMap<OnTheWire<'_>, &VrrpInstance> = HashMap::with_capacity(instances.len());
    for instance in instances {
        let Some(first) = seen.insert(on_the_wire(instance), instance) else { continue };
        let VrrpInstance { name, vrid, interface, .. } = instance;
        let message = format!("virtual_router_id {vrid} on {interface} belongs to `{}` and to `{name}`", first.name);
        problems.push(
            Problem::new("duplicate-vrid", Severity::Fatal, instance.at.vrid, message)
                .label("the packets of both cannot be told apart")
                .help("give one of them another virtual_router_id, here and on the other router")
                .related(first.at.vrid, "the first one"),
        );
    }
}

fn addresses(instances: &[VrrpInstance], problems: &mut Problems) {
    let mut seen = HashMap::new();
    for instance in instances {
        for address in instance.addresses.iter().chain(&instance.excluded_addresses) {
            let Some((first, at)) = seen.insert(address.cidr.addr(), (instance, address.at)) else { continue };
            let addr = address.cidr.addr();
            let (message, label) = if first.name == instance.name {
                (format!("{addr} stands twice in vrrp_instance `{}`", instance.name), "the second time")
            } else {
                let names = (&first.name, &instance.name);
                (
                    format!("{addr} belongs to vrrp_instance `{}` and to `{}`", names.0, names.1),
                    "the other takes it away",
                )
            };
            problems.push(
                Problem::new("duplicate-address", Severity::Warning, address.at, message)
                    .label(label)
                    .help("remove one of the two")
                    .related(at, "the first time"),
            );
        }
    }
}

fn delays(config: &Config, problems: &mut Problems) {
    for delay in &config.link_delays {
        let on_it = config.instances.iter().filter(|instance| instance.interface == delay.interface);
        let Some(first) = on_it.min_by_key(|instance| instance.link_delay_most()) else { continue };
        let most = first.link_delay_most();
        if delay.down.max(delay.up) > most {
            let (name, most) = (&first.name, most.as_secs_f64());
            let message = format!(
                "the backups of vrrp_instance `{name}` would take over before a delay on {} ends",
                delay.interface
            );
            let problem = Problem::new("delay-shortened", Severity::Warning, delay.at, message);
            problems.push(problem.label(format!("shortened to {most} s")).help(format!("write at most {most}")));
        }
    }
}

fn groups(config: &Config, problems: &mut Problems) {
    let instances: HashSet<&str> = config.instances.iter().map(|instance| instance.name.as_str()).collect();
    let mut grouped: HashMap<&str, &str> = HashMap::new();
    for group in &config.sync_groups {
        let mut members = 0;
        let mut tell = |code, at, message: String, label: &str, help: &str| {
            problems.push(Problem::new(code, Severity::Error, at, message).label(label).help(help));
        };
        for (member, at) in group.members.iter().zip(&group.members_at) {
            if !instances.contains(member.as_str()) {
                let message = format!(
                    "vrrp_sync_group `{}` names the vrrp_instance `{member}`, which does not exist",
                    group.name
                );
                tell(
                    "undefined-member",
                    *at,
                    message,
                    "the member is left out",
                    "define the instance, or remove the name",
                );
            } else if let Some(other) = grouped.insert(member, &group.name) {
                let (message, label, help) = if *other == group.name {
                    let message = format!("vrrp_instance `{member}` is listed twice in the sync group `{other}`");
                    (message, "counts once", "remove one of the two lines")
                } else {
                    let message =
                        format!("vrrp_instance `{member}` is in the sync groups `{other}` and `{}`", group.name);
                    (message, "can follow one group only", "remove it from one of the two")
                };
                tell("member-of-two-groups", *at, message, label, help);
            } else {
                members += 1;
            }
        }
        match members {
            0 => {
                let message = format!("vrrp_sync_group `{}` has no member", group.name);
                tell("empty-group", group.at, message, "has no effect", "name its members: group { NAME NAME }");
            }
            1 => {
                let message = format!("vrrp_sync_group `{}` has one member only", group.name);
                tell(
                    "lonely-group",
                    group.at,
                    message,
                    "has no effect",
                    "name at least two members, or remove the group",
                );
            }
            _ => {}
        }
    }
}
