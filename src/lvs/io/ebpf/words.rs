//! Between the words of `ipvsadm` and the integers of the maps; and what this plane does not speak.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use aya::util::KernelVersion;

use super::abi;
use super::fault::PLANE;
use crate::base::{Family, Weight};
use crate::lvs::datapath::{Capabilities, DatapathError, Feature, Locals};
use crate::lvs::table::{
    Destination, DestinationKey, Encapsulation, Entry, Forwarding, Persistence, Protocol, Scheduler, SchedulerFlags,
    Service, ServiceKey, Table, TunnelChecksum,
};

const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;

fn unsupported(what: impl Into<String>) -> DatapathError {
    DatapathError::Unsupported { plane: PLANE, what: what.into() }
}

fn senseless(what: &str, detail: String) -> DatapathError {
    DatapathError::Answer { action: format!("reading a {what} from the maps"), detail }
}

pub(super) const fn address(addr: IpAddr) -> abi::Address {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

pub(super) const fn ip(address: abi::Address) -> IpAddr {
    Ipv6Addr::from_octets(address).to_canonical()
}

const fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

/// # Errors
/// [`DatapathError::Unsupported`] for IPv4-mapped addresses.
pub(super) fn service_key(key: &ServiceKey) -> Result<abi::ServiceKey, DatapathError> {
    match *key {
        ServiceKey::Address { addr: IpAddr::V6(addr), .. } if addr.to_ipv4_mapped().is_some() => {
            Err(unsupported(format!("serve {addr}: an IPv4-mapped address is on no wire")))
        }
        ServiceKey::Fwmark { mark, family } => Ok(abi::ServiceKey {
            address: [0; 16],
            port: 0,
            protocol: 0,
            family: match family {
                Family::V4 => FAMILY_V4,
                Family::V6 => FAMILY_V6,
            },
            fwmark: mark.get(),
        }),
        ServiceKey::Address { protocol, addr, port } => Ok(abi::ServiceKey {
            address: address(addr),
            port: port.to_be(),
            protocol: protocol_number(protocol),
            family: if addr.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 },
            fwmark: 0,
        }),
    }
}

/// # Errors
/// [`DatapathError::Answer`] for a key that [`service_key`] does not make.
pub(super) fn service_key_back(key: &abi::ServiceKey) -> Result<ServiceKey, DatapathError> {
    if let Some(mark) = NonZeroU32::new(key.fwmark) {
        let family = if key.family == FAMILY_V4 { Family::V4 } else { Family::V6 };
        return Ok(ServiceKey::Fwmark { mark, family });
    }
    let protocol = match key.protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        other => return Err(senseless("service", format!("protocol {other}"))),
    };
    Ok(ServiceKey::Address { protocol, addr: ip(key.address), port: u16::from_be(key.port) })
}

/// What the program can do on this kernel.
pub(super) fn capabilities() -> Capabilities {
    capabilities_with(finds_source())
}

/// What it can do on a kernel that finds the address at which a tunnel begins, or does not.
pub(super) fn capabilities_with(finds_source: bool) -> Capabilities {
    let mut features = BTreeSet::from([
        Feature::Masq,
        Feature::Route,
        Feature::FullNat,
        Feature::Ipv6,
        Feature::OnePacket,
        Feature::Thresholds,
        Feature::Persistence,
        Feature::Sctp,
        Feature::Fwmark,
    ]);
    if finds_source {
        features.extend([Feature::Tunnel, Feature::Gue, Feature::Gre]);
    }
    Capabilities { plane: PLANE, schedulers: Scheduler::ALL.into(), features }
}

/// `BPF_FIB_LOOKUP_SRC`: the program can ask for the address that a tunnel begins at.
fn finds_source() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 7, 0))
}

