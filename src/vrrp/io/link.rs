//! Links and addresses, always read whole: a message of the kernel only says that it is time to look again.

use std::collections::BTreeMap;
use std::io;

use futures_util::StreamExt as _;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};
use nix::sys::socket::{setsockopt, sockopt};

use super::address::MARK;
use crate::base::{Cidr, IfName};
use crate::vrrp::links::{Held, Link, Links};

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR` (`linux/rtnetlink.h`).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// Messages that wait while we are busy: every renewal of an address is told too.
const RECEIVE_BUFFER: usize = 8 << 20;
/// So often a list is asked for again that changed while it was read (`NLM_F_DUMP_INTR`).
const READS_MAX: usize = 4;

/// Read all links and addresses.
///
/// # Errors
/// Of netlink, and [`rtnetlink::Error::RequestFailed`] where the lists change faster than they can be read.
pub async fn snapshot(handle: &rtnetlink::Handle) -> Result<Links, rtnetlink::Error> {
    let (mut links, mut addresses) = (Links::default(), BTreeMap::<u32, Vec<Held>>::new());
    // Before the links: an address that a link loses as it goes down is not missed on a link that is up.
    for message in dump(handle, RouteNetlinkMessage::GetAddress(AddressMessage::default())).await? {
        if let RouteNetlinkMessage::NewAddress(message) = message {
            addresses.entry(message.header.index).or_default().extend(held(&message));
        }
    }
    for message in dump(handle, RouteNetlinkMessage::GetLink(LinkMessage::default())).await? {
        if let RouteNetlinkMessage::NewLink(message) = message
            && let Some((name, link)) = link(&message)
        {
            let addresses = addresses.remove(&link.index).unwrap_or_default();
            links.0.insert(name, Link { addresses, ..link });
        }
    }
    Ok(links)
}

/// A whole list: one that changed while it was read may lack what did not change.
pub(super) async fn dump(
    handle: &rtnetlink::Handle,
    what: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, rtnetlink::Error> {
    for _ in 0..READS_MAX {
        let mut request = NetlinkMessage::from(what.clone());
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut answers = std::pin::pin!(handle.clone().request(request)?);
        let (mut all, mut interrupted) = (vec![], false);
        while let Some(answer) = answers.next().await {
            let (header, payload) = answer.into_parts();
            interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
            if let NetlinkPayload::InnerMessage(message) = payload {
                all.push(message);
            } else if let NetlinkPayload::Error(error) = payload {
                return Err(rtnetlink::Error::NetlinkError(error));
            }
        }
        if !interrupted {
            return Ok(all);
        }
    }
    Err(rtnetlink::Error::RequestFailed)
}

/// A link with a name that we can speak of.
fn link(message: &LinkMessage) -> Option<(IfName, Link)> {
    let flags = message.header.flags;
    let (mut name, mut mac, mut downs) = (None, None, 0);
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(text) = attribute {
            name = text.parse().ok();
        } else if let LinkAttribute::CarrierDownCount(count) = attribute {
            downs = *count;
        } else if let LinkAttribute::Address(bytes) = attribute
            && message.header.link_layer_type == LinkLayerType::Ether
        {
            mac = <[u8; 6]>::try_from(bytes.as_slice()).ok();
        }
    }
    let running = flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::Running);
    Some((name?, Link { index: message.header.index, running, mac, downs, addresses: vec![] }))
}

fn held(message: &AddressMessage) -> Option<Held> {
    let (mut address, mut local, mut ours) = (None, None, false);
    let header = message.header.flags;
    let mut usable = !header.contains(AddressHeaderFlags::Tentative) && !header.contains(AddressHeaderFlags::Dadfailed);
    for attribute in &message.attributes {
        if let AddressAttribute::Address(addr) = attribute {
            address = Some(*addr);
        } else if let AddressAttribute::Local(addr) = attribute {
            local = Some(*addr);
        } else if let AddressAttribute::Protocol(protocol) = attribute {
            ours = *protocol == AddressProtocol::Other(MARK);
        } else if let AddressAttribute::Flags(flags) = attribute {
            // An optimistic address may be used while it is tentative (RFC 4429).
            let tentative = flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic);
            usable = !tentative && !flags.contains(AddressFlags::Dadfailed);
        }
    }
    // On a point-to-point link `Address` is the peer's, and `Local` ours.
    let own = local.or(address)?;
    let peer = address.filter(|address| *address != own);
    Some(Held { cidr: Cidr::new(own, message.header.prefix_len).ok()?, peer, ours, usable })
}

/// A socket that tells when links or addresses change.
pub struct Watcher {
    socket: TokioSocket,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// What woke a [`Watcher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    Changed,
    /// The kernel had more to tell than the socket could hold (`ENOBUFS`).
    Overrun,
}

impl Watcher {
    /// # Errors
    /// Of netlink.
    pub fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
        // Beyond the system's limit where we may; else as much as there is, and more overruns.
        let _ = setsockopt(socket.socket_ref(), sockopt::RcvBufForce, &RECEIVE_BUFFER);
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
        Ok(Self { socket })
    }

    /// Wait for the next change.
    ///
    /// # Errors
    /// Of netlink, other than [`Woken::Overrun`].
    pub async fn changed(&mut self) -> io::Result<Woken> {
        match self.socket.recv_from_full().await {
            Ok(_) => Ok(Woken::Changed),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Woken::Overrun),
            Err(error) => Err(error),
        }
    }
}
