//! What the family "IPVS" carries, to and from our words. No socket here.
//!
//! Numbers: `linux/ip_vs.h`, version 1 of the family (`IPVS_GENL_VERSION`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use crate::base::{Family, Weight};
use crate::lvs::datapath::{DestinationStats, Rate, Stats};
use crate::lvs::io::attribute::{AnswerError, Attribute, Reader, Sorted, Writer};
use crate::lvs::ipvsadm::Timeouts;
use crate::lvs::table::{
    Destination, DestinationKey, Encapsulation, Forwarding, Persistence, Protocol, Scheduler, SchedulerFlags, Service,
    ServiceKey, TunnelChecksum,
};

/// `IPVS_CMD_*`: what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    NewService = 1,
    SetService = 2,
    DelService = 3,
    GetService = 4,
    NewDest = 5,
    SetDest = 6,
    DelDest = 7,
    GetDest = 8,
    NewDaemon = 9,
    DelDaemon = 10,
    GetDaemon = 11,
    SetConfig = 12,
    GetConfig = 13,
    GetInfo = 15,
    Zero = 16,
    Flush = 17,
}

impl Command {
    #[expect(clippy::as_conversions, reason = "the discriminants are the numbers of the header")]
    pub(super) const fn number(self) -> u8 {
        self as u8
    }
}

// IPVS_CMD_ATTR_*
const SERVICE: u16 = 1;
const DEST: u16 = 2;
const TIMEOUT_TCP: u16 = 4;
const TIMEOUT_TCP_FIN: u16 = 5;
const TIMEOUT_UDP: u16 = 6;
// IPVS_SVC_ATTR_*
const SVC_AF: u16 = 1;
const SVC_PROTOCOL: u16 = 2;
const SVC_ADDR: u16 = 3;
const SVC_PORT: u16 = 4;
const SVC_FWMARK: u16 = 5;
const SVC_SCHED_NAME: u16 = 6;
const SVC_FLAGS: u16 = 7;
const SVC_TIMEOUT: u16 = 8;
const SVC_NETMASK: u16 = 9;
const SVC_STATS: u16 = 10;
const SVC_PE_NAME: u16 = 11;
const SVC_STATS64: u16 = 12;
// IPVS_DEST_ATTR_*
const DEST_ADDR: u16 = 1;
const DEST_PORT: u16 = 2;
const DEST_FWD_METHOD: u16 = 3;
const DEST_WEIGHT: u16 = 4;
const DEST_U_THRESH: u16 = 5;
const DEST_L_THRESH: u16 = 6;
const DEST_ACTIVE_CONNS: u16 = 7;
const DEST_INACT_CONNS: u16 = 8;
const DEST_PERSIST_CONNS: u16 = 9;
const DEST_STATS: u16 = 10;
const DEST_ADDR_FAMILY: u16 = 11;
const DEST_STATS64: u16 = 12;
const DEST_TUN_TYPE: u16 = 13;
const DEST_TUN_PORT: u16 = 14;
const DEST_TUN_FLAGS: u16 = 15;
/// Above all of them.
const DEST_END: usize = 16;
// IPVS_INFO_ATTR_*
const INFO_VERSION: u16 = 1;
const INFO_CONN_TAB_SIZE: u16 = 2;

// IP_VS_SVC_F_*
const F_PERSISTENT: u32 = 0x1;
const F_ONEPACKET: u32 = 0x4;
const F_SCHED1: u32 = 0x8;
const F_SCHED2: u32 = 0x10;
const F_SCHED3: u32 = 0x20;

// IP_VS_CONN_F_FWD_MASK and below
const FWD_MASK: u32 = 0x7;
const FWD_MASQ: u32 = 0;
const FWD_LOCAL: u32 = 1;
const FWD_TUNNEL: u32 = 2;
const FWD_ROUTE: u32 = 3;
const FWD_BYPASS: u32 = 4;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Version of the kernel's IPVS and the size of its connection table: the first line of `ipvsadm -Ln`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    pub version: (u8, u8, u8),
    pub table_size: u32,
}

