//! What has to be heard, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Fleet;
use crate::base::{Family, IfName};
use crate::vrrp::settings::Transport;

/// What a socket is to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Multicast groups; none for unicast.
    pub groups: BTreeSet<IpAddr>,
    /// Packets with an Authentication Header too.
    pub sealed: bool,
    /// Interfaces of virtual routers: the kernel gives packets from such a hardware address to them alone.
    pub devices: BTreeMap<IfName, [u8; 6]>,
}

impl Fleet {
    /// Where packets come from: what is heard per interface and family.
    pub fn sockets(&self) -> BTreeMap<(IfName, Family), Heard> {
        let mut needed: BTreeMap<_, Heard> = BTreeMap::new();
        for instance in &self.instances {
            let settings = &instance.settings;
            let heard = needed.entry((settings.interface.clone(), settings.family)).or_default();
            heard.sealed |= instance.seal().is_some() && settings.family == Family::V4;
            heard.devices.extend(settings.vmac.as_ref().map(|vmac| (vmac.name.clone(), vmac.mac)));
            match &settings.transport {
                Transport::Multicast { group, .. } => _ = heard.groups.insert(*group),
                Transport::Unicast { .. } => (),
            }
        }
        needed
    }
}
