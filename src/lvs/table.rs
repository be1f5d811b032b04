//! The words of `ipvsadm`: services, destinations, and the table of both.
//!
//! One table describes what a plane should hold or holds; it knows neither health nor configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::{Family, Weight};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// What names a service: `-t`, `-u`, `--sctp-service` or `-f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServiceKey {
    /// Port 0 means every port, and needs persistence (`ip_vs_ctl.c`).
    Address {
        protocol: Protocol,
        addr: IpAddr,
        port: u16,
    },
    Fwmark {
        mark: NonZeroU32,
        family: Family,
    },
}

impl ServiceKey {
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { addr, .. } => Family::of(*addr),
            Self::Fwmark { family, .. } => *family,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, addr, port } => write!(f, "{protocol} {}", SocketAddr::new(*addr, *port)),
            Self::Fwmark { mark, family: Family::V4 } => write!(f, "FWM {mark}"),
            Self::Fwmark { mark, family: Family::V6 } => write!(f, "FWM {mark} IPv6"),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// How a new connection chooses its destination, by ipvsadm's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Lblc,
    Lblcr,
    Dh,
    Sh,
    Sed,
    Nq,
    Fo,
    Ovf,
    Mh,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not a scheduler; known: rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh")]
pub struct UnknownScheduler {
    pub got: String,
}

impl Scheduler {
    pub const ALL: [Self; 13] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Dh,
        Self::Sh,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Mh,
    ];

    /// The name in `ipvsadm -s`, `lb_algo` and `ip_vs_scheduler.name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Dh => "dh",
            Self::Sh => "sh",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Mh => "mh",
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheduler {
    type Err = UnknownScheduler;
    fn from_str(name: &str) -> Result<Self, UnknownScheduler> {
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| UnknownScheduler { got: name.to_owned() })
    }
}

/// How packets of an IPVS tunnel are wrapped (`enum` `IP_VS_CONN_F_TUNNEL_TYPE_*`, `linux/ip_vs.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    Ipip,
    Gue { port: u16, checksum: TunnelChecksum },
    Gre { checksum: TunnelChecksum },
}

/// `--tun-nocsum`, `--tun-csum`, `--tun-remcsum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelChecksum {
    None,
    Checksum,
    Remote,
}

/// How a packet reaches its destination: `-m`, `-g`, `-i`, and `FullNat` that mainline IPVS lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    Masq,
    Route,
    Tunnel(Encapsulation),
    FullNat,
}

/// `-p [TIMEOUT] -M NETMASK --pe NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Persistence {
    /// Seconds, 1..=2678400 (31 days); ipvsadm's default is 360.
    pub timeout_s: u32,
    /// Length of the client prefix that counts as one client: 1..=32 or 1..=128.
    pub prefix_len: u8,
    /// The SIP Call-ID decides instead of the address; the only engine Linux has.
    pub sip: bool,
}

/// `-b`: bits whose meaning is the scheduler's (`IP_VS_SVC_F_SCHED1..3`, `linux/ip_vs.h`).
///
/// sh: `one` is sh-fallback, `two` is sh-port; mh: mh-fallback, mh-port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SchedulerFlags {
    pub one: bool,
    pub two: bool,
    pub three: bool,
}

/// What `-A` and `-E` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Service {
    pub scheduler: Scheduler,
    pub flags: SchedulerFlags,
    pub persistence: Option<Persistence>,
    /// `-o`: every UDP datagram is scheduled on its own.
    pub one_packet: bool,
}

/// What names a destination within its service: `-r`. Port 0 in a fwmark service: the port is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DestinationKey {
    pub addr: IpAddr,
    pub port: u16,
}

impl DestinationKey {
    /// Whether packets can be sent there, as `ip_vs_new_dest` (`ip_vs_ctl.c`) asks before it takes one. What only a host's
    /// routes tell (the broadcast address of a network of its own) is not asked here.
    pub const fn is_unicast(&self) -> bool {
        match self.addr {
            // RTN_BROADCAST and RTN_MULTICAST of inet_addr_type().
            IpAddr::V4(addr) => !addr.is_unspecified() && !addr.is_broadcast() && !addr.is_multicast(),
            // IPV6_ADDR_UNICAST and IPV6_ADDR_LINKLOCAL of ipv6_addr_type().
            IpAddr::V6(addr) => {
                let is_mapped = addr.to_ipv4_mapped().is_some();
                !(addr.is_unspecified() || addr.is_multicast() || addr.is_unicast_link_local() || is_mapped)
            }
        }
    }
}

impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.addr, self.port).fmt(f)
    }
}

/// What `-a` and `-e` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Destination {
    pub forwarding: Forwarding,
    pub weight: Weight,
    /// `-x`: connections above which no new one is given; 0 means no limit.
    pub upper_threshold: u32,
    /// `-y`: connections below which it gets new ones again; 0 means three quarters of the upper one.
    pub lower_threshold: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub service: Service,
    pub destinations: BTreeMap<DestinationKey, Destination>,
}

/// All services of a plane. Ordered by key, so that two directors with one configuration hold one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub services: BTreeMap<ServiceKey, Entry>,
}

/// One change of a plane. Idempotent: adding what is there edits it, deleting what is gone does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    AddService(ServiceKey, Service),
    EditService(ServiceKey, Service),
    AddDestination(ServiceKey, DestinationKey, Destination),
    EditDestination(ServiceKey, DestinationKey, Destination),
    DeleteDestination(ServiceKey, DestinationKey),
    DeleteService(ServiceKey),
}
