//! A name stands for one thing: what repeats a name is left out.

use std::collections::HashMap;
use std::hash::Hash;

use crate::config::model::{Config, Protocol, VirtualServer, VirtualServerId};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;

/// Leave out instances, groups, scripts and services whose name is taken.
pub fn keep_first(config: &mut Config, problems: &mut Vec<Problem>) {
    retain(&mut config.instances, "vrrp_instance", |item| (item.name.clone(), item.at.name), problems);
    retain(&mut config.sync_groups, "vrrp_sync_group", |item| (item.name.clone(), item.at), problems);
    retain(&mut config.track_groups, "track_group", |item| (item.name.clone(), item.at), problems);
    retain(&mut config.scripts, "vrrp_script", |item| (item.name.clone(), item.at), problems);
    retain(&mut config.track_files, "track_file", |item| (item.name.clone(), item.at), problems);
    retain(&mut config.bfds, "bfd_instance", |item| (item.name.clone(), item.at), problems);
    retain(&mut config.track_processes, "vrrp_track_process", |item| (item.name.clone(), item.at), problems);
    retain(&mut config.virtual_server_groups, "virtual_server_group", |item| (item.name.clone(), item.at), problems);
    retain(&mut config.local_address_groups, "local_address_group", |item| (item.name.clone(), item.at), problems);
    let service = |item: &crate::config::model::VirtualServer| ((item.id.clone(), protocol(item)), item.at);
    retain(&mut config.virtual_servers, "virtual_server", service, problems);
}

/// A service is one of a protocol, but for marks, which have none.
fn protocol(item: &VirtualServer) -> u8 {
    match (&item.id, item.protocol) {
        (VirtualServerId::Fwmark { .. }, _) => 0,
        (_, Protocol::Tcp) => 1,
        (_, Protocol::Udp) => 2,
        (_, Protocol::Sctp) => 3,
    }
}

fn retain<T, K: Eq + Hash>(items: &mut Vec<T>, what: &str, key: impl Fn(&T) -> (K, Span), problems: &mut Vec<Problem>) {
    let mut seen: HashMap<K, Span> = HashMap::with_capacity(items.len());
    items.retain(|item| {
        let (key, at) = key(item);
        let first = seen.get(&key).copied();
        // keepalived takes the first group of services of a name in silence.
        let severity = if what == "virtual_server_group" { Severity::Warning } else { Severity::Error };
        match first {
            None => {
                seen.insert(key, at);
                true
            }
            Some(first) => {
                problems.push(
                    Problem::new("duplicate-name", severity, at, format!("this {what} is defined already"))
                        .label("left out")
                        .help(if what == "virtual_server" {
                            "give it another address, port or protocol, or remove one of the two"
                        } else {
                            "give it another name, or remove one of the two"
                        })
                        .related(first, "the first one is kept"),
                );
                false
            }
        }
    });
}
