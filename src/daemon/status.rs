//! From the rooms' snapshots to the words of `control::api`. Pure: it asks nobody and changes nothing.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::base::{Family, MonoTime};
use crate::bfd::fleet::View;
use crate::bfd::{Diagnostic, State};
use crate::control::api::{
    CheckStatus, HookBecause, InstanceCounters, InstanceStatus, PeerStatus, PlaneStatus, RealServerStatus,
    SchedulingStatus, TrackerStatus, VirtualServerStatus,
};
use crate::daemon::heartbeat::processor::Processor;
use crate::daemon::heartbeat::{BadFrames, Strangers};
use crate::daemon::lvs::LvsView;
use crate::daemon::telling::keepalived_word;
use crate::daemon::trackers::TrackView;
use crate::daemon::watchers::WatchView;
use crate::lvs::datapath::{Counters, DestinationStats, Served, ServiceStats};
use crate::lvs::pool::{Health, PoolId, PoolView, RealServerView, Wish, table_key};
use crate::lvs::table::{DestinationKey, Forwarding, ServiceKey};
use crate::vrrp::{self, Discard, InstanceView, Outcome, PeerView, Tracked};

pub fn script(view: TrackView) -> TrackerStatus {
    let TrackView { script, good, running: _, last, age: _, results: _ } = view;
    let because = last.map(|last| last.to_string());
    tracker(Tracked::Script(script), good.map(Outcome::Good), because)
}

pub fn watched(view: WatchView) -> TrackerStatus {
    let WatchView { what, outcome, reason } = view;
    tracker(what, outcome, reason.map(|reason| reason.to_string()))
}

pub fn bfd(view: &View) -> TrackerStatus {
    let View { name, state, diagnostic, since: _ } = view;
    let because = match diagnostic {
        Diagnostic::None => state.to_string(),
        Diagnostic::Expired | Diagnostic::NeighborDown | Diagnostic::AdminDown | Diagnostic::Other(_) => {
            format!("{state}: {diagnostic}")
        }
    };
    tracker(Tracked::Bfd(name.clone()), Some(Outcome::Good(*state == State::Up)), Some(because))
}

fn tracker(what: Tracked, outcome: Option<Outcome>, because: Option<String>) -> TrackerStatus {
    let (kind, name) = match what {
        Tracked::Interface(name) => ("interface", name.to_string()),
        Tracked::Script(name) => ("script", name),
        Tracked::File(name) => ("file", name),
        Tracked::Process(name) => ("process", name),
        Tracked::Bfd(name) => ("bfd", name),
        Tracked::Static(item) => ("static", item),
    };
    let state = match outcome {
        None => "unknown".to_owned(),
        Some(Outcome::Good(true)) => "good".to_owned(),
        Some(Outcome::Good(false)) => "bad".to_owned(),
        Some(Outcome::Number(number)) => number.to_string(),
    };
    TrackerStatus { kind: kind.to_owned(), name, state, because }
}

pub fn scheduling(processor: &Processor) -> SchedulingStatus {
    let Processor { scheduling, refused } = processor;
    SchedulingStatus { heartbeat: scheduling.to_string(), refused: refused.clone() }
}

/// One virtual router as `status` shows it.
pub fn instance(now: MonoTime, view: InstanceView) -> InstanceStatus {
    let InstanceView {
        name,
        vrid,
        interface,
        family,
        version,
        state,
        priority,
        effective_priority,
        interval: _,
        preempt: _,
        sync_group: _,
        addresses,
        since,
        reason,
        faults,
        skew: _,
        active_down,
        learnt_interval: _,
        last_heard,
        peer,
        peer_since: _,
        deadline: _,
        preempt_at: _,
        wants_active: _,
        yielded: _,
        tracks: _,
        counters,
        discards,
    } = view;
    let because = match (reason, faults.as_slice()) {
        (_, [fault, ..]) => fault.to_string(),
        (Some(reason), []) => reason.to_string(),
        (None, []) => "not started yet".to_owned(),
    };
    InstanceStatus {
        name,
        state: keepalived_word(state).to_owned(),
        interface: interface.to_string(),
        vrid: vrid.get(),
        family: match family {
            Family::V4 => "IPv4".to_owned(),
            Family::V6 => "IPv6".to_owned(),
        },
        version: version.number(),
        priority: priority.get(),
        effective_priority: effective_priority.get(),
        since_s: now.since(since).as_secs_f64(),
        because,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        peer: peer.zip(last_heard).map(|(PeerView { addr, priority }, heard)| PeerStatus {
            address: addr.to_string(),
            priority,
            heard_s_ago: now.since(heard).as_secs_f64(),
        }),
        active_down_ms: active_down.as_secs_f64() * 1e3,
        adverts_sent: counters.adverts_sent,
        adverts_received: counters.adverts_received,
        transitions: counters.transitions,
        counters: self::counters(&counters),
        discards: discards.into_iter().map(|(reason, count)| (reason.to_string(), count)).collect(),
    }
}

