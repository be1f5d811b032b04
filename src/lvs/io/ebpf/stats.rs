//! Counters: read from the maps, summed over the CPUs, smoothed into rates.

use std::collections::BTreeMap;
use std::time::Duration;

use aya::TestRun;
use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use aya::programs::SchedClassifier;
use aya::util::nr_cpus;

use super::abi;
use super::fault::Fault;
use super::maps::Maps;
use super::model::Model;
use crate::base::MonoTime;
use crate::lvs::datapath::{Counters, DatapathError, DestinationStats, Rate, ServiceStats, Stats};
use crate::lvs::table::{DestinationKey, ServiceKey};

/// Why the program did not forward a packet, or not as its service wished (`enum vipd_reason`, `bpf/abi.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Passed up: the service has no destination with a weight.
    NoDestination,
    /// Passed up: TCP without a SYN and without a connection.
    NoConnection,
    /// Not forwarded, and the client told: no route to the next hop. An answer to a client is dropped.
    NoRoute,
    /// Dropped: `net.ipv4.ip_forward` is off; of IPv6 `net.ipv6.conf.INTERFACE.forwarding` of where it came in.
    ForwardingOff,
    /// Not forwarded: larger than the MTU of the way out. Who sent it is told (RFC 1191), also where it allowed to cut
    /// it and the plane could not.
    TooBig,
    /// Not forwarded: the time to live is used up. Who sent it is told.
    Ttl,
    /// Passed up: a fragment whose first one was not seen.
    Fragment,
    /// The table of connections holds nothing but established ones: a new flow was dropped, or, by `DR` and tunnels with a
    /// scheduler that is a hash, forwarded without an entry.
    ConnectionsFull,
    /// Dropped: its service was changing under it.
    Changing,
    /// Passed up: shorter than its own headers.
    Malformed,
    /// Dropped: the kernel refused to rewrite it.
    Rewrite,
    /// Forwarded: the flow began at another director, or in a flood.
    Adopted,
    /// Passed up: IPv6 headers that the plane does not follow (a routing header on its way, IPv4-mapped addresses).
    Extension,
    /// Dropped: `FullNat`, and the service has no local addresses.
    NoLocalAddress,
    /// Dropped: `FullNat` found no local port that is free; more local addresses are more ports.
    LocalPortsFull,
    /// Dropped: a client's data has an option that says who the client is, where the plane hands that on (TOA).
    Forged,
    /// Forwarded without a connection entry: a flood of SYNs, and a scheduler that will choose the same once more.
    SynFlood,
    /// Given to the kernel, which has asked for the link address of its next hop for a second or longer, in vain: what
    /// waits for it is lost.
    NoNeighbour,
    /// Forwarded in fragments: larger than the MTU of the way out, over IPv4, and nobody forbade to cut it.
    Cut,
    /// An entry that was neither established nor over, a datagram's say, made room for another flow's.
    ConnectionsEvicted,
}

impl Reason {
    /// In the order of the map.
    pub const ALL: [Self; 20] = [
        Self::NoDestination,
        Self::NoConnection,
        Self::NoRoute,
        Self::ForwardingOff,
        Self::TooBig,
        Self::Ttl,
        Self::Fragment,
        Self::ConnectionsFull,
        Self::Changing,
        Self::Malformed,
        Self::Rewrite,
        Self::Adopted,
        Self::Extension,
        Self::NoLocalAddress,
        Self::LocalPortsFull,
        Self::Forged,
        Self::SynFlood,
        Self::NoNeighbour,
        Self::Cut,
        Self::ConnectionsEvicted,
    ];

    /// The word in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoDestination => "no_destination",
            Self::NoConnection => "no_connection",
            Self::NoRoute => "no_route",
            Self::ForwardingOff => "forwarding_off",
            Self::TooBig => "too_big",
            Self::Ttl => "ttl",
            Self::Fragment => "fragment",
            Self::ConnectionsFull => "connections_full",
            Self::Changing => "changing",
            Self::Malformed => "malformed",
            Self::Rewrite => "rewrite",
            Self::Adopted => "adopted",
            Self::Extension => "extension",
            Self::NoLocalAddress => "no_local_address",
            Self::LocalPortsFull => "local_ports_full",
            Self::Forged => "forged",
            Self::SynFlood => "syn_flood",
            Self::NoNeighbour => "no_neighbour",
            Self::Cut => "cut",
            Self::ConnectionsEvicted => "connections_evicted",
        }
    }
}

