//! Reading a configuration as the daemon will take it: what the rooms of its plane cannot do is a problem of the file, and
//! everybody who reads a file tells the same.

use std::path::Path;
use std::slice;

use crate::config::collect::in_order;
use crate::config::io::loader::{self, LoadOptions, Loaded};
use crate::config::model::{Config, LbKind, Plane, Protocol, VirtualServer, VirtualServerId};
use crate::config::problem::{Problem, Severity};
use crate::daemon::translate::lvs::pools;
use crate::lvs::datapath::{Capabilities, DatapathError, Feature};
use crate::lvs::director::Director;
#[cfg(feature = "ebpf")]
use crate::lvs::io::ebpf::Ebpf;
use crate::lvs::io::ipvs::Ipvs;
use crate::lvs::table::{Scheduler, Table};

/// [`loader::load`], and what the plane cannot carry out.
pub fn load(path: &Path, options: &LoadOptions) -> Loaded {
    with_plane(loader::load(path, options))
}

fn with_plane(mut loaded: Loaded) -> Loaded {
    if !loaded.is_fatal() {
        let found = unmet(&loaded.config);
        if !found.is_empty() {
            loaded.problems.extend(found);
            loaded.problems = in_order(loaded.problems);
        }
    }
    loaded
}

/// What the plane of the configuration cannot do, once for each virtual server.
fn unmet(config: &Config) -> Vec<Problem> {
    let plane = capabilities(config.global.plane);
    let does_the_plain = does_the_plain(&plane);
    let asking = config.virtual_servers.iter().filter(|server| !(does_the_plain && is_plain(server)));
    asking.filter_map(|server| unmet_by(server, config, &plane)).collect()
}

/// Whether the plane can do what [`is_plain`]: one that this build lacks can do nothing.
fn does_the_plain(plane: &Capabilities) -> bool {
    Scheduler::ALL.iter().all(|scheduler| plane.schedulers.contains(scheduler))
        && [Feature::Masq, Feature::Route, Feature::Ipv6, Feature::Thresholds]
            .iter()
            .all(|feature| plane.features.contains(feature))
}

/// What both planes can do on every kernel: a large file is full of it.
fn is_plain(server: &VirtualServer) -> bool {
    let plain = |kind: Option<LbKind>| matches!(kind.unwrap_or(server.lb_kind), LbKind::Nat | LbKind::Dr);
    matches!(server.id, VirtualServerId::Address { .. })
        && matches!(server.protocol, Protocol::Tcp | Protocol::Udp)
        && server.persistence.is_none()
        && !server.ops
        && server.sorry_server.is_none_or(|sorry| plain(sorry.lb_kind))
        && server.real_servers.iter().all(|real| plain(real.lb_kind))
}

fn unmet_by(server: &VirtualServer, config: &Config, plane: &Capabilities) -> Option<Problem> {
    let problem = |message: String, help: &str| {
        Problem::new("plane-cannot", Severity::Fatal, server.at, message).label("not this one").help(help)
    };
    // A service by itself: what does not fit together is told by the checks of the configuration.
    let pools = match pools(slice::from_ref(server), &config.virtual_server_groups, &config.local_address_groups, false)
    {
        Ok(pools) => pools,
        Err(error) => return Some(problem(error.to_string(), CHANGE)),
    };
    let (settings, _): (Vec<_>, Vec<_>) = pools.into_iter().map(|(_, pool)| pool.adjusted()).unzip();
    let table = match Director::preview(settings) {
        Ok(table) => table,
        Err(error) => return Some(problem(error.to_string(), CHANGE)),
    };
    unmet_of(config.global.plane, plane, &table)
        .map(|error| problem(error.to_string(), remedy(config.global.plane, &table)))
}

/// What the plane cannot do of the table first.
fn unmet_of(plane: Plane, able: &Capabilities, table: &Table) -> Option<DatapathError> {
    able.check_table(table).into_iter().next().or_else(|| refused(plane, table))
}

