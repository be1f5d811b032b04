//! From what a service's statements said to the service: defaults, what excludes what, and what is missing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use super::{Draft, PERSISTENCE_DEFAULT};
use crate::base::Family;
use crate::config::model::{LbKind, Persistence, Protocol, RealServer, SorryServer, VirtualServer, VirtualServerId};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;

/// The groups that are defined.
pub type Groups<'a> = HashMap<&'a str, Members>;

/// What services must know of a group.
#[derive(Debug)]
pub struct Members {
    /// Of the first address.
    pub family: Family,
    /// There are addresses of the other family too.
    pub mixed: bool,
    /// Of its addresses, in order: the first and the last of each range.
    pub ports: Vec<u16>,
    /// There are marks too, which say nothing of ports.
    pub marked: bool,
}

pub(super) fn settle(
    id: VirtualServerId,
    at: Span,
    mut draft: Draft,
    groups: &Groups<'_>,
    problems: &mut Vec<Problem>,
) -> Option<VirtualServer> {
    let mut told = Told { id: &id, at, problems };
    let family = family(&draft, groups, &mut told)?;
    let lb_algo = scheduler(&draft, &mut told);
    let lb_kind = draft.lb_kind.unwrap_or_else(|| {
        told.error("method-missing", at, "there is no `lb_kind`", "NAT is used", "add: lb_kind NAT, DR or TUN");
        LbKind::Nat
    });
    let protocol = protocol(&draft, &mut told);
    let persistence = persistence(&draft, protocol, &mut told);
    let ports = Ports::new(&id, groups);
    let real_servers = real_servers(&mut draft, family, lb_kind, &ports, &mut told);
    if real_servers.is_empty() {
        let (message, help) = if draft.named_real_servers {
            ("no real server can be used", "see what is told of each")
        } else {
            ("there is no real server", "add: real_server ADDR PORT { }")
        };
        told.error("no-real-servers", at, message, "the service is left out", help);
        return None;
    }
    let (quorum, hysteresis) = quorum(&draft, &real_servers, &mut told);
    let sorry_server = sorry_server(&draft, family, lb_kind, &ports, &mut told);
    Some(VirtualServer {
        at,
        family,
        lb_algo,
        sched_flags: draft.sched_flags,
        lb_kind,
        local_addresses: draft.local_addresses,
        toa: draft.toa,
        protocol,
        ops: draft.ops.is_some(),
        persistence,
        quorum,
        hysteresis,
        quorum_up: draft.quorum_up,
        quorum_down: draft.quorum_down,
        alpha: draft.alpha,
        omega: draft.omega,
        ha_suspend: draft.ha_suspend,
        slow_start: draft.slow_start,
        drain_time: draft.drain_time,
        sorry_inhibit: draft.sorry_inhibit && sorry_server.is_some(),
        sorry_server,
        inhibit_on_failure: draft.inhibit_on_failure,
        check: draft.check,
        virtualhost: draft.virtualhost,
        mail: draft.mail,
        real_servers,
        id,
    })
}

/// Problems of one service. Its name is made only where there is one.
struct Told<'a> {
    id: &'a VirtualServerId,
    at: Span,
    problems: &'a mut Vec<Problem>,
}

impl Told<'_> {
    fn error(&mut self, code: &'static str, at: Span, message: &str, label: &str, help: &str) {
        self.tell(Severity::Error, code, at, message, label, help);
    }

    fn tell(&mut self, severity: Severity, code: &'static str, at: Span, message: &str, label: &str, help: &str) {
        let message = format!("virtual_server {}: {message}", self.id);
        self.problems.push(Problem::new(code, severity, at, message).label(label).help(help));
    }
}

impl fmt::Display for VirtualServerId {
    /// As the file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { addr, port } => write!(f, "{addr} {port}"),
            Self::Fwmark { mark } => write!(f, "fwmark {mark}"),
            Self::Group { name } => write!(f, "group {name}"),
        }
    }
}

fn family(draft: &Draft, groups: &Groups<'_>, told: &mut Told<'_>) -> Option<Family> {
    match told.id {
        VirtualServerId::Address { addr, .. } => {
            let family = Family::of(*addr);
            if let Some((_, at)) = draft.family.filter(|(asked, _)| *asked != family) {
                let help = "remove the line: the address says it";
                told.error("wrong-family", at, "`ip_family` is not that of the address", "passed over", help);
            }
            Some(family)
        }
        VirtualServerId::Fwmark { .. } => {
            let real = draft.real_servers.first().map(|server| Family::of(server.addr));
            Some(draft.family.map(|(family, _)| family).or(real).unwrap_or(Family::V4))
        }
        VirtualServerId::Group { name } => {
            let family = groups.get(name.as_str()).map(|group| group.family);
            if family.is_none() {
                let message = format!("there is no virtual_server_group `{name}` with a member");
                let help = "define the group, or write its name as it is defined";
                told.tell(Severity::Error, "undefined-group", told.at, &message, "the service is left out", help);
            }
            family
        }
    }
}

