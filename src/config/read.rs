//! From the tree to the model: one file per block. It reports values that are bad and blocks that are incomplete;
//! unknown keywords, surplus words and missing arguments are the schema's, and are passed over here.

mod bfd;
mod checker;
mod command;
mod garp_group;
mod global;
mod instance;
mod ipvs;
mod link_delays;
mod notify;
mod real_server;
mod route;
mod rule;
mod ssl;
mod statics;
mod sync_group;
#[cfg(test)]
pub(in crate::config) mod tests;
mod track;
mod tracked;
mod unique;
pub(in crate::config) mod value;
mod virtual_address;
mod virtual_server;
mod virtual_server_group;
mod vrrp_script;

use std::collections::HashSet;

use super::collect::Problems;
use super::model::{Config, GroupMember, TrackEntry, Trackable, VirtualServer, VirtualServerGroup};
use super::names::Names;
use super::problem::{Problem, Severity};
use super::tree::Statement;
use crate::base::Family;
use virtual_server::{Groups, Members};

/// Reads a configuration statement by statement. What could not run is left out of the model, with a problem.
#[derive(Debug, Default)]
pub struct Reader<'a> {
    config: Config,
    names: Names,
    problems: Problems,
    /// What depends on blocks that may follow it, each with the number of services before it.
    later: Vec<(usize, Statement<'a>)>,
}

