//! Records made by hand, one row per rule.

use std::sync::Arc;

use super::*;
use crate::lab::records::{Advert, Answer, Broken, Claim, Move, Reply, Request};

const INTERVAL: Duration = Duration::from_millis(2);
const FAULT_MS: u64 = 10_000;

/// Which probes are lost, by flow and time of sending.
type Lost = fn(Flow, u64) -> bool;

fn at(ms: u64) -> MonoTime {
    MonoTime::from_start(Duration::from_millis(ms))
}

/// A probe each 2 ms from `from_ms` to `to_ms`, two flows in turn: flow 0 of s1, flow 1 of s2; `lost` says which
/// (by flow and time of sending) are not answered.
fn probes(from_ms: u64, to_ms: u64, lost: impl Fn(Flow, u64) -> bool) -> Vec<Probe> {
    let sent = (from_ms..to_ms).step_by(2).zip([0, 1].into_iter().cycle());
    sent.map(|(ms, flow)| {
        let from: Arc<str> = Arc::from(if flow == 0 { "s1" } else { "s2" });
        let answer = (!lost(flow, ms)).then(|| Answer { at: at(ms + 1), from });
        Probe { flow, sent: at(ms), answer }
    })
    .collect()
}

fn window(probes: Vec<Probe>) -> Window {
    Window { probes, ..Window::empty(at(FAULT_MS - 1_000), at(FAULT_MS), at(20_000)) }
}

fn request(flow: Flow, started_ms: u64, ended_ms: u64, result: Result<&str, &str>) -> Request {
    let result = result.map(Arc::from).map_err(str::to_owned);
    Request { flow, started: at(started_ms), ended: at(ended_ms), result }
}

#[test]
fn two_answer_at_once_from_the_first_answer_of_one_to_the_last_of_the_other() {
    /// Who answers when, and how long both did.
    type Row = (&'static str, &'static [(Seat, u64)], Option<u64>);
    let rows: [Row; 5] = [
        ("a is deaf first", &[(Seat::A, 9_990), (Seat::A, 10_300), (Seat::B, 10_360)], Some(0)),
        ("a never answers again", &[(Seat::A, 9_990), (Seat::B, 10_360)], Some(0)),
        ("a answers for two seconds more", &[(Seat::A, 9_990), (Seat::B, 10_360), (Seat::A, 12_360)], Some(2_000)),
        ("nobody asked", &[], None),
        ("b does not take over", &[(Seat::A, 9_990)], None),
    ];
    for (name, replies, overlap_ms) in rows {
        let replies = replies.iter().map(|(seat, ms)| Reply { at: at(*ms), seat: *seat }).collect();
        let verdict = Promise::OneAnswers { deaf: Seat::A, limit: Duration::ZERO, formula: "" }.judge(
            &Window { replies, ..window(vec![]) },
            INTERVAL,
            1,
        );
        let measured = overlap_ms.map(|ms| Amount::Microseconds(ms * 1_000));
        assert_eq!((verdict.measured, verdict.kept), (measured, overlap_ms == Some(0)), "{name}");
    }
}

#[test]
fn the_outage_is_the_longest_gap_less_the_interval() {
    let rows: [(&str, Lost, Option<u64>); 6] = [
        ("nothing lost", |_, _| false, Some(0)),
        ("one probe", |_, ms| ms == 10_100, Some(2)),
        ("a hundred milliseconds", |_, ms| (10_100..10_200).contains(&ms), Some(100)),
        (
            "two gaps, the longer counts",
            |_, ms| (10_010..10_020).contains(&ms) || (10_100..10_400).contains(&ms),
            Some(300),
        ),
        ("from the fault on", |_, ms| (10_000..10_312).contains(&ms), Some(312)),
        ("no end", |_, ms| ms >= 10_500, None),
    ];
    for (name, lost, expected_ms) in rows {
        let window = window(probes(9_000, 11_000, lost));
        let measured = outage(window.from, window.probes_after(), INTERVAL);
        assert_eq!(measured, expected_ms.map(Duration::from_millis), "{name}");
    }
}

#[test]
fn an_answer_that_waited_in_a_queue_is_late_and_not_lost() {
    let mut sent = probes(9_000, 11_000, |_, _| false);
    sent[600].answer.as_mut().unwrap().at = at(10_300);
    let window = window(sent);
    assert_eq!(slowest(&window), Duration::from_millis(100));
    assert_eq!(lost(&window, |_| true), 0);
}

#[test]
fn a_client_that_paused_saw_no_outage() {
    let mut sent = probes(9_000, 10_100, |_, _| false);
    sent.extend(probes(10_900, 11_000, |_, _| false));
    let window = window(sent);
    assert_eq!(outage(window.from, window.probes_after(), INTERVAL), Some(Duration::ZERO));
}

