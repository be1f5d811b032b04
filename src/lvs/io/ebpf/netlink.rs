//! What the kernel says of links and routing rules, asked by blocking sockets that stay in the network namespace of the
//! thread that opened them. Level-triggered: always read whole.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};

use crate::lvs::io::attribute::{AnswerError, Reader, Writer};

/// `GENL_ID_CTRL` and its words (`linux/genetlink.h`).
const CONTROL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// The family "netdev" (`linux/netdev.h`, Linux 6.3).
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
/// Headers of netlink and of generic netlink.
const HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Rules that every host has: for the tables `local`, `main` and `default`. That for `local` may stand elsewhere.
const USUAL_PRIORITIES: [u32; 3] = [0, 32_766, 32_767];
const RT_TABLE_LOCAL: u32 = 255;

/// An interface, as far as XDP asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) alias: Option<String>,
    /// `None`: not Ethernet.
    pub(super) mac: Option<[u8; 6]>,
    /// `None`: hardware, or what looks like it.
    pub(super) kind: Option<InfoKind>,
    /// Part of a bridge, a bond or the like.
    pub(super) is_port: bool,
    /// The interface below it.
    pub(super) below: Option<u32>,
    /// A VLAN device stands on it.
    pub(super) has_vlans: bool,
    /// A program of XDP, ours or not: by the driver, or by the stack.
    pub(super) attached: Option<XdpAttached>,
    /// `enum netdev_xdp_act`; `None` where the kernel does not tell (before Linux 6.3).
    pub(super) features: Option<u64>,
}

/// Two sockets of the namespace in which the plane is.
pub(super) struct Netlink {
    route: Socket,
    generic: Socket,
    /// Number of the family "netdev"; `None`: an older kernel.
    netdev: Option<u16>,
}

impl Netlink {
    /// # Errors
    /// Where the kernel gives no socket.
    pub(super) fn open() -> io::Result<Self> {
        let open = |protocol| {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok::<_, io::Error>(socket)
        };
        let (route, generic) = (open(NETLINK_ROUTE)?, open(NETLINK_GENERIC)?);
        let netdev = family(&generic, "netdev")?;
        Ok(Self { route, generic, netdev })
    }

    /// All interfaces.
    ///
    /// # Errors
    /// Of netlink.
    pub(super) fn links(&self) -> io::Result<Vec<Link>> {
        let mut links: Vec<Link> = self
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?
            .iter()
            .filter_map(
                |message| if let RouteNetlinkMessage::NewLink(message) = message { link(message) } else { None },
            )
            .collect();
        let features = self.features()?;
        for link in &mut links {
            link.features = features.iter().find(|(index, _)| *index == link.index).map(|(_, features)| *features);
        }
        tell_vlans(&mut links);
        Ok(links)
    }

    /// All addresses of this host, on every interface.
    ///
    /// # Errors
    /// Of netlink.
    pub(super) fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
        let told = self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        let address = |message: &RouteNetlinkMessage| {
            if let RouteNetlinkMessage::NewAddress(message) = message { address(message) } else { None }
        };
        Ok(told.iter().filter_map(address).collect())
    }

    /// Whether routes depend on nothing but where a packet goes to: there are the usual routing rules, and others only
    /// for packets with a mark.
    ///
    /// # Errors
    /// Of netlink.
    pub(super) fn rules_are_usual(&self) -> io::Result<bool> {
        let families = [AddressFamily::Inet, AddressFamily::Inet6].map(|family| self.rules(family));
        families.into_iter().try_fold(true, |usual, rules| Ok(usual && rules?.iter().all(is_usual)))
    }

    /// The routing rules of a family, in their order.
    ///
    /// # Errors
    /// Of netlink.
    pub(super) fn rules(&self, family: AddressFamily) -> io::Result<Vec<RuleMessage>> {
        let mut ask = RuleMessage::default();
        ask.header.family = family;
        let rules = match self.dump(RouteNetlinkMessage::GetRule(ask)) {
            // A kernel without rules, or without IPv6.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(vec![]),
            other => other?,
        };
        let rule = |message| if let RouteNetlinkMessage::NewRule(rule) = message { Some(rule) } else { None };
        Ok(rules.into_iter().filter_map(rule).collect())
    }

    /// Carry out a change.
    ///
    /// # Errors
    /// Of netlink.
    pub(super) fn change(&self, what: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(what, flags).map(drop)
    }

    /// Ask for one thing.
    ///
    /// # Errors
    /// Of netlink.
    pub(super) fn ask(&self, what: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(what, NLM_F_ACK | flags)
    }

    fn dump(&self, what: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(what, NLM_F_DUMP)
    }

    fn send(&self, what: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(what));
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        let mut found = vec![];
        for message in exchange(&self.route, &bytes)? {
            let parsed = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&message).map_err(io::Error::other)?;
            if let NetlinkPayload::InnerMessage(inner) = parsed.payload {
                found.push(inner);
            }
        }
        Ok(found)
    }

    /// What drivers can do with XDP, by index.
    fn features(&self) -> io::Result<Vec<(u32, u64)>> {
        let Some(family) = self.netdev else { return Ok(vec![]) };
        let request = generic(family, NLM_F_REQUEST | NLM_F_DUMP, NETDEV_CMD_DEV_GET, &[]);
        let mut found = vec![];
        for message in exchange(&self.generic, &request)? {
            let (index, features) = device(&attributes(&message)).map_err(io::Error::other)?;
            found.push((index, features));
        }
        Ok(found)
    }
}