const fn counters(counters: &vrrp::Counters) -> InstanceCounters {
    InstanceCounters {
        became_master: counters.became_active,
        released_master: counters.left_active,
        priority_zero_sent: counters.priority_zero_sent,
        priority_zero_received: counters.priority_zero_received,
        announcements_sent: counters.announcements_sent,
        conflicts: counters.conflicts,
        claims: counters.claims,
        addresses_restored: counters.addresses_restored,
        routes_restored: counters.routes_restored,
        send_failures: counters.send_failures,
    }
}

/// What its checkers know of a real server.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    pub checks: Vec<CheckStatus>,
    /// Seconds since its standing last moved.
    pub since_s: Option<f64>,
}

/// Packets for nobody, in words.
pub fn strangers(all: &Strangers) -> BTreeMap<String, BTreeMap<String, u64>> {
    let counted = |discards: &BTreeMap<Discard, u64>| {
        discards.iter().map(|(reason, count)| (reason.to_string(), *count)).collect()
    };
    all.iter().map(|(interface, discards)| (interface.to_string(), counted(discards))).collect()
}

/// Those that were met.
pub fn bad_frames(all: &BadFrames) -> BTreeMap<String, u64> {
    let BadFrames { arp, neighbour_adverts, virtual_mac } = all;
    let named = [("arp", arp), ("neighbour_advert", neighbour_adverts), ("virtual_mac", virtual_mac)];
    let counted = named.iter().map(|(name, count)| ((*name).to_owned(), count.load(Ordering::Relaxed)));
    counted.filter(|(_, count)| *count > 0).collect()
}

