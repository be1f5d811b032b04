//! Routes and policy rules as ip-route(8) and ip-rule(8) write them. `Display` gives those words.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::{Cidr, Family, IfName};

/// `RT_TABLE_MAIN` (`linux/rtnetlink.h`).
pub const TABLE_MAIN: u32 = 254;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Route {
    pub kind: RouteKind,
    /// Its address may have bits beyond the prefix; the kernel takes none.
    pub destination: Cidr,
    /// `from`: IPv6 only.
    pub from: Option<Cidr>,
    pub tos: u8,
    pub table: u32,
    /// `RTPROT_*`; `None`: our own number.
    pub protocol: Option<u8>,
    /// `RT_SCOPE_*`; `None`: by kind and gateway, as ip-route chooses.
    pub scope: Option<u8>,
    pub metric: Option<u32>,
    pub src: Option<IpAddr>,
    /// Where to, of a route with one way.
    pub hop: Hop,
    /// Several ways; empty: `hop` counts.
    pub hops: Vec<WeightedHop>,
    /// Seconds; IPv6 only.
    pub expires_s: Option<u32>,
    /// Source and destination realm; IPv4 only.
    pub realms: Option<(u16, u16)>,
    pub preference: Option<RouterPreference>,
    pub metrics: Vec<RouteMetric>,
    /// `congctl`: the algorithm, and whether it is locked.
    pub congestion: Option<(String, bool)>,
    /// `None`: it is the only one of its destination, type of service, metric and table.
    pub beside: Option<Beside>,
}

/// Where it stands among those of its destination, type of service, metric and table (IPv6: one of several ways).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Beside {
    /// `append`
    Last,
    /// `prepend`
    First,
}

/// One way to go.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Hop {
    pub via: Option<IpAddr>,
    pub dev: Option<IfName>,
    pub onlink: bool,
}

/// `nexthop`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WeightedHop {
    pub hop: Hop,
    /// The weight less 1, as the kernel has it.
    pub weight_less_one: u8,
}

/// `RTN_*` (`linux/rtnetlink.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RouteKind {
    #[default]
    Unicast,
    Local,
    Broadcast,
    Multicast,
    Blackhole,
    Unreachable,
    Prohibit,
    Throw,
}

impl RouteKind {
    pub const ALL: [(Self, &'static str, u8); 8] = [
        (Self::Unicast, "unicast", 1),
        (Self::Local, "local", 2),
        (Self::Broadcast, "broadcast", 3),
        (Self::Multicast, "multicast", 5),
        (Self::Blackhole, "blackhole", 6),
        (Self::Unreachable, "unreachable", 7),
        (Self::Prohibit, "prohibit", 8),
        (Self::Throw, "throw", 9),
    ];

    pub fn number(self) -> u8 {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or(1, |(.., number)| *number)
    }

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("unicast", |(_, word, _)| word)
    }
}

/// `pref` (RFC 4191).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RouterPreference {
    Low,
    Medium,
    High,
}

/// A number that goes with a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RouteMetric {
    pub name: MetricName,
    pub value: u32,
    pub locked: bool,
}

/// `RTAX_*` with a number (`linux/rtnetlink.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum MetricName {
    Mtu,
    Window,
    Rtt,
    RttVar,
    SsThresh,
    Cwnd,
    AdvMss,
    Reordering,
    HopLimit,
    InitCwnd,
    Features,
    RtoMin,
    InitRwnd,
    QuickAck,
    FastOpenNoCookie,
}

impl MetricName {
    /// With the word and `RTAX_*`.
    pub const ALL: [(Self, &'static str, u16); 15] = [
        (Self::Mtu, "mtu", 2),
        (Self::Window, "window", 3),
        (Self::Rtt, "rtt", 4),
        (Self::RttVar, "rttvar", 5),
        (Self::SsThresh, "ssthresh", 6),
        (Self::Cwnd, "cwnd", 7),
        (Self::AdvMss, "advmss", 8),
        (Self::Reordering, "reordering", 9),
        (Self::HopLimit, "hoplimit", 10),
        (Self::InitCwnd, "initcwnd", 11),
        (Self::Features, "features", 12),
        (Self::RtoMin, "rto_min", 13),
        (Self::InitRwnd, "initrwnd", 14),
        (Self::QuickAck, "quickack", 15),
        (Self::FastOpenNoCookie, "fastopen_no_cookie", 17),
    ];

    pub fn number(self) -> u16 {
        Self::ALL.iter().find(|(name, ..)| *name == self).map_or(0, |(.., number)| *number)
    }

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(name, ..)| *name == self).map_or("mtu", |(_, word, _)| word)
    }
}

impl Route {
    pub fn new(destination: Cidr) -> Self {
        Self {
            kind: RouteKind::default(),
            destination,
            from: None,
            tos: 0,
            table: TABLE_MAIN,
            protocol: None,
            scope: None,
            metric: None,
            src: None,
            hop: Hop::default(),
            hops: vec![],
            expires_s: None,
            realms: None,
            preference: None,
            metrics: vec![],
            congestion: None,
            beside: None,
        }
    }

    pub const fn family(&self) -> Family {
        self.destination.family()
    }

