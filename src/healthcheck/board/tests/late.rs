//! Checks whose results do not come: runs that hang, faults of ours, and no place to run.

use super::*;

#[test]
fn a_run_that_does_not_come_back_is_given_up_and_never_doubled() {
    let mut board = Board::default();
    board.configure(at(0), vec![check("a", 0, tcp(80)), check("b", 0, tcp(81))], || 0);
    let starts = board.poll(at(1_000));
    let [Action::Start { run: hung, .. }, Action::Start { run: good, .. }] = starts[..] else { panic!("two are due") };
    assert_eq!(board.finish(at(1_001), good, Outcome::Connected, Duration::ZERO), []);
    assert_eq!(board.deadline(), Some(at(8_000)), "5 s to connect and 2 s of patience");
    let silence = |because| {
        let check = CheckId { target: target("a"), index: 0 };
        Action::Tell(CheckEvent::Silence { target: target("a"), check, because })
    };
    let stuck = Outcome::Local(LocalFault::TaskStuck);
    assert_eq!(board.poll(at(8_000)), [Action::Abort(hung), silence(Some(stuck.clone()))]);
    assert_eq!(board.views(at(8_000))[0].stale, Some(stuck));
    for now in [11_000, 21_000] {
        let [Action::Start { run, ref check, .. }] = board.poll(at(now))[..] else { panic!("only b runs on") };
        assert_eq!(check.id.target, target("b"));
        board.finish(at(now), run, Outcome::Connected, Duration::ZERO);
    }
    let ended = board.finish(at(22_000), hung, Outcome::Local(LocalFault::TaskEnded), Duration::ZERO);
    assert_eq!(ended, [], "that is no result yet");
    let starts = board.poll(at(31_000));
    let [Action::Start { run, .. }, Action::Start { .. }] = starts[..] else { panic!("it runs again: {starts:?}") };
    let back = board.finish(at(31_001), run, Outcome::Connected, Duration::ZERO);
    assert_eq!(back, [silence(None)]);
}

#[test]
fn a_check_without_results_is_told_once_and_again_when_they_are_back() {
    let mut board = Board::default();
    // So many run at one time that this one finds no place.
    let crowd = (0..RUNS_MAX).map(|at| check(&format!("x{at}"), 0, tcp(u16::try_from(at).unwrap())));
    let late = CheckSettings { warmup: Duration::from_secs(4), ..check("late", 0, tcp(60_000)) };
    board.configure(at(0), crowd.chain([late]).collect(), || u32::MAX);
    let starts = board.poll(at(4_900));
    assert!(starts.len() >= RUNS_MAX - 1, "{}", starts.len());
    let mut told = vec![];
    for now in (4_900..60_000).step_by(1_000) {
        told.extend(told_to(board.poll(at(now))).into_iter().filter(|(_, word)| *word == "silence"));
    }
    assert!(told.len() > RUNS_MAX, "those that are stuck, and the one that waits for them: {}", told.len());
}

#[test]
fn faults_of_ours_move_nobody_and_are_told_as_a_silence_of_the_check() {
    let mut board = Board::default();
    board.configure(at(0), vec![check("a", 0, tcp(80))], || 0);
    let mut result = |outcome: &Outcome| {
        let now = next(&board);
        let mut told = vec![];
        while let Some(sooner) = board.deadline().filter(|at| *at < now) {
            told.extend(board.poll(sooner));
        }
        for action in board.poll(now) {
            match action {
                Action::Start { run, .. } => told.extend(board.finish(now, run, outcome.clone(), Duration::ZERO)),
                other @ (Action::Abort(_) | Action::Tell(_) | Action::LogFailure { .. }) => told.push(other),
            }
        }
        let because = told.iter().find_map(|action| match action {
            Action::Tell(CheckEvent::Silence { because, .. }) => Some(because.clone()),
            Action::Start { .. } | Action::Abort(_) | Action::Tell(_) | Action::LogFailure { .. } => None,
        });
        (because, board.standings()[&target("a")] == Standing::Up, board.views(now)[0].stale.clone())
    };
    let full = Outcome::Local(LocalFault::Socket { errno: libc::EMFILE });
    assert_eq!(result(&Outcome::Connected), (None, true, None));
    let mut told = None;
    for _ in 0..4 {
        let (because, up, _) = result(&full);
        assert!(up, "the server is not to blame");
        told = told.or(because);
    }
    assert_eq!(told, Some(Some(full.clone())), "25 s without a word of the server");
    assert_eq!(result(&full), (None, true, Some(full)), "told once, and shown");
    assert_eq!(result(&Outcome::Connected), (Some(None), true, None));
}

#[test]
fn no_more_run_at_once_than_are_allowed_and_the_others_say_what_they_wait_for() {
    let mut board = Board::default();
    board.configure(at(0), (0..5).map(|n| check(&n.to_string(), 0, tcp(80 + n))).collect(), || 0);
    board.limit_runs(2);
    let starts = board.poll(at(1_000));
    assert_eq!((starts.len(), board.running()), (2, 2));
    assert!(board.deadline() > Some(at(1_000)), "nothing to do before one ends: {:?}", board.deadline());
    let [Action::Start { run, .. }, ..] = starts[..] else { panic!("{starts:?}") };
    board.finish(at(1_100), run, Outcome::Connected, Duration::ZERO);
    assert_eq!(board.poll(at(1_100)).len(), 1, "the next one");
    let late = board.views(at(60_000)).into_iter().filter_map(|view| view.stale);
    let waiting = late.filter(|why| *why == Outcome::Local(LocalFault::NoPlace { places: 2 })).count();
    assert_eq!(waiting, 3, "two that never ran, and the first one's second run");
    board.limit_runs(0);
    assert_eq!(board.poll(at(1_200)), [], "both places are taken");
    board.limit_runs(usize::MAX);
    assert_eq!(board.poll(at(1_200)).len(), 2);
}
