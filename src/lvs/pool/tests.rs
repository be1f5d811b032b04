//! The rules by a table, the laws by random events.

mod group;
mod known;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::{Family, WeightWish};
use crate::lvs::table::{Encapsulation, Forwarding, Protocol, Scheduler, SchedulerFlags, Service};

const VIP: ServiceKey =
    ServiceKey::Address { protocol: Protocol::Tcp, addr: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port: 80 };
const SORRY: DestinationKey = DestinationKey { addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 99)), port: 80 };

fn rs(n: u8) -> DestinationKey {
    DestinationKey { addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)), port: 8080 }
}

fn real(weight: u32) -> RealServer {
    RealServer {
        forwarding: Forwarding::Masq,
        weight: Weight::new(weight).unwrap(),
        inhibit_on_failure: false,
        upper_threshold: 0,
        lower_threshold: 0,
        start: Start::Up,
    }
}

fn settings(weights: &[u32]) -> PoolSettings {
    PoolSettings {
        id: PoolId::Service(VIP),
        services: vec![VIP],
        service: Service {
            scheduler: Scheduler::Rr,
            flags: SchedulerFlags::default(),
            persistence: None,
            one_packet: false,
        },
        locals: crate::lvs::datapath::Locals::default(),
        quorum: 1,
        hysteresis: 0,
        omega: false,
        sorry_server: None,
        slow_start: Duration::ZERO,
        drain_time: Duration::ZERO,
        init_notifies: false,
        real_servers: (1u8..).zip(weights).map(|(n, weight)| (rs(n), real(*weight))).collect(),
    }
}

fn with_sorry(mut settings: PoolSettings, inhibit: bool) -> PoolSettings {
    settings.sorry_server = Some(SorryServer { address: SORRY, forwarding: Forwarding::Masq, inhibit });
    settings
}

/// The table of the pool's only service as `10.0.0.N:PORT=WEIGHT`.
fn table(pool: &Pool) -> Vec<String> {
    let entry = pool.desired().remove(0).1;
    entry.destinations.iter().map(|(at, to)| format!("{at}={}", to.weight)).collect()
}

fn down(n: u8) -> Event {
    Event::Down { real_server: rs(n) }
}

fn up(n: u8) -> Event {
    Event::Up { real_server: rs(n) }
}

#[test]
fn a_pool_starts_up_and_says_that_it_has_its_quorum() {
    let (pool, told) = Pool::new(settings(&[2, 1]), &[]);
    assert_eq!(told, [PoolEvent::QuorumGained { weight: 3, threshold: 1 }]);
    assert_eq!(table(&pool), ["10.0.0.1:8080=2", "10.0.0.2:8080=1"]);
}

#[test]
fn an_alpha_pool_starts_without_quorum_and_tells_the_first_results() {
    let mut alpha = with_sorry(settings(&[1, 1]), false);
    alpha.real_servers.values_mut().for_each(|real| real.start = Start::Down);
    let (mut pool, told) = Pool::new(alpha, &[]);
    let sorry_in = PoolEvent::SorryServerIn { sorry_server: SORRY };
    assert_eq!(told, [PoolEvent::QuorumLost { weight: 0, threshold: 1 }, sorry_in]);
    assert_eq!(table(&pool), ["10.0.0.99:80=1"]);
    assert_eq!(pool.handle(down(1)).unwrap(), [PoolEvent::RealServerDown { real_server: rs(1) }]);
    assert_eq!(pool.handle(down(1)).unwrap(), [], "told once");
    let told = pool.handle(up(2)).unwrap();
    let gained = PoolEvent::QuorumGained { weight: 1, threshold: 1 };
    let sorry_out = PoolEvent::SorryServerOut { sorry_server: SORRY };
    assert_eq!(told, [PoolEvent::RealServerUp { real_server: rs(2) }, gained, sorry_out]);
    assert_eq!(table(&pool), ["10.0.0.2:8080=1"]);
}

