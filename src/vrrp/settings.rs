//! What a virtual router is asked to do. The supervisor writes it from the configuration.
//!
//! Nothing here decides: [`super::router`], [`super::track`] and [`super::group`] do.

mod checksum;
mod device;
mod garp;
mod link_delay;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use checksum::{Checksums, OldUnicastChecksum};
pub use device::{Device, Vmac};
pub use garp::{Garp, GarpLane};
pub use link_delay::LinkDelay;

use crate::base::{AddressOptions, AdvertInterval, Cidr, Family, IfName, Priority, Route, Rule, Vrid};

/// Virtual routers that one heartbeat drives.
pub const INSTANCES_MAX: usize = 4096;
/// Addresses of one virtual router, those outside the packet included.
pub const ADDRESSES_MAX: usize = 8192;
/// Routes, and rules, of one virtual router.
pub const ROUTES_MAX: usize = 8192;
/// Addresses that one advert carries: the count is one byte (RFC 9568 section 5.2.5).
pub const ADVERTISED_MAX: usize = 255;
/// Unicast peers of one virtual router.
pub const PEERS_MAX: usize = 255;

/// 224.0.0.18 (RFC 9568 section 5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// `ff02::12` (RFC 9568 section 5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// What names a virtual router across a reload: names do not matter, as in keepalived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    pub interface: IfName,
    pub family: Family,
    pub vrid: Vrid,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        write!(f, "{family} virtual router {} on {}", self.vrid, self.interface)
    }
}

/// Protocol version: 2 is RFC 3768 (IPv4 only), 3 is RFC 9568.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Version {
    V2,
    V3,
}

impl Version {
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// One virtual router, as the configuration wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the configuration, free of the others")]
pub struct Settings {
    pub name: String,
    pub vrid: Vrid,
    /// Family of the packets and of the addresses inside them.
    pub family: Family,
    pub interface: IfName,
    /// `dynamic_interfaces`: it may be driven before its interface is there.
    pub waits_for_interface: bool,
    /// `use_vmac`: the addresses stand on an interface of their own, with the virtual MAC address.
    pub vmac: Option<Vmac>,
    /// `use_vmac` of addresses and `use_vmac_addr`: more such interfaces; addresses name them as their `dev`.
    pub address_devices: Vec<Device>,
    pub version: Version,
    /// Base priority; trackers with a weight move it.
    pub priority: Priority,
    /// `state MASTER`: only the first timer is short.
    pub start_as_active: bool,
    pub interval: AdvertInterval,
    /// `down_timer_adverts`: intervals of silence until the Active counts as gone, 1..=100; 3 by RFC 9568.
    pub down_timer_adverts: u8,
    pub preempt: bool,
    /// Counted from the first advert of a lesser Active; zero: none.
    pub preempt_delay: Duration,
    /// Of VRRPv2 (RFC 2338 section 5.3.6); never sent in VRRPv3.
    pub auth: Option<Authentication>,
    pub transport: Transport,
    /// `track_src_ip`: a configured source address that is not on the interface is a fault.
    pub track_source: bool,
    /// Order counts: the advert lists them so.
    pub addresses: Vec<VirtualAddress>,
    /// `lower_prio_no_advert`.
    pub silent_to_lower: bool,
    /// `higher_prio_send_advert`: one advert before it steps down.
    pub last_word: bool,
    /// `owner_ignore_adverts`: with priority 255, what others advertise is counted and moves nothing.
    pub owner_ignores_adverts: bool,
    /// An advert that lists other addresses than ours: `false` takes it and warns (a change that rolls over the
    /// routers one by one is no failure), `true` drops it (keepalived's rule).
    pub strict_address_list: bool,
    pub checksums: Checksums,
    /// Held with the addresses.
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
    /// The sysctl of that name on the interface: when a primary address goes, the next of its subnet takes its place.
    pub promote_secondaries: bool,
    pub garp: Garp,
    /// By interfaces that its addresses stand on: with whom announcements there are spaced, and how far. Without an
    /// entry: with those on that interface, by `garp`.
    pub garp_lanes: BTreeMap<IfName, GarpLane>,
    pub track: Vec<Track>,
    /// Of the interfaces that it uses or tracks.
    pub link_delays: Vec<LinkDelay>,
    /// The state of `interface` itself is no fault.
    pub dont_track_primary: bool,
    pub sync_group: Option<SyncGroup>,
    /// `no_accept` clears it: packets for the addresses are dropped, but for those of neighbour discovery.
    pub accept: bool,
}

impl Settings {
    /// A virtual router with keepalived's defaults and no address: version 2 for IPv4, 3 for IPv6.
    pub fn new(name: &str, interface: IfName, vrid: Vrid, family: Family) -> Self {
        Self {
            name: name.to_owned(),
            vrid,
            family,
            interface,
            waits_for_interface: false,
            vmac: None,
            address_devices: vec![],
            version: match family {
                Family::V4 => Version::V2,
                Family::V6 => Version::V3,
            },
            priority: Priority::DEFAULT,
            start_as_active: false,
            interval: AdvertInterval::DEFAULT,
            down_timer_adverts: 3,
            preempt: true,
            preempt_delay: Duration::ZERO,
            auth: None,
            transport: Transport::multicast(family),
            track_source: false,
            addresses: vec![],
            routes: vec![],
            rules: vec![],
            promote_secondaries: false,
            silent_to_lower: false,
            last_word: true,
            owner_ignores_adverts: false,
            strict_address_list: false,
            checksums: Checksums::default(),
            garp: Garp::default(),
            garp_lanes: BTreeMap::new(),
            track: vec![],
            link_delays: vec![],
            dont_track_primary: false,
            sync_group: None,
            accept: true,
        }
    }