fn scheduler(draft: &Draft, told: &mut Told<'_>) -> &'static str {
    match draft.lb_algo {
        Some("twos") => {
            let message = "the scheduler `twos` is not carried out: `wlc` is used";
            told.tell(Severity::Warning, "not-served-yet", told.at, message, "by `wlc`", "write `lb_algo wlc`");
            "wlc"
        }
        Some(name) => name,
        None => {
            told.error("scheduler-missing", told.at, "there is no `lb_algo`", "`wlc` is used", "add: lb_algo wlc");
            "wlc"
        }
    }
}

fn protocol(draft: &Draft, told: &mut Told<'_>) -> Protocol {
    let marked = matches!(told.id, VirtualServerId::Fwmark { .. });
    let protocol = draft.protocol.map_or(Protocol::Udp, |(protocol, _)| protocol);
    match draft.protocol {
        Some((_, at)) if marked => {
            told.error(
                "protocol-with-fwmark",
                at,
                "a firewall mark has no protocol",
                "not looked at",
                "remove the line",
            );
        }
        None if !marked => {
            told.error("protocol-missing", told.at, "there is no `protocol`", "UDP is used", "add: protocol TCP");
        }
        Some(_) | None => {}
    }
    if let Some(at) = draft.ops.filter(|_| protocol != Protocol::Udp) {
        told.error(
            "ops-without-udp",
            at,
            "`ops` is for UDP",
            "has no effect",
            "remove the line, or write `protocol UDP`",
        );
    }
    protocol
}

/// A service of all ports needs persistence: the connections of a client belong together.
fn persistence(draft: &Draft, protocol: Protocol, told: &mut Told<'_>) -> Option<Persistence> {
    let all_ports = matches!(told.id, VirtualServerId::Address { port: 0, .. });
    let asked = draft.persistence_asked || draft.persistence_timeout.is_some();
    if all_ports && !asked {
        let message = "a service of all ports needs persistence: the connections of a client belong together";
        let label = format!("{PERSISTENCE_DEFAULT} seconds are used");
        told.error("persistence-missing", told.at, message, &label, "add: persistence_timeout 360");
    }
    let persistent = asked || all_ports;
    let sip = sip(draft, protocol, persistent, told);
    persistent.then(|| Persistence {
        timeout_s: draft.persistence_timeout.unwrap_or(PERSISTENCE_DEFAULT),
        prefix_len: draft.persistence_prefix,
        sip,
    })
}

/// The kernel drops what else a service with the engine gets (`ip_vs_sip_fill_param`). keepalived tells neither.
fn sip(draft: &Draft, protocol: Protocol, persistent: bool, told: &mut Told<'_>) -> bool {
    let Some(at) = draft.sip else { return false };
    let wrong = [
        (
            !persistent,
            "engine-without-persistence",
            "`persistence_engine` says how a persistent client is known, and the service has no persistence",
            "add: persistence_timeout 360",
        ),
        (
            protocol != Protocol::Udp,
            "engine-without-udp",
            "`persistence_engine sip` is for UDP",
            "remove the line, or write `protocol UDP`",
        ),
    ];
    let wrong = wrong.into_iter().find(|(is_so, ..)| *is_so);
    if let Some((_, code, message, help)) = wrong {
        told.tell(Severity::Warning, code, at, message, "has no effect", help);
    }
    wrong.is_none()
}

/// Those of the family, each once, with their ports filled in.
fn real_servers(
    draft: &mut Draft,
    family: Family,
    lb_kind: LbKind,
    ports: &Ports<'_>,
    told: &mut Told<'_>,
) -> Vec<RealServer> {
    let mut seen = HashSet::with_capacity(draft.real_servers.len());
    let mut kept = std::mem::take(&mut draft.real_servers);
    kept.retain_mut(|server| {
        let kind = server.lb_kind.unwrap_or(lb_kind);
        let what = format!("the real server {}", server.addr);
        if !ports.reach(family, server.addr, kind, ("real-server-family", server.at, &what), told) {
            return false;
        }
        ports.settle(&mut server.port, kind, server.at, &what, told);
        let new = seen.insert((server.addr, server.port));
        if !new {
            let message = format!("the real server {} {} is there already", server.addr, server.port);
            told.error("duplicate-real-server", server.at, &message, "left out", "remove one of the two");
        }
        new
    });
    kept
}

/// The ports that packets of a service come with.
enum Ports<'a> {
    /// 0: any.
    Of(u16),
    /// A mark says nothing of them.
    Mark,
    Group(Option<&'a Members>),
}

impl<'a> Ports<'a> {
    fn new(id: &VirtualServerId, groups: &'a Groups<'_>) -> Self {
        match id {
            VirtualServerId::Address { port, .. } => Self::Of(*port),
            VirtualServerId::Fwmark { .. } => Self::Mark,
            VirtualServerId::Group { name } => Self::Group(groups.get(name.as_str())),
        }
    }

    /// Whether a service gets packets to a server: only a tunnel joins two families. Of a group with both, each service
    /// has the servers of its own.
    fn reach(
        &self,
        family: Family,
        addr: IpAddr,
        kind: LbKind,
        (code, at, what): (&'static str, Span, &str),
        told: &mut Told<'_>,
    ) -> bool {
        if matches!(kind, LbKind::Tun(_)) {
            return true;
        }
        if matches!(self, Self::Group(Some(members)) if members.mixed) {
            let message = format!("{what} is of one family, and the group has addresses of both");
            let help = "make a group of each family, or reach all by `lvs_method TUN`";
            told.error(code, at, &message, "serves the addresses of its own family alone", help);
            return true;
        }
        let reached = Family::of(addr) == family;
        if !reached {
            let message = format!("{what} is not of the family of the service");
            let help = "name one of the same family: another is reached by `lvs_method TUN` only";
            told.error(code, at, &message, "left out", help);
        }
        reached
    }

    /// A server without a port has the service's. DR and TUN deliver packets as they came: there another port is none.
    fn settle(&self, port: &mut u16, kind: LbKind, at: Span, server: &str, told: &mut Told<'_>) {
        if let Self::Of(own) = self
            && *port == 0
        {
            *port = *own;
        }
        if !matches!(kind, LbKind::Dr | LbKind::Tun(_)) {
            return;
        }
        let (own, label) = match self {
            Self::Of(own) if own != port => (own.to_string(), "the service's port is used"),
            Self::Mark if *port != 0 => ("any".to_owned(), "the port is passed over"),
            Self::Group(Some(members)) if *port != 0 => {
                let other = members.ports.iter().find(|other| *other != port).map(ToString::to_string);
                let Some(other) = other.or_else(|| members.marked.then(|| "any".to_owned())) else { return };
                (other, "packets reach it with the port that they come with")
            }
            Self::Of(_) | Self::Mark | Self::Group(_) => return,
        };
        let message = format!("packets reach {server} with port {own}, not {port}: DR and TUN leave the port as it is");
        told.error("real-port-differs", at, &message, label, "write the service's port, or use NAT");
        match self {
            Self::Of(own) => *port = *own,
            Self::Mark => *port = 0,
            Self::Group(_) => {}
        }
    }
}

/// A quorum that all real servers together do not reach is lowered to what they do.
fn quorum(draft: &Draft, real_servers: &[RealServer], told: &mut Told<'_>) -> (u32, u32) {
    let (mut quorum, mut hysteresis) =
        (draft.quorum.map_or(1, |(quorum, _)| quorum), draft.hysteresis.map_or(0, |(hysteresis, _)| hysteresis));
    let sum: u64 = real_servers.iter().map(|server| u64::from(server.weight.get())).sum();
    if sum == 0 {
        let at = draft.quorum.map_or(told.at, |(_, at)| at);
        let message = format!("the weights of all real servers are 0, and do not reach the quorum of {quorum}");
        told.error("quorum-above-weights", at, &message, "nobody is served", "raise the weight of a real server");
    } else if let Some((_, at)) = draft.quorum.filter(|(quorum, _)| u64::from(*quorum) > sum) {
        let message = format!("the quorum is {quorum}, and the weights of all real servers add up to {sum}");
        told.error(
            "quorum-above-weights",
            at,
            &message,
            &format!("{sum} is used"),
            "lower the quorum, or raise the weights",
        );
        quorum = u32::try_from(sum).unwrap_or(u32::MAX);
    }
    if let Some((_, at)) = draft.hysteresis.filter(|(hysteresis, _)| *hysteresis >= quorum) {
        let most = quorum.saturating_sub(1);
        let message = format!("the hysteresis is {hysteresis}, and it is below the quorum of {quorum}");
        told.error("hysteresis-too-large", at, &message, &format!("{most} is used"), "lower the hysteresis");
        hysteresis = most;
    }
    (quorum, hysteresis)
}

fn sorry_server(
    draft: &Draft,
    family: Family,
    lb_kind: LbKind,
    ports: &Ports<'_>,
    told: &mut Told<'_>,
) -> Option<SorryServer> {
    let (mut sorry, at) = draft.sorry?;
    let kind = sorry.lb_kind.unwrap_or(lb_kind);
    let what = format!("the sorry server {}", sorry.addr);
    if !ports.reach(family, sorry.addr, kind, ("sorry-server-family", at, &what), told) {
        return None;
    }
    ports.settle(&mut sorry.port, kind, at, &what, told);
    Some(sorry)
}