#[test]
fn an_outage_within_its_bound_is_kept() {
    let promise = Promise::Outage { limit: Duration::from_millis(380), formula: "380".to_owned() };
    let rows = [("within", 370, true), ("equal", 380, true), ("above", 382, false)];
    for (name, silent_ms, kept) in rows {
        let window = window(probes(9_000, 12_000, |_, ms| (10_000..10_000 + silent_ms).contains(&ms)));
        assert_eq!(promise.judge(&window, INTERVAL, 2).kept, kept, "{name}");
    }
    let endless = promise.judge(&window(probes(9_000, 12_000, |_, ms| ms >= 10_000)), INTERVAL, 2);
    assert_eq!((endless.kept, endless.measured), (false, None));
}

#[test]
fn nothing_lost_means_nothing_that_the_fault_could_hit() {
    let rows: [(&str, Lost, Option<Request>, usize); 5] = [
        ("all answered", |_, _| false, None, 0),
        ("a probe after", |_, ms| ms == 10_002, None, 1),
        ("a probe under way", |_, ms| ms == 9_996, None, 1),
        ("a probe long before", |_, ms| ms == 9_500, None, 0),
        ("a connection under way", |_, _| false, Some(request(0, 9_999, 10_899, Err("no answer"))), 1),
    ];
    for (name, lost, failed, expected) in rows {
        let mut window = window(probes(9_000, 11_000, lost));
        window.requests.extend(failed);
        let verdict = Promise::NothingLost.judge(&window, INTERVAL, 2);
        assert_eq!(verdict.measured, Some(Amount::Count(expected)), "{name}");
        assert_eq!(verdict.kept, expected == 0, "{name}");
    }
}

#[test]
fn a_dead_server_is_felt_by_its_own_clients_only() {
    let out =
        Promise::ServerOut { server: "s1".to_owned(), limit: Duration::from_millis(1_500), formula: String::new() };
    let others = Promise::OthersUnharmed { server: "s1".to_owned() };
    let before = [request(0, 9_500, 9_501, Ok("s1")), request(1, 9_505, 9_506, Ok("s2"))];
    let rows: [(&str, Lost, Vec<Request>, bool, bool); 6] = [
        ("its probes, for a second", |flow, ms| flow == 0 && (10_000..11_000).contains(&ms), vec![], true, true),
        ("its probes, too long", |flow, ms| flow == 0 && (10_000..11_600).contains(&ms), vec![], false, true),
        ("a probe of another one", |flow, ms| flow == 1 && (10_200..10_204).contains(&ms), vec![], true, false),
        ("its connection, too late", |_, _| false, vec![request(0, 11_600, 11_601, Err("refused"))], false, true),
        ("a connection of another one", |_, _| false, vec![request(1, 10_100, 10_101, Err("refused"))], true, false),
        ("one that nobody knows", |_, _| false, vec![request(9, 10_100, 10_101, Err("refused"))], true, true),
    ];
    for (name, lost, requests, out_kept, others_kept) in rows {
        let mut window = window(probes(9_000, 12_000, lost));
        window.requests = before.iter().cloned().chain(requests).collect();
        assert_eq!(out.judge(&window, INTERVAL, 2).kept, out_kept, "{name}");
        assert_eq!(others.judge(&window, INTERVAL, 2).kept, others_kept, "{name}");
    }
}

#[test]
fn a_server_is_back_with_its_first_answer() {
    let back = Promise::ServerBack { server: "s3".to_owned(), limit: Duration::from_secs(2), formula: String::new() };
    let rows = [
        ("in time", vec![request(0, 11_000, 11_001, Ok("s3"))], Some(1_001), true),
        ("too late", vec![request(0, 12_500, 12_501, Ok("s3"))], Some(2_501), false),
        ("another one", vec![request(0, 11_000, 11_001, Ok("s2"))], None, false),
    ];
    for (name, requests, measured_ms, kept) in rows {
        let mut window = window(probes(9_000, 12_000, |_, _| false));
        window.requests = requests;
        let verdict = back.judge(&window, INTERVAL, 2);
        assert_eq!(verdict.measured, measured_ms.map(|ms| Duration::from_millis(ms).into()), "{name}");
        assert_eq!(verdict.kept, kept, "{name}");
    }
}