#[test]
fn the_table_follows_health_and_quorum() {
    let inhibited = |mut settings: PoolSettings| {
        settings.real_servers.values_mut().for_each(|real| real.inhibit_on_failure = true);
        settings
    };
    let quorum = |mut settings: PoolSettings, quorum, hysteresis| {
        settings.quorum = quorum;
        settings.hysteresis = hysteresis;
        settings
    };
    let weight = |n, weight| Event::Weight {
        real_server: rs(n),
        weight: Some(WeightWish::Exactly(Weight::new(weight).unwrap())),
    };
    let wish = |n, wish| Event::Operator { real_server: rs(n), wish: Some(wish) };
    let drain = |n| wish(n, Wish::Drain);
    let rows: Vec<(&str, PoolSettings, Vec<Event>, &[&str])> = vec![
        ("one down is removed", settings(&[1, 1]), vec![down(1)], &["10.0.0.2:8080=1"]),
        ("all down without a sorry server", settings(&[1]), vec![down(1)], &[]),
        ("inhibited stays", inhibited(settings(&[1, 1])), vec![down(1)], &["10.0.0.1:8080=0", "10.0.0.2:8080=1"]),
        ("quorum lost, no sorry: live ones stay", quorum(settings(&[2, 1]), 3, 0), vec![down(2)], &["10.0.0.1:8080=2"]),
        (
            "quorum lost: sorry alone",
            quorum(with_sorry(settings(&[2, 1]), false), 3, 0),
            vec![down(2)],
            &["10.0.0.99:80=1"],
        ),
        (
            "quorum lost with inhibition: all weights 0",
            quorum(inhibited(with_sorry(settings(&[2, 1]), false)), 3, 0),
            vec![down(2)],
            &["10.0.0.1:8080=0", "10.0.0.2:8080=0", "10.0.0.99:80=1"],
        ),
        (
            "an inhibited sorry server waits",
            with_sorry(settings(&[1]), true),
            vec![],
            &["10.0.0.1:8080=1", "10.0.0.99:80=0"],
        ),
        ("an inhibited sorry server serves", with_sorry(settings(&[1]), true), vec![down(1)], &["10.0.0.99:80=1"]),
        ("back from sorry", with_sorry(settings(&[1]), false), vec![down(1), up(1)], &["10.0.0.1:8080=1"]),
        (
            "within the band it stays",
            quorum(with_sorry(settings(&[1, 1, 1]), false), 2, 1),
            vec![down(1), down(2)],
            &["10.0.0.3:8080=1"],
        ),
        (
            "lost, and in the band not yet back",
            quorum(with_sorry(settings(&[1, 1, 1]), false), 2, 1),
            vec![down(1), down(2), down(3), up(1), up(2)],
            &["10.0.0.99:80=1"],
        ),
        ("a checker sets the weight", settings(&[1]), vec![weight(1, 7)], &["10.0.0.1:8080=7"]),
        (
            "dynamic weight 0 loses the quorum",
            with_sorry(settings(&[1]), false),
            vec![weight(1, 0)],
            &["10.0.0.99:80=1"],
        ),
        ("drained stays with weight 0", settings(&[1, 1]), vec![drain(1)], &["10.0.0.1:8080=0", "10.0.0.2:8080=1"]),
        (
            "drained keeps its connections beside the sorry server",
            with_sorry(settings(&[1]), false),
            vec![drain(1)],
            &["10.0.0.1:8080=0", "10.0.0.99:80=1"],
        ),
        ("drained and down is removed", settings(&[1, 1]), vec![drain(1), down(1)], &["10.0.0.2:8080=1"]),
        ("disabled is out", settings(&[1, 1]), vec![wish(1, Wish::Disable)], &["10.0.0.2:8080=1"]),
        (
            "disabled is out, inhibited and down too",
            inhibited(settings(&[1, 1])),
            vec![down(1), wish(1, Wish::Disable)],
            &["10.0.0.2:8080=1"],
        ),
        (
            "an operator's weight is that of a live server only",
            with_sorry(settings(&[1]), false),
            vec![wish(1, Wish::Weight(Weight::new(9).unwrap())), down(1)],
            &["10.0.0.99:80=1"],
        ),
    ];
    for (name, settings, events, wanted) in rows {
        let (mut pool, _) = Pool::new(settings, &[]);
        for event in events {
            pool.handle(event).unwrap();
        }
        assert_eq!(table(&pool), wanted, "{name}");
    }
}