pub(super) const fn scheduler_number(scheduler: Scheduler) -> u8 {
    match scheduler {
        Scheduler::Rr => abi::SCHEDULER_RR,
        Scheduler::Wrr => abi::SCHEDULER_WRR,
        Scheduler::Sh => abi::SCHEDULER_SH,
        Scheduler::Mh => abi::SCHEDULER_MH,
        Scheduler::Lc => abi::SCHEDULER_LC,
        Scheduler::Wlc => abi::SCHEDULER_WLC,
        Scheduler::Sed => abi::SCHEDULER_SED,
        Scheduler::Nq => abi::SCHEDULER_NQ,
        Scheduler::Fo => abi::SCHEDULER_FO,
        Scheduler::Ovf => abi::SCHEDULER_OVF,
        Scheduler::Dh => abi::SCHEDULER_DH,
        Scheduler::Lblc => abi::SCHEDULER_LBLC,
        Scheduler::Lblcr => abi::SCHEDULER_LBLCR,
    }
}

/// The flags of the service itself.
fn flag_bits(service: &Service) -> u8 {
    let SchedulerFlags { one, two, three } = service.flags;
    let bits = [
        (one, abi::SERVICE_ONE),
        (two, abi::SERVICE_TWO),
        (three, abi::SERVICE_THREE),
        (service.one_packet, abi::SERVICE_ONE_PACKET),
    ];
    bits.into_iter().filter(|(set, _)| *set).fold(0, |bits, (_, bit)| bits | bit)
}

/// The flags that its destinations ask for.
pub(super) fn asked_bits<'a>(destinations: impl Iterator<Item = &'a Destination>) -> u8 {
    destinations.fold(0, |bits, one| {
        let limited = if one.upper_threshold > 0 { abi::SERVICE_LIMITED } else { 0 };
        let rewrites = match one.forwarding {
            Forwarding::FullNat => abi::SERVICE_FULLNAT,
            Forwarding::Masq => abi::SERVICE_MASQ,
            Forwarding::Route | Forwarding::Tunnel(_) => 0,
        };
        bits | limited | rewrites
    })
}

/// Bits of the 128 before an IPv4 address begins (RFC 4291 section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// The map's value; `asked` as [`asked_bits`] says, `flood_length` in places of the schedule.
pub(super) fn service(
    key: &abi::ServiceKey,
    service: &Service,
    (table, flood_length): (u64, u32),
    asked: u8,
) -> abi::Service {
    let mapped = if key.family == FAMILY_V4 { MAPPED_BITS } else { 0 };
    let (persistence_prefix, persistence_s) =
        service.persistence.map_or((0, 0), |kept| (kept.prefix_len.saturating_add(mapped), kept.timeout_s));
    abi::Service {
        table,
        key: *key,
        scheduler: scheduler_number(service.scheduler),
        flags: flag_bits(service) | asked,
        persistence_prefix,
        reserved: 0,
        persistence_s,
        flood_length,
        reserved_more: 0,
    }
}

/// What [`Capabilities::check_step`] cannot know.
///
/// # Errors
/// [`DatapathError::Unsupported`] for every port without persistence (IPVS serves none, `ip_vs_schedule`) and for every
/// port with one-packet, whose answers are told by their port.
pub(super) fn check_service(key: &ServiceKey, service: &Service) -> Result<(), DatapathError> {
    let ServiceKey::Address { port: 0, .. } = key else { return Ok(()) };
    if service.persistence.is_none() {
        return Err(unsupported("serve every port (port 0) without persistence"));
    }
    if service.one_packet {
        return Err(unsupported("schedule every datagram on its own for every port (port 0)"));
    }
    Ok(())
}

/// # Errors
/// [`DatapathError::Answer`] for a scheduler that we never write.
pub(super) fn service_back(service: &abi::Service) -> Result<Service, DatapathError> {
    let known = Scheduler::ALL.into_iter().find(|known| scheduler_number(*known) == service.scheduler);
    let scheduler = known.ok_or_else(|| senseless("service", format!("scheduler {}", service.scheduler)))?;
    let has = |bit| service.flags & bit != 0;
    let flags =
        SchedulerFlags { one: has(abi::SERVICE_ONE), two: has(abi::SERVICE_TWO), three: has(abi::SERVICE_THREE) };
    let mapped = if service.key.family == FAMILY_V4 { MAPPED_BITS } else { 0 };
    let persistence = (service.persistence_s > 0).then(|| Persistence {
        timeout_s: service.persistence_s,
        prefix_len: service.persistence_prefix.saturating_sub(mapped),
        sip: false,
    });
    Ok(Service { scheduler, flags, persistence, one_packet: has(abi::SERVICE_ONE_PACKET) })
}