#[test]
fn the_lease_takes_the_vip_away_in_time_and_not_too_early() {
    let gone = Promise::VipGone { seat: Seat::A, limit: Duration::from_millis(2_500), formula: String::new() };
    let kept = Promise::VipKept { seat: Seat::A };
    let peer_at = |ms| Move { at: at(ms), seat: Seat::B, holds: true };
    let gone_at = |ms| Move { at: at(ms), seat: Seat::A, holds: false };
    let rows = [
        ("in time", vec![peer_at(10_350), gone_at(12_100)], true, true),
        ("too late", vec![peer_at(10_350), gone_at(12_600)], false, true),
        ("never", vec![peer_at(10_350)], false, true),
        ("before the peer has it", vec![gone_at(10_100), peer_at(10_350)], true, false),
        ("at the same moment, as far as one can see", vec![gone_at(10_340), peer_at(10_350)], true, true),
        ("the peer never gets it", vec![gone_at(12_000)], true, false),
        ("moves before the fault do not count", vec![gone_at(9_500), peer_at(9_600)], false, false),
    ];
    for (name, moves, gone_kept, kept_kept) in rows {
        let mut window = window(vec![]);
        window.moves = moves;
        assert_eq!(gone.judge(&window, INTERVAL, 2).kept, gone_kept, "{name}");
        assert_eq!(kept.judge(&window, INTERVAL, 2).kept, kept_kept, "{name}");
    }
}

#[test]
fn broken_long_lived_connections_are_counted_apart() {
    let mut window = window(probes(9_000, 11_000, |_, _| false));
    window.broken = [9_500, 10_500].map(|ms| Broken { at: at(ms), error: "reset".to_owned() }).to_vec();
    let report = crate::lab::drill::FaultReport::new("x".to_owned(), &window, &[Promise::NothingLost], 2, None);
    assert_eq!((report.connections_broken, report.kept), (1, true));
}

#[test]
fn an_absence_is_measured_until_the_address_is_back() {
    let rows = [
        ("quicker than the drill looks", vec![], Some(0)),
        ("twice", vec![(10_010, false), (10_030, true), (10_100, false), (10_190, true)], Some(90)),
        ("for good", vec![(10_010, false)], None),
        ("before the fault", vec![(9_010, false), (9_900, true)], Some(0)),
    ];
    for (name, moves, expected_ms) in rows {
        let mut window = window(vec![]);
        window.moves = moves.iter().map(|&(ms, holds)| Move { at: at(ms), seat: Seat::A, holds }).collect();
        assert_eq!(longest_absence(&window, Seat::A), expected_ms.map(Duration::from_millis), "{name}");
    }
}

#[test]
fn jitter_is_told_apart_by_director_and_router() {
    let mut window = window(vec![]);
    let mut say = |seat, vrid, ms: &[u64]| {
        let adverts = ms.iter().map(|&ms| Advert { at: at(ms), seat, vrid, priority: 100 });
        window.adverts.extend(adverts);
    };
    say(Seat::A, 1, &[9_000, 10_000, 10_100, 10_207, 10_300]);
    say(Seat::A, 2, &[10_050, 10_150]);
    say(Seat::B, 1, &[10_001]);
    let interval = Duration::from_millis(100);
    assert_eq!(jitter(&window, Seat::A, interval), Some(Duration::from_millis(7)));
    assert_eq!(jitter(&window, Seat::B, interval), None, "one advert has no distance");
}

#[test]
fn a_heal_is_judged_by_who_lets_go_and_who_announces() {
    let vip = Ipv4Addr::new(10, 0, 0, 100);
    let mut window = window(vec![]);
    window.moves = vec![Move { at: at(10_080), seat: Seat::B, holds: false }];
    let claim = |ms, seat, addr| Claim { at: at(ms), seat, addr };
    window.claims = vec![
        claim(9_990, Seat::A, vip),
        claim(10_020, Seat::B, vip),
        claim(10_030, Seat::A, Ipv4Addr::new(10, 0, 0, 101)),
        claim(10_090, Seat::A, vip),
    ];
    let (limit, formula) = (Duration::from_millis(100), String::new());
    let rows = [
        (Promise::OneOwner { loser: Seat::B, limit, formula: formula.clone() }, Some(80_000), true),
        (Promise::OneOwner { loser: Seat::A, limit, formula: formula.clone() }, None, false),
        (Promise::Announced { seat: Seat::A, vip, limit, formula: formula.clone() }, Some(90_000), true),
        (Promise::Announced { seat: Seat::B, vip, limit: Duration::from_millis(10), formula }, Some(20_000), false),
    ];
    for (promise, measured_us, kept) in rows {
        let verdict = promise.judge(&window, INTERVAL, 1);
        assert_eq!((verdict.measured, verdict.kept), (measured_us.map(Amount::Microseconds), kept), "{promise:?}");
    }
}
