//! Virtual addresses in the kernel, each with a lease: without renewal the kernel removes it by itself.

use std::net::IpAddr;

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};

use crate::base::{AddressOptions, Cidr};
use crate::vrrp::settings::VirtualAddress;

/// `IFA_PROTO` of our addresses (`linux/if_addr.h`, Linux 5.18): by it a later run knows what an earlier one left.
/// A number of our own: 1 to 3 are the kernel's.
pub const MARK: u8 = 0x76;

/// Add it, or renew its lease: both are the same request.
///
/// # Errors
/// Of netlink: no such link, no permission.
pub async fn hold(
    handle: &rtnetlink::Handle,
    index: u32,
    address: &VirtualAddress,
    valid_s: u32,
) -> Result<(), rtnetlink::Error> {
    let VirtualAddress { cidr, dev: _, label, broadcast, scope, options, excluded: _ } = address;
    let mut request = handle.address().add(index, cidr.addr(), cidr.prefix_len()).replace();
    let message = request.message_mut();
    message.header.scope = AddressScope::from(*scope);
    // The builder of the library adds a broadcast address of its own choice.
    message.attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
    if let Some(peer) = options.peer {
        message
            .attributes
            .retain(|attribute| !matches!(attribute, AddressAttribute::Address(_) | AddressAttribute::Local(_)));
        message.attributes.extend(ends(*cidr, Some(peer)));
    }
    let mut add = |attribute| message.attributes.push(attribute);
    // keepalived's way: a lone IPv6 address is never chosen as a source.
    let lone = matches!(cidr.addr(), IpAddr::V6(_)) && cidr.prefix_len() == 128;
    let preferred = if options.preferred.unwrap_or(!lone) { valid_s } else { 0 };
    let mut lease = CacheInfo::default();
    (lease.ifa_preferred, lease.ifa_valid) = (preferred, valid_s);
    add(AddressAttribute::CacheInfo(lease));
    add(AddressAttribute::Protocol(AddressProtocol::Other(MARK)));
    let mut flags = flags(*options);
    match cidr.addr() {
        IpAddr::V4(_) => {
            if let Some(label) = label {
                add(AddressAttribute::Label(label.clone()));
            }
            if let Some(broadcast) = broadcast {
                add(AddressAttribute::Broadcast(*broadcast));
            }
        }
        // The election has decided: nobody else may have it, and there is no time to ask.
        IpAddr::V6(_) => flags |= AddressFlags::Nodad,
    }
    if !flags.is_empty() {
        add(AddressAttribute::Flags(flags));
    }
    request.execute().await
}

fn flags(options: AddressOptions) -> AddressFlags {
    let AddressOptions { preferred: _, home, manage_temporary, no_prefix_route, auto_join, peer: _ } = options;
    let rows = [
        (home, AddressFlags::Homeaddress),
        (manage_temporary, AddressFlags::Managetempaddr),
        (no_prefix_route, AddressFlags::Noprefixroute),
        (auto_join, AddressFlags::Mcautojoin),
    ];
    rows.iter().filter(|(on, _)| *on).fold(AddressFlags::empty(), |all, (_, flag)| all | *flag)
}

/// Ours, and what the kernel finds the address by: the peer, where there is one (`linux/if_addr.h`).
fn ends(cidr: Cidr, peer: Option<IpAddr>) -> [AddressAttribute; 2] {
    [AddressAttribute::Local(cidr.addr()), AddressAttribute::Address(peer.unwrap_or(cidr.addr()))]
}

/// Remove it, which has this peer; one that is gone already is fine, and so is its link.
///
/// # Errors
/// Of netlink: no permission.
pub async fn release(
    handle: &rtnetlink::Handle,
    index: u32,
    cidr: Cidr,
    peer: Option<IpAddr>,
) -> Result<(), rtnetlink::Error> {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = cidr.prefix_len();
    message.header.family = match cidr.addr() {
        IpAddr::V4(_) => netlink_packet_route::AddressFamily::Inet,
        IpAddr::V6(_) => netlink_packet_route::AddressFamily::Inet6,
    };
    message.attributes = ends(cidr, peer).into();
    match handle.address().del(message).execute().await {
        Err(rtnetlink::Error::NetlinkError(error))
            if [-libc::EADDRNOTAVAIL, -libc::ENODEV].contains(&error.raw_code()) =>
        {
            Ok(())
        }
        done => done,
    }
}
