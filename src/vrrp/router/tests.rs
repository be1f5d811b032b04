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

/// With `advert_int 1`: how late it is run, and what comes first then.
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

/// A Backup with priority 150 at the time zero.
fn backup(change: impl FnOnce(&mut Settings)) -> Router {
    let mut settings = Settings::new("VI_1", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), Family::V4);
    change(&mut settings);
    let mut router = Router::new(Rules::from(&settings), Priority::new(150).unwrap());
    router.handle(MonoTime::ZERO, Event::Condition(Condition::Fit));
    assert_eq!(router.standing(), Standing::Backup);
    router
}

fn advert(priority: u8, interval: AdvertInterval) -> Event {
    let from = "192.0.2.9".parse().unwrap();
    Event::Heard(Heard { from, priority: Priority::new(priority).ok(), interval, from_greater: true })
}

/// When it is Active, in milliseconds, and whether by preempting, while somebody sends this priority in this second.
fn active_at(mut router: Router, sent: impl Fn(u64) -> u8) -> Option<(u64, bool)> {
    for ms in 0..40_000 {
        let now = MonoTime::from_start(Duration::from_millis(ms));
        let mut actions = vec![];
        if ms % 1000 == 500 {
            actions = router.handle(now, advert(sent(ms / 1000), AdvertInterval::DEFAULT));
        }
        actions.extend(router.handle(now, Event::DeadlineReached));
        if router.standing() == Standing::Active {
            let preempted = |action: &Action| matches!(action, Action::Moved { reason: Reason::Preempted { .. }, .. });
            return Some((ms, actions.iter().any(preempted)));
        }
    }
    None
}

/// With adverts half a second after each full one, and an `Active_Down` of 3.414 s.
#[test]
fn preempt_delay_runs_from_the_first_lesser_advert_and_a_better_one_ends_it() {
    let delayed = |settings: &mut Settings| settings.preempt_delay = Duration::from_secs(10);
    let never = |settings: &mut Settings| {
        delayed(settings);
        settings.preempt = false;
    };
    // The last advert that counts is the one before the delay ends.
    assert_eq!(active_at(backup(|_| ()), |_| 100), Some((3_415, true)), "no delay");
    assert_eq!(active_at(backup(delayed), |_| 100), Some((9_500 + 3_415, true)));
    assert_eq!(active_at(backup(delayed), |second| if second < 7 { 200 } else { 100 }), Some((16_500 + 3_415, true)));
    let broken_off = active_at(backup(delayed), |second| if second == 5 { 200 } else { 100 });
    assert_eq!(broken_off, Some((15_500 + 3_415, true)), "it begins anew");
    assert_eq!(active_at(backup(never), |_| 100), None, "nopreempt");
    assert_eq!(
        active_at(backup(delayed), |second| if second < 3 { 100 } else { 0 }),
        Some((3_915, false)),
        "it resigned"
    );
}

#[test]
fn an_active_counts_as_gone_after_down_timer_adverts_of_its_intervals_and_the_skew() {
    let half = AdvertInterval::from_centis(50).unwrap();
    let rows = [
        (Version::V2, 3, AdvertInterval::DEFAULT, 3_414),
        (Version::V2, 1, AdvertInterval::DEFAULT, 1_414),
        (Version::V2, 100, AdvertInterval::DEFAULT, 100_414),
        (Version::V3, 3, half, 1_707),
        (Version::V3, 5, half, 2_707),
    ];
    for (version, adverts, interval, expected) in rows {
        let what = format!("{version:?}, {adverts} of {interval} s");
        let mut router = backup(|settings| {
            settings.version = version;
            settings.down_timer_adverts = adverts;
        });
        let now = MonoTime::from_start(Duration::from_millis(100));
        router.handle(now, advert(200, interval));
        let waits = router.deadline().unwrap() - now;
        assert_eq!(waits.as_millis(), expected, "{what}");
        router.handle(now + waits.saturating_sub(Duration::from_nanos(1)), Event::DeadlineReached);
        assert_eq!(router.standing(), Standing::Backup, "{what}");
        router.handle(now + waits, Event::DeadlineReached);
        assert_eq!(router.standing(), Standing::Active, "{what}");
    }
}

#[test]
fn lesser_and_better_routers_are_answered_as_the_settings_say() {
    // (lower_prio_no_advert, higher_prio_send_advert, what is heard, an advert of ours goes out, stays Active)
    let rows = [
        (false, true, 100, true, true),
        (true, true, 100, false, true),
        (false, true, 200, true, false),
        (false, false, 200, false, false),
        (true, false, 200, false, false),
        (true, true, 0, true, true),
    ];
    for (silent, last_word, theirs, answered, stays) in rows {
        let what = format!("lower_prio_no_advert {silent}, higher_prio_send_advert {last_word}, heard {theirs}");
        let mut router = backup(|settings| {
            settings.silent_to_lower = silent;
            settings.last_word = last_word;
        });
        let now = router.deadline().unwrap();
        router.handle(now, Event::DeadlineReached);
        let actions = router.handle(now, advert(theirs, AdvertInterval::DEFAULT));
        assert_eq!(actions.contains(&Action::Advert { priority: 150 }), answered, "{what}: {actions:?}");
        assert_eq!(router.standing() == Standing::Active, stays, "{what}");
        assert_eq!(actions.contains(&Action::Drop), !stays, "{what}: {actions:?}");
        assert_eq!(actions.contains(&Action::Reannounce), theirs == 100, "{what}: {actions:?}");
    }
}

#[test]
fn who_finds_no_successor_takes_the_addresses_of_its_settings() {
    let mut router = backup(|_| ());
    let now = router.deadline().unwrap();
    router.handle(now, Event::DeadlineReached);
    router.handle(now, Event::HandOver { force: false });
    assert_eq!(router.standing(), Standing::HandingOver);
    let now = router.deadline().unwrap();
    let actions = router.handle(now, Event::DeadlineReached);
    let (advert, take) = (Action::Advert { priority: 150 }, Action::Take { announce_at: now });
    assert_eq!(actions.get(..2), Some([advert, take].as_slice()), "{actions:?}");
    assert_eq!(router.standing(), Standing::Active);
}