/// A service as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldService {
    pub(super) key: ServiceKey,
    /// `None`: a scheduler that we do not know, so the service is somebody else's.
    pub(super) service: Option<Service>,
    pub(super) stats: Stats,
}

/// A destination as the kernel tells it, with what it counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldDestination {
    pub(super) key: DestinationKey,
    pub(super) destination: Destination,
    pub(super) stats: DestinationStats,
}

/// What names a service, as every request about it carries it.
pub(super) fn service_request(key: ServiceKey, service: Option<Service>) -> Vec<u8> {
    let mut body = Writer::default();
    body.nest(SERVICE, |to| {
        write_service_key(to, key);
        if let Some(service) = service {
            write_service(to, key.family(), service);
        }
    });
    body.finish()
}

/// A destination of a service; without settings to delete it.
///
/// `None`: `FullNat`, which this family does not know.
pub(super) fn destination_request(
    service: ServiceKey,
    key: DestinationKey,
    destination: Option<Destination>,
) -> Option<Vec<u8>> {
    let settings = match destination {
        Some(destination) => Some((destination, forwarding_numbers(destination.forwarding)?)),
        None => None,
    };
    let mut body = Writer::default();
    body.nest(SERVICE, |to| write_service_key(to, service));
    body.nest(DEST, |to| {
        to.bytes(DEST_ADDR, &address_bytes(key.addr));
        to.u16_be(DEST_PORT, key.port);
        to.u16(DEST_ADDR_FAMILY, family_number(Family::of(key.addr)));
        if let Some((destination, (method, tunnel))) = settings {
            to.u32(DEST_FWD_METHOD, method);
            to.u32(DEST_WEIGHT, destination.weight.get());
            to.u32(DEST_U_THRESH, destination.upper_threshold);
            to.u32(DEST_L_THRESH, destination.lower_threshold);
            if let Some((kind, port, flags)) = tunnel {
                to.u8(DEST_TUN_TYPE, kind);
                to.u16_be(DEST_TUN_PORT, port);
                to.u16(DEST_TUN_FLAGS, flags);
            }
        }
    });
    Some(body.finish())
}

pub(super) fn timeouts_request(timeouts: Timeouts) -> Vec<u8> {
    let mut body = Writer::default();
    body.u32(TIMEOUT_TCP, timeouts.tcp_s);
    body.u32(TIMEOUT_TCP_FIN, timeouts.tcp_fin_s);
    body.u32(TIMEOUT_UDP, timeouts.udp_s);
    body.finish()
}

pub(super) fn read_timeouts(body: &[u8]) -> Result<Timeouts, AnswerError> {
    let body = Reader::new(body);
    Ok(Timeouts {
        tcp_s: body.need(TIMEOUT_TCP, "tcp timeout")?.u32("tcp timeout")?,
        tcp_fin_s: body.need(TIMEOUT_TCP_FIN, "tcp fin timeout")?.u32("tcp fin timeout")?,
        udp_s: body.need(TIMEOUT_UDP, "udp timeout")?.u32("udp timeout")?,
    })
}

pub(super) fn read_info(body: &[u8]) -> Result<Info, AnswerError> {
    let body = Reader::new(body);
    let [_, major, minor, patch] = body.need(INFO_VERSION, "version")?.u32("version")?.to_be_bytes();
    let table_size = body.need(INFO_CONN_TAB_SIZE, "table size")?.u32("table size")?;
    Ok(Info { version: (major, minor, patch), table_size })
}

