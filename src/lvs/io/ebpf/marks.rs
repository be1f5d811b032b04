//! Where marked packets go: a device of ours, on whose way out the program serves them (`bpf/marked.h`), a route to it
//! in a table of its own, and routing rules that lead there (`mark_rules`).
//!
//! netfilter marks a packet behind TC ingress, where the program cannot see it; so only the first packets of a connection
//! come this way. Level-triggered: what somebody took away is put back by the next [`Marks::follow`].

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use aya::programs::SchedClassifier;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::fault::{Fault, PLANE};
use super::links;
use super::mark_rules::{Change, Rule, plan};
use super::netlink::{Link, Netlink};
use super::pins;
use crate::base::Family;
use crate::lvs::datapath::DatapathError;

/// The device, and its other end, to which nothing comes: the program sends every packet elsewhere.
pub(super) const DEVICE: &str = "vipd-mark";
const PEER: &str = "vipd-mark-peer";
/// The program looks at the MTU of the real way; a packet may be a GSO one.
const MTU: u32 = 65_535;
/// The routing table, and who we are in `ip rule` and `ip route`: those of VRRP have another number.
const TABLE: u32 = 118_119;
const PROTOCOL: RouteProtocol = RouteProtocol::Other(119);
/// One next hop for all: without it each address would need a neighbour. Link-local, and nobody's.
const GATEWAYS: [(Family, IpAddr); 2] = [
    (Family::V4, IpAddr::V4(Ipv4Addr::new(169, 254, 118, 118))),
    (Family::V6, IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1))),
];
const RT_TABLE_LOCAL: u32 = 255;
/// `IFALIASZ` without its end (`linux/if.h`).
const ALIAS_MAX: usize = 255;
const TCP: u8 = 6;

/// An interface that is not for packets from outside.
pub(super) fn is_ours(interface: &str) -> bool {
    [DEVICE, PEER].contains(&interface)
}

/// What is there of it.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Index of the device with this run's program.
    attached: Option<u32>,
    /// Nothing is there, also not of an earlier run.
    clean: bool,
}

impl Marks {
    /// Lead exactly these marks to the program; with none nothing is left of it all.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`] for the first thing that the kernel refuses, [`DatapathError::Unsupported`] where another
    /// daemon has the device.
    pub(super) fn follow(
        &mut self,
        netlink: &Netlink,
        program: &mut SchedClassifier,
        dir: &Path,
        wanted: &BTreeSet<(Family, u32)>,
    ) -> Result<(), DatapathError> {
        if wanted.is_empty() {
            if !self.clean {
                remove(netlink, dir)?;
            }
            *self = Self { attached: None, clean: true };
            return Ok(());
        }
        self.clean = false;
        let device = device(netlink, dir)?;
        if self.attached != Some(device) {
            links::attach_egress(program, &pins::mark_link(dir), DEVICE)?;
            self.attached = Some(device);
        }
        for (family, gateway) in GATEWAYS {
            let marks: BTreeSet<u32> = wanted.iter().filter(|(of, _)| *of == family).map(|(_, mark)| *mark).collect();
            if marks.first().is_some_and(|mark| !leads_to(netlink, *mark, gateway, device)) {
                let route = RouteNetlinkMessage::NewRoute(route(gateway, device));
                let made = netlink.change(route, NLM_F_CREATE | NLM_F_REPLACE);
                made.map_err(fault("making the route of marked packets"))?;
            }
            order_rules(netlink, family, &marks)?;
        }
        Ok(())
    }
}

/// Take everything away, the rules first. What a daemon of another run directory has stays.
///
/// # Errors
/// [`DatapathError::Kernel`].
pub(super) fn remove(netlink: &Netlink, dir: &Path) -> Result<(), DatapathError> {
    let links = netlink.links().map_err(fault("listing the interfaces"))?;
    let device = links.iter().find(|link| link.name == DEVICE);
    if device.is_some_and(|device| is_of_another(device, dir)) {
        return Ok(());
    }
    for (family, _) in GATEWAYS {
        order_rules(netlink, family, &BTreeSet::new())?;
    }
    pins::take_off(&pins::mark_link(dir))?;
    let Some(device) = device else { return Ok(()) };
    let mut message = LinkMessage::default();
    message.header.index = device.index;
    // Its other end goes with it, and so do its routes.
    netlink.change(RouteNetlinkMessage::DelLink(message), 0).map_err(fault("removing the device of marked packets"))
}