    /// The interfaces that it names.
    pub fn devices(&self) -> impl Iterator<Item = &IfName> {
        self.hop.dev.iter().chain(self.hops.iter().filter_map(|hop| hop.hop.dev.as_ref()))
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(via) = self.via {
            let family = if Family::of(via) == Family::V6 { "inet6 " } else { "inet " };
            write!(f, " via {family}{via}")?;
        }
        if let Some(dev) = &self.dev {
            write!(f, " dev {dev}")?;
        }
        if self.onlink { f.write_str(" onlink") } else { Ok(()) }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.destination)?;
        option(f, "from", self.from)?;
        write!(f, "{}", self.hop)?;
        option(f, "src", self.src)?;
        if self.tos != 0 {
            write!(f, " tos {}", self.tos)?;
        }
        if self.table != TABLE_MAIN {
            write!(f, " table {}", self.table)?;
        }
        option(f, "protocol", self.protocol)?;
        option(f, "scope", self.scope)?;
        option(f, "metric", self.metric)?;
        option(f, "expires", self.expires_s)?;
        if let Some((from, to)) = self.realms {
            write!(f, " realms {from}/{to}")?;
        }
        option(
            f,
            "pref",
            self.preference.map(|preference| match preference {
                RouterPreference::Low => "low",
                RouterPreference::Medium => "medium",
                RouterPreference::High => "high",
            }),
        )?;
        for RouteMetric { name, value, locked } in &self.metrics {
            let lock = if *locked { "lock " } else { "" };
            match name {
                MetricName::Features => f.write_str(" features ecn")?,
                MetricName::Mtu
                | MetricName::Window
                | MetricName::Rtt
                | MetricName::RttVar
                | MetricName::SsThresh
                | MetricName::Cwnd
                | MetricName::AdvMss
                | MetricName::Reordering
                | MetricName::HopLimit
                | MetricName::InitCwnd
                | MetricName::RtoMin
                | MetricName::InitRwnd
                | MetricName::QuickAck
                | MetricName::FastOpenNoCookie => write!(f, " {} {lock}{value}", name.word())?,
            }
        }
        if let Some((name, locked)) = &self.congestion {
            write!(f, " congctl {}{name}", if *locked { "lock " } else { "" })?;
        }
        match self.beside {
            None => (),
            Some(Beside::Last) => f.write_str(" append")?,
            Some(Beside::First) => f.write_str(" prepend")?,
        }
        for WeightedHop { hop, weight_less_one } in &self.hops {
            write!(f, " nexthop{hop} weight {}", u16::from(*weight_less_one) + 1)?;
        }
        Ok(())
    }
}

fn option(f: &mut fmt::Formatter<'_>, word: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {word} {value}"))
}

/// A policy rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Rule {
    pub family: Family,
    /// `not`: what the selectors do not select.
    pub inverted: bool,
    pub from: Option<Cidr>,
    pub to: Option<Cidr>,
    pub tos: u8,
    /// Mark and mask.
    pub fwmark: Option<(u32, Option<u32>)>,
    pub iif: Option<String>,
    pub oif: Option<String>,
    pub uids: Option<(u32, u32)>,
    pub ip_protocol: Option<u8>,
    pub source_ports: Option<(u16, u16)>,
    pub destination_ports: Option<(u16, u16)>,
    pub tunnel_id: Option<u64>,
    pub realms: Option<(u16, u16)>,
    pub suppress_prefix_len: Option<u32>,
    pub suppress_group: Option<u32>,
    pub action: RuleAction,
    /// `None`: the kernel takes one below those that are there, another one each time it is asked.
    pub preference: Option<u32>,
    /// `RTPROT_*`; `None`: our own number.
    pub protocol: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RuleAction {
    Table(u32),
    /// The table of the interface's VRF.
    L3Mdev,
    /// The preference of another rule.
    Goto(u32),
    Nop,
    Blackhole,
    Unreachable,
    Prohibit,
}

impl Rule {
    pub const fn new(family: Family) -> Self {
        Self {
            family,
            inverted: false,
            from: None,
            to: None,
            tos: 0,
            fwmark: None,
            iif: None,
            oif: None,
            uids: None,
            ip_protocol: None,
            source_ports: None,
            destination_ports: None,
            tunnel_id: None,
            realms: None,
            suppress_prefix_len: None,
            suppress_group: None,
            action: RuleAction::Table(TABLE_MAIN),
            preference: None,
            protocol: None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.family {
            Family::V4 => "inet",
            Family::V6 => "inet6",
        })?;
        if self.inverted {
            f.write_str(" not")?;
        }
        option(f, "from", self.from)?;
        option(f, "to", self.to)?;
        if self.tos != 0 {
            write!(f, " tos {}", self.tos)?;
        }
        if let Some((mark, mask)) = self.fwmark {
            write!(f, " fwmark {mark}")?;
            mask.map_or(Ok(()), |mask| write!(f, "/{mask}"))?;
        }
        option(f, "iif", self.iif.as_ref())?;
        option(f, "oif", self.oif.as_ref())?;
        let ranges = [
            ("uidrange", self.uids),
            ("sport", self.source_ports.map(|(first, last)| (first.into(), last.into()))),
            ("dport", self.destination_ports.map(|(first, last)| (first.into(), last.into()))),
        ];
        for (word, range) in ranges {
            option(f, word, range.map(|(first, last)| format!("{first}-{last}")))?;
        }
        option(f, "ipproto", self.ip_protocol)?;
        option(f, "tunnel-id", self.tunnel_id)?;
        option(f, "realms", self.realms.map(|(from, to)| format!("{from}/{to}")))?;
        option(f, "suppress_prefixlength", self.suppress_prefix_len)?;
        option(f, "suppress_ifgroup", self.suppress_group)?;
        option(f, "preference", self.preference)?;
        option(f, "protocol", self.protocol)?;
        match self.action {
            RuleAction::Table(table) => write!(f, " table {table}"),
            RuleAction::L3Mdev => f.write_str(" l3mdev"),
            RuleAction::Goto(preference) => write!(f, " goto {preference}"),
            RuleAction::Nop => f.write_str(" nop"),
            RuleAction::Blackhole => f.write_str(" blackhole"),
            RuleAction::Unreachable => f.write_str(" unreachable"),
            RuleAction::Prohibit => f.write_str(" prohibit"),
        }
    }
}
