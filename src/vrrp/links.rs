//! The interfaces and their addresses, as one full snapshot of the kernel. Reading it is `io/link.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::damping::Flap;
use super::happened::{Happened, LinkState};
use super::settings::{Settings, Tracked, Transport};
use crate::base::{Cidr, Family, IfName, MonoTime};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(pub BTreeMap<IfName, Link>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    /// Up, and with a carrier (`IFF_RUNNING`).
    pub running: bool,
    /// Ethernet address; `None` on links without one.
    pub mac: Option<[u8; 6]>,
    /// How often it lost its carrier, as the kernel counts (`IFLA_CARRIER_DOWN_COUNT`).
    pub downs: u32,
    /// In the kernel's order: the primary addresses of a subnet come first.
    pub addresses: Vec<Held>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub cidr: Cidr,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// It carries our mark: this daemon, or one before it, put it there.
    pub ours: bool,
    /// Not tentative, not a failed duplicate.
    pub usable: bool,
}

impl Held {
    /// Whether the kernel takes it for this one: IPv4 addresses differ by their prefixes too, IPv6 addresses do not.
    pub fn is_same_as(&self, cidr: Cidr) -> bool {
        match cidr.family() {
            Family::V4 => self.cidr == cidr,
            Family::V6 => self.cidr.addr() == cidr.addr(),
        }
    }
}

impl Links {
    pub fn get(&self, name: &IfName) -> Option<&Link> {
        self.0.get(name)
    }

    pub fn state(&self, name: &IfName) -> LinkState {
        match self.get(name) {
            None => LinkState::Gone,
            Some(link) if link.running => LinkState::Up,
            Some(_) => LinkState::Down,
        }
    }

    /// The address that adverts of this virtual router come from.
    pub fn source(&self, settings: &Settings) -> Option<IpAddr> {
        if let Some(source) = settings.transport.source() {
            return Some(source);
        }
        let link = self.get(&settings.interface)?;
        let is_virtual = |addr: IpAddr| settings.addresses.iter().any(|address| address.cidr.addr() == addr);
        let mut candidates = link
            .addresses
            .iter()
            .filter(|held| !held.ours && held.usable && held.cidr.family() == settings.family)
            .map(|held| held.cidr.addr())
            .filter(|addr| is_link_local(*addr) == wants_link_local(settings));
        let first = candidates.next();
        // The owner's address is virtual and real at once; anything else comes before it.
        first.filter(|addr| !is_virtual(*addr)).or_else(|| candidates.find(|addr| !is_virtual(*addr))).or(first)
    }
}

/// What changed of the interfaces that this virtual router uses or tracks.
pub fn changes(at: MonoTime, settings: &Settings, before: &Links, after: &Links) -> Vec<Happened> {
    let changed = watched(settings).into_iter().filter(|name| before.state(name) != after.state(name));
    changed
        .map(|name| {
            let (instance, interface) = (settings.name.clone(), name.clone());
            Happened::LinkChanged { at, instance, interface, state: after.state(name) }
        })
        .collect()
}

/// What changed of them for a moment.
pub fn flaps(at: MonoTime, settings: &Settings, flaps: &[Flap]) -> Vec<Happened> {
    let watched = watched(settings);
    let concern = flaps.iter().filter(|flap| watched.contains(&flap.interface)).cloned();
    concern
        .map(|Flap { interface, state, lasted, count }| {
            let instance = settings.name.clone();
            Happened::LinkFlapped { at, instance, interface, state, lasted, count }
        })
        .collect()
}

/// The interfaces that this virtual router uses or tracks.
fn watched(settings: &Settings) -> BTreeSet<&IfName> {
    let tracked = settings.track.iter().filter_map(|track| match &track.what {
        Tracked::Interface(name) => Some(name),
        Tracked::Script(_) | Tracked::File(_) | Tracked::Process(_) | Tracked::Bfd(_) | Tracked::Static(_) => None,
    });
    std::iter::once(&settings.interface).chain(tracked).collect()
}

/// Whether it was down between two snapshots: the kernel then drops its IPv6 addresses, and nobody removed them.
pub fn was_down(name: &IfName, before: &Links, now: &Links) -> bool {
    before.get(name).zip(now.get(name)).is_some_and(|(old, new)| old.downs != new.downs)
}

/// Whether one is down that was up, was down in between, or is another one.
pub fn any_went_down(before: &Links, now: &Links) -> bool {
    let went = |(name, old): (&IfName, &Link)| {
        now.get(name).is_none_or(|new| old.running && !new.running || old.index != new.index || old.downs != new.downs)
    };
    before.0.iter().any(went)
}

/// The addresses that each link lost; not those of a link that is down, but those of one of our own that is gone.
pub fn lost<'a>(before: &'a Links, now: &Links, devices: &BTreeSet<&IfName>) -> BTreeMap<&'a IfName, BTreeSet<Cidr>> {
    let cidrs = |link: &Link| link.addresses.iter().map(|held| held.cidr).collect::<BTreeSet<_>>();
    let lost_by = |(name, link): (&'a IfName, &Link)| match now.get(name) {
        Some(now) if now.running && link.addresses != now.addresses => {
            Some((name, cidrs(link).difference(&cidrs(now)).copied().collect()))
        }
        None if devices.contains(name) => Some((name, cidrs(link))),
        Some(_) | None => None,
    };
    before.0.iter().filter_map(lost_by).collect()
}

/// IPv6 adverts come from the link-local address (RFC 9568 section 5.1.2.1), except to unicast peers elsewhere.
fn wants_link_local(settings: &Settings) -> bool {
    match (&settings.transport, settings.family) {
        (_, Family::V4) => false,
        (Transport::Multicast { .. }, Family::V6) => true,
        (Transport::Unicast { peers, .. }, Family::V6) => peers.iter().all(|peer| is_link_local(peer.addr)),
    }
}

pub(super) const fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Vrid;
    use crate::vrrp::settings::VirtualAddress;

    #[test]
    fn the_source_is_no_virtual_address_unless_there_is_no_other() {
        let held = |cidr: &str, ours| Held { cidr: cidr.parse().unwrap(), peer: None, ours, usable: true };
        let eth0: IfName = "eth0".parse().unwrap();
        let links = |addresses| {
            Links([(eth0.clone(), Link { index: 2, running: true, mac: None, downs: 0, addresses })].into())
        };
        let mut v4 = Settings::new("VI_1", eth0.clone(), Vrid::new(1).unwrap(), Family::V4);
        v4.addresses = vec![VirtualAddress::new("10.0.0.9/24".parse().unwrap())];
        let v6 = Settings::new("VI_2", eth0.clone(), Vrid::new(1).unwrap(), Family::V6);
        let rows = [
            ("none", &v4, vec![], None),
            ("only ours", &v4, vec![held("10.0.0.9/24", true)], None),
            ("owner", &v4, vec![held("10.0.0.9/24", false)], Some("10.0.0.9")),
            ("owner with another", &v4, vec![held("10.0.0.9/24", false), held("10.0.0.2/24", false)], Some("10.0.0.2")),
            ("the first", &v4, vec![held("10.0.0.3/24", false), held("10.0.0.2/24", false)], Some("10.0.0.3")),
            ("link-local", &v6, vec![held("2001:db8::1/64", false), held("fe80::1/64", false)], Some("fe80::1")),
        ];
        for (name, settings, addresses, expected) in rows {
            let expected = expected.map(|addr| addr.parse().unwrap());
            assert_eq!(links(addresses).source(settings), expected, "{name}");
        }
    }
}