/// By the alias of a device another run knows whose it is (`IFLA_IFALIAS`).
fn alias(dir: &Path) -> String {
    format!("vipd: {}", dir.display()).chars().take(ALIAS_MAX).collect()
}

/// One without an alias was made by a run that ended right then.
fn is_of_another(device: &Link, dir: &Path) -> bool {
    device.alias.as_ref().is_some_and(|held| *held != alias(dir))
}

/// The device's index; it is made, and up.
fn device(netlink: &Netlink, dir: &Path) -> Result<u32, DatapathError> {
    let listed = || netlink.links().map_err(fault("listing the interfaces"));
    let mut links = listed()?;
    if !links.iter().any(|link| link.name == DEVICE) {
        let made = netlink.change(RouteNetlinkMessage::NewLink(pair()), NLM_F_CREATE | NLM_F_EXCL);
        made.map_err(fault("making the device of marked packets"))?;
        links = listed()?;
    }
    if links.iter().any(|link| link.name == DEVICE && is_of_another(link, dir)) {
        let what = format!("serve firewall marks: {DEVICE} belongs to a daemon with another run directory");
        return Err(DatapathError::Unsupported { plane: PLANE, what });
    }
    for link in links.iter().filter(|link| is_ours(&link.name) && !link.up) {
        raise(netlink, link, dir).map_err(fault("setting the device of marked packets up"))?;
    }
    let found = links.iter().find(|link| link.name == DEVICE).map(|link| link.index);
    found.ok_or_else(|| fault("making the device of marked packets")(io::Error::from_raw_os_error(libc::ENODEV)))
}

fn pair() -> LinkMessage {
    let end = |name: &str| {
        let mut end = LinkMessage::default();
        end.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Mtu(MTU)];
        end
    };
    let mut pair = end(DEVICE);
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(end(PEER)))),
    ]));
    pair
}

/// Without addresses, and asking for no neighbours.
fn raise(netlink: &Netlink, link: &Link, dir: &Path) -> io::Result<()> {
    let of = || {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message
    };
    let mut quiet = of();
    let none = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    quiet.attributes = vec![LinkAttribute::AfSpecUnspec(vec![none])];
    match netlink.change(RouteNetlinkMessage::SetLink(quiet), 0) {
        // A kernel without IPv6.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
        other => other?,
    }
    let mut up = of();
    up.attributes = vec![LinkAttribute::IfAlias(alias(dir))];
    up.header.flags = LinkFlags::Up | LinkFlags::Noarp;
    up.header.change_mask = up.header.flags;
    netlink.change(RouteNetlinkMessage::SetLink(up), 0)
}

fn route(gateway: IpAddr, device: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: address_family(Family::of(gateway)),
        protocol: PROTOCOL,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        flags: RouteFlags::Onlink,
        ..RouteHeader::default()
    };
    message.attributes =
        vec![RouteAttribute::Table(TABLE), RouteAttribute::Gateway(gateway.into()), RouteAttribute::Oif(device)];
    message
}

/// Whether a packet with the mark goes to the device: there is the route, and a rule.
fn leads_to(netlink: &Netlink, mark: u32, gateway: IpAddr, device: u32) -> bool {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(Family::of(gateway));
    message.header.destination_prefix_length = Family::of(gateway).bits();
    message.attributes = vec![
        RouteAttribute::Destination(probe(gateway).into()),
        RouteAttribute::Mark(mark),
        RouteAttribute::IpProto(TCP),
    ];
    // Unreachable is an answer too.
    let Ok(answer) = netlink.ask(RouteNetlinkMessage::GetRoute(message), 0) else { return false };
    answer.iter().any(|one| {
        matches!(one, RouteNetlinkMessage::NewRoute(way) if way.attributes.contains(&RouteAttribute::Oif(device)))
    })
}

/// An address that is nobody's (RFC 5737, RFC 3849).
const fn probe(gateway: IpAddr) -> IpAddr {
    match gateway {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    }
}