/// What [`Capabilities::check_step`] cannot know.
///
/// # Errors
/// `ERANGE` for a lower threshold above the upper one, as IPVS answers (`ip_vs_ctl.c`);
/// [`DatapathError::Unsupported`] for an IPv4-mapped address.
pub(super) fn check_destination(key: &DestinationKey, destination: &Destination) -> Result<(), DatapathError> {
    if let IpAddr::V6(addr) = key.addr
        && addr.to_ipv4_mapped().is_some()
    {
        return Err(unsupported(format!("reach {addr}: an IPv4-mapped address is on no wire")));
    }
    if destination.lower_threshold > destination.upper_threshold {
        let source = io::Error::from_raw_os_error(libc::ERANGE);
        return Err(DatapathError::Kernel { action: format!("thresholds of {key}"), source });
    }
    if !key.is_unicast() {
        let source = io::Error::from_raw_os_error(libc::EINVAL);
        return Err(DatapathError::Kernel { action: format!("sending to {key}, which is not unicast"), source });
    }
    Ok(())
}

/// What a destination and its service cannot be together.
///
/// # Errors
/// [`DatapathError::Unsupported`] for `FullNat` with one-packet, whose answer finds its client by an entry, or by a mark,
/// which does not tell the virtual address; and for Masq with both.
pub(super) fn check_pair(key: &ServiceKey, service: &Service, to: &Destination) -> Result<(), DatapathError> {
    let by_mark = matches!(key, ServiceKey::Fwmark { .. });
    match to.forwarding {
        Forwarding::FullNat if service.one_packet => {
            Err(unsupported("schedule every datagram on its own (one-packet) with FullNat"))
        }
        Forwarding::FullNat if by_mark => Err(unsupported("forward by FullNat what a firewall mark names")),
        Forwarding::Masq if by_mark && service.one_packet => {
            Err(unsupported("schedule every datagram of a firewall mark on its own (one-packet) with Masq"))
        }
        Forwarding::FullNat | Forwarding::Masq | Forwarding::Route | Forwarding::Tunnel(_) => Ok(()),
    }
}

/// The first thing of a table that the plane refuses though it can do each part of it.
pub(super) fn refused(table: &Table) -> Option<DatapathError> {
    let unmet = |(key, entry): (&ServiceKey, &Entry)| {
        let mut pairs = entry.destinations.iter();
        check_service(key, &entry.service).and_then(|()| {
            pairs.try_for_each(|(at, to)| check_destination(at, to).and_then(|()| check_pair(key, &entry.service, to)))
        })
    };
    table.services.iter().find_map(|service| unmet(service).err())
}

/// Where the `FullNat` connections of a service begin; `None`: nowhere.
///
/// # Errors
/// [`DatapathError::Full`] beyond [`abi::LOCALS`].
pub(super) fn locals(key: &ServiceKey, held: &Locals) -> Result<Option<abi::Locals>, DatapathError> {
    let Locals { addresses, toa } = held;
    let flags = if *toa { abi::LOCALS_TOA } else { 0 };
    let mut locals = abi::Locals { count: 0, flags, address: [[0; 16]; abi::LOCALS] };
    if addresses.len() > abi::LOCALS {
        let limit = u32::try_from(abi::LOCALS).unwrap_or(u32::MAX);
        let action = format!("local addresses of {key}");
        return Err(DatapathError::Full { plane: PLANE, action, what: "local addresses", limit });
    }
    let ours = addresses.iter().filter(|addr| Family::of(**addr) == key.family());
    for (place, addr) in locals.address.iter_mut().zip(ours) {
        *place = address(*addr);
        locals.count = locals.count.saturating_add(1);
    }
    Ok((locals.count > 0).then_some(locals))
}