/// Its number, and what it can do.
fn device(told: &Reader<'_>) -> Result<(u32, u64), AnswerError> {
    let index = told.need(NETDEV_A_DEV_IFINDEX, "index of a device")?.u32("index of a device")?;
    let features = told.need(NETDEV_A_DEV_XDP_FEATURES, "XDP features")?;
    Ok((index, features.counter("XDP features")?))
}

/// What follows the headers.
fn attributes(message: &[u8]) -> Reader<'_> {
    Reader::new(message.get(HEADER + GENERIC_HEADER..).unwrap_or_default())
}

fn link(message: &LinkMessage) -> Option<Link> {
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, up, ..Link::default() };
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            link.name.clone_from(name);
        } else if let LinkAttribute::IfAlias(alias) = attribute {
            link.alias = Some(alias.clone());
        } else if let LinkAttribute::Address(bytes) = attribute {
            let mac = <[u8; 6]>::try_from(bytes.as_slice()).ok();
            link.mac = mac.filter(|_| message.header.link_layer_type == LinkLayerType::Ether);
        } else if let LinkAttribute::Controller(index) = attribute {
            link.is_port = *index != 0;
        } else if let LinkAttribute::Link(index) = attribute {
            link.below = Some(*index);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            link.kind =
                infos.iter().find_map(|info| if let LinkInfo::Kind(kind) = info { Some(kind.clone()) } else { None });
        } else if let LinkAttribute::Xdp(told) = attribute {
            let attached =
                told.iter().find_map(|one| if let LinkXdp::Attached(attached) = one { Some(*attached) } else { None });
            link.attached = attached.filter(|attached| *attached != XdpAttached::None);
        }
    }
    Some(link).filter(|link| !link.name.is_empty())
}

fn tell_vlans(links: &mut [Link]) {
    let vlans = links.iter().filter(|link| link.kind == Some(InfoKind::Vlan));
    let below: BTreeSet<u32> = vlans.filter_map(|vlan| vlan.below).collect();
    for link in links {
        link.has_vlans = below.contains(&link.index);
    }
}

/// Of a link between two hosts `IFA_ADDRESS` is the other end's; IPv6 mostly has no other.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let mut found = None;
    for attribute in &message.attributes {
        if let AddressAttribute::Local(addr) = attribute {
            return Some(*addr);
        } else if let AddressAttribute::Address(addr) = attribute {
            found = Some(*addr);
        }
    }
    found
}

fn is_usual(rule: &RuleMessage) -> bool {
    let (mut priority, mut mark, mut counts, mut table) = (0, 0, u32::MAX, 0);
    for attribute in &rule.attributes {
        if let RuleAttribute::Priority(told) = attribute {
            priority = *told;
        } else if let RuleAttribute::FwMark(told) = attribute {
            mark = *told;
        } else if let RuleAttribute::FwMask(told) = attribute {
            counts = *told;
        } else if let RuleAttribute::Table(told) = attribute {
            table = *told;
        }
    }
    // The programs ask without a mark.
    USUAL_PRIORITIES.contains(&priority) || table == RT_TABLE_LOCAL || mark & counts != 0
}

/// The number of a family of generic netlink; `None`: the kernel does not have it.
fn family(socket: &Socket, name: &str) -> io::Result<Option<u16>> {
    let mut body = Writer::default();
    body.name(CTRL_ATTR_FAMILY_NAME, name);
    // One answer, without an end: as a dump it would be all families.
    socket.send(&generic(CONTROL, NLM_F_REQUEST, CTRL_CMD_GETFAMILY, &body.finish()), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    if u16_at(&answer, 4) == Some(NLMSG_ERROR) {
        return Ok(None);
    }
    let number = attributes(&answer).need(CTRL_ATTR_FAMILY_ID, "number of a family").map_err(io::Error::other)?;
    number.u16("number of a family").map(Some).map_err(io::Error::other)
}

/// A request (`struct nlmsghdr`, `struct genlmsghdr`).
fn generic(family: u16, flags: u16, command: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + GENERIC_HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(family.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(body);
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Send, and take all messages of the answer.
fn exchange(socket: &Socket, request: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    socket.send(request, 0)?;
    let mut messages = vec![];
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some(length) = rest.get(..4).and_then(|four| four.try_into().ok()).map(u32::from_ne_bytes) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some(message) = rest.get(..length).filter(|message| message.len() >= HEADER) else { break };
            match u16_at(message, 4) {
                Some(NLMSG_DONE) => return Ok(messages),
                Some(NLMSG_ERROR) => {
                    let code = message.get(HEADER..HEADER + 4).and_then(|four| four.try_into().ok());
                    return match code.map_or(-libc::EIO, i32::from_ne_bytes) {
                        0 => Ok(messages),
                        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                    };
                }
                Some(_) | None => messages.push(message.to_vec()),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_below_a_vlan_is_known() {
        let link = |index, kind, below| Link { index, kind, below, ..Link::default() };
        let mut links = [
            link(2, None, None),
            link(3, None, None),
            link(4, Some(InfoKind::Vlan), Some(2)),
            // A tag in a tag.
            link(5, Some(InfoKind::Vlan), Some(4)),
            link(6, Some(InfoKind::MacVlan), Some(3)),
        ];
        tell_vlans(&mut links);
        let below: Vec<u32> = links.iter().filter(|link| link.has_vlans).map(|link| link.index).collect();
        assert_eq!(below, [2, 4]);
    }
}
