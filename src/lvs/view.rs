//! A table and its counters as `ipvsadm -Ln` prints them, byte for byte (ipvsadm 1.31).
//!
//! Services stand in ipvsadm's order: addresses before marks, IPv4 before IPv6, then protocol, address and
//! port. Where ipvsadm compares IPv4 addresses it subtracts in 32 bits, so addresses more than 2^31 apart
//! stand the other way round there; here they stand in their order.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::datapath::{Counters, DestinationStats, Rate, ServiceStats, Stats};
use super::table::{
    Destination, DestinationKey, Encapsulation, Entry, Forwarding, Protocol, Scheduler, Service, ServiceKey, Table,
    TunnelChecksum,
};
use crate::base::Family;

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: (u8, u8, u8),
    /// Size of the connection table, in buckets.
    pub table_size: u32,
}

impl Default for Header {
    /// Linux 2.6.28 to today, with the default table: what a plane without a version of its own shows.
    fn default() -> Self {
        Self { version: (1, 2, 1), table_size: 4096 }
    }
}

/// Which of ipvsadm's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `-Ln`
    Table,
    /// `-Ln --tun-info`
    TunnelInfo,
    /// `-Ln --thresholds`
    Thresholds,
    /// `-Ln --persistent-conn`
    PersistentConnections,
    /// `-Ln --stats`, with `--exact` without K, M, G, T
    Stats { exact: bool },
    /// `-Ln --rate`, with `--exact`
    Rate { exact: bool },
}

/// The text of a listing; a service or destination without counters has zeros.
pub fn list(header: Header, table: &Table, counters: &Counters, listing: Listing) -> String {
    let (major, minor, patch) = header.version;
    let mut text = format!("IP Virtual Server version {major}.{minor}.{patch} (size={})\n", header.table_size);
    text.push_str(title(listing));
    let mut services: Vec<_> = table.services.iter().collect();
    services.sort_by_key(|(key, _)| place(key));
    for (key, entry) in services {
        let nothing = ServiceStats::default();
        let counted = counters.services.get(key).unwrap_or(&nothing);
        write_service(&mut text, *key, entry, counted, listing);
    }
    text
}

const fn title(listing: Listing) -> &'static str {
    match listing {
        Listing::Table => {
            "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
        }
        Listing::TunnelInfo => concat!(
            "Prot LocalAddress:Port Scheduler Flags\n",
            "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n"
        ),
        Listing::Thresholds => concat!(
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n",
            "  -> RemoteAddress:Port\n"
        ),
        Listing::PersistentConnections => concat!(
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n",
            "  -> RemoteAddress:Port\n"
        ),
        Listing::Stats { .. } => concat!(
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n",
            "  -> RemoteAddress:Port\n"
        ),
        Listing::Rate { .. } => concat!(
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n",
            "  -> RemoteAddress:Port\n"
        ),
    }
}

/// ipvsadm's order (`ipvs_cmp_services`): mark, family, protocol, address, port.
fn place(key: &ServiceKey) -> (u32, Family, Option<Protocol>, Option<(IpAddr, u16)>) {
    match *key {
        ServiceKey::Address { protocol, addr, port } => (0, key.family(), Some(protocol), Some((addr, port))),
        ServiceKey::Fwmark { mark, family } => (mark.get(), family, None, None),
    }
}

fn write_service(text: &mut String, key: ServiceKey, entry: &Entry, counted: &ServiceStats, listing: Listing) {
    let name = ServiceName(key).to_string();
    match listing {
        Listing::Table | Listing::TunnelInfo | Listing::Thresholds | Listing::PersistentConnections => {
            line(text, format_args!("{name} {}", ServiceWords(key.family(), entry.service)));
        }
        Listing::Stats { exact } => line(text, format_args!("{name:<33}{}", Numbers(totals(&counted.stats), exact))),
        Listing::Rate { exact } => line(text, format_args!("{name:<33}{}", Numbers(rates(&counted.stats.rate), exact))),
    }
    for (at, to) in &entry.destinations {
        let counted = counted.destinations.get(at).copied().unwrap_or_default();
        write_destination(text, *at, to, &counted, listing);
    }
}

fn write_destination(
    text: &mut String,
    at: DestinationKey,
    to: &Destination,
    counted: &DestinationStats,
    listing: Listing,
) {
    let at = at.to_string();
    let forward = forward_word(to.forwarding);
    let weight = to.weight.get();
    let (upper, lower) = (to.upper_threshold, to.lower_threshold);
    let DestinationStats { stats, active, inactive, persistent } = counted;
    match listing {
        Listing::Table => {
            line(text, format_args!("  -> {at:<28} {forward:<7} {weight:<6} {active:<10} {inactive:<10}"));
        }
        Listing::TunnelInfo => {
            let tunnel = tunnel_words(to.forwarding);
            line(text, format_args!("  -> {at:<28} {forward:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}"));
        }
        Listing::Thresholds => {
            line(text, format_args!("  -> {at:<28} {upper:<10} {lower:<10} {active:<10} {inactive:<10}"));
        }
        Listing::PersistentConnections => {
            line(text, format_args!("  -> {at:<28} {weight:<9} {persistent:<11} {active:<10} {inactive:<10}"));
        }
        Listing::Stats { exact } => line(text, format_args!("  -> {at:<28}{}", Numbers(totals(stats), exact))),
        Listing::Rate { exact } => line(text, format_args!("  -> {at:<28}{}", Numbers(rates(&stats.rate), exact))),
    }
}

