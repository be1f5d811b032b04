//! Links and addresses, always read whole: a message of the kernel only says that it is time to look again.

use std::io;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};

use super::address::MARK;
use crate::base::{Cidr, IfName};
use crate::vrrp::links::{Held, Link, Links};

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR` (`linux/rtnetlink.h`).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

/// Read all links and addresses.
///
/// # Errors
/// Of netlink.
pub async fn snapshot(handle: &rtnetlink::Handle) -> Result<Links, rtnetlink::Error> {
    let mut links = Links::default();
    let mut names: Vec<(u32, IfName)> = vec![];
    collect(handle.link().get().execute(), |message| {
        if let Some((name, link)) = link(&message) {
            names.push((link.index, name.clone()));
            links.0.insert(name, link);
        }
    })
    .await?;
    collect(handle.address().get().execute(), |message| {
        let name = names.iter().find(|(index, _)| *index == message.header.index).map(|(_, name)| name);
        if let (Some(link), Some(held)) = (name.and_then(|name| links.0.get_mut(name)), held(&message)) {
            link.addresses.push(held);
        }
    })
    .await?;
    Ok(links)
}

async fn collect<T>(
    stream: impl Stream<Item = Result<T, rtnetlink::Error>>,
    mut each: impl FnMut(T),
) -> Result<(), rtnetlink::Error> {
    let mut stream = std::pin::pin!(stream.into_stream());
    while let Some(message) = stream.next().await {
        each(message?);
    }
    Ok(())
}

/// A link with a name that we can speak of.
fn link(message: &LinkMessage) -> Option<(IfName, Link)> {
    let flags = message.header.flags;
    let (mut name, mut mac) = (None, None);
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(text) = attribute {
            name = text.parse().ok();
        } else if let LinkAttribute::Address(bytes) = attribute
            && message.header.link_layer_type == LinkLayerType::Ether
        {
            mac = <[u8; 6]>::try_from(bytes.as_slice()).ok();
        }
    }
    let running = flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::Running);
    Some((name?, Link { index: message.header.index, running, mac, addresses: vec![] }))
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
    Some(Held { cidr: Cidr::new(local.or(address)?, message.header.prefix_len).ok()?, ours, usable })
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
