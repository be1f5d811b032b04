//! `virtual_server_group`, `virtual_server` and `real_server`.

use std::net::{IpAddr, Ipv4Addr};

use super::checker;
use super::node::{Node, Nodes, boolean, word};
use crate::base::Family;
use crate::config::model::{
    CheckDefaults, GroupMember, LbKind, LocalAddressGroup, LocalAddresses, Persistence, Protocol, RealServer,
    SorryServer, VirtualServer, VirtualServerGroup, VirtualServerId, Wrapping, WrappingChecksum,
};

pub(super) fn group(group: &VirtualServerGroup) -> Node {
    let VirtualServerGroup { name, at: _, members } = group;
    let lines = members.iter().filter_map(member).collect();
    Node::block("virtual_server_group", word(name), lines)
}

pub(super) fn local_group(group: &LocalAddressGroup) -> Node {
    let LocalAddressGroup { name, at: _, lines } = group;
    let line = |line: &LocalAddresses| {
        let LocalAddresses { addresses, interface, at: _ } = line;
        let range = match addresses.as_slice() {
            [] => return None,
            [one] => one.to_string(),
            [first, .., last] => format!("{first}-{last}"),
        };
        Some(match interface {
            Some(name) => Node::plain(range, name),
            None => Node::flag(range),
        })
    };
    Node::block("local_address_group", word(name), lines.iter().filter_map(line).collect())
}

/// The addresses of a member are one range: that is how a line names them.
fn member(member: &GroupMember) -> Option<Node> {
    match member {
        GroupMember::Fwmark(mark) => Some(Node::plain("fwmark", mark)),
        GroupMember::Addresses { addresses, ports } => {
            let addresses = match addresses.as_slice() {
                [] => return None,
                [one] => one.to_string(),
                [first, .., last] => format!("{first}-{last}"),
            };
            let ports = match (ports.start(), ports.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            };
            Some(Node::plain(addresses, ports))
        }
    }
}

pub(super) fn service(server: &VirtualServer) -> Node {
    let VirtualServer {
        id,
        at: _,
        family,
        lb_algo,
        sched_flags: [one, two, three],
        lb_kind,
        local_addresses,
        toa,
        protocol,
        ops,
        persistence,
        quorum,
        hysteresis,
        quorum_up,
        quorum_down,
        alpha,
        omega,
        ha_suspend,
        slow_start,
        drain_time,
        sorry_server,
        sorry_inhibit,
        inhibit_on_failure,
        check,
        virtualhost,
        real_servers,
        mail,
    } = server;
    let mut nodes = Nodes::default();
    match (id, protocol) {
        (VirtualServerId::Fwmark { .. }, Protocol::Udp) => nodes.put(Node::plain("ip_family", self::family(*family))),
        // A mark has no protocol; one that is given all the same is kept, with its problem.
        (VirtualServerId::Fwmark { .. }, Protocol::Tcp | Protocol::Sctp) => {
            nodes.put(Node::plain("ip_family", self::family(*family)));
            nodes.put(Node::plain("protocol", self::protocol(*protocol)));
        }
        (VirtualServerId::Address { .. } | VirtualServerId::Group { .. }, _) => {
            nodes.put(Node::plain("protocol", self::protocol(*protocol)));
        }
    }
    nodes.put(Node::plain("lb_algo", lb_algo));
    nodes.flag("flag-1", *one);
    nodes.flag("flag-2", *two);
    nodes.flag("flag-3", *three);
    nodes.put(Node::plain("lb_kind", kind(*lb_kind)));
    nodes.word("laddr_group_name", local_addresses.as_ref());
    nodes.flag("toa", *toa);
    nodes.flag("ops", *ops);
    self::persistence(&mut nodes, persistence.as_ref(), *family);
    nodes.put(Node::plain("quorum", quorum));
    nodes.plain("hysteresis", Some(hysteresis).filter(|hysteresis| **hysteresis != 0));
    nodes.command("quorum_up", quorum_up.as_deref());
    nodes.command("quorum_down", quorum_down.as_deref());
    nodes.flag("alpha", *alpha);
    nodes.flag("omega", *omega);
    nodes.flag("ha_suspend", *ha_suspend);
    nodes.time("slow_start", *slow_start);
    nodes.time("drain_time", *drain_time);
    nodes.flag("inhibit_on_failure", *inhibit_on_failure);
    times(&mut nodes, check);
    nodes.word("virtualhost", virtualhost.as_ref());
    nodes.plain("smtp_alert", *mail);
    sorry(&mut nodes, sorry_server.as_ref());
    nodes.flag("sorry_server_inhibit", *sorry_inhibit);
    for real in real_servers {
        nodes.put(real_server(real));
    }
    Node::block("virtual_server", name(id), nodes.0)
}