#[test]
fn ports_are_the_services_where_packets_are_not_rewritten() {
    let mark = ServiceKey::Fwmark { mark: NonZeroU32::MIN, family: Family::V4 };
    let ipip = Forwarding::Tunnel(Encapsulation::Ipip);
    let rows = [
        ("masq", VIP, Forwarding::Masq, 8080),
        ("route", VIP, Forwarding::Route, 80),
        ("tunnel", VIP, ipip, 80),
        ("masq of a mark", mark, Forwarding::Masq, 8080),
        ("route of a mark", mark, Forwarding::Route, 0),
    ];
    for (name, service, forwarding, port) in rows {
        assert_eq!(table_key(service, rs(1), forwarding).port, port, "{name}");
    }
}

#[test]
fn settings_that_cannot_hold_are_corrected_and_told() {
    let mut odd = settings(&[1, 1]);
    (odd.quorum, odd.hysteresis) = (9, 5);
    odd.services = vec![ServiceKey::Address { protocol: Protocol::Tcp, addr: Ipv4Addr::LOCALHOST.into(), port: 0 }];
    let stray = DestinationKey { addr: "fd00::1".parse().unwrap(), port: 80 };
    odd.real_servers.insert(stray, real(9));
    let (even, told) = odd.adjusted();
    assert_eq!((even.quorum, even.hysteresis, even.real_servers.len()), (2, 1, 2));
    assert_eq!(even.service.persistence.map(|p| p.timeout_s), Some(360));
    let pool = even.id.clone();
    assert_eq!(
        told,
        [
            Adjustment::Family { pool: pool.clone(), real_server: stray },
            Adjustment::Quorum { pool: pool.clone(), quorum: 9, lowered: 2 },
            Adjustment::Hysteresis { pool: pool.clone(), hysteresis: 5, quorum: 2, lowered: 1 },
            Adjustment::Persistence { pool },
        ]
    );
    assert_eq!(even.clone().adjusted(), (even, vec![]), "corrected once is correct");
}

#[test]
fn omega_tells_everything_down_at_the_end() {
    let mut omega = settings(&[1, 1]);
    omega.omega = true;
    let (mut pool, _) = Pool::new(omega.clone(), &[]);
    pool.handle(down(1)).unwrap();
    let lost = PoolEvent::QuorumLost { weight: 0, threshold: 1 };
    assert_eq!(pool.stop(), [PoolEvent::RealServerDown { real_server: rs(2) }, lost]);
    omega.omega = false;
    pool.reconfigure(omega);
    assert_eq!(pool.stop(), []);
}

#[test]
fn a_server_without_checkers_is_up_whatever_is_said() {
    let mut unchecked = settings(&[1]);
    let (mut pool, _) = Pool::new(unchecked.clone(), &[]);
    pool.handle(down(1)).unwrap();
    unchecked.real_servers.values_mut().for_each(|real| real.start = Start::Unchecked);
    let told = pool.reconfigure(unchecked);
    assert_eq!(told, [PoolEvent::QuorumGained { weight: 1, threshold: 1 }]);
    assert_eq!(pool.handle(down(1)).unwrap(), []);
    assert_eq!(table(&pool), ["10.0.0.1:8080=1"]);
}

#[test]
fn an_unknown_real_server_is_an_error_and_changes_nothing() {
    let (mut pool, _) = Pool::new(settings(&[1]), &[]);
    assert_eq!(pool.handle(down(9)).unwrap_err().real_server, rs(9));
    assert_eq!(table(&pool), ["10.0.0.1:8080=1"]);
}

#[derive(Clone, Debug)]
struct Final {
    up: Vec<bool>,
    weights: Vec<Option<u32>>,
}