/// Packets per reason. A counter that cannot be read is left out.
pub(super) fn reasons(maps: &Maps) -> Vec<(Reason, u64)> {
    let read = |index: u32| maps.reasons.get(&index, 0).ok().map(|cpus| cpus.iter().copied().sum());
    Reason::ALL.into_iter().zip(0..).filter_map(|(reason, index)| Some((reason, read(index)?))).collect()
}

/// Set the counters of a slot to zero for its next holder.
pub(super) fn zero(map: &mut PerCpuArray<MapData, abi::Counters>, slot: u32) -> Result<(), Fault> {
    let doing = "resetting counters";
    let cpus = nr_cpus().map_err(|(_, error)| Fault::new(doing, &error))?;
    let zeros = PerCpuValues::try_from(vec![abi::Counters::default(); cpus]);
    map.set(slot, zeros.map_err(|error| Fault::new(doing, &error))?, 0).map_err(Fault::map(doing))
}

fn sum(map: &PerCpuArray<MapData, abi::Counters>, slot: u32) -> Result<Stats, Fault> {
    let cpus = map.get(&slot, 0).map_err(Fault::map("reading counters"))?;
    let mut sum = Stats::default();
    for one in cpus.iter() {
        sum.connections = sum.connections.wrapping_add(one.connections);
        sum.packets_in = sum.packets_in.wrapping_add(one.packets_in);
        sum.packets_out = sum.packets_out.wrapping_add(one.packets_out);
        sum.bytes_in = sum.bytes_in.wrapping_add(one.bytes_in);
        sum.bytes_out = sum.bytes_out.wrapping_add(one.bytes_out);
    }
    Ok(sum)
}

/// Have the kernel count the connections of every destination.
fn take_census(maps: &mut Maps, program: &SchedClassifier, model: &Model) -> Result<(), DatapathError> {
    for held in model.services.values().flat_map(|held| held.destinations.values()) {
        maps.census.set(held.slot, abi::Census::default(), 0).map_err(Fault::map("beginning the census"))?;
    }
    // The program does not look at the packet, but the kernel wants one.
    let packet = [0; 64];
    let options = aya::TestRunOptions { data_in: Some(&packet), ..aya::TestRunOptions::new() };
    program.test_run(options).map_err(|error| Fault::new("running the census", &error))?;
    for held in model.services.values().flat_map(|held| held.destinations.values()) {
        settle_load(maps, held.slot)?;
    }
    Ok(())
}

/// What the packets have counted forgets the connections that ended in silence; the census is right.
fn settle_load(maps: &mut Maps, slot: u32) -> Result<(), Fault> {
    let doing = "settling the load of a destination";
    let abi::Census { active, inactive, .. } = maps.census.get(&slot, 0).map_err(Fault::map(doing))?;
    let load = maps.loads.get(&slot, 0).map_err(Fault::map(doing))?;
    if (load.active, load.inactive) == (active, inactive) {
        return Ok(());
    }
    maps.loads.set(slot, abi::Load { active, inactive, ..load }, 0).map_err(Fault::map(doing))
}

/// Counters of all that the model holds.
pub(super) fn counters(
    maps: &mut Maps,
    program: &SchedClassifier,
    model: &Model,
    rates: &mut Rates,
    now: MonoTime,
) -> Result<Counters, DatapathError> {
    take_census(maps, program, model)?;
    let mut counters = Counters::default();
    for (key, held) in &model.services {
        let mut service = ServiceStats { stats: sum(&maps.service_stats, held.slot)?, ..ServiceStats::default() };
        for (at, one) in &held.destinations {
            let census = maps.census.get(&one.slot, 0).map_err(Fault::map("reading the census"))?;
            let stats = sum(&maps.destination_stats, one.slot)?;
            let abi::Census { active, inactive, persistent, .. } = census;
            service.destinations.insert(*at, DestinationStats { stats, active, inactive, persistent });
        }
        counters.services.insert(*key, service);
    }
    rates.learn(now, &mut counters);
    Ok(counters)
}