/// What no list of capabilities says.
fn refused(plane: Plane, table: &Table) -> Option<DatapathError> {
    match (plane, table) {
        #[cfg(feature = "ebpf")]
        (Plane::Ebpf, table) => Ebpf::refused(table),
        #[cfg(not(feature = "ebpf"))]
        (Plane::Ebpf, _) => None,
        (Plane::Ipvs, _) => None,
    }
}

/// Where no plane can.
const CHANGE: &str = "change it, or remove the virtual server";

fn remedy(plane: Plane, table: &Table) -> &'static str {
    let (other, remedy) = match plane {
        Plane::Ebpf => (Plane::Ipvs, "IPVS may: add to global_defs: lvs_datapath ipvs"),
        Plane::Ipvs => (Plane::Ebpf, "the eBPF plane may: take `lvs_datapath ipvs` away"),
    };
    if unmet_of(other, &capabilities(other), table).is_none() { remedy } else { CHANGE }
}

fn capabilities(plane: Plane) -> Capabilities {
    match plane {
        Plane::Ipvs => Ipvs::capabilities_at_most(),
        #[cfg(feature = "ebpf")]
        Plane::Ebpf => Ebpf::capabilities_at_most(),
        // This build has no such plane.
        #[cfg(not(feature = "ebpf"))]
        Plane::Ebpf => Capabilities { plane: "ebpf", schedulers: [].into(), features: [].into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_plane_cannot_do_is_a_fatal_problem_of_its_service() {
        let fullnat = "local_address_group L {\n10.0.0.9\n}\nvirtual_server 192.0.2.1 80 {\nprotocol TCP\nlb_algo rr\n\
                       lb_kind FNAT\nladdr_group_name L\nreal_server 10.0.0.1 80 {\n}\n}\n";
        let wrapped = "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlb_algo rr\nlb_kind TUN type gue port 6080 csum\n\
                       real_server 10.0.0.1 80 {\n}\n}\n";
        let plain = fullnat.replace("FNAT\nladdr_group_name L", "NAT");
        let marked = fullnat.replace("virtual_server 192.0.2.1 80", "virtual_server fwmark 7");
        let sip = plain.replace("protocol TCP", "protocol UDP\npersistence_timeout 60\npersistence_engine sip");
        let rows = [
            ("ipvs", &*sip, None),
            ("ebpf", &*sip, Some("the ebpf plane cannot keep a caller on its server by the Call-ID of SIP")),
            ("ebpf", fullnat, None),
            ("ipvs", fullnat, Some("the ipvs plane cannot forward by FullNat")),
            ("ebpf", &marked, Some("forward by FullNat what a firewall mark names")),
            ("ipvs", wrapped, None),
            ("ebpf", wrapped, Some("the ebpf plane cannot put checksums into tunnels")),
            ("ebpf", &plain, None),
            ("ipvs", &plain, None),
        ];
        for (plane, text, said) in rows {
            let text = format!("global_defs {{\nlvs_datapath {plane}\n}}\n{text}");
            let options = LoadOptions { system: false, ..LoadOptions::default() };
            let loaded = with_plane(loader::load_text("vipd.conf", &text, &options));
            let found = loaded.problems.iter().find(|problem| problem.code == "plane-cannot");
            assert_eq!(loaded.exit_code(), if said.is_some() { 4 } else { 0 }, "{text}: {:?}", loaded.problems);
            match (found, said) {
                (None, None) => {}
                (Some(problem), Some(said)) => {
                    assert!(problem.message.contains(said), "{}", problem.message);
                    let other = problem.help.as_deref().is_some_and(|help| help.contains("lvs_datapath ipvs"));
                    assert_eq!(other, !text.contains("fwmark"), "only where the other plane can");
                    assert_eq!(
                        problem.view(&loaded.sources).line,
                        text.lines().position(|line| line.starts_with("virtual")).unwrap() + 1
                    );
                }
                (found, _) => panic!("{plane}: {found:?}\n{text}"),
            }
        }
    }
}
