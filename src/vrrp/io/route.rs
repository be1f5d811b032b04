//! Routes and policy rules in the kernel, marked as ours by their protocol number.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::StreamExt as _;
use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
    RoutePreference, RouteProtocol, RouteRealm, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::rule::{
    RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};

use super::address::MARK;
use super::link::dump;
use crate::base::{Beside, Cidr, Family, Hop, Route, RouteKind, RouterPreference, Rule, RuleAction, WeightedHop};
use crate::vrrp::links::Links;

/// `RTAX_LOCK` (`linux/rtnetlink.h`).
const LOCK: u16 = 1;

/// Why a route or a rule is not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("there is no interface {0}")]
    NoInterface(crate::base::IfName),
    /// Somebody else has one like it.
    #[error("there is one already that is not ours")]
    Foreign,
    #[error(transparent)]
    Netlink(#[from] rtnetlink::Error),
}

/// Add the route. Where one like it (destination, table, type of service, metric) is there: with `replace` it is replaced,
/// else it is left alone, and ours goes beside it where it asks for that.
///
/// # Errors
/// [`RouteError`]
pub async fn add(handle: &rtnetlink::Handle, links: &Links, route: &Route, replace: bool) -> Result<(), RouteError> {
    let message = RouteNetlinkMessage::NewRoute(route_message(links, route)?);
    let how = match route.beside {
        None if replace => NLM_F_REPLACE,
        None => NLM_F_EXCL,
        Some(Beside::Last) => NLM_F_APPEND,
        // The same again is refused in any case.
        Some(Beside::First) => 0,
    };
    exclusive(request(handle, message, NLM_F_CREATE | how).await)
}

/// Remove the route; one that is gone is fine, and so is its interface.
///
/// # Errors
/// [`RouteError::Netlink`]
pub async fn remove(handle: &rtnetlink::Handle, links: &Links, route: &Route) -> Result<(), RouteError> {
    match route_message(links, route) {
        Ok(message) => gone(request(handle, RouteNetlinkMessage::DelRoute(message), 0).await),
        Err(_) => Ok(()),
    }
}

/// Add the rule.
///
/// # Errors
/// [`RouteError`]
pub async fn add_rule(handle: &rtnetlink::Handle, rule: &Rule) -> Result<(), RouteError> {
    let message = RouteNetlinkMessage::NewRule(rule_message(rule));
    exclusive(request(handle, message, NLM_F_CREATE | NLM_F_EXCL).await)
}

/// Remove the rule; one that is gone is fine.
///
/// # Errors
/// [`RouteError::Netlink`]
pub async fn remove_rule(handle: &rtnetlink::Handle, rule: &Rule) -> Result<(), RouteError> {
    gone(request(handle, RouteNetlinkMessage::DelRule(rule_message(rule)), 0).await)
}

/// Remove every route and rule that carries our mark: what a killed daemon left.
///
/// # Errors
/// Of netlink.
pub async fn remove_marked(handle: &rtnetlink::Handle) -> Result<(), rtnetlink::Error> {
    let ours = RouteProtocol::from(MARK);
    for found in dump(handle, RouteNetlinkMessage::GetRoute(RouteMessage::default())).await? {
        if let RouteNetlinkMessage::NewRoute(message) = found
            && message.header.protocol == ours
        {
            gone_raw(request(handle, RouteNetlinkMessage::DelRoute(message), 0).await)?;
        }
    }
    for found in dump(handle, RouteNetlinkMessage::GetRule(RuleMessage::default())).await? {
        if let RouteNetlinkMessage::NewRule(message) = found
            && message.attributes.contains(&RuleAttribute::Protocol(ours))
        {
            gone_raw(request(handle, RouteNetlinkMessage::DelRule(message), 0).await)?;
        }
    }
    Ok(())
}