/// The smoothed rates: every two seconds a quarter of the way to what was last measured (`ip_vs_est.c`).
#[derive(Debug, Default)]
pub(super) struct Rates {
    known: BTreeMap<(ServiceKey, Option<DestinationKey>), Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    at: MonoTime,
    last: [u64; 5],
    rates: [f64; 5],
}

/// Samples closer together than this say nothing.
const SAMPLE_MIN: Duration = Duration::from_millis(100);
const STEP_S: f64 = 2.0;
const KEPT_PER_STEP: f64 = 0.75;

const fn values(stats: &Stats) -> [u64; 5] {
    [stats.connections, stats.packets_in, stats.packets_out, stats.bytes_in, stats.bytes_out]
}

impl Estimate {
    fn learn(&mut self, now: MonoTime, stats: &Stats) {
        let span = now.since(self.at);
        if span < SAMPLE_MIN {
            return;
        }
        let kept = KEPT_PER_STEP.powf(span.as_secs_f64() / STEP_S);
        let values = values(stats);
        for ((rate, last), value) in self.rates.iter_mut().zip(self.last).zip(values) {
            let grown = u32::try_from(value.saturating_sub(last)).unwrap_or(u32::MAX);
            *rate = *rate * kept + f64::from(grown) / span.as_secs_f64() * (1.0 - kept);
        }
        (self.at, self.last) = (now, values);
    }

    fn rate(&self) -> Rate {
        let [connections, packets_in, packets_out, bytes_in, bytes_out] = self.rates.map(whole);
        Rate { connections, packets_in, packets_out, bytes_in, bytes_out }
    }
}

/// To the nearest integer.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and `as` saturates"
)]
const fn whole(rate: f64) -> u64 {
    (rate + 0.5) as u64
}

impl Rates {
    /// Fill in the rates; forget who is not there any more.
    fn learn(&mut self, now: MonoTime, counters: &mut Counters) {
        let mut before = std::mem::take(&mut self.known);
        let mut learn = |key, stats: &mut Stats| {
            let start = Estimate { at: now, last: values(stats), rates: [0.0; 5] };
            let mut estimate = before.remove(&key).unwrap_or(start);
            estimate.learn(now, stats);
            stats.rate = estimate.rate();
            self.known.insert(key, estimate);
        };
        for (key, service) in &mut counters.services {
            learn((*key, None), &mut service.stats);
            for (at, destination) in &mut service.destinations {
                learn((*key, Some(*at)), &mut destination.stats);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_estimated_as_what_it_is() {
        let mut estimate = Estimate { at: MonoTime::ZERO, last: [0; 5], rates: [0.0; 5] };
        for second in 1..=60 {
            let now = MonoTime::from_start(Duration::from_secs(second));
            estimate.learn(now, &Stats { connections: second * 10, packets_in: second * 1000, ..Stats::default() });
        }
        assert_eq!((estimate.rate().connections, estimate.rate().packets_in), (10, 1000));
        assert_eq!(estimate.rate().bytes_out, 0);
    }

    #[test]
    fn a_quarter_is_learnt_in_two_seconds_however_often_one_asks() {
        for asks in [1, 2, 20] {
            let mut estimate = Estimate { at: MonoTime::ZERO, last: [0; 5], rates: [0.0; 5] };
            for ask in 1..=asks {
                let now = MonoTime::from_start(Duration::from_secs(2) * ask / asks);
                let connections = u64::from(ask) * 2000 / u64::from(asks);
                estimate.learn(now, &Stats { connections, ..Stats::default() });
            }
            assert_eq!(estimate.rate().connections, 250, "{asks} asks");
        }
    }
}
