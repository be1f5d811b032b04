//! The board, driven by hand: each row says what a result or a reload must lead to.

mod late;
mod leaving;

use super::*;
use crate::healthcheck::expect::Expect;
use crate::healthcheck::judge::OnLocalError;
use crate::healthcheck::probe::{Endpoint, HttpProbe, HttpVersion, Probe, ScriptProbe, Url};

fn at(millis: u64) -> MonoTime {
    MonoTime::from_start(Duration::from_millis(millis))
}

fn target(name: &str) -> TargetId {
    TargetId { service: "web".to_owned(), destination: name.to_owned() }
}

fn check(name: &str, index: u32, probe: Probe) -> CheckSettings {
    CheckSettings {
        id: CheckId { target: target(name), index },
        probe,
        delay_loop: Duration::from_secs(10),
        retry: 1,
        delay_before_retry: Duration::from_secs(1),
        warmup: Duration::ZERO,
        alpha: false,
        on_local_error: OnLocalError::Keep,
        tell_first: false,
        log_all_failures: false,
    }
}

fn tcp(port: u16) -> Probe {
    Probe::Tcp(Endpoint::new(([127, 0, 0, 1], port).into(), Duration::from_secs(5)))
}

fn http(urls: usize, fast_recovery: bool) -> Probe {
    let url = |at: usize| Url {
        path: format!("/{at}"),
        host: None,
        expect: Expect::default(),
        tls_compliant: false,
        headers: vec![],
    };
    let timeout = Duration::from_secs(5);
    Probe::Http(HttpProbe {
        endpoint: Endpoint::new(([127, 0, 0, 1], 80).into(), timeout),
        version: HttpVersion::Http10,
        first: url(0),
        more: (1..urls).map(url).collect(),
        fast_recovery,
        deadline: HttpProbe::default_deadline(timeout),
    })
}

const OK: Outcome = Outcome::Answered { status: 200 };

/// Run the next due check to this outcome; its url, what was told, and when it is due again.
fn step(board: &mut Board, outcome: Outcome) -> (usize, Vec<CheckEvent>, MonoTime) {
    let now = next(board);
    let [Action::Start { run, url, .. }] = board.poll(now)[..] else { panic!("one run is due") };
    let told = events(board.finish(now, run, outcome, Duration::from_millis(1)));
    (url, told, next(board))
}

/// When the next run is due: the board may want to be asked sooner.
fn next(board: &Board) -> MonoTime {
    let (due, _) = *board.due.first().unwrap();
    assert!(board.deadline().unwrap() <= due);
    due
}

fn events(actions: Vec<Action>) -> Vec<CheckEvent> {
    let event = |action| match action {
        Action::Tell(event) => event,
        Action::Start { .. } | Action::Abort(_) | Action::LogFailure { .. } => {
            panic!("a result tells, and does no more")
        }
    };
    actions.into_iter().map(event).collect()
}

fn word(told: &[CheckEvent]) -> &'static str {
    match told {
        [] => "",
        [CheckEvent::Up { .. }] => "up",
        [CheckEvent::Down { .. }] => "down",
        [CheckEvent::Weight { .. }] => "weight",
        [CheckEvent::Silence { .. }] => "silence",
        _ => "several",
    }
}