/// `RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | 1 << (RTNLGRP_IPV4_RULE - 1) | 1 << (RTNLGRP_IPV6_RULE - 1)`
/// (`linux/rtnetlink.h`).
const GROUPS: u32 = 0x40 | 0x400 | 0x80 | 0x4_0000;
const RTM_DELROUTE: u16 = 25;
const RTM_DELRULE: u16 = 33;

/// Tells when a route of ours, or any rule, is removed.
pub struct RouteWatcher {
    socket: TokioSocket,
    /// Those of ours whose configuration gives them a protocol of their own.
    protocols: BTreeSet<u8>,
}

impl std::fmt::Debug for RouteWatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RouteWatcher")
    }
}

impl RouteWatcher {
    /// # Errors
    /// Of netlink.
    pub fn open() -> std::io::Result<Self> {
        let mut socket = TokioSocket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
        Ok(Self { socket, protocols: BTreeSet::new() })
    }

    /// These are ours, too.
    pub fn watch(&mut self, routes: &[Route]) {
        self.protocols.extend(routes.iter().filter_map(|route| route.protocol));
    }

    /// Wait for the next one. A socket that fails tells of nothing any more; what ran over may have been one of ours.
    pub async fn lost(&mut self) {
        loop {
            match self.socket.recv_from_full().await {
                Ok((message, _)) if is_ours_lost(&message, &self.protocols) => return,
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return,
                Err(_) => std::future::pending().await,
            }
        }
    }
}

/// `struct nlmsghdr`, then `struct rtmsg`, whose sixth byte is the protocol.
fn is_ours_lost(message: &[u8], protocols: &BTreeSet<u8>) -> bool {
    let kind = message.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
    match kind {
        Some(RTM_DELROUTE) => {
            message.get(16 + 5).is_some_and(|protocol| *protocol == MARK || protocols.contains(protocol))
        }
        Some(RTM_DELRULE) => true,
        Some(_) | None => false,
    }
}

async fn request(handle: &rtnetlink::Handle, message: RouteNetlinkMessage, flags: u16) -> Result<(), rtnetlink::Error> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut answers = std::pin::pin!(handle.clone().request(request)?);
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            return Err(rtnetlink::Error::NetlinkError(error));
        }
    }
    Ok(())
}

fn code(error: &rtnetlink::Error) -> i32 {
    if let rtnetlink::Error::NetlinkError(error) = error { error.raw_code() } else { 0 }
}

fn exclusive(done: Result<(), rtnetlink::Error>) -> Result<(), RouteError> {
    match done {
        Err(error) if code(&error) == -libc::EEXIST => Err(RouteError::Foreign),
        done => Ok(done?),
    }
}

fn gone(done: Result<(), rtnetlink::Error>) -> Result<(), RouteError> {
    Ok(gone_raw(done)?)
}

fn gone_raw(done: Result<(), rtnetlink::Error>) -> Result<(), rtnetlink::Error> {
    match done {
        Err(error) if [-libc::ESRCH, -libc::ENOENT, -libc::ENODEV].contains(&code(&error)) => Ok(()),
        done => done,
    }
}

const fn family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// The kernel takes no address with bits beyond the prefix.
fn network(cidr: Cidr) -> IpAddr {
    let prefix = u32::from(cidr.prefix_len());
    match cidr.addr() {
        IpAddr::V4(addr) => {
            std::net::Ipv4Addr::from_bits(addr.to_bits() & !u32::MAX.checked_shr(prefix).unwrap_or(0)).into()
        }
        IpAddr::V6(addr) => {
            std::net::Ipv6Addr::from_bits(addr.to_bits() & !u128::MAX.checked_shr(prefix).unwrap_or(0)).into()
        }
    }
}