pub(super) fn read_service(body: &[u8]) -> Result<HeldService, AnswerError> {
    let from = Reader::new(body).need(SERVICE, "service")?.nested();
    let family = read_family(from.need(SVC_AF, "service family")?, "service family")?;
    let key = match from.find(SVC_FWMARK)? {
        Some(mark) => {
            let number = mark.u32("fwmark")?;
            let mark = NonZeroU32::new(number).ok_or(AnswerError::Value { name: "fwmark", got: number.into() })?;
            ServiceKey::Fwmark { mark, family }
        }
        None => ServiceKey::Address {
            protocol: read_protocol(from.need(SVC_PROTOCOL, "protocol")?)?,
            addr: read_address(family, from.need(SVC_ADDR, "service address")?, "service address")?,
            port: from.need(SVC_PORT, "service port")?.u16_be("service port")?,
        },
    };
    let name = from.need(SVC_SCHED_NAME, "scheduler")?.name("scheduler")?;
    let service = match name.parse::<Scheduler>() {
        Ok(scheduler) => Some(read_settings(&from, family, scheduler)?),
        Err(_) => None,
    };
    // Counters of 64 bits (Linux 4.1), else those of 32.
    let stats = match from.find(SVC_STATS64)? {
        Some(wide) => Some(wide),
        None => from.find(SVC_STATS)?,
    };
    Ok(HeldService { key, service, stats: read_stats(stats)? })
}

/// A destination without its counters, of a service of this family: the whole table is read every few seconds.
pub(super) fn read_destination(service: Family, body: &[u8]) -> Result<(DestinationKey, Destination), AnswerError> {
    sorted_destination(body).and_then(|from| read_destination_settings(service, &from))
}

pub(super) fn read_counted_destination(service: Family, body: &[u8]) -> Result<HeldDestination, AnswerError> {
    let from = sorted_destination(body)?;
    let (key, destination) = read_destination_settings(service, &from)?;
    let stats = DestinationStats {
        stats: read_stats(from.find(DEST_STATS64).or_else(|| from.find(DEST_STATS)))?,
        active: read_number(&from, DEST_ACTIVE_CONNS, "active connections")?,
        inactive: read_number(&from, DEST_INACT_CONNS, "inactive connections")?,
        persistent: read_number(&from, DEST_PERSIST_CONNS, "persistent connections")?,
    };
    Ok(HeldDestination { key, destination, stats })
}

type DestinationAttributes<'a> = Sorted<'a, DEST_END>;

fn sorted_destination(body: &[u8]) -> Result<DestinationAttributes<'_>, AnswerError> {
    Reader::new(body).need(DEST, "destination")?.nested().sorted()
}

/// 0 where there is none.
fn read_number(from: &DestinationAttributes<'_>, kind: u16, name: &'static str) -> Result<u32, AnswerError> {
    from.find(kind).map_or(Ok(0), |attribute| attribute.u32(name))
}

fn read_destination_settings(
    service: Family,
    from: &DestinationAttributes<'_>,
) -> Result<(DestinationKey, Destination), AnswerError> {
    // Kernels before 3.18 tell no family: it is the service's.
    let family = match from.find(DEST_ADDR_FAMILY) {
        Some(family) => read_family(family, "destination family")?,
        None => service,
    };
    let weight = read_number(from, DEST_WEIGHT, "weight")?;
    let key = DestinationKey {
        addr: read_address(family, from.need(DEST_ADDR, "destination address")?, "destination address")?,
        port: from.need(DEST_PORT, "destination port")?.u16_be("destination port")?,
    };
    let destination = Destination {
        forwarding: read_forwarding(from)?,
        weight: Weight::new(weight).map_err(|_| AnswerError::Value { name: "weight", got: weight.into() })?,
        upper_threshold: read_number(from, DEST_U_THRESH, "upper threshold")?,
        lower_threshold: read_number(from, DEST_L_THRESH, "lower threshold")?,
    };
    Ok((key, destination))
}

fn write_service_key(to: &mut Writer, key: ServiceKey) {
    to.u16(SVC_AF, family_number(key.family()));
    match key {
        ServiceKey::Address { protocol, addr, port } => {
            to.u16(SVC_PROTOCOL, protocol_number(protocol));
            to.bytes(SVC_ADDR, &address_bytes(addr));
            to.u16_be(SVC_PORT, port);
        }
        ServiceKey::Fwmark { mark, .. } => to.u32(SVC_FWMARK, mark.get()),
    }
}