/// Outcome, the url asked, what is told, seconds to the next run.
type Steps<'a> = &'a [(Outcome, usize, &'static str, u64)];

#[test]
fn results_lead_to_events_urls_and_times() {
    let refused = || Outcome::Refused;
    let rows: [(&str, Probe, bool, Steps); 8] = [
        (
            "up, two failures, down, up",
            tcp(80),
            false,
            &[
                (Outcome::Connected, 0, "", 10),
                (refused(), 0, "", 1),
                (refused(), 0, "down", 9),
                (refused(), 0, "", 10),
                (Outcome::Connected, 0, "up", 10),
            ],
        ),
        ("at start one failure is enough", tcp(80), false, &[(refused(), 0, "down", 10)]),
        (
            "alpha tells its first result",
            tcp(80),
            true,
            &[(refused(), 0, "down", 10), (refused(), 0, "", 10), (Outcome::Connected, 0, "up", 10)],
        ),
        (
            "our own fault is not repeated in a hurry",
            tcp(80),
            false,
            &[
                (Outcome::Connected, 0, "", 10),
                (refused(), 0, "", 1),
                (Outcome::Local(LocalFault::Socket { errno: 24 }), 0, "", 9),
                (refused(), 0, "down", 10),
            ],
        ),
        (
            "three urls, one each period; the failed one again, then all",
            http(3, false),
            false,
            &[
                (OK, 0, "", 10),
                (OK, 1, "", 10),
                (OK, 2, "", 10),
                (OK, 0, "", 10),
                (refused(), 1, "", 1),
                (refused(), 1, "down", 9),
                (OK, 1, "", 10),
                (OK, 0, "", 10),
                (OK, 1, "", 10),
                (OK, 2, "up", 10),
            ],
        ),
        (
            "the failed url is the first: its repetition begins the full pass",
            http(2, false),
            false,
            &[(refused(), 0, "down", 10), (OK, 0, "", 10), (OK, 1, "up", 10)],
        ),
        (
            "fast_recovery waits only after the last",
            http(3, true),
            true,
            &[(OK, 0, "", 0), (OK, 1, "", 0), (OK, 2, "up", 10), (OK, 0, "", 10)],
        ),
        (
            "fast_recovery hurries through the first pass too",
            http(2, true),
            false,
            &[(OK, 0, "", 0), (OK, 1, "", 10), (OK, 0, "", 10), (refused(), 1, "", 1)],
        ),
    ];
    for (name, probe, alpha, steps) in rows {
        let mut board = Board::default();
        assert_eq!(board.configure(at(0), vec![CheckSettings { alpha, ..check("a", 0, probe) }], || 0), []);
        for (row, (outcome, url, told, wait)) in steps.iter().enumerate() {
            let before = next(&board);
            let (asked, events, due) = step(&mut board, outcome.clone());
            let got = (asked, word(&events), due.since(before).as_secs());
            assert_eq!(got, (*url, *told, *wait), "{name}, step {row}");
        }
    }
}

#[test]
fn a_real_server_is_up_only_when_none_of_its_checkers_failed() {
    let mut board = Board::default();
    board.configure(at(0), vec![check("a", 0, tcp(80)), check("a", 1, tcp(81)), check("b", 0, tcp(82))], || 0);
    let starts = board.poll(at(1_000));
    let mut end = |now, index: usize, outcome| {
        let Action::Start { run, .. } = starts[index] else { panic!("three runs are due") };
        (word(&events(board.finish(at(now), run, outcome, Duration::ZERO))), board.standings())
    };
    let down = |names: &[&str]| {
        let standing = |name| if names.contains(&name) { Standing::Down } else { Standing::Up };
        BTreeMap::from(["a", "b"].map(|name| (target(name), standing(name))))
    };
    assert_eq!(end(1_001, 0, Outcome::Refused), ("down", down(&["a"])));
    assert_eq!(end(1_002, 1, Outcome::Refused), ("", down(&["a"])), "the second failure is no news");
    assert_eq!(end(1_003, 2, Outcome::Connected), ("", down(&["a"])));
    let starts = board.poll(at(11_000));
    for (start, told) in starts.iter().zip(["", "up", ""]) {
        let Action::Start { run, ref check, .. } = *start else { panic!("three runs are due") };
        let actions = board.finish(at(11_001), run, Outcome::Connected, Duration::ZERO);
        assert_eq!(word(&events(actions)), told, "{}", check.id);
    }
    assert_eq!(board.standings(), down(&[]));
}

#[test]
fn a_reload_keeps_what_is_the_same_and_ends_what_is_gone() {
    let mut board = Board::default();
    board.configure(at(0), vec![check("a", 0, tcp(80)), check("b", 0, tcp(81)), check("c", 0, tcp(82))], || 0);
    let runs: Vec<_> = board
        .poll(at(1_000))
        .into_iter()
        .map(|action| match action {
            Action::Start { run, .. } => run,
            Action::Abort(_) | Action::Tell(_) | Action::LogFailure { .. } => panic!("three runs are due"),
        })
        .collect();
    for &run in &runs {
        board.finish(at(1_000), run, Outcome::Refused, Duration::ZERO);
    }
    let slower = CheckSettings { delay_loop: Duration::from_secs(30), ..check("b", 0, tcp(81)) };
    let told = board.configure(at(2_000), vec![check("a", 0, tcp(80)), slower, check("c", 0, tcp(83))], || 0);
    let up = CheckEvent::Up { target: target("c"), reason: Reason::Reconfigured };
    assert_eq!(told, [Action::Tell(up)], "another port is another question");
    assert_eq!(board.standings()[&target("a")], Standing::Down);
    assert_eq!(board.standings()[&target("b")], Standing::Down, "timing alone does not forget the result");
    let starts = board.poll(at(3_000));
    let [Action::Start { run: b, .. }, Action::Start { .. }] = starts[..] else { panic!("b and c are new") };
    let told = board.configure(at(3_500), vec![check("a", 0, tcp(80))], || 0);
    assert!(told.contains(&Action::Abort(b)), "{told:?}");
    let unchecked = CheckEvent::Up { target: target("b"), reason: Reason::Unchecked };
    assert!(told.contains(&Action::Tell(unchecked)), "it was down: {told:?}");
    assert_eq!(board.finish(at(3_600), b, Outcome::Refused, Duration::ZERO), [], "a late result is for nobody");
    assert_eq!(next(&board), at(11_000), "the unchanged check keeps its grid");
}

#[test]
fn a_dynamic_script_asks_for_a_weight_once() {
    let script = ScriptProbe {
        argv: vec!["/bin/true".to_owned()],
        user: None,
        group: None,
        timeout: Duration::from_secs(5),
        dynamic: true,
    };
    let mut board = Board::default();
    board.configure(at(0), vec![check("a", 0, Probe::Script(script))], || 0);
    let passed = |weight| Outcome::ScriptPassed { weight };
    for (weight, told) in [(Some(3), "weight"), (Some(3), ""), (None, ""), (Some(4), "weight")] {
        assert_eq!(word(&step(&mut board, passed(weight)).1), told, "{weight:?}");
    }
}

#[test]
fn runs_have_a_limit_and_the_rest_waits() {
    let mut board = Board::default();
    let many = (0..RUNS_MAX + 10).map(|at| check(&at.to_string(), 0, tcp(u16::try_from(at).unwrap()))).collect();
    board.configure(at(0), many, || 0);
    let starts = board.poll(at(1_000));
    assert_eq!(starts.len(), RUNS_MAX);
    assert!(board.deadline() > Some(at(1_000)), "nothing can be started until one ends");
    let Action::Start { run, .. } = starts[0] else { panic!("a run") };
    board.finish(at(1_500), run, Outcome::Connected, Duration::ZERO);
    assert_eq!(board.poll(at(1_500)).len(), 1);
}

#[test]
fn after_a_fault_of_ours_failed_checks_and_those_under_way_begin_anew() {
    let mut board = Board::default();
    let many = [("a", 80), ("b", 81), ("c", 82)].map(|(name, port)| check(name, 0, tcp(port))).to_vec();
    board.configure(at(0), many, || 0);
    let outcomes = [Some(Outcome::Refused), Some(Outcome::Connected), None];
    let mut under_way = vec![];
    for (action, outcome) in board.poll(at(1_000)).into_iter().zip(outcomes) {
        let Action::Start { run, .. } = action else { panic!("three runs are due") };
        match outcome {
            Some(outcome) => drop(board.finish(at(1_000), run, outcome, Duration::ZERO)),
            None => under_way.push(run),
        }
    }
    assert_eq!(board.poll(at(1_100)), [], "nothing is due");
    let aborted: Vec<_> = under_way.iter().map(|run| Action::Abort(*run)).collect();
    assert_eq!(board.begin_anew(at(1_200)), aborted);
    assert_eq!(board.finish(at(1_200), under_way[0], Outcome::Refused, Duration::ZERO), [], "its result is for nobody");
    let starts = board.poll(at(1_200));
    let [Action::Start { run, check: a, .. }, Action::Start { check: c, .. }] = &starts[..] else {
        panic!("the failed one and the one under way: {starts:?}")
    };
    assert_eq!((&a.id.target, &c.id.target), (&target("a"), &target("c")));
    let told = events(board.finish(at(1_300), *run, Outcome::Connected, Duration::ZERO));
    assert_eq!(word(&told), "up");
}

/// The same question for many: `(service, server)`.
fn same(services: &[&str], server: &str, probe: &Probe) -> Vec<CheckSettings> {
    let of = |service: &&str| CheckSettings {
        id: CheckId { target: TargetId { service: (*service).to_owned(), destination: server.to_owned() }, index: 0 },
        ..check(server, 0, probe.clone())
    };
    services.iter().map(of).collect()
}

fn told_to(actions: Vec<Action>) -> Vec<(String, &'static str)> {
    let event = |action| match action {
        Action::Tell(event) => Some((event.target().service.clone(), word(std::slice::from_ref(&event)))),
        Action::Start { .. } | Action::Abort(_) | Action::LogFailure { .. } => None,
    };
    actions.into_iter().filter_map(event).collect()
}

#[test]
fn checkers_that_ask_the_same_share_one_run_and_all_are_told() {
    let services: Vec<String> = (0..200).map(|at| format!("v{at:03}")).collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let mut wanted: Vec<CheckSettings> =
        (0..10).flat_map(|server| same(&services, &format!("s{server}"), &tcp(8000 + server))).collect();
    let mut board = Board::default();
    board.configure(at(0), wanted.clone(), || 0);
    assert_eq!((board.views(at(0)).len(), board.checks_made()), (2000, 10));
    let starts = board.poll(at(1_000));
    assert_eq!(starts.len(), 10, "one run for each server, not for each service");
    let Action::Start { run, .. } = starts[0] else { panic!("a run") };
    let told = told_to(board.finish(at(1_000), run, Outcome::Refused, Duration::ZERO));
    assert_eq!(told.len(), 200);
    assert!(told.iter().all(|(_, word)| *word == "down"));
    // One service leaves, another comes: it is told at once what is known.
    wanted.retain(|check| check.id.target.service != "v000");
    wanted.extend(same(&["new"], "s0", &tcp(8000)));
    wanted.extend(same(&["new"], "s1", &tcp(8001)));
    let told = told_to(board.configure(at(2_000), wanted, || 0));
    assert_eq!(told, [("new".to_owned(), "down"), ("v000".to_owned(), "up")], "a server without a checker is up");
    assert_eq!(board.checks_made(), 10);
}

#[test]
fn checkers_that_ask_another_way_do_not_share() {
    let one = check("a", 0, tcp(80));
    let rows = [
        ("port", CheckSettings { probe: tcp(81), ..one.clone() }),
        ("period", CheckSettings { delay_loop: Duration::from_secs(9), ..one.clone() }),
        ("retries", CheckSettings { retry: 2, ..one.clone() }),
        ("pause", CheckSettings { delay_before_retry: Duration::from_secs(2), ..one.clone() }),
        ("alpha", CheckSettings { alpha: true, ..one.clone() }),
    ];
    for (name, other) in rows {
        let mut board = Board::default();
        let other = CheckSettings { id: CheckId { target: target("b"), index: 0 }, ..other };
        board.configure(at(0), vec![one.clone(), other], || 0);
        assert_eq!(board.checks_made(), 2, "{name}");
    }
}

#[test]
fn the_checks_of_a_service_that_rests_are_not_made_and_go_on_at_once() {
    let mut board = Board::default();
    let mut wanted = same(&["here", "away"], "a", &tcp(80));
    wanted.extend(same(&["away"], "b", &tcp(81)));
    board.configure(at(0), wanted.clone(), || 0);
    assert_eq!(board.rest(at(0), BTreeSet::from(["away".to_owned()])), []);
    let starts = board.poll(at(1_000));
    let [Action::Start { ref check, .. }] = starts[..] else { panic!("only the shared one runs: {starts:?}") };
    assert_eq!(check.probe, tcp(80));
    let views = board.views(at(100_000));
    assert!(views.iter().filter(|view| view.resting).all(|view| view.stale.is_none()), "nothing is awaited of it");
    assert_eq!(views.iter().filter(|view| view.resting).count(), 1);
    assert_eq!(board.rest(at(5_000), BTreeSet::new()), []);
    let starts = board.poll(at(5_000));
    let [Action::Start { ref check, run, .. }] = starts[..] else { panic!("the other one begins at once") };
    assert_eq!(check.probe, tcp(81));
    let rested = board.rest(at(5_100), BTreeSet::from(["away".to_owned()]));
    assert_eq!(rested, [Action::Abort(run)], "a run under way ends");
    assert_eq!(board.finish(at(5_200), run, Outcome::Refused, Duration::ZERO), [], "and tells nothing");
    assert_eq!(board.configure(at(6_000), wanted, || 0), [], "a reload wakes nobody");
    assert!(board.views(at(6_000)).iter().any(|view| view.resting));
}

#[test]
fn a_file_that_changed_is_read_at_once() {
    let probe = Probe::File(crate::healthcheck::probe::FileProbe { path: "/run/a".into(), weight: 1 });
    let mut board = Board::default();
    board.configure(at(0), vec![check("a", 0, probe)], || 0);
    let (_, told, _) = step(&mut board, crate::healthcheck::file::judge(b"5", 1));
    assert_eq!(word(&told), "weight");
    board.changed(at(3_000), Source::File(std::path::Path::new("/run/b")));
    assert_eq!(board.poll(at(3_000)), []);
    board.changed(at(3_000), Source::File(std::path::Path::new("/run/a")));
    let [Action::Start { run, .. }] = board.poll(at(3_000))[..] else { panic!("it is read") };
    board.changed(at(3_001), Source::File(std::path::Path::new("/run/a")));
    assert_eq!(board.poll(at(3_001)), [], "it is being read");
    board.finish(at(3_002), run, crate::healthcheck::file::judge(b"6", 1), Duration::ZERO);
    assert_eq!(board.poll(at(3_002)).len(), 1, "what was read may be what was before");
}

#[test]
fn every_failure_is_logged_where_that_is_asked_for_and_those_that_are_told_anyway_are_not() {
    for log_all_failures in [false, true] {
        let mut board = Board::default();
        board.configure(at(0), vec![CheckSettings { retry: 2, log_all_failures, ..check("a", 0, tcp(80)) }], || 0);
        let mut logged = |outcome| {
            let now = next(&board);
            let [Action::Start { run, .. }] = board.poll(now)[..] else { panic!("one run is due") };
            let actions = board.finish(now, run, outcome, Duration::ZERO);
            let line = |action: &Action| match action {
                Action::LogFailure { failures, .. } => Some(*failures),
                Action::Start { .. } | Action::Abort(_) | Action::Tell(_) => None,
            };
            actions.iter().filter_map(line).collect::<Vec<u32>>()
        };
        let all = if log_all_failures { [vec![], vec![1], vec![2], vec![], vec![4]] } else { [const { vec![] }; 5] };
        let outcomes = [Outcome::Connected, Outcome::Refused, Outcome::Refused, Outcome::Refused, Outcome::Refused]
            .map(&mut logged);
        assert_eq!(outcomes, all);
        assert!(logged(Outcome::Local(LocalFault::TaskEnded)).is_empty(), "that is not the server's");
    }
}
