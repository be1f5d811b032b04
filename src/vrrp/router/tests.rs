//! The state machine, row by row.

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::base::{Family, Vrid};

fn owner() -> Router {
    let settings = Settings::new("VI_1", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), Family::V4);
    let mut router = Router::new(Rules::from(&settings), Priority::OWNER);
    router.handle(MonoTime::ZERO, Event::Condition(Condition::Fit));
    router
}

fn heard(from: &str, from_greater: bool) -> Event {
    let from: IpAddr = from.parse().unwrap();
    Event::Heard(Heard { from, priority: Some(Priority::OWNER), interval: AdvertInterval::DEFAULT, from_greater })
}

#[test]
fn of_two_owners_the_greater_address_serves_and_the_other_follows_when_it_falls_silent() {
    let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
    let (mut less, mut greater) = (owner(), owner());
    assert_eq!((less.standing(), greater.standing()), (Standing::Active, Standing::Active), "both begin at once");
    let answer = greater.handle(at(10), heard("192.0.2.1", false));
    assert!(answer.contains(&Action::Advert { priority: 255 }) && answer.contains(&Action::Reannounce), "{answer:?}");
    let stepped_down = less.handle(at(10), heard("192.0.2.2", true));
    assert!(stepped_down.contains(&Action::Drop), "{stepped_down:?}");
    assert_eq!((less.standing(), greater.standing()), (Standing::Backup, Standing::Active));
    for second in 1..60 {
        let now = at(10 + second * 1000);
        less.handle(now, Event::DeadlineReached);
        less.handle(now, heard("192.0.2.2", true));
        assert_eq!(less.standing(), Standing::Backup, "it does not flap");
    }
    let silent = less.deadline().unwrap();
    less.handle(silent, Event::DeadlineReached);
    assert_eq!(less.standing(), Standing::Active);
}

#[test]
fn an_active_answers_several_that_resign_and_no_flood() {
    let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
    let resigned = || {
        let from = "192.0.2.2".parse().unwrap();
        Event::Heard(Heard { from, priority: None, interval: AdvertInterval::DEFAULT, from_greater: true })
    };
    let mut router = owner();
    // A flood, from before the first deadline on, for two intervals of a second.
    let answers = |router: &mut Router, from: u64| {
        let all = (from..from + 1000).filter(|ms| !router.handle(at(*ms), resigned()).is_empty());
        all.collect::<Vec<_>>()
    };
    assert_eq!(answers(&mut router, 10), (10..10 + u64::from(ANSWERS_MAX)).collect::<Vec<_>>());
    assert_eq!(answers(&mut router, 1010).len(), usize::from(ANSWERS_MAX));
}

/// With advert_int 1: how late it is run, and what comes first then.
#[test]
fn an_active_that_was_not_run_for_long_listens_before_it_speaks() {
    let lesser = |priority| {
        let interval = AdvertInterval::DEFAULT;
        let priority = Priority::new(priority).ok();
        Event::Heard(Heard { from: "192.0.2.2".parse().unwrap(), priority, interval, from_greater: false })
    };
    // (preempt, late by, first event, stays Active, who is Active 10 s later)
    let rows = [
        (true, 1_000, lesser(100), Standing::Active, Standing::Active),
        (true, 6_000, lesser(100), Standing::Backup, Standing::Active),
        (false, 6_000, lesser(100), Standing::Backup, Standing::Backup),
        (false, 6_000, Event::DeadlineReached, Standing::Backup, Standing::Backup),
        (true, 6_000, lesser(200), Standing::Backup, Standing::Backup),
    ];
    for (preempt, late_ms, first, then, later) in rows {
        let mut settings = Settings::new("VI_1", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), Family::V4);
        settings.preempt = preempt;
        let mut router = Router::new(Rules::from(&settings), Priority::new(150).unwrap());
        router.handle(MonoTime::ZERO, Event::Condition(Condition::Fit));
        while router.standing() != Standing::Active {
            let deadline = router.deadline().unwrap();
            router.handle(deadline, Event::DeadlineReached);
        }
        let mut now = router.deadline().unwrap() + Duration::from_millis(late_ms);
        let what = format!("preempt {preempt}, late {late_ms} ms, {first:?}");
        let theirs = if let Event::Heard(Heard { priority, .. }) = first { priority } else { Priority::new(100).ok() };
        let actions = router.handle(now, first);
        assert_eq!(router.standing(), then, "{what}: {actions:?}");
        if then == Standing::Backup {
            let told =
                actions.iter().any(|action| matches!(action, Action::Moved { reason: Reason::Overslept { .. }, .. }));
            assert!(told && actions.contains(&Action::Drop), "{what}: {actions:?}");
            assert!(!actions.iter().any(|action| matches!(action, Action::Advert { .. })), "{what}: {actions:?}");
        }
        let end = now + Duration::from_secs(10);
        while now < end {
            now += Duration::from_millis(500);
            router.handle(now, lesser(theirs.map_or(0, Priority::get)));
            if router.deadline().is_some_and(|deadline| deadline <= now) {
                router.handle(now, Event::DeadlineReached);
            }
        }
        assert_eq!(router.standing(), later, "{what}");
    }
}
