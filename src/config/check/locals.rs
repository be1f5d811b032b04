//! `FullNat` needs addresses of this host to begin its connections at.

use crate::base::Family;
use crate::config::collect::Problems;
use crate::config::model::{Config, LbKind, VirtualServer};
use crate::config::problem::{Problem, Severity};

/// What the eBPF plane takes for one service.
const ADDRESSES_MAX: usize = 64;

pub fn check(config: &Config, problems: &mut Problems) {
    for server in config.virtual_servers.iter().filter(|server| is_fullnat(server)) {
        if let Some(message) = wrong(config, server) {
            let problem = Problem::new("no-local-addresses", Severity::Error, server.at, message);
            problems.push(problem.label("its packets are dropped").help(
                "write `laddr_group_name NAME`, and `local_address_group NAME { ADDRESS }` with addresses of this host",
            ));
        }
    }
}

fn is_fullnat(server: &VirtualServer) -> bool {
    let of_real = |kind: Option<LbKind>| kind.unwrap_or(server.lb_kind) == LbKind::FullNat;
    server.real_servers.iter().any(|real| of_real(real.lb_kind))
        || server.sorry_server.is_some_and(|sorry| of_real(sorry.lb_kind))
}

fn wrong(config: &Config, server: &VirtualServer) -> Option<String> {
    let id = &server.id;
    let Some(name) = &server.local_addresses else {
        return Some(format!("virtual_server {id} forwards by FullNat and names no local_address_group"));
    };
    let Some(group) = config.local_address_groups.iter().find(|group| group.name == *name) else {
        return Some(format!("virtual_server {id}: there is no local_address_group `{name}`"));
    };
    let fits = group.addresses().filter(|addr| Family::of(*addr) == server.family).count();
    match fits {
        0 => Some(format!("virtual_server {id}: local_address_group `{name}` has no address of its family")),
        1..=ADDRESSES_MAX => None,
        _ => Some(format!(
            "virtual_server {id}: local_address_group `{name}` has {fits} addresses, and {ADDRESSES_MAX} are the most"
        )),
    }
}