fn write_service(to: &mut Writer, family: Family, service: Service) {
    to.name(SVC_SCHED_NAME, service.scheduler.name());
    let bits = [
        (service.persistence.is_some(), F_PERSISTENT),
        (service.one_packet, F_ONEPACKET),
        (service.flags.one, F_SCHED1),
        (service.flags.two, F_SCHED2),
        (service.flags.three, F_SCHED3),
    ];
    let flags = bits.into_iter().filter(|(set, _)| *set).fold(0, |flags, (_, bit)| flags | bit);
    let mut value = [0; 8];
    let (low, high) = value.split_at_mut(4);
    low.copy_from_slice(&u32::to_ne_bytes(flags));
    high.copy_from_slice(&u32::MAX.to_ne_bytes());
    to.bytes(SVC_FLAGS, &value);
    to.u32(SVC_TIMEOUT, service.persistence.map_or(0, |persistence| persistence.timeout_s));
    let prefix_len = service.persistence.map_or(family.bits(), |persistence| persistence.prefix_len);
    match family {
        Family::V4 => {
            let mask = u32::MAX.checked_shl(u32::from(32_u8.saturating_sub(prefix_len))).unwrap_or(0);
            to.bytes(SVC_NETMASK, &mask.to_be_bytes());
        }
        Family::V6 => to.u32(SVC_NETMASK, prefix_len.into()),
    }
    if service.persistence.is_some_and(|persistence| persistence.sip) {
        to.name(SVC_PE_NAME, "sip");
    }
}

fn read_settings(from: &Reader<'_>, family: Family, scheduler: Scheduler) -> Result<Service, AnswerError> {
    let value: [u8; 8] = from.need(SVC_FLAGS, "service flags")?.array("service flags")?;
    let flags = value.first_chunk().map_or(0, |low| u32::from_ne_bytes(*low));
    let is_set = |bit| flags & bit != 0;
    let persistence = if is_set(F_PERSISTENT) {
        let mask = from.need(SVC_NETMASK, "netmask")?;
        let prefix_len = match family {
            Family::V4 => mask.array("netmask").map(|bytes| u32::from_be_bytes(bytes).leading_ones())?,
            Family::V6 => mask.u32("netmask")?,
        };
        let engine = from.find(SVC_PE_NAME)?.map_or(Ok(""), |engine| engine.name("persistence engine"))?;
        Some(Persistence {
            timeout_s: from.need(SVC_TIMEOUT, "persistence timeout")?.u32("persistence timeout")?,
            prefix_len: u8::try_from(prefix_len)
                .map_err(|_| AnswerError::Value { name: "netmask", got: prefix_len.into() })?,
            sip: engine == "sip",
        })
    } else {
        None
    };
    let flags = SchedulerFlags { one: is_set(F_SCHED1), two: is_set(F_SCHED2), three: is_set(F_SCHED3) };
    Ok(Service { scheduler, flags, persistence, one_packet: is_set(F_ONEPACKET) })
}

/// Tunnel type, port and flags (`IP_VS_CONN_F_TUNNEL_TYPE_*`, `IP_VS_TUNNEL_ENCAP_FLAG_*`).
type TunnelNumbers = (u8, u16, u16);

fn forwarding_numbers(forwarding: Forwarding) -> Option<(u32, Option<TunnelNumbers>)> {
    match forwarding {
        Forwarding::Masq => Some((FWD_MASQ, None)),
        Forwarding::Route => Some((FWD_ROUTE, None)),
        Forwarding::Tunnel(encapsulation) => {
            let numbers = match encapsulation {
                Encapsulation::Ipip => (0, 0, 0),
                Encapsulation::Gue { port, checksum } => (1, port, checksum_number(checksum)),
                Encapsulation::Gre { checksum } => (2, 0, checksum_number(checksum)),
            };
            Some((FWD_TUNNEL, Some(numbers)))
        }
        Forwarding::FullNat => None,
    }
}