impl<'a> Reader<'a> {
    /// Tables, protocols and the like may be written by these names.
    pub fn new(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// Read a statement of the top level; false: it is to be put off, see [`Self::put_off`].
    pub fn read(&mut self, statement: &Statement<'a>) -> bool {
        let config = &mut self.config;
        let mut found = vec![];
        let problems = &mut found;
        match statement.keyword.text {
            "global_defs" => global::read(statement, &mut config.global, problems),
            "SSL" => config.tls = ssl::read(statement),
            "virtual_server_group" => {
                config.virtual_server_groups.extend(virtual_server_group::read(statement, problems));
            }
            "local_address_group" => {
                config.local_address_groups.extend(virtual_server_group::read_local(statement, problems));
            }
            "virtual_server" if statement.arg(0).is_some_and(|word| word.text == "group") => return false,
            "virtual_server" => {
                config.virtual_servers.extend(virtual_server::read(statement, &Groups::default(), problems));
            }
            "garp_group" => config.garp_groups.push(garp_group::read(statement, problems)),
            "interface_up_down_delays" => link_delays::read(statement, &mut config.link_delays, problems),
            "track_group" => config.track_groups.extend(statics::group(statement, problems)),
            "static_ipaddress" | "static_routes" | "static_rules" => {
                statics::read(statement, &self.names, &mut config.statics, problems);
            }
            "vrrp_script" | "track_file" | "vrrp_track_file" | "vrrp_track_process" | "bfd_instance"
            | "vrrp_sync_group" | "vrrp_instance" => return false,
            _ => {}
        }
        self.problems.extend(found);
        true
    }

    /// Keep a statement for which [`Self::read`] was too early.
    pub fn put_off(&mut self, statement: Statement<'a>) {
        self.later.push((self.config.virtual_servers.len(), statement));
    }

    /// The model, and all that was wrong.
    pub fn finish(self) -> (Config, Vec<Problem>) {
        let Self { mut config, names, problems: mut all, later } = self;
        let groups = members(&config.virtual_server_groups);
        let mut defined = HashSet::new();
        let mut early: Vec<(Trackable, TrackEntry)> = vec![];
        let mut grouped = vec![];
        for (place, statement) in &later {
            let mut problems = vec![];
            match statement.keyword.text {
                "vrrp_script" => {
                    defined.extend(statement.arg(0).map(|name| (Trackable::Script, name.text)));
                    config.scripts.extend(vrrp_script::read(statement, &mut problems));
                }
                "track_file" | "vrrp_track_file" => {
                    defined.extend(statement.arg(0).map(|name| (Trackable::File, name.text)));
                    config.track_files.extend(tracked::file(statement, &mut problems));
                }
                "vrrp_track_process" => {
                    defined.extend(statement.arg(0).map(|name| (Trackable::Process, name.text)));
                    config.track_processes.extend(tracked::process(statement, &mut problems));
                }
                "bfd_instance" => {
                    defined.extend(statement.arg(0).map(|name| (Trackable::Bfd, name.text)));
                    config.bfds.extend(bfd::read(statement, &mut problems));
                }
                "vrrp_sync_group" => config.sync_groups.extend(sync_group::read(statement, &mut problems)),
                "vrrp_instance" => {
                    let sync = ipvs::of_instance(statement, &mut problems);
                    ipvs::keep_first(&mut config.global.sync_daemon, sync, &mut problems);
                    if let Some(instance) = instance::read(statement, &config.global, &names, &mut problems) {
                        let entries = instance.track.all();
                        let undefined =
                            entries.filter(|(kind, entry)| !defined.contains(&(*kind, entry.name.as_str())));
                        early.extend(undefined.map(|(kind, entry)| (kind, entry.clone())));
                        config.instances.push(instance);
                    }
                }
                _ => {
                    let server = virtual_server::read(statement, &groups, &mut problems);
                    grouped.extend(server.map(|server| (*place, server)));
                }
            }
            all.extend(problems);
        }
        let mut problems = all.finish();
        for (kind, entry) in early.iter().filter(|(kind, entry)| defined.contains(&(*kind, entry.name.as_str()))) {
            problems.push(defined_later(*kind, entry));
        }
        config.virtual_servers = merge(config.virtual_servers, grouped);
        statics::finish(&mut config, &mut problems);
        statics::number_rules(&mut config);
        unique::keep_first(&mut config, &mut problems);
        bfd::settle(&mut config, &mut problems);
        (config, problems)
    }
}

/// Services in the order of the file: each of `grouped` stands after so many of the others.
fn merge(others: Vec<VirtualServer>, grouped: Vec<(usize, VirtualServer)>) -> Vec<VirtualServer> {
    if grouped.is_empty() {
        return others;
    }
    let mut all = Vec::with_capacity(others.len() + grouped.len());
    let mut grouped = grouped.into_iter().peekable();
    for (at, server) in others.into_iter().enumerate() {
        while let Some((_, before)) = grouped.next_if(|(place, _)| *place <= at) {
            all.push(before);
        }
        all.push(server);
    }
    all.extend(grouped.map(|(_, server)| server));
    all
}

/// keepalived looks for it when it reads the instance, and leaves the line out where it comes later.
fn defined_later(kind: Trackable, entry: &TrackEntry) -> Problem {
    let message = format!("the {} `{}` is defined after the instance that tracks it", kind.block(), entry.name);
    Problem::new("script-defined-later", Severity::Error, entry.at, message)
        .label("tracked here, and left out by keepalived")
        .help(format!("move the {} above the instance", kind.block()))
}

/// Of each group with a member: its family is that of its first address, IPv4 where it has marks only.
fn members(groups: &[VirtualServerGroup]) -> Groups<'_> {
    let filled = groups.iter().filter(|group| !group.members.is_empty());
    let of = |group: &VirtualServerGroup| {
        let (mut families, mut ports, mut marked) = (vec![], vec![], false);
        for member in &group.members {
            match member {
                GroupMember::Addresses { addresses, ports: range } => {
                    families.extend(addresses.first().map(|addr| Family::of(*addr)));
                    ports.extend([*range.start(), *range.end()]);
                }
                GroupMember::Fwmark(_) => marked = true,
            }
        }
        let family = families.first().copied().unwrap_or(Family::V4);
        Members { family, mixed: families.iter().any(|other| *other != family), ports, marked }
    };
    filled.map(|group| (group.name.as_str(), of(group))).collect()
}