fn any_settings() -> impl Strategy<Value = PoolSettings> {
    let reals = prop::collection::vec((0u32..4, any::<bool>(), 0u8..3), 1..5);
    (reals, 0u32..6, prop::option::of(any::<bool>())).prop_map(|(reals, quorum, sorry)| {
        let mut made = settings(&[]);
        made.quorum = quorum;
        for (n, (weight, inhibit_on_failure, start)) in (1u8..).zip(reals) {
            let start = [Start::Unchecked, Start::Up, Start::Down][usize::from(start)];
            made.real_servers.insert(rs(n), RealServer { inhibit_on_failure, start, ..real(weight) });
        }
        match sorry {
            Some(inhibit) => with_sorry(made, inhibit),
            None => made,
        }
    })
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = (1u8..5, 0u8..4, 0u32..4).prop_map(|(n, kind, weight)| match kind {
        0 => up(n),
        1 => down(n),
        2 => Event::Weight { real_server: rs(n), weight: Weight::new(weight).ok().map(WeightWish::Exactly) },
        _ => Event::Operator { real_server: rs(n), wish: (weight > 1).then_some(Wish::Drain) },
    });
    prop::collection::vec(event, 0..20)
}

fn any_final() -> impl Strategy<Value = Final> {
    let ups = prop::collection::vec(any::<bool>(), 5);
    let weights = prop::collection::vec(prop::option::of(0u32..4), 5);
    (ups, weights).prop_map(|(up, weights)| Final { up, weights })
}

impl Final {
    /// Events that lead to this health from whatever health.
    fn events(&self) -> Vec<Event> {
        let mut events = vec![];
        for (n, (is_up, weight)) in (1u8..).zip(self.up.iter().zip(&self.weights)) {
            events.push(if *is_up { up(n) } else { down(n) });
            let weight = weight.and_then(|weight| Weight::new(weight).ok());
            events.push(Event::Weight { real_server: rs(n), weight: weight.map(WeightWish::Exactly) });
            events.push(Event::Operator { real_server: rs(n), wish: None });
        }
        events
    }
}

/// Carry events to the pool; those of real servers that it does not have are refused, and that is fine here.
fn feed(pool: &mut Pool, events: &[Event]) {
    for event in events {
        let known = pool.settings().real_servers.contains_key(&event.real_server());
        assert_eq!(pool.handle(*event).is_ok(), known);
    }
}

proptest! {
    #[test]
    fn the_same_final_health_gives_the_same_table(
        settings in any_settings(), noise in any_events(), last in any_final(), reverse in any::<bool>()
    ) {
        let (mut calm, _) = Pool::new(settings.clone(), &[]);
        feed(&mut calm, &last.events());
        let (mut busy, _) = Pool::new(settings, &[]);
        feed(&mut busy, &noise);
        let mut events = last.events();
        if reverse { events.reverse(); }
        feed(&mut busy, &events);
        prop_assert_eq!(calm.desired(), busy.desired());
        prop_assert_eq!(calm.view(), busy.view());
    }

    #[test]
    fn a_reload_from_a_to_b_equals_starting_b_with_the_health_carried_over(
        a in any_settings(), b in any_settings(), last in any_final()
    ) {
        let (mut reloaded, _) = Pool::new(a.clone(), &[]);
        feed(&mut reloaded, &last.events());
        reloaded.reconfigure(b.clone());
        let (mut started, _) = Pool::new(b, &[]);
        let carried: Vec<_> = last.events().into_iter().filter(|event| {
            // Health is known only where the old configuration had a checker, or the new one has none.
            let was = a.real_servers.get(&event.real_server());
            was.is_some_and(|was| was.start != Start::Unchecked)
        }).collect();
        feed(&mut started, &carried);
        for (at, real) in &started.settings().real_servers.clone() {
            let was = a.real_servers.get(at);
            if was.is_some_and(|was| was.start == Start::Unchecked) && real.start != Start::Unchecked {
                feed(&mut started, &[Event::Up { real_server: *at }]);
            }
            if was.is_some_and(|was| was.start == Start::Unchecked) || real.start == Start::Unchecked {
                let weight = None;
                feed(&mut started, &[Event::Weight { real_server: *at, weight: weight.map(WeightWish::Exactly) }]);
                feed(&mut reloaded, &[Event::Weight { real_server: *at, weight: weight.map(WeightWish::Exactly) }]);
            }
        }
        prop_assert_eq!(reloaded.desired(), started.desired());
        prop_assert_eq!(reloaded.view(), started.view());
    }

    #[test]
    fn the_sorry_server_serves_exactly_while_the_quorum_is_lost(
        settings in any_settings(), hysteresis in 0u32..4, events in any_events()
    ) {
        let settings = PoolSettings { hysteresis, ..with_sorry(settings, false) };
        let (mut pool, told) = Pool::new(settings, &[]);
        let sorry = |told: &[PoolEvent]| told.iter().fold(None, |last, event| match event {
            PoolEvent::SorryServerIn { .. } => Some(true),
            PoolEvent::SorryServerOut { .. } => Some(false),
            PoolEvent::RealServerUp { .. } | PoolEvent::RealServerDown { .. }
            | PoolEvent::QuorumGained { .. }
            | PoolEvent::QuorumLost { .. }
            | PoolEvent::WishDropped { .. } => last,
        });
        let mut active = sorry(&told).unwrap_or(false);
        for event in events {
            let Ok(told) = pool.handle(event) else { continue };
            active = sorry(&told).unwrap_or(active);
            prop_assert_eq!(active, !pool.has_quorum());
            prop_assert_eq!(active, pool.desired()[0].1.destinations.contains_key(&SORRY));
        }
    }
}