fn read_forwarding(from: &DestinationAttributes<'_>) -> Result<Forwarding, AnswerError> {
    let method = from.need(DEST_FWD_METHOD, "forwarding method")?.u32("forwarding method")?;
    match method & FWD_MASK {
        FWD_MASQ => Ok(Forwarding::Masq),
        // The kernel's own kinds of not touching a packet; nobody can ask for them.
        FWD_ROUTE | FWD_LOCAL | FWD_BYPASS => Ok(Forwarding::Route),
        FWD_TUNNEL => {
            let kind = from.find(DEST_TUN_TYPE).map_or(Ok(0), |kind| kind.u8("tunnel type"))?;
            let port = from.find(DEST_TUN_PORT).map_or(Ok(0), |port| port.u16_be("tunnel port"))?;
            let flags = from.find(DEST_TUN_FLAGS).map_or(Ok(0), |flags| flags.u16("tunnel flags"))?;
            let checksum = match flags {
                0 => TunnelChecksum::None,
                1 => TunnelChecksum::Checksum,
                2 => TunnelChecksum::Remote,
                got => return Err(AnswerError::Value { name: "tunnel flags", got: got.into() }),
            };
            match kind {
                0 => Ok(Forwarding::Tunnel(Encapsulation::Ipip)),
                1 => Ok(Forwarding::Tunnel(Encapsulation::Gue { port, checksum })),
                2 => Ok(Forwarding::Tunnel(Encapsulation::Gre { checksum })),
                got => Err(AnswerError::Value { name: "tunnel type", got: got.into() }),
            }
        }
        got => Err(AnswerError::Value { name: "forwarding method", got: got.into() }),
    }
}

const fn checksum_number(checksum: TunnelChecksum) -> u16 {
    match checksum {
        TunnelChecksum::None => 0,
        TunnelChecksum::Checksum => 1,
        TunnelChecksum::Remote => 2,
    }
}

/// `IPVS_STATS_ATTR_*`, in either size.
fn read_stats(found: Option<Attribute<'_>>) -> Result<Stats, AnswerError> {
    let Some(from) = found.map(Attribute::nested) else { return Ok(Stats::default()) };
    let number = |kind| from.find(kind)?.map_or(Ok(0), |attribute| attribute.counter("statistics"));
    Ok(Stats {
        connections: number(1)?,
        packets_in: number(2)?,
        packets_out: number(3)?,
        bytes_in: number(4)?,
        bytes_out: number(5)?,
        rate: Rate {
            connections: number(6)?,
            packets_in: number(7)?,
            packets_out: number(8)?,
            bytes_in: number(9)?,
            bytes_out: number(10)?,
        },
    })
}

const fn family_number(family: Family) -> u16 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}

fn read_family(attribute: Attribute<'_>, name: &'static str) -> Result<Family, AnswerError> {
    match attribute.u16(name)? {
        AF_INET => Ok(Family::V4),
        AF_INET6 => Ok(Family::V6),
        got => Err(AnswerError::Value { name, got: got.into() }),
    }
}

const fn protocol_number(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

fn read_protocol(attribute: Attribute<'_>) -> Result<Protocol, AnswerError> {
    match attribute.u16("protocol")? {
        6 => Ok(Protocol::Tcp),
        17 => Ok(Protocol::Udp),
        132 => Ok(Protocol::Sctp),
        got => Err(AnswerError::Value { name: "protocol", got: got.into() }),
    }
}

/// 16 bytes (`union nf_inet_addr`): an IPv4 address is in the first four.
fn address_bytes(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(addr) => (u128::from(addr.to_bits()) << 96).to_be_bytes(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

fn read_address(family: Family, attribute: Attribute<'_>, name: &'static str) -> Result<IpAddr, AnswerError> {
    let bytes: [u8; 16] = attribute.array(name)?;
    let [a, b, c, d, ..] = bytes;
    Ok(match family {
        Family::V4 => Ipv4Addr::new(a, b, c, d).into(),
        Family::V6 => Ipv6Addr::from(bytes).into(),
    })
}

#[cfg(test)]
mod tests;
