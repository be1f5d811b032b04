//! From the tree to the model: one file per block. It reports values that are bad and blocks that are incomplete;
//! unknown keywords, surplus words and missing arguments are the schema's, and are passed over here.

mod checker;
mod command;
mod global;
mod instance;
mod notify;
mod real_server;
mod ssl;
mod sync_group;
#[cfg(test)]
pub(in crate::config) mod tests;
mod track;
mod unique;
mod unserved;
mod value;
mod virtual_address;
mod virtual_server;
mod virtual_server_group;
mod vrrp_script;

use std::collections::{HashMap, HashSet};

use super::model::{Config, GroupMember, TrackScript, VirtualServerGroup};
use super::problem::{Problem, Severity};
use super::tree::Block;
use crate::base::Family;

/// Read the whole configuration. What could not run is left out of the model, with a problem.
pub fn read(root: &Block<'_>, problems: &mut Vec<Problem>) -> Config {
    let mut config = Config::default();
    // Both may follow what depends on them.
    for statement in &root.statements {
        match statement.keyword.text {
            "global_defs" => global::read(statement, &mut config.global, problems),
            "SSL" => config.tls = ssl::read(statement),
            "virtual_server_group" => {
                config.virtual_server_groups.extend(virtual_server_group::read(statement, problems));
            }
            _ => {}
        }
    }
    let groups = families(&config.virtual_server_groups);
    let mut defined = HashSet::new();
    let mut early: Vec<TrackScript> = vec![];
    let mut virtual_servers = Vec::with_capacity(root.statements.len());
    for statement in &root.statements {
        match statement.keyword.text {
            "vrrp_script" => {
                defined.extend(statement.arg(0).map(|name| name.text));
                config.scripts.extend(vrrp_script::read(statement, problems));
            }
            "vrrp_sync_group" => config.sync_groups.extend(sync_group::read(statement, problems)),
            "vrrp_instance" => {
                if let Some(instance) = instance::read(statement, &config.global, problems) {
                    early.extend(
                        instance.track_scripts.iter().filter(|entry| !defined.contains(entry.script.as_str())).cloned(),
                    );
                    config.instances.push(instance);
                }
            }
            "virtual_server" => virtual_servers.extend(virtual_server::read(statement, &groups, problems)),
            _ => {
                unserved::read(statement, problems);
            }
        }
    }
    for entry in early.iter().filter(|entry| defined.contains(entry.script.as_str())) {
        problems.push(defined_later(entry));
    }
    config.virtual_servers = virtual_servers;
    unique::keep_first(&mut config, problems);
    config
}

/// keepalived looks for a script when it reads the instance, and leaves the line out where it comes later.
fn defined_later(entry: &TrackScript) -> Problem {
    let message = format!("the vrrp_script `{}` is defined after the instance that tracks it", entry.script);
    Problem::new("script-defined-later", Severity::Error, entry.at, message)
        .label("tracked here, and left out by keepalived")
        .help("move the script above the instance")
}

/// The family of each group: that of its first address, IPv4 where it has marks only.
fn families(groups: &[VirtualServerGroup]) -> HashMap<&str, Family> {
    let family = |member: &GroupMember| match member {
        GroupMember::Addresses { addresses, .. } => addresses.first().map(|addr| Family::of(*addr)),
        GroupMember::Fwmark(_) => None,
    };
    let filled = groups.iter().filter(|group| !group.members.is_empty());
    filled.map(|group| (group.name.as_str(), group.members.iter().find_map(family).unwrap_or(Family::V4))).collect()
}