fn weight_of(pool: &Pool, n: u8) -> Option<u32> {
    pool.view().real_servers.iter().find(|server| server.address == rs(n))?.weight_now.map(Weight::get)
}

#[test]
fn a_server_that_comes_up_gets_its_weight_step_by_step_and_counts_as_a_whole() {
    let slow = PoolSettings { slow_start: Duration::from_secs(20), quorum: 90, ..settings(&[100, 40]) };
    let (mut pool, _) = Pool::new(slow, &[]);
    assert_eq!((weight_of(&pool, 1), pool.timers().count()), (Some(100), 0), "at the start nobody is slow");
    pool.handle(Event::Down { real_server: rs(1) }).unwrap();
    assert!(!pool.has_quorum());
    let told = pool.handle(Event::Up { real_server: rs(1) }).unwrap();
    assert!(pool.has_quorum(), "the quorum counts what it can bear: {told:?}");
    assert_eq!(weight_of(&pool, 1), Some(5));
    assert_eq!(pool.timers().collect::<Vec<_>>(), [(rs(1), Timer::SlowStart(Duration::from_secs(20)))]);
    for (percent, wanted) in [(Some(50), 50), (Some(95), 95), (None, 100)] {
        pool.handle(Event::Ramp { real_server: rs(1), percent }).unwrap();
        assert_eq!(weight_of(&pool, 1), Some(wanted), "{percent:?}");
    }
    pool.handle(Event::Up { real_server: rs(1) }).unwrap();
    assert_eq!((weight_of(&pool, 1), pool.timers().count()), (Some(100), 0), "one that is up stays as it is");
    for event in
        [Event::Down { real_server: rs(1) }, Event::Up { real_server: rs(1) }, Event::Down { real_server: rs(1) }]
    {
        pool.handle(event).unwrap();
    }
    assert_eq!(pool.timers().count(), 0, "one that is down does not wait");
}