    pub fn key(&self) -> Key {
        Key { interface: self.interface.clone(), family: self.family, vrid: self.vrid }
    }

    /// Check what one virtual router and all together must hold.
    ///
    /// # Errors
    /// The first [`SettingsError`].
    pub fn check_all<S: Borrow<Self>>(all: &[S]) -> Result<(), SettingsError> {
        let all: Vec<&Self> = all.iter().map(Borrow::borrow).collect();
        at_most("virtual routers", all.len(), INSTANCES_MAX)?;
        let mut names: BTreeMap<Key, &str> = BTreeMap::new();
        let mut devices: BTreeSet<&IfName> = all.iter().map(|settings| &settings.interface).collect();
        for settings in all {
            at_most("addresses of a virtual router", settings.addresses.len(), ADDRESSES_MAX)?;
            at_most("routes of a virtual router", settings.routes.len(), ROUTES_MAX)?;
            at_most("rules of a virtual router", settings.rules.len(), ROUTES_MAX)?;
            match &settings.transport {
                Transport::Multicast { .. } => (),
                Transport::Unicast { peers, .. } => at_most("unicast peers", peers.len(), PEERS_MAX)?,
            }
            if settings.version == Version::V2 && settings.family == Family::V6 {
                return Err(SettingsError::Version2OverIpv6 { instance: settings.name.clone() });
            }
            let fits = match settings.version {
                Version::V2 => settings.interval.fits_v2(),
                Version::V3 => settings.interval.fits_v3(),
            };
            if !fits {
                return Err(SettingsError::Interval {
                    instance: settings.name.clone(),
                    version: settings.version.number(),
                });
            }
            let own = settings.vmac.iter().chain(settings.address_devices.iter().map(|device| &device.vmac));
            for Vmac { name, .. } in own {
                if !devices.insert(name) {
                    return Err(SettingsError::Device { instance: settings.name.clone(), device: name.clone() });
                }
            }
            if let Some(first) = names.insert(settings.key(), &settings.name) {
                return Err(SettingsError::Duplicate { first: first.to_owned(), second: settings.name.clone() });
            }
        }
        Ok(())
    }

    /// The addresses that the advert lists: not the excluded ones, one family, at most [`ADVERTISED_MAX`].
    pub fn advertised(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses
            .iter()
            .filter(|address| !address.excluded && address.cidr.family() == self.family)
            .map(|address| address.cidr.addr())
            .take(ADVERTISED_MAX)
    }
}

fn at_most(what: &'static str, got: usize, most: usize) -> Result<(), SettingsError> {
    if got > most { Err(SettingsError::TooMany { what, got, most }) } else { Ok(()) }
}

/// Settings that cannot be driven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("`{first}` and `{second}` are the same virtual router: VRID, family and interface are equal")]
    Duplicate { first: String, second: String },
    #[error("`{instance}`: {device} is the name of another interface, too")]
    Device { instance: String, device: IfName },
    #[error("{what}: {got} is more than {most}")]
    TooMany { what: &'static str, got: usize, most: usize },
    #[error("`{instance}`: VRRPv2 cannot carry IPv6")]
    Version2OverIpv6 { instance: String },
    #[error("`{instance}`: VRRPv{version} cannot carry this advert interval (v2: whole seconds, v3: up to 40.95 s)")]
    Interval { instance: String, version: u8 },
}

/// Where adverts go and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    Multicast {
        group: IpAddr,
        /// `mcast_src_ip`; `None`: the first address of the interface (IPv6: its link-local one).
        source: Option<IpAddr>,
    },
    Unicast {
        source: Option<IpAddr>,
        /// None is a fault.
        peers: Vec<Peer>,
        /// `unicast_ttl`: TTL or hop limit of our adverts.
        ttl: u8,
        /// `check_unicast_src`: drop adverts of anybody who is not in `peers`.
        only_peers: bool,
    },
}