/// The plane as a whole.
pub fn plane(view: &LvsView, counters: &Counters, reasons: &[(&'static str, u64)]) -> PlaneStatus {
    let held = counters.services.values().flat_map(|service| service.destinations.values());
    PlaneStatus {
        name: view.plane.clone(),
        refused: view.refused.clone(),
        hooks: view.hooks.iter().map(|one| (one.interface.clone(), one.hook.name().to_owned())).collect(),
        hooks_because: view.hooks.iter().map(hook_because).collect(),
        connections: held.fold(0, |sum: u32, one| sum.saturating_add(one.active).saturating_add(one.inactive)),
        connections_max: view.connections_max,
        reasons: reasons.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
    }
}

fn hook_because(served: &Served) -> (String, HookBecause) {
    let Served { interface, hook: _, because } = served;
    (interface.clone(), HookBecause { reason: because.to_string(), is_refusal: because.is_refusal() })
}

/// The check results of a real server, by pool and address as configured.
pub type Checks = BTreeMap<(PoolId, DestinationKey), Checked>;

/// One virtual server: a row per service, so that the services of a group have their own counters.
pub fn virtual_servers(plane: &str, view: &PoolView, counters: &Counters, checks: &Checks) -> Vec<VirtualServerStatus> {
    let nothing = ServiceStats::default();
    view.services
        .iter()
        .map(|service| {
            let stats = counters.services.get(service).unwrap_or(&nothing);
            let sorry = view.sorry_server.as_ref();
            let mut real_servers: Vec<RealServerStatus> =
                view.real_servers.iter().map(|server| real_server(view, *service, server, stats, checks)).collect();
            let unchecked = |state, weight, at| unchecked(state, weight, *service, at, stats);
            real_servers.extend(
                view.leaving
                    .iter()
                    .map(|one| unchecked("leaving", (0, one.weight_configured.get()), (one.address, one.forwarding))),
            );
            real_servers
                .extend(sorry.map(|one| unchecked("sorry", (u32::from(one.active), 1), (one.address, one.forwarding))));
            VirtualServerStatus {
                virtual_server: view.id.to_string(),
                service: service.to_string(),
                plane: plane.to_owned(),
                scheduler: view.service.scheduler.to_string(),
                forwarding: forwarding_of(view).to_owned(),
                state: match (view.quorum_up, sorry) {
                    (true, _) => "up".to_owned(),
                    (false, Some(_)) => "sorry".to_owned(),
                    (false, None) => "down".to_owned(),
                },
                quorum: view.quorum,
                live_weight: view.live_weight,
                connections: stats.stats.connections,
                packets_in: stats.stats.packets_in,
                bytes_in: stats.stats.bytes_in,
                packets_out: stats.stats.packets_out,
                bytes_out: stats.stats.bytes_out,
                real_servers,
            }
        })
        .collect()
}

/// ipvsadm's word, where all real servers agree.
fn forwarding_of(view: &PoolView) -> &'static str {
    let mut words = view.real_servers.iter().map(|server| forwarding_word(server.forwarding));
    match words.next() {
        None => "-",
        Some(first) if words.all(|word| word == first) => first,
        Some(_) => "mixed",
    }
}

const fn forwarding_word(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Masq => "Masq",
        Forwarding::Route => "Route",
        Forwarding::Tunnel(_) => "Tunnel",
        Forwarding::FullNat => "FullNat",
    }
}

fn counted(stats: &ServiceStats, service: ServiceKey, at: DestinationKey, forwarding: Forwarding) -> DestinationStats {
    stats.destinations.get(&table_key(service, at, forwarding)).copied().unwrap_or_default()
}

fn real_server(
    view: &PoolView,
    service: ServiceKey,
    server: &RealServerView,
    stats: &ServiceStats,
    checks: &Checks,
) -> RealServerStatus {
    let counted = counted(stats, service, server.address, server.forwarding);
    let checked = checks.get(&(view.id.clone(), server.address)).cloned().unwrap_or_default();
    RealServerStatus {
        address: server.address.to_string(),
        state: match (server.health, server.wish) {
            (Health::Up, Some(Wish::Drain)) => "draining",
            (Health::Up, Some(Wish::Disable)) => "disabled",
            (Health::Up, Some(Wish::Weight(_)) | None) => "up",
            (Health::Down, _) => "down",
            (Health::Untried, _) => "untried",
        }
        .to_owned(),
        by_operator: server.wish.map(|wish| wish.to_string()),
        weight: server.weight_now.map_or(0, crate::base::Weight::get),
        configured_weight: server.weight_configured.get(),
        active: counted.active,
        inactive: counted.inactive,
        connections: counted.stats.connections,
        since_s: checked.since_s,
        checks: checked.checks,
    }
}

/// What runs on without a checker; `weight`: now, and as configured.
fn unchecked(
    state: &str,
    weight: (u32, u32),
    service: ServiceKey,
    (address, forwarding): (DestinationKey, Forwarding),
    counters: &ServiceStats,
) -> RealServerStatus {
    let counted = counted(counters, service, address, forwarding);
    RealServerStatus {
        address: address.to_string(),
        state: state.to_owned(),
        by_operator: None,
        weight: weight.0,
        configured_weight: weight.1,
        active: counted.active,
        inactive: counted.inactive,
        connections: counted.stats.connections,
        since_s: None,
        checks: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_was_never_met_is_there_from_the_start() {
        let view = LvsView { plane: "ebpf".to_owned(), ..LvsView::default() };
        let shown = plane(&view, &Counters::default(), &[("no_route", 0), ("ttl", 2)]);
        assert_eq!(shown.reasons, [("no_route".to_owned(), 0), ("ttl".to_owned(), 2)].into());
    }
}