#[test]
fn a_server_that_leaves_keeps_its_connections_for_a_while() {
    let key = settings(&[1]).services[0];
    let drained = |weights: &[u32]| PoolSettings { drain_time: Duration::from_secs(30), ..settings(weights) };
    let (mut pool, _) = Pool::new(drained(&[7, 7]), &[]);
    pool.reconfigure(drained(&[7]));
    let weights = |pool: &Pool| {
        let entry = pool.desired().into_iter().find(|(service, _)| *service == key).unwrap().1;
        entry.destinations.into_values().map(|to| to.weight.get()).collect::<Vec<_>>()
    };
    assert_eq!(weights(&pool), [7, 0]);
    assert_eq!(pool.view().leaving.iter().map(|one| one.address).collect::<Vec<_>>(), [rs(2)]);
    assert_eq!(pool.timers().collect::<Vec<_>>(), [(rs(2), Timer::Drain(Duration::from_secs(30)))]);
    assert_eq!(pool.handle(Event::Left { real_server: rs(2) }), Ok(vec![]));
    assert_eq!((weights(&pool), pool.timers().count()), (vec![7], 0));
    assert_eq!(pool.view().leaving, []);
    // One that comes back is served again, and one that was down has nothing to keep.
    pool.reconfigure(drained(&[7, 7]));
    pool.reconfigure(drained(&[7]));
    pool.reconfigure(drained(&[7, 7]));
    assert_eq!((weights(&pool), pool.timers().count()), (vec![7, 7], 0));
    pool.handle(Event::Down { real_server: rs(2) }).unwrap();
    pool.reconfigure(drained(&[7]));
    assert_eq!((weights(&pool), pool.timers().count()), (vec![7], 0));
    let (mut at_once, _) = Pool::new(settings(&[7, 7]), &[]);
    at_once.reconfigure(settings(&[7]));
    assert_eq!(weights(&at_once), [7]);
}

#[test]
fn that_a_server_is_up_at_first_is_told_where_it_is_asked_for() {
    for (init_notifies, wanted) in [(true, 1), (false, 0)] {
        let (mut pool, _) = Pool::new(PoolSettings { init_notifies, ..settings(&[1]) }, &[]);
        let told = pool.handle(Event::Up { real_server: rs(1) }).unwrap();
        assert_eq!(told.len(), wanted, "{init_notifies}");
        assert_eq!(pool.handle(Event::Up { real_server: rs(1) }), Ok(vec![]), "once");
    }
}

#[test]
fn an_operators_wish_stands_above_checkers_and_reloads_until_it_is_taken_back() {
    let weight = |n| Weight::new(n).unwrap();
    let rows = [
        ("drain", Wish::Drain, Some(Weight::ZERO), 1),
        ("disable", Wish::Disable, None, 1),
        ("weight", Wish::Weight(weight(7)), Some(weight(7)), 8),
    ];
    for (name, wish, in_table, live) in rows {
        let settings = settings(&[1, 1]);
        let (mut pool, _) = Pool::new(settings.clone(), &[]);
        pool.handle(Event::Operator { real_server: rs(1), wish: Some(wish) }).unwrap();
        pool.handle(Event::Weight { real_server: rs(1), weight: Some(WeightWish::Exactly(weight(3))) }).unwrap();
        pool.reconfigure(settings);
        let view = pool.view();
        let held = view.real_servers.iter().find(|server| server.address == rs(1)).unwrap();
        assert_eq!((held.wish, held.weight_now, view.live_weight), (Some(wish), in_table, live), "{name}");
        pool.handle(Event::Operator { real_server: rs(1), wish: None }).unwrap();
        assert_eq!(pool.view().real_servers[0].weight_now, Some(weight(3)), "{name}: the checker's weight again");
    }
}

#[test]
fn a_wish_for_what_a_reload_removes_is_dropped_and_told() {
    let wish = |n, wish| Event::Operator { real_server: rs(n), wish: Some(wish) };
    let (mut pool, _) = Pool::new(settings(&[1, 1, 1]), &[]);
    pool.handle(wish(3, Wish::Drain)).unwrap();
    pool.handle(wish(2, Wish::Disable)).unwrap();
    let dropped = |n, wish| PoolEvent::WishDropped { real_server: rs(n), wish };
    assert_eq!(pool.reconfigure(settings(&[1, 1])), [dropped(3, Wish::Drain)]);
    assert_eq!(pool.removed(), [dropped(2, Wish::Disable)], "with its whole virtual server");
    assert_eq!(pool.reconfigure(settings(&[1, 1, 1])), [], "one that comes back comes back without it");
    assert_eq!(pool.view().real_servers[2].wish, None);
}