/// The map's value; `None` for a way that the plane lacks.
pub(super) fn destination(
    (service, persistent): (&abi::ServiceKey, bool),
    key: &DestinationKey,
    destination: &Destination,
    service_slot: u32,
    generation: u32,
) -> Option<abi::Destination> {
    let (forwarding, tunnel, tunnel_port) = match destination.forwarding {
        Forwarding::Masq => (abi::FORWARDING_MASQ, 0, 0),
        Forwarding::Route => (abi::FORWARDING_ROUTE, 0, 0),
        Forwarding::FullNat => (abi::FORWARDING_FULLNAT, 0, 0),
        Forwarding::Tunnel(Encapsulation::Ipip) => (abi::FORWARDING_TUNNEL, abi::TUNNEL_IPIP, 0),
        Forwarding::Tunnel(Encapsulation::Gue { port, checksum: TunnelChecksum::None }) => {
            (abi::FORWARDING_TUNNEL, abi::TUNNEL_GUE, port)
        }
        Forwarding::Tunnel(Encapsulation::Gre { checksum: TunnelChecksum::None }) => {
            (abi::FORWARDING_TUNNEL, abi::TUNNEL_GRE, 0)
        }
        Forwarding::Tunnel(Encapsulation::Gue { .. } | Encapsulation::Gre { .. }) => return None,
    };
    // A persistent client has its own ports there too (`ip_vs_sched_persist`).
    let keeps_port = key.port == 0 || (service.port == 0 && persistent);
    let other_family = key.addr.is_ipv4() != (service.family == FAMILY_V4);
    let flags = [(keeps_port, abi::DESTINATION_KEEPS_PORT), (other_family, abi::DESTINATION_OTHER_FAMILY)];
    Some(abi::Destination {
        address: address(key.addr),
        port: key.port.to_be(),
        forwarding,
        flags: flags.into_iter().filter(|(set, _)| *set).fold(0, |bits, (_, bit)| bits | bit),
        generation,
        service: service_slot,
        weight: destination.weight.get(),
        upper_threshold: destination.upper_threshold,
        lower_threshold: destination.lower_threshold,
        tunnel,
        reserved: 0,
        tunnel_port: tunnel_port.to_be(),
    })
}

/// # Errors
/// [`DatapathError::Answer`] for values that we never write.
pub(super) fn destination_back(value: &abi::Destination) -> Result<(DestinationKey, Destination), DatapathError> {
    let forwarding = match value.forwarding {
        abi::FORWARDING_MASQ => Forwarding::Masq,
        abi::FORWARDING_ROUTE => Forwarding::Route,
        abi::FORWARDING_TUNNEL => Forwarding::Tunnel(match value.tunnel {
            abi::TUNNEL_IPIP => Encapsulation::Ipip,
            abi::TUNNEL_GUE => {
                Encapsulation::Gue { port: u16::from_be(value.tunnel_port), checksum: TunnelChecksum::None }
            }
            abi::TUNNEL_GRE => Encapsulation::Gre { checksum: TunnelChecksum::None },
            other => return Err(senseless("destination", format!("tunnel {other}"))),
        }),
        abi::FORWARDING_FULLNAT => Forwarding::FullNat,
        other => return Err(senseless("destination", format!("forwarding {other}"))),
    };
    let weight = Weight::new(value.weight).map_err(|error| senseless("destination", error.to_string()))?;
    let key = DestinationKey { addr: ip(value.address), port: u16::from_be(value.port) };
    let &abi::Destination { upper_threshold, lower_threshold, .. } = value;
    Ok((key, Destination { forwarding, weight, upper_threshold, lower_threshold }))
}

/// Where a destination's answers come from; only Masq sees them.
pub(super) const fn real_key(service: &abi::ServiceKey, destination: &abi::Destination) -> Option<abi::RealKey> {
    // A mark does not tell the address that the client knows.
    if destination.forwarding != abi::FORWARDING_MASQ || service.fwmark != 0 {
        return None;
    }
    let &abi::Destination { address, port, flags, .. } = destination;
    let port = if flags & abi::DESTINATION_KEEPS_PORT == 0 { port } else { 0 };
    Some(abi::RealKey { address, port, protocol: service.protocol, reserved: 0 })
}

/// Generation and length of a schedule in one word, as `abi.h` has it.
pub(super) fn table_word(generation: u32, length: u32) -> u64 {
    u64::from(length) << 32 | u64::from(generation)
}

/// Generation of a service's schedule, and how many places are written of it.
pub(super) fn table_back(service: &abi::Service) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (half(service.table), half(service.table >> 32).max(service.flood_length))
}
