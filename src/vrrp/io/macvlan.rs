//! The interface of a virtual router with a MAC address of its own: a macvlan in private mode.
//!
//! It is up only while its router is Active: a Backup neither takes nor sends frames of the virtual MAC (RFC 9568
//! section 6.4.2), so that no membership report of it teaches a switch the wrong port.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkInfo, LinkMessage, MacVlanMode};
use rtnetlink::{LinkMacVlan, LinkUnspec};

use super::link::dump;
use super::sysctl;
use crate::base::{Family, IfName};
use crate::vrrp::settings::Vmac;

/// By this alias a later run knows what an earlier one left (`IFLA_IFALIAS`).
const ALIAS: &str = "vipd: a virtual router's interface";

/// Why there is no such interface.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("there is no interface {base} to stand on")]
    NoBase { base: IfName },
    #[error("there is an interface {name} that is not ours")]
    NameTaken { name: IfName },
    #[error("{name}: {source}")]
    Netlink { name: IfName, source: rtnetlink::Error },
    #[error("{name}: {source}")]
    Sysctl { name: IfName, source: io::Error },
}

/// One that is there.
#[derive(Debug, Default)]
struct Found {
    index: u32,
    name: String,
    alias: Option<String>,
    base: Option<u32>,
    mac: Vec<u8>,
    private_macvlan: bool,
}

/// Make it, down, or take the one that an earlier run left; gives its index.
///
/// # Errors
/// [`DeviceError`].
pub async fn ensure(handle: &rtnetlink::Handle, base: u32, vmac: &Vmac) -> Result<u32, DeviceError> {
    let Vmac { name, mac, ipv6, xmit_base: _ } = vmac;
    let netlink = |source| DeviceError::Netlink { name: name.clone(), source };
    let all = dump(handle, RouteNetlinkMessage::GetLink(LinkMessage::default())).await.map_err(netlink)?;
    let mut ours = None;
    for found in all.into_iter().filter_map(found) {
        let same_name = found.name == name.as_str();
        let fits = found.private_macvlan && found.base == Some(base) && found.mac == mac;
        if same_name && fits && found.alias.as_deref() == Some(ALIAS) {
            ours = Some(found.index);
        } else if same_name && fits || found.alias.as_deref() == Some(ALIAS) && (same_name || fits) {
            // Left by an earlier run with other settings, since two with one address cannot be up at once; or by a keepalived,
            // with whatever stands on it.
            handle.link().del(found.index).execute().await.map_err(netlink)?;
        } else if same_name {
            return Err(DeviceError::NameTaken { name: name.clone() });
        }
    }
    if let Some(index) = ours {
        set(handle, index, false).await.map_err(netlink)?;
        return Ok(index);
    }
    let message = LinkMacVlan::new(name.as_str(), base, MacVlanMode::Private).address(mac.to_vec()).build();
    handle.link().add(message).execute().await.map_err(netlink)?;
    let alias = LinkUnspec::new_with_name(name.as_str()).alias(ALIAS).build();
    handle.link().set(alias).execute().await.map_err(netlink)?;
    prepare(name, *ipv6).map_err(|source| DeviceError::Sysctl { name: name.clone(), source })?;
    let all = dump(handle, RouteNetlinkMessage::GetLink(LinkMessage::default())).await.map_err(netlink)?;
    let made = all.into_iter().filter_map(found).find(|found| found.name == name.as_str());
    made.map(|made| made.index).ok_or_else(|| netlink(rtnetlink::Error::RequestFailed))
}

/// Up or down.
///
/// # Errors
/// Of netlink: it is gone, or another one with its address is up.
pub async fn set(handle: &rtnetlink::Handle, index: u32, up: bool) -> Result<(), rtnetlink::Error> {
    let link = LinkUnspec::new_with_index(index);
    handle.link().set(if up { link.up() } else { link.down() }.build()).execute().await
}

/// Remove it. One that is gone already is fine.
///
/// # Errors
/// Of netlink.
pub async fn remove(handle: &rtnetlink::Handle, index: u32) -> Result<(), rtnetlink::Error> {
    match handle.link().del(index).execute().await {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ENODEV => Ok(()),
        done => done,
    }
}

/// Remove all that an earlier run left.
///
/// # Errors
/// Of netlink.
pub async fn remove_marked(handle: &rtnetlink::Handle) -> Result<(), rtnetlink::Error> {
    let all = dump(handle, RouteNetlinkMessage::GetLink(LinkMessage::default())).await?;
    for left in all.into_iter().filter_map(found).filter(|found| found.alias.as_deref() == Some(ALIAS)) {
        remove(handle, left.index).await?;
    }
    Ok(())
}

fn found(message: RouteNetlinkMessage) -> Option<Found> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut found = Found { index: message.header.index, ..Found::default() };
    for attribute in message.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            found.name = name;
        } else if let LinkAttribute::IfAlias(alias) = attribute {
            found.alias = Some(alias);
        } else if let LinkAttribute::Link(base) = attribute {
            found.base = Some(base);
        } else if let LinkAttribute::Address(mac) = attribute {
            found.mac = mac;
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            let kind = infos.contains(&LinkInfo::Kind(InfoKind::MacVlan));
            let private = InfoMacVlan::Mode(MacVlanMode::Private);
            let data =
                |info: &LinkInfo| matches!(info, LinkInfo::Data(InfoData::MacVlan(data)) if data.contains(&private));
            found.private_macvlan = kind && infos.iter().any(data);
        }
    }
    Some(found)
}

/// keepalived's switches: it answers for its own addresses alone, takes packets whose way back is by the interface below,
/// and has no address of its own making.
fn prepare(name: &IfName, ipv6: bool) -> io::Result<()> {
    for (switch, value) in [("arp_ignore", 1), ("accept_local", 1), ("rp_filter", 0), ("promote_secondaries", 1)] {
        sysctl::set(Family::V4, name, switch, value)?;
    }
    let silent = [("accept_ra", 0), ("autoconf", 0), ("addr_gen_mode", 1), ("router_solicitations", 0)];
    let switches = silent.iter().copied().chain([("disable_ipv6", u8::from(!ipv6))]);
    for (switch, value) in switches {
        match sysctl::set(Family::V6, name, switch, value) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !ipv6 => return Ok(()),
            done => done?,
        }
    }
    Ok(())
}
