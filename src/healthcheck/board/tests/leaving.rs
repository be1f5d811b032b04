//! What the board of the next process begins with.

use super::*;
use crate::base::{Weight, WeightWish};

/// Where the one process ends and the next one begins.
const LEFT: MonoTime = MonoTime::ZERO;

/// A board that has made one check, to these outcomes one after the other.
fn ran(checks: Vec<CheckSettings>, outcomes: &[Outcome]) -> Board {
    let mut board = Board::default();
    board.configure(LEFT, checks, || 0);
    for outcome in outcomes {
        step(&mut board, outcome.clone());
    }
    board
}

/// The board of the next process, by way of the file, and what it tells.
fn successor(before: &Board, checks: Vec<CheckSettings>) -> (Board, Vec<CheckEvent>) {
    let left: Left = serde_json::from_str(&serde_json::to_string(&before.leave()).unwrap()).unwrap();
    let foretold = Board::foretell(at(60_000), left.clone(), checks.clone());
    let mut board = Board::default();
    board.resume(left);
    let told = events(board.configure(at(60_000), checks, || 0));
    assert_eq!(told, foretold);
    (board, told)
}

/// What a checker was and is, its results, how it stands, whether that is told, results that change nothing then.
type Row<'a> = (&'a str, [CheckSettings; 2], &'a [Outcome], Standing, bool, &'a [Outcome]);

#[test]
fn the_checks_of_the_next_process_begin_with_what_those_before_learnt() {
    use Outcome::Refused;
    use Standing::{Down, Up};
    let plain = || check("a", 0, tcp(80));
    let alpha = || CheckSettings { alpha: true, ..plain() };
    let told_first = || CheckSettings { tell_first: true, ..plain() };
    let patient = || CheckSettings { retry: 3, delay_loop: Duration::from_secs(20), ..plain() };
    let rows: [Row; 9] = [
        ("up is what is believed", [plain(), plain()], &[OK], Up, false, &[OK, Refused]),
        ("rs_init_notifies", [told_first(), told_first()], &[OK], Up, true, &[OK, Refused]),
        ("alpha, up", [alpha(), alpha()], &[OK], Up, true, &[OK, Refused]),
        ("down", [plain(), plain()], &[Refused], Down, true, &[Refused]),
        ("alpha, down", [alpha(), alpha()], &[Refused], Down, true, &[Refused]),
        ("a failure counts as before", [patient(), patient()], &[OK, Refused], Up, false, &[Refused, Refused]),
        ("other numbers", [plain(), patient()], &[OK, Refused], Up, false, &[Refused, Refused]),
        ("alpha, no result", [alpha(), alpha()], &[], Down, false, &[]),
        ("another file's alpha", [plain(), alpha()], &[OK], Up, true, &[OK, Refused]),
    ];
    for (name, [was, is], outcomes, standing, told, then) in rows {
        let before = ran(vec![was], outcomes);
        let (mut board, said) = successor(&before, vec![is]);
        assert_eq!(board.standings()[&target("a")], standing, "{name}");
        let wanted = told.then(|| event(target("a"), standing, Reason::Resumed));
        assert_eq!(said, Vec::from_iter(wanted), "{name}");
        let [old, new] = [&before, &board].map(|board| board.views(at(60_000)).remove(0));
        assert_eq!(
            (new.state, new.failures, new.results, new.last, new.standing_for),
            (old.state, old.failures, old.results, old.last, old.standing_for),
            "{name}"
        );
        assert_eq!(new.stale, None, "{name}: the wait for a result begins with the process");
        for outcome in then {
            assert_eq!(step(&mut board, outcome.clone()).1, [], "{name}: {outcome}");
        }
        let (opposite, to) = if standing == Up { (Refused, Down) } else { (OK, Up) };
        let said = step(&mut board, opposite).1;
        assert!(matches!(said[..], [CheckEvent::Up { .. }]) == (to == Up) && said.len() == 1, "{name}: {said:?}");
    }
}

#[test]
fn what_asks_another_thing_begins_anew_and_what_is_new_too() {
    let before = ran(vec![check("a", 0, tcp(80))], &[Outcome::Refused]);
    for (name, wanted) in [("a", tcp(81)), ("b", tcp(80))] {
        let (board, told) = successor(&before, vec![check(name, 0, wanted)]);
        assert_eq!((board.standings()[&target(name)], told), (Standing::Up, vec![]), "{name}");
        let view = board.views(at(60_000)).remove(0);
        assert_eq!((view.results, view.last, view.standing_for), (0, None, Duration::ZERO), "{name}");
    }
    let (mut board, _) = successor(&before, vec![check("b", 0, tcp(80))]);
    let told = events(board.configure(at(61_000), vec![check("a", 0, tcp(80))], || 0));
    assert_eq!(told, [], "what nobody took up at the start is forgotten");
}

#[test]
fn checkers_that_share_a_check_are_left_together_with_the_weight_that_they_ask_for() {
    let script = || {
        let argv = vec!["/bin/true".to_owned()];
        let timeout = Duration::from_secs(5);
        Probe::Script(ScriptProbe { argv, user: None, group: None, timeout, dynamic: true })
    };
    let both = || vec![check("a", 0, script()), check("b", 0, script())];
    let before = ran(both(), &[Outcome::ScriptPassed { weight: Some(7) }]);
    let wish = WeightWish::Exactly(Weight::new(7).unwrap());
    let asked = |name: &str| CheckEvent::Weight { target: target(name), wish };
    assert_eq!(successor(&before, both()).1, [asked("a"), asked("b")]);
    assert_eq!(successor(&before, vec![check("b", 0, script())]).1, [asked("b")], "one of them is left");
}