/// One line of `unicast_peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub addr: IpAddr,
    /// TTL or hop limit of what comes from it; 255 proves that it came over no router.
    pub ttl: RangeInclusive<u8>,
}

impl Peer {
    /// As keepalived has it where nothing is said: any TTL.
    pub const fn new(addr: IpAddr) -> Self {
        Self { addr, ttl: 0..=u8::MAX }
    }
}

impl Transport {
    /// TTL or hop limit of our adverts.
    pub const fn ttl(&self) -> u8 {
        match self {
            Self::Multicast { .. } => u8::MAX,
            Self::Unicast { ttl, .. } => *ttl,
        }
    }

    pub const fn multicast(family: Family) -> Self {
        let group = match family {
            Family::V4 => IpAddr::V4(GROUP_V4),
            Family::V6 => IpAddr::V6(GROUP_V6),
        };
        Self::Multicast { group, source: None }
    }

    pub const fn source(&self) -> Option<IpAddr> {
        match self {
            Self::Multicast { source, .. } | Self::Unicast { source, .. } => *source,
        }
    }
}

/// How adverts of VRRPv2 are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Type 1: the password stands in the advert.
    Password(Password),
    /// Type 2: the advert is sealed by an Authentication Header whose key the password is; see [`super::ah`].
    Header(Password),
}

/// `auth_pass`: 8 bytes, padded with zeros. It is not shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password([u8; 8]);

impl Password {
    /// What is longer than 8 bytes is cut, as keepalived does.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(bytes)
    }

    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// One virtual address as `virtual_ipaddress` writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualAddress {
    pub cidr: Cidr,
    /// `None`: the interface of the virtual router.
    pub dev: Option<IfName>,
    /// IPv4 only; the kernel wants it to begin with the interface's name.
    pub label: Option<String>,
    /// IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// `RT_SCOPE_*` (`linux/rtnetlink.h`); 0 is global.
    pub scope: u8,
    pub options: AddressOptions,
    /// `virtual_ipaddress_excluded`: held and announced, and not listed in the advert.
    pub excluded: bool,
}

impl VirtualAddress {
    pub const fn new(cidr: Cidr) -> Self {
        let options = AddressOptions::NONE;
        Self { cidr, dev: None, label: None, broadcast: None, scope: 0, options, excluded: false }
    }
}

/// What a virtual router has in the kernel, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    pub addresses: Vec<VirtualAddress>,
    pub routes: Vec<Route>,
    pub rules: Vec<Rule>,
    /// Set that sysctl of the virtual router's interface.
    pub promote_secondaries: bool,
    /// Packets for the addresses are dropped.
    pub refuse: bool,
    /// Interfaces for the addresses: those of a virtual router are up, those that nobody else holds are there and down.
    pub devices: Vec<Device>,
}

impl Holdings {
    pub const fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty() && self.rules.is_empty() && self.devices.is_empty()
    }
}

/// Something whose failure is a fault, or moves the priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    pub what: Tracked,
    /// `None` (or 0): a failure is a fault. -254..=254: positive adds while good, negative subtracts while bad; the
    /// number of a file is multiplied with it.
    pub weight: Option<i16>,
    /// Swaps good and bad of a weight.
    pub reverse: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracked {
    Interface(IfName),
    Script(String),
    File(String),
    Process(String),
    Bfd(String),
    /// A static address, route or rule, in the words of [`super::Failure::item`].
    Static(String),
}

/// What is known of something tracked that reports by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Good(bool),
    /// What a tracked file says.
    Number(i32),
}

impl fmt::Display for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => write!(f, "interface {name}"),
            Self::Script(name) => write!(f, "script {name}"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Process(name) => write!(f, "process {name}"),
            Self::Bfd(name) => write!(f, "BFD session {name}"),
            Self::Static(item) => write!(f, "static {item}"),
        }
    }
}

/// Membership in a `vrrp_sync_group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    pub name: String,
    /// `sync_group_tracking_weight`: weights of the members' trackers count; otherwise they are ignored.
    pub tracking_weight: bool,
}
