//! The eBPF plane under an operator's hand: counters to zero, timeouts, the list of connections.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::abi;
use super::fault::Fault;
use super::plane::Ebpf;
use super::stats;
use super::templates;
use super::words;
use crate::lvs::datapath::DatapathError;
use crate::lvs::ipvsadm::connections::{Connection, End};
use crate::lvs::ipvsadm::manual::{Manual, meant, refused};
use crate::lvs::ipvsadm::{Change, Refusal, Timeouts};
use crate::lvs::table::{DestinationKey, Entry, Forwarding, ServiceKey, Step, Table};

/// Connections that are read before other tasks get their turn.
pub(super) const CONNECTIONS_PER_TURN: u32 = 4096;

/// `enum vipd_connection_flag`: entries that are no client's own.
const NOT_A_CLIENTS: u8 = 1 | 2;

/// `enum vipd_state`, by IPVS's names.
const STATES: [&str; abi::STATES] = ["SYN_RECV", "ESTABLISHED", "FIN_WAIT", "TIME_WAIT", "CLOSE", "UDP", "CLOSE_WAIT"];
/// The nearest ones of `ip_vs_proto_sctp.c`.
const STATES_OF_SCTP: [&str; abi::STATES] =
    ["INIT1", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_ACK_SENT", "CLOSED", "NONE", "SHUTDOWN_RECEIVED"];

impl Manual for Ebpf {
    /// `FullNat` begins its connections at addresses of the configuration, which no command line names.
    fn objection(&self, step: &Step, held: &Table) -> Result<(), Refusal> {
        let (Step::AddDestination(key, _, to) | Step::EditDestination(key, _, to)) = step else { return Ok(()) };
        let Some(Entry { service, .. }) = held.services.get(key) else { return Ok(()) };
        // What FullNat does for no service of its kind is refused by the plane, which says so.
        let never = words::check_pair(key, service, to).is_err();
        if to.forwarding != Forwarding::FullNat || never || self.has_locals(key) {
            return Ok(());
        }
        Err(Refusal::ours(format!(
            "{key} has no local addresses that FullNat (-b) connections could begin at: give it `laddr_group_name` in \
            the configuration and let the daemon serve it, or forward by -m, -g or -i"
        )))
    }

    async fn beyond(&mut self, change: &Change, held: &Table) -> Result<(), Refusal> {
        let done = match change {
            Change::Zero(key) => meant(*key, held).iter().try_for_each(|key| self.zero(key)),
            Change::Set(timeouts) => self.set_timeouts(*timeouts),
            Change::Step(_) | Change::Clear | Change::StartDaemon(_) | Change::StopDaemon(_) => {
                return Err(self.cannot(change));
            }
        };
        done.map_err(|fault| refused(&fault.into()))
    }

    async fn connections(&mut self) -> Result<Vec<Connection>, DatapathError> {
        const ACTION: &str = "listing the connections";
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(std::io::Error::from);
        let now = Duration::from(now.map_err(|error| Fault::new(ACTION, &error))?);
        let settings = self.kernel.maps.settings.get(&0, 0).map_err(Fault::map(ACTION))?;
        let held = self.model.services.values().flat_map(|held| &held.destinations);
        let destinations: BTreeMap<(u32, u32), DestinationKey> =
            held.map(|(at, held)| ((held.slot, held.generation), *at)).collect();
        let used = self.kernel.maps.cursor.get(&0, 0).map_err(Fault::map(ACTION))?.used;
        let used = u32::try_from(used).unwrap_or(u32::MAX).min(settings.connections);
        let mut connections = vec![];
        for number in 0..used {
            if number % CONNECTIONS_PER_TURN == CONNECTIONS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let entry = self.kernel.maps.connections.get(&number, 0).map_err(Fault::map(ACTION))?;
            let at = destinations.get(&(entry.connection.destination, entry.connection.generation));
            connections.extend(at.and_then(|at| connection(&entry, *at, now, &settings.timeout_ms)));
        }
        connections.extend(templates::list(&self.kernel.maps, &self.model, &destinations, now).await?);
        Ok(connections)
    }

    async fn timeouts(&mut self) -> Result<Timeouts, DatapathError> {
        let settings = self.kernel.maps.settings.get(&0, 0).map_err(Fault::map("reading the timeouts"))?;
        let [_, tcp, tcp_fin, _, _, udp, _] = settings.timeout_ms.map(|ms| ms / 1000);
        Ok(Timeouts { tcp_s: tcp, tcp_fin_s: tcp_fin, udp_s: udp })
    }
}

impl Ebpf {
    /// Those that the daemon has told, or that it left in the maps.
    fn has_locals(&self, key: &ServiceKey) -> bool {
        let in_maps = |slot| self.kernel.maps.locals_of.get(&slot, 0).is_ok();
        self.kernel.has_locals(key) || self.model.services.get(key).is_some_and(|held| in_maps(held.slot))
    }

    fn zero(&mut self, key: &ServiceKey) -> Result<(), Fault> {
        let Some(held) = self.model.services.get(key) else { return Ok(()) };
        let maps = &mut self.kernel.maps;
        stats::zero(&mut maps.service_stats, held.slot)?;
        held.destinations.values().try_for_each(|held| stats::zero(&mut maps.destination_stats, held.slot))
    }

    /// 0 leaves a timeout as it is.
    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), Fault> {
        const ACTION: &str = "setting the timeouts";
        let mut settings = self.kernel.maps.settings.get(&0, 0).map_err(Fault::map(ACTION))?;
        let [_, tcp, tcp_fin, _, _, udp, _] = &mut settings.timeout_ms;
        for (ms, seconds) in [(tcp, timeouts.tcp_s), (tcp_fin, timeouts.tcp_fin_s), (udp, timeouts.udp_s)] {
            if seconds != 0 {
                *ms = seconds.saturating_mul(1000);
            }
        }
        self.kernel.maps.settings.set(0, settings, 0).map_err(Fault::map(ACTION))
    }
}