fn line(text: &mut String, words: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{words}");
}

/// `TCP  192.0.2.1:80`, `FWM  7`, `FWM  8 IPv6`.
struct ServiceName(ServiceKey);

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ServiceKey::Address { protocol, addr, port } => {
                write!(f, "{:<4} {}", protocol.to_string(), SocketAddr::new(addr, port))
            }
            ServiceKey::Fwmark { mark, family: Family::V4 } => write!(f, "FWM  {mark}"),
            ServiceKey::Fwmark { mark, family: Family::V6 } => write!(f, "FWM  {mark} IPv6"),
        }
    }
}

/// `wrr persistent 300 mask 255.255.255.0`.
struct ServiceWords(Family, Service);

impl fmt::Display for ServiceWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(family, service) = self;
        write!(f, "{}", service.scheduler)?;
        let names: [&str; 3] = match service.scheduler {
            Scheduler::Sh => ["sh-fallback", "sh-port", "flag-3"],
            Scheduler::Mh => ["mh-fallback", "mh-port", "flag-3"],
            Scheduler::Rr
            | Scheduler::Wrr
            | Scheduler::Lc
            | Scheduler::Wlc
            | Scheduler::Lblc
            | Scheduler::Lblcr
            | Scheduler::Dh
            | Scheduler::Sed
            | Scheduler::Nq
            | Scheduler::Fo
            | Scheduler::Ovf => ["flag-1", "flag-2", "flag-3"],
        };
        let set = [service.flags.one, service.flags.two, service.flags.three];
        let set: Vec<&str> = names.into_iter().zip(set).filter(|(_, set)| *set).map(|(name, _)| name).collect();
        if !set.is_empty() {
            write!(f, " ({})", set.join(","))?;
        }
        if let Some(persistence) = service.persistence {
            write!(f, " persistent {}", persistence.timeout_s)?;
            let length = persistence.prefix_len;
            match family {
                Family::V4 if length < 32 => {
                    let mask = u32::MAX.checked_shl(u32::from(32 - length)).unwrap_or(0);
                    write!(f, " mask {}", Ipv4Addr::from_bits(mask))?;
                }
                Family::V6 if length < 128 => write!(f, " mask {length}")?,
                Family::V4 | Family::V6 => {}
            }
            if persistence.sip {
                f.write_str(" pe sip")?;
            }
        }
        if service.one_packet {
            f.write_str(" ops")?;
        }
        Ok(())
    }
}

const fn forward_word(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Masq => "Masq",
        Forwarding::Route => "Route",
        Forwarding::Tunnel(_) => "Tunnel",
        Forwarding::FullNat => "FullNat",
    }
}

fn tunnel_words(forwarding: Forwarding) -> String {
    let flags = |checksum| match checksum {
        TunnelChecksum::None => "-c",
        TunnelChecksum::Checksum => "+c",
        TunnelChecksum::Remote => "r+c",
    };
    match forwarding {
        Forwarding::Masq | Forwarding::Route | Forwarding::FullNat => "n/a".to_owned(),
        Forwarding::Tunnel(Encapsulation::Ipip) => "ipip".to_owned(),
        Forwarding::Tunnel(Encapsulation::Gue { port, checksum }) => format!("gue:{port}:{}", flags(checksum)),
        Forwarding::Tunnel(Encapsulation::Gre { checksum }) => format!("gre:{}", flags(checksum)),
    }
}

const fn totals(stats: &Stats) -> [u64; 5] {
    [stats.connections, stats.packets_in, stats.packets_out, stats.bytes_in, stats.bytes_out]
}

const fn rates(rate: &Rate) -> [u64; 5] {
    [rate.connections, rate.packets_in, rate.packets_out, rate.bytes_in, rate.bytes_out]
}

/// Five columns of nine, shortened from a hundred million on where not exact.
struct Numbers([u64; 5], bool);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in self.0 {
            match number {
                _ if self.1 => write!(f, " {number:>8}")?,
                0..100_000_000 => write!(f, "{number:>9}")?,
                100_000_000..1_000_000_000 => write!(f, "{:>8}K", number / 1_000)?,
                1_000_000_000..100_000_000_000 => write!(f, "{:>8}M", number / 1_000_000)?,
                100_000_000_000..100_000_000_000_000 => write!(f, "{:>8}G", number / 1_000_000_000)?,
                100_000_000_000_000.. => write!(f, "{:>8}T", number / 1_000_000_000_000)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