fn order_rules(netlink: &Netlink, family: Family, marks: &BTreeSet<u32>) -> Result<(), DatapathError> {
    let found = netlink.rules(address_family(family)).map_err(fault("listing the routing rules"))?;
    let held: Vec<Rule> = found.iter().filter_map(rule).collect();
    for change in plan(&held, marks) {
        let done = match change {
            Change::Add(rule) => netlink.change(RouteNetlinkMessage::NewRule(rule_message(family, rule)), NLM_F_CREATE),
            Change::Delete(rule) => netlink.change(RouteNetlinkMessage::DelRule(rule_message(family, rule)), 0),
        };
        done.map_err(fault("changing the routing rules of marked packets"))?;
        tracing::debug!(?family, ?change, "routing rule changed");
    }
    Ok(())
}

/// `None`: it has nothing to do with us.
fn rule(message: &RuleMessage) -> Option<Rule> {
    let (mut priority, mut mark, mut protocol, mut table, mut ours, mut plain) = (0, 0, 0, 0, false, true);
    for attribute in &message.attributes {
        if let RuleAttribute::Priority(told) = attribute {
            priority = *told;
        } else if let RuleAttribute::Table(told) = attribute {
            table = *told;
        } else if let RuleAttribute::Protocol(told) = attribute {
            ours = *told == PROTOCOL;
        } else if let RuleAttribute::FwMark(told) = attribute {
            mark = *told;
        } else if let RuleAttribute::IpProtocol(told) = attribute {
            protocol = u8::try_from(i32::from(*told)).unwrap_or_default();
        } else if !matches!(attribute, RuleAttribute::FwMask(_) | RuleAttribute::SuppressPrefixLen(u32::MAX)) {
            plain = false;
        }
    }
    let header = &message.header;
    let any = plain && header.dst_len == 0 && header.src_len == 0 && header.tos == 0 && mark == 0 && protocol == 0;
    match (ours, table) {
        (true, TABLE) => Some(Rule::Mark { mark, protocol }),
        (true, RT_TABLE_LOCAL) => Some(Rule::OurLocal),
        (false, RT_TABLE_LOCAL) if any && header.action == RuleAction::ToTable => Some(Rule::Local { priority }),
        (true | false, _) => None,
    }
}

fn rule_message(family: Family, rule: Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(family);
    message.header.action = RuleAction::ToTable;
    message.attributes = match rule {
        Rule::Mark { mark, protocol } => vec![
            RuleAttribute::Priority(0),
            RuleAttribute::FwMark(mark),
            RuleAttribute::FwMask(u32::MAX),
            RuleAttribute::IpProtocol(protocol.into()),
            RuleAttribute::Table(TABLE),
            RuleAttribute::Protocol(PROTOCOL),
        ],
        Rule::OurLocal => {
            vec![RuleAttribute::Priority(1), RuleAttribute::Table(RT_TABLE_LOCAL), RuleAttribute::Protocol(PROTOCOL)]
        }
        // Whoever wrote it.
        Rule::Local { priority } => vec![RuleAttribute::Priority(priority), RuleAttribute::Table(RT_TABLE_LOCAL)],
    };
    message
}

const fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn fault(action: &'static str) -> impl FnOnce(io::Error) -> DatapathError {
    move |error| Fault::new(action, &error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_known_again_and_a_strangers_is_not_taken_for_ours() {
        let all = [Rule::Mark { mark: 7, protocol: 17 }, Rule::OurLocal, Rule::Local { priority: 0 }];
        for one in all {
            assert_eq!(rule(&rule_message(Family::V4, one)), Some(one));
        }
        let strangers = |attribute| {
            let mut message = rule_message(Family::V4, Rule::Local { priority: 0 });
            message.attributes.push(attribute);
            rule(&message)
        };
        assert_eq!(strangers(RuleAttribute::Iifname("eth0".to_owned())), None);
        assert_eq!(strangers(RuleAttribute::FwMark(7)), None);
        assert_eq!(strangers(RuleAttribute::SuppressPrefixLen(u32::MAX)), Some(Rule::Local { priority: 0 }));
    }
}