/// `None`: an entry of a reply, or one that is over.
fn connection(
    entry: &abi::Entry,
    at: DestinationKey,
    now: Duration,
    timeouts_ms: &[u32; abi::STATES],
) -> Option<Connection> {
    let abi::Entry { flow, connection: entry, .. } = entry;
    if entry.tag < abi::TAG_USED || entry.flags & NOT_A_CLIENTS != 0 {
        return None;
    }
    let timeout = Duration::from_millis((*timeouts_ms.get(usize::from(entry.state))?).into());
    let left = (Duration::from_nanos(entry.seen_ns) + timeout).checked_sub(now)?;
    let end = |address, port| End { addr: words::ip(address), port: u16::from_be(port) };
    let (protocol, states) = match flow.protocol {
        6 => ("TCP", STATES),
        17 => ("UDP", STATES),
        132 => ("SCTP", STATES_OF_SCTP),
        _ => ("IP", STATES),
    };
    Some(Connection {
        protocol: protocol.to_owned(),
        expires_s: u32::try_from(left.as_secs()).unwrap_or(u32::MAX),
        state: (*states.get(usize::from(entry.state))?).to_owned(),
        client: end(flow.source, flow.source_port),
        service: end(flow.target, flow.target_port),
        // Without a port of its own it has the one that the client asked for.
        destination: End { addr: at.addr, port: if at.port == 0 { u16::from_be(flow.target_port) } else { at.port } },
        engine: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_listed_while_it_lives_and_only_from_the_clients_side() {
        let v4 = |n: u8| std::net::Ipv4Addr::new(192, 0, 2, n).to_ipv6_mapped().octets();
        let flow = abi::Flow {
            source: v4(1),
            target: v4(2),
            source_port: 40_000_u16.to_be(),
            target_port: 80_u16.to_be(),
            protocol: 6,
            reserved: [0; 3],
        };
        let entry = abi::Connection {
            tag: abi::TAG_USED,
            state: 1,
            flags: 0,
            virtual_port: 80_u16.to_be(),
            seen_ns: 1_000_000_000,
            destination: 3,
            generation: 1,
            virtual_address: v4(2),
            first_ack: 0,
            reserved: 0,
        };
        let at = DestinationKey { addr: "10.0.0.1".parse().unwrap(), port: 8080 };
        let list = |connection, now_s| {
            let entry = abi::Entry { flow, connection, reserved: [0; 40] };
            super::connection(&entry, at, Duration::from_secs(now_s), &[10_000; abi::STATES])
        };
        let listed = list(entry, 5).unwrap();
        assert_eq!((listed.state.as_str(), listed.expires_s), ("ESTABLISHED", 6));
        assert_eq!((listed.client.port, listed.service.port, listed.destination.port), (40_000, 80, 8080));
        let kept = super::connection(
            &abi::Entry { flow, connection: entry, reserved: [0; 40] },
            DestinationKey { port: 0, ..at },
            Duration::from_secs(5),
            &[10_000; abi::STATES],
        );
        assert_eq!(kept.unwrap().destination.port, 80, "one without a port keeps the client's");
        assert_eq!(list(entry, 12), None, "it is over");
        assert_eq!(list(abi::Connection { flags: 1, ..entry }, 5), None, "a reply's entry");
        assert_eq!(list(abi::Connection { tag: 2, ..entry }, 5), None, "nobody's entry");
    }
}