fn sorry(nodes: &mut Nodes, server: Option<&SorryServer>) {
    if let Some(SorryServer { addr, port, lb_kind }) = server {
        nodes.put(Node::plain("sorry_server", format!("{addr} {port}")));
        nodes.plain("sorry_server_lvs_method", lb_kind.map(kind));
    }
}

fn name(id: &VirtualServerId) -> String {
    match id {
        VirtualServerId::Address { addr, port } => format!("{addr} {port}"),
        VirtualServerId::Fwmark { mark } => format!("fwmark {mark}"),
        VirtualServerId::Group { name } => format!("group {}", word(name)),
    }
}

fn real_server(real: &RealServer) -> Node {
    let RealServer {
        addr,
        port,
        at: _,
        weight,
        lb_kind,
        inhibit_on_failure,
        upper_threshold,
        lower_threshold,
        alpha,
        notify_up,
        notify_down,
        check,
        virtualhost,
        checkers,
        mail,
    } = real;
    let set = |threshold: u32| Some(threshold).filter(|threshold| *threshold != 0);
    let mut nodes = Nodes::default();
    nodes.put(Node::plain("weight", weight.get()));
    nodes.plain("lvs_method", lb_kind.map(kind));
    nodes.plain("inhibit_on_failure", inhibit_on_failure.map(boolean));
    nodes.plain("uthreshold", set(*upper_threshold));
    nodes.plain("lthreshold", set(*lower_threshold));
    nodes.plain("alpha", alpha.map(boolean));
    nodes.command("notify_up", notify_up.as_deref());
    nodes.command("notify_down", notify_down.as_deref());
    times(&mut nodes, check);
    nodes.word("virtualhost", virtualhost.as_ref());
    nodes.plain("smtp_alert", *mail);
    for each in checkers {
        nodes.put(checker::checker(each));
    }
    Node::block("real_server", format!("{addr} {port}"), nodes.0)
}

/// What checkers inherit.
pub(super) fn times(nodes: &mut Nodes, check: &CheckDefaults) {
    let CheckDefaults { delay_loop, connect_timeout, retry, delay_before_retry, warmup } = check;
    nodes.time("delay_loop", *delay_loop);
    nodes.time("connect_timeout", *connect_timeout);
    nodes.plain("retry", *retry);
    nodes.time("delay_before_retry", *delay_before_retry);
    nodes.time("warmup", *warmup);
}

fn persistence(nodes: &mut Nodes, persistence: Option<&Persistence>, family: Family) {
    let Some(Persistence { timeout_s, prefix_len, sip }) = persistence else { return };
    nodes.put(Node::plain("persistence_timeout", timeout_s));
    if *sip {
        nodes.put(Node::plain("persistence_engine", "sip"));
    }
    let Some(length) = *prefix_len else { return };
    // IPv4 is written as a netmask, which every keepalived takes.
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).filter(|_| length <= 32);
    let mask = mask.filter(|_| family == Family::V4).map(Ipv4Addr::from_bits).map(IpAddr::V4);
    nodes.put(match mask {
        Some(mask) => Node::plain("persistence_granularity", mask),
        None => Node::plain("persistence_granularity", length),
    });
}

const fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    }
}

const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

fn kind(kind: LbKind) -> String {
    let sum = |checksum| match checksum {
        WrappingChecksum::None => "",
        WrappingChecksum::Checksum => " csum",
        WrappingChecksum::Remote => " remcsum",
    };
    match kind {
        LbKind::Nat => "NAT".to_owned(),
        LbKind::Dr => "DR".to_owned(),
        LbKind::Tun(Wrapping::Ipip) => "TUN".to_owned(),
        LbKind::Tun(Wrapping::Gue { port, checksum }) => format!("TUN type gue port {port}{}", sum(checksum)),
        LbKind::Tun(Wrapping::Gre { checksum }) => format!("TUN type gre{}", sum(checksum)),
        LbKind::FullNat => "FULLNAT".to_owned(),
    }
}