/// As ip-route chooses where none is given.
fn scope(route: &Route) -> RouteScope {
    let direct = route.hop.via.is_none() && route.hops.iter().all(|hop| hop.hop.via.is_none());
    match (route.scope, route.kind) {
        (Some(scope), _) => scope.into(),
        _ if route.family() == Family::V6 => RouteScope::Universe,
        (None, RouteKind::Local) => RouteScope::Host,
        (None, RouteKind::Broadcast | RouteKind::Multicast) => RouteScope::Link,
        (None, RouteKind::Unicast) if direct => RouteScope::Link,
        (
            None,
            RouteKind::Unicast | RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw,
        ) => RouteScope::Universe,
    }
}

fn route_message(links: &Links, route: &Route) -> Result<RouteMessage, RouteError> {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(route.family());
    header.destination_prefix_length = route.destination.prefix_len();
    header.source_prefix_length = route.from.map_or(0, Cidr::prefix_len);
    header.tos = route.tos;
    header.table = u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    header.protocol = route.protocol.unwrap_or(MARK).into();
    header.scope = scope(route);
    header.kind = RouteType::from(route.kind.number());
    if route.hop.onlink {
        header.flags = RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Destination(network(route.destination).into()));
    attributes.push(RouteAttribute::Table(route.table));
    attributes.extend(route.from.map(|from| RouteAttribute::Source(network(from).into())));
    attributes.extend(route.src.map(|src| RouteAttribute::PrefSource(src.into())));
    attributes.extend(route.metric.map(RouteAttribute::Priority));
    attributes.extend(route.expires_s.map(RouteAttribute::Expires));
    attributes
        .extend(route.realms.map(|(source, destination)| RouteAttribute::Realm(RouteRealm { source, destination })));
    attributes.extend(route.preference.map(|preference| {
        RouteAttribute::Preference(match preference {
            RouterPreference::Low => RoutePreference::Low,
            RouterPreference::Medium => RoutePreference::Medium,
            RouterPreference::High => RoutePreference::High,
        })
    }));
    let metrics = metrics(route);
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    if route.hops.is_empty() {
        let (index, gateway) = way(links, &route.hop, route.family())?;
        attributes.extend(index.map(RouteAttribute::Oif));
        attributes.extend(gateway);
    } else {
        let hops: Result<_, _> = route.hops.iter().map(|hop| next_hop(links, hop, route.family())).collect();
        attributes.push(RouteAttribute::MultiPath(hops?));
    }
    Ok(message)
}

/// The interface and the gateway, which may be of the other family (RFC 8950).
fn way(links: &Links, hop: &Hop, of: Family) -> Result<(Option<u32>, Option<RouteAttribute>), RouteError> {
    let index = match &hop.dev {
        None => None,
        Some(dev) => Some(links.get(dev).ok_or_else(|| RouteError::NoInterface(dev.clone()))?.index),
    };
    let gateway = hop.via.map(|via| match via {
        IpAddr::V6(via) if of == Family::V4 => RouteAttribute::Via(RouteVia::Inet6(via)),
        IpAddr::V4(_) | IpAddr::V6(_) => RouteAttribute::Gateway(RouteAddress::from(via)),
    });
    Ok((index, gateway))
}

fn next_hop(links: &Links, hop: &WeightedHop, of: Family) -> Result<RouteNextHop, RouteError> {
    let (index, gateway) = way(links, &hop.hop, of)?;
    let mut next = RouteNextHop::default();
    next.hops = hop.weight_less_one;
    next.interface_index = index.unwrap_or(0);
    if hop.hop.onlink {
        next.flags = RouteNextHopFlags::Onlink;
    }
    next.attributes.extend(gateway);
    Ok(next)
}

