//! Templates of persistence, as `-Lc` lists them beside the connections (`bpf/persist.h`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use aya::maps::MapError;

use super::abi;
use super::fault::Fault;
use super::manual::CONNECTIONS_PER_TURN;
use super::maps::Maps;
use super::model::Model;
use super::words;
use crate::base::Family;
use crate::lvs::ipvsadm::connections::{Connection, End};
use crate::lvs::table::{DestinationKey, Persistence, Protocol, ServiceKey};

/// As long as a connection of it is there (`TEMPLATE_HOLD_NS`).
const HOLD: Duration = Duration::from_mins(1);
/// Entries that are read; the plane holds half as many.
const READ_MAX: u32 = 1 << 19;
/// IPVS keeps one template for all ports of a client of FTP (`ip_vs_sched_persist`).
const FTP: u16 = 21;

/// Those that still lead a client somewhere; `destinations` are known by slot and generation.
///
/// # Errors
/// [`Fault`] of the map.
pub(super) async fn list(
    maps: &Maps,
    model: &Model,
    destinations: &BTreeMap<(u32, u32), DestinationKey>,
    now: Duration,
) -> Result<Vec<Connection>, Fault> {
    let services: BTreeMap<u32, (&ServiceKey, Persistence)> =
        model.services.iter().filter_map(|(key, held)| Some((held.slot, (key, held.service.persistence?)))).collect();
    let mut found = BTreeMap::new();
    if services.is_empty() {
        return Ok(vec![]);
    }
    // The kernel begins anew where packets take the entry away that was read last, so some may come twice.
    for (number, pair) in (0..READ_MAX).zip(maps.templates.iter()) {
        if number % CONNECTIONS_PER_TURN == CONNECTIONS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        let (key, template) = match pair {
            Ok(pair) => pair,
            Err(MapError::KeyNotFound) => continue,
            Err(error) => return Err(Fault::new("listing the templates of persistence", &error)),
        };
        let Some((service, persistence)) = services.get(&key.service) else { continue };
        let Some(at) = destinations.get(&(template.destination, template.generation)) else { continue };
        let Some(left) = left(&template, *persistence, now) else { continue };
        found.insert((key.service, key.client), one(service, words::ip(key.client), *at, left));
    }
    Ok(found.into_values().collect())
}

/// How long it is good for, as `template_is_stale` has it; `None`: it is over.
fn left(template: &abi::Template, persistence: Persistence, now: Duration) -> Option<Duration> {
    let until = Duration::from_nanos(template.seen_ns) + Duration::from_secs(persistence.timeout_s.into());
    let held = (template.held_ns != 0).then(|| Duration::from_nanos(template.held_ns) + HOLD);
    let left = |until: Duration| until.checked_sub(now).filter(|left| !left.is_zero());
    left(until).or_else(|| held.and_then(left))
}

/// As `ip_vs_sched_persist` makes it: without the client's port, and without the service's where it is one for all.
fn one(service: &ServiceKey, client: IpAddr, at: DestinationKey, left: Duration) -> Connection {
    let (protocol, addr, port) = match *service {
        ServiceKey::Address { protocol, addr, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
                Protocol::Sctp => "SCTP",
            };
            (protocol, addr, if port == FTP { 0 } else { port })
        }
        // The mark stands in the first four bytes of the address.
        ServiceKey::Fwmark { mark, family } => {
            let [a, b, c, d] = mark.get().to_be_bytes();
            let addr = match family {
                Family::V4 => Ipv4Addr::new(a, b, c, d).into(),
                Family::V6 => Ipv6Addr::from_octets([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).into(),
            };
            ("IP", addr, 0)
        }
    };
    Connection {
        protocol: protocol.to_owned(),
        expires_s: u32::try_from(left.as_secs()).unwrap_or(u32::MAX),
        state: "ASSURED".to_owned(),
        client: End { addr: client, port: 0 },
        service: End { addr, port },
        destination: End { addr: at.addr, port: if port == 0 { 0 } else { at.port } },
        engine: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvs::ipvsadm::{Numeric, connections};

    #[test]
    fn templates_are_printed_as_ipvsadm_prints_them() {
        let of = |protocol, port| ServiceKey::Address { protocol, addr: "10.0.1.100".parse().unwrap(), port };
        let mark = |family| ServiceKey::Fwmark { mark: 7.try_into().unwrap(), family };
        let rows = [
            (of(Protocol::Tcp, 80), 80, "TCP 00:29  ASSURED     10.0.1.10:0        10.0.1.100:80      10.0.2.12:80"),
            (of(Protocol::Tcp, 21), 21, "TCP 00:29  ASSURED     10.0.1.10:0        10.0.1.100:0       10.0.2.12:0"),
            (of(Protocol::Udp, 0), 0, "UDP 00:29  ASSURED     10.0.1.10:0        10.0.1.100:0       10.0.2.12:0"),
            (mark(Family::V4), 0, "IP  00:29  ASSURED     10.0.1.10:0        0.0.0.7:0          10.0.2.12:0"),
            (mark(Family::V6), 0, "IP  00:29  ASSURED     10.0.1.10:0        [0:7::]:0          10.0.2.12:0"),
        ];
        for (service, port, line) in rows {
            let at = DestinationKey { addr: "10.0.2.12".parse().unwrap(), port };
            let template = one(&service, "10.0.1.10".parse().unwrap(), at, Duration::from_millis(29_500));
            let text = connections::list(&[template], false, &mut Numeric);
            assert_eq!(text.lines().last(), Some(line), "{service}");
        }
    }

    #[test]
    fn a_template_is_listed_while_it_leads_a_client() {
        let persistence = Persistence { timeout_s: 100, prefix_len: 32, sip: false };
        let second = 1_000_000_000;
        let rows = [
            ("fresh", 1000, 0, 1010, Some(90)),
            ("over", 1000, 0, 1100, None),
            ("held by a connection", 1000, 1090, 1110, Some(40)),
            ("held, and good by itself", 1000, 1001, 1010, Some(90)),
            ("its last connection is gone", 1000, 1090, 1150, None),
        ];
        for (name, seen, held, now, wanted) in rows {
            let template =
                abi::Template { seen_ns: seen * second, held_ns: held * second, destination: 1, generation: 1 };
            let left = left(&template, persistence, Duration::from_secs(now));
            assert_eq!(left, wanted.map(Duration::from_secs), "{name}");
        }
    }
}
