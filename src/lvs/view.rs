//! A table and its counters as `ipvsadm -L` prints them, byte for byte (ipvsadm 1.31).
//!
//! The order of services is `order.rs`; `-S` and what else ipvsadm prints is `lvs/ipvsadm/`.

pub mod order;

use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::datapath::{Counters, DestinationStats, Rate, ServiceStats, Stats};
use super::ipvsadm::{Names, Numeric, place};
use super::table::{
    Destination, DestinationKey, Encapsulation, Forwarding, Protocol, Scheduler, Service, ServiceKey, Table,
    TunnelChecksum,
};
use crate::base::Family;

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A service as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub key: ServiceKey,
    pub service: Service,
    pub stats: Stats,
    pub destinations: Vec<DestinationRow>,
}

/// A destination as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationRow {
    pub key: DestinationKey,
    pub destination: Destination,
    pub counted: DestinationStats,
}

/// A table with its counters; what has none has zeros.
pub fn rows(table: &Table, counters: &Counters) -> Vec<Row> {
    let nothing = ServiceStats::default();
    let row = |(key, entry): (&ServiceKey, &super::table::Entry)| {
        let counted = counters.services.get(key).unwrap_or(&nothing);
        let destination = |(at, to): (&DestinationKey, &Destination)| DestinationRow {
            key: *at,
            destination: *to,
            counted: counted.destinations.get(at).copied().unwrap_or_default(),
        };
        let destinations = entry.destinations.iter().map(destination).collect();
        Row { key: *key, service: entry.service, stats: counted.stats, destinations }
    };
    table.services.iter().map(row).collect()
}

/// The text of `-Ln`.
pub fn list(header: Header, table: &Table, counters: &Counters, listing: Listing) -> String {
    let mut text = head(header);
    text.push_str(&services(&order::sorted(rows(table, counters)), listing, &mut Numeric));
    text
}

/// The line above the titles; a listing of one service goes without.
pub fn head(header: Header) -> String {
    let (major, minor, patch) = header.version;
    format!("IP Virtual Server version {major}.{minor}.{patch} (size={})\n", header.table_size)
}

/// The titles and the services, in the order given.
pub fn services(rows: &[Row], listing: Listing, names: &mut dyn Names) -> String {
    let mut text = title(listing).to_owned();
    for row in rows {
        write_service(&mut text, row, listing, names);
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

fn write_service(text: &mut String, row: &Row, listing: Listing, names: &mut dyn Names) {
    let Row { key, service, stats, destinations } = row;
    let name = service_name(*key, names);
    match listing {
        Listing::Table | Listing::TunnelInfo | Listing::Thresholds | Listing::PersistentConnections => {
            line(text, format_args!("{name} {}", ServiceWords(key.family(), *service)));
        }
        Listing::Stats { exact } => line(text, format_args!("{name:<33}{}", Numbers(totals(stats), exact))),
        Listing::Rate { exact } => line(text, format_args!("{name:<33}{}", Numbers(rates(&stats.rate), exact))),
    }
    for destination in destinations {
        write_destination(text, *key, destination, listing, names);
    }
}

fn write_destination(
    text: &mut String,
    service: ServiceKey,
    row: &DestinationRow,
    listing: Listing,
    names: &mut dyn Names,
) {
    let DestinationRow { key, destination: to, counted } = row;
    let at = place(names, key.addr, key.port, protocol_of(service));
    let at = cut(at, service, 28);
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

/// `TCP  192.0.2.1:80`, `FWM  7`, `FWM  8 IPv6`; a mark is printed as a C `int`.
fn service_name(key: ServiceKey, names: &mut dyn Names) -> String {
    match key {
        ServiceKey::Address { protocol, addr, port } => {
            let name = format!("{:<4} {}", protocol.to_string(), place(names, addr, port, Some(protocol)));
            cut(name, key, 33)
        }
        ServiceKey::Fwmark { mark, family: Family::V4 } => format!("FWM  {}", mark.get().cast_signed()),
        ServiceKey::Fwmark { mark, family: Family::V6 } => format!("FWM  {} IPv6", mark.get().cast_signed()),
    }
}

/// Whose ports a service has; those of a marked one have no names.
pub(super) const fn protocol_of(service: ServiceKey) -> Option<Protocol> {
    match service {
        ServiceKey::Address { protocol, .. } => Some(protocol),
        ServiceKey::Fwmark { .. } => None,
    }
}

/// A long host name is cut, but not in an IPv6 service.
fn cut(name: String, service: ServiceKey, width: usize) -> String {
    match service.family() {
        Family::V4 if name.chars().count() > width => name.chars().take(width).collect(),
        Family::V4 | Family::V6 => name,
    }
}

/// The scheduler's flags that are set, as `-b` takes them; sh and mh have no third one.
pub(super) fn flag_words(service: Service) -> String {
    let names: [Option<&str>; 3] = match service.scheduler {
        Scheduler::Sh => [Some("sh-fallback"), Some("sh-port"), None],
        Scheduler::Mh => [Some("mh-fallback"), Some("mh-port"), None],
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
        | Scheduler::Ovf => [Some("flag-1"), Some("flag-2"), Some("flag-3")],
    };
    let set = [service.flags.one, service.flags.two, service.flags.three];
    let words: Vec<&str> = names.into_iter().zip(set).filter_map(|(name, set)| name.filter(|_| set)).collect();
    words.join(",")
}

/// The persistence mask where it is not one client: `255.255.255.0`, or the length of an IPv6 prefix.
pub(super) fn mask_words(family: Family, prefix_len: u8) -> Option<String> {
    match family {
        Family::V4 if prefix_len < 32 => {
            let mask = u32::MAX.checked_shl(u32::from(32 - prefix_len)).unwrap_or(0);
            Some(Ipv4Addr::from_bits(mask).to_string())
        }
        Family::V6 if prefix_len < 128 => Some(prefix_len.to_string()),
        Family::V4 | Family::V6 => None,
    }
}

/// `wrr persistent 300 mask 255.255.255.0`.
struct ServiceWords(Family, Service);

impl fmt::Display for ServiceWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(family, service) = self;
        write!(f, "{}", service.scheduler)?;
        let flags = flag_words(*service);
        if !flags.is_empty() {
            write!(f, " ({flags})")?;
        }
        if let Some(persistence) = service.persistence {
            write!(f, " persistent {}", persistence.timeout_s)?;
            if let Some(mask) = mask_words(*family, persistence.prefix_len) {
                write!(f, " mask {mask}")?;
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