fn metrics(route: &Route) -> Vec<RouteMetric> {
    let plain = |number: u16, value: u32| RouteMetric::Other(DefaultNla::new(number, value.to_ne_bytes().to_vec()));
    let mut all: Vec<_> = route.metrics.iter().map(|metric| plain(metric.name.number(), metric.value)).collect();
    all.extend(route.congestion.as_ref().map(|(name, _)| RouteMetric::CcAlgo(name.clone())));
    // `RTAX_CC_ALGO` is 16.
    let congestion = route.congestion.as_ref().is_some_and(|(_, locked)| *locked).then_some(1 << 16);
    let locked = route.metrics.iter().filter(|metric| metric.locked).map(|metric| 1u32 << metric.name.number());
    let locked = locked.chain(congestion).fold(0, |all, one| all | one);
    if locked != 0 {
        all.push(plain(LOCK, locked));
    }
    all
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let header = &mut message.header;
    header.family = family(rule.family);
    header.src_len = rule.from.map_or(0, Cidr::prefix_len);
    header.dst_len = rule.to.map_or(0, Cidr::prefix_len);
    header.tos = rule.tos;
    if rule.inverted {
        header.flags = RuleFlags::Invert;
    }
    let attributes = &mut message.attributes;
    header.action = match rule.action {
        RuleAction::Table(table) => {
            header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
            attributes.push(RuleAttribute::Table(table));
            Action::ToTable
        }
        RuleAction::L3Mdev => {
            attributes.push(RuleAttribute::L3MDev(true));
            Action::ToTable
        }
        RuleAction::Goto(preference) => {
            attributes.push(RuleAttribute::Goto(preference));
            Action::Goto
        }
        RuleAction::Nop => Action::Nop,
        RuleAction::Blackhole => Action::Blackhole,
        RuleAction::Unreachable => Action::Unreachable,
        RuleAction::Prohibit => Action::Prohibit,
    };
    attributes.push(RuleAttribute::Protocol(rule.protocol.unwrap_or(MARK).into()));
    attributes.extend(rule.from.map(|from| RuleAttribute::Source(network(from))));
    attributes.extend(rule.to.map(|to| RuleAttribute::Destination(network(to))));
    attributes.extend(rule.preference.map(RuleAttribute::Priority));
    if let Some((mark, mask)) = rule.fwmark {
        attributes.push(RuleAttribute::FwMark(mark));
        attributes.extend(mask.map(RuleAttribute::FwMask));
    }
    attributes.extend(rule.iif.clone().map(RuleAttribute::Iifname));
    attributes.extend(rule.oif.clone().map(RuleAttribute::Oifname));
    attributes.extend(rule.uids.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })));
    attributes.extend(rule.ip_protocol.map(|number| RuleAttribute::IpProtocol(number.into())));
    let range = |(start, end)| RulePortRange { start, end };
    attributes.extend(rule.source_ports.map(range).map(RuleAttribute::SourcePortRange));
    attributes.extend(rule.destination_ports.map(range).map(RuleAttribute::DestinationPortRange));
    attributes.extend(rule.tunnel_id.map(RuleAttribute::TunId));
    attributes
        .extend(rule.realms.map(|(source, destination)| RuleAttribute::Realm(RouteRealm { source, destination })));
    attributes.extend(rule.suppress_prefix_len.map(RuleAttribute::SuppressPrefixLen));
    attributes.extend(rule.suppress_group.map(RuleAttribute::SuppressIfGroup));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_ours_by_our_mark_or_by_the_protocol_that_its_configuration_gives() {
        let told = |kind: u16, protocol: u8| {
            let mut message = vec![0; 28];
            message[4..6].copy_from_slice(&kind.to_ne_bytes());
            message[16 + 5] = protocol;
            message
        };
        let of_their_own = BTreeSet::from([4]);
        let rows = [
            (RTM_DELROUTE, MARK, true),
            (RTM_DELROUTE, 4, true),
            (RTM_DELROUTE, 3, false),
            (RTM_DELRULE, 3, true),
            (RTM_DELROUTE - 1, MARK, false),
        ];
        for (kind, protocol, lost) in rows {
            assert_eq!(is_ours_lost(&told(kind, protocol), &of_their_own), lost, "{kind} {protocol}");
        }
        assert!(!is_ours_lost(&told(RTM_DELROUTE, 4), &BTreeSet::new()));
        assert!(!is_ours_lost(&[0; 5], &of_their_own));
    }
}
