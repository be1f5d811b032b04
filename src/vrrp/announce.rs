//! When to announce which address: gratuitous ARP and unsolicited Neighbour Advertisements.
//!
//! The first announcement of every address goes out before the second of any, in paced batches, so that many
//! addresses neither delay an advert nor flood a switch. A new burst never starts a running round again: the
//! last addresses get their turn however often a rival speaks.

use std::ops::Range;
use std::time::Duration;

use super::router::LINGER;
use super::settings::Garp;
use crate::base::MonoTime;

/// Announcements at once where `garp_interval` is not set: with [`PACE`], 25,600 a second. A batch takes 0.1 ms of
/// a gigabit wire.
pub const BATCH: usize = 128;
/// Between two batches.
pub const PACE: Duration = Duration::from_millis(5);

/// After a takeover all are announced once more, when who handed over answers for them no more: a client that asked it
/// meanwhile, after our first burst, would go on with its hardware address.
pub const AFTER_LINGER: Duration = LINGER.saturating_add(Duration::from_millis(50));

/// However often a lesser router speaks, its adverts are answered by announcements once in this time. What it says by
/// ARP is answered each time (see [`super::claim`]).
pub const CLAIMED_EVERY: Duration = Duration::from_secs(1);

/// How is said with each call: the configuration may change between two.
#[derive(Clone, Debug, Default)]
pub struct Announcer {
    run: Option<Run>,
    /// One round, [`AFTER_LINGER`].
    again_at: Option<MonoTime>,
    /// The second burst, and its rounds.
    second: Option<(MonoTime, u8)>,
    refresh_at: Option<MonoTime>,
    claimed_at: Option<MonoTime>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    next: usize,
    rounds_left: u8,
    at: MonoTime,
}

impl Announcer {
    /// The addresses were taken, and are announced from `now` on, which may be later.
    pub fn taken(&mut self, now: MonoTime, garp: &Garp) {
        self.burst(now, garp.repeat, garp.delay);
        self.again_at = (garp.repeat > 0).then(|| now + AFTER_LINGER);
        self.refresh_at = (!garp.refresh.is_zero()).then(|| now + garp.refresh);
    }

    /// A lesser router claims the addresses, or somebody removed one.
    pub fn claimed(&mut self, now: MonoTime, garp: &Garp) {
        if self.claimed_at.is_some_and(|claimed| now - claimed < CLAIMED_EVERY) {
            return;
        }
        self.claimed_at = Some(now);
        self.burst(now, garp.lower_repeat, garp.lower_delay);
    }

    /// The addresses are not ours any more.
    pub const fn stop(&mut self) {
        self.run = None;
        self.again_at = None;
        self.second = None;
        self.refresh_at = None;
        self.claimed_at = None;
    }

    pub fn deadline(&self) -> Option<MonoTime> {
        let each = [self.run.map(|run| run.at), self.again_at, self.second.map(|(at, _)| at), self.refresh_at];
        each.into_iter().flatten().min()
    }

    /// The position that [`Announcer::due`] begins with next.
    pub fn next(&self) -> usize {
        self.run.map_or(0, |run| run.next)
    }

    /// Which of `count` addresses to announce now, by position.
    pub fn due(&mut self, now: MonoTime, garp: &Garp, count: usize) -> Range<usize> {
        if self.again_at.take_if(|at| *at <= now).is_some() {
            self.start(now, 1);
        }
        if let Some((_, rounds)) = self.second.take_if(|(at, _)| *at <= now) {
            self.start(now, rounds);
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = (!garp.refresh.is_zero()).then(|| now + garp.refresh);
            self.start(now, garp.refresh_repeat);
        }
        let Some(run) = self.run.as_mut().filter(|run| run.at <= now) else { return 0..0 };
        let (batch, pause) = if garp.interval.is_zero() { (BATCH, PACE) } else { (1, garp.interval) };
        let first = run.next.min(count);
        let end = (first + batch).min(count);
        run.at = now + pause;
        run.next = end;
        if end == count {
            run.next = 0;
            run.rounds_left = run.rounds_left.saturating_sub(1);
            if run.rounds_left == 0 {
                self.run = None;
            }
        }
        first..end
    }

    fn burst(&mut self, now: MonoTime, rounds: u8, delay: Duration) {
        self.start(now, rounds);
        self.second = (rounds > 0 && !delay.is_zero()).then(|| (now + delay, rounds));
    }

    fn start(&mut self, now: MonoTime, rounds: u8) {
        match &mut self.run {
            _ if rounds == 0 => (),
            None => self.run = Some(Run { next: 0, rounds_left: rounds, at: now }),
            // The round that runs, then the new ones.
            Some(run) => {
                run.rounds_left = run.rounds_left.max(rounds.saturating_add(1));
                if run.next == 0 {
                    run.at = run.at.min(now); // one that has not begun
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_start(Duration::from_millis(ms))
    }

    /// Runs it for a minute; the positions in order.
    fn run(announcer: &mut Announcer, garp: &Garp, count: usize, until: MonoTime) -> Vec<usize> {
        let mut seen = vec![];
        while let Some(now) = announcer.deadline().filter(|at| *at <= until) {
            seen.extend(announcer.due(now, garp, count));
        }
        seen
    }

    #[test]
    fn the_first_of_every_address_goes_before_the_second_of_any() {
        let garp = Garp { repeat: 3, delay: Duration::ZERO, ..Garp::default() };
        let mut announcer = Announcer::default();
        announcer.taken(at(0), &garp);
        // Three, and one after who handed over is silent.
        let expected: Vec<usize> = (0..4).flat_map(|_| 0..100).collect();
        assert_eq!(run(&mut announcer, &garp, 100, at(60_000)), expected);
    }

    #[test]
    fn two_thousand_addresses_are_announced_within_a_second() {
        let (mut announcer, garp) = (Announcer::default(), Garp::default());
        announcer.taken(at(0), &garp);
        let seen = run(&mut announcer, &garp, 2_000, at(1_000));
        assert!(seen.len() >= 2_000, "{}", seen.len());
    }

    #[test]
    fn after_a_takeover_every_address_is_announced_when_who_handed_over_is_silent() {
        let silent = at(0) + LINGER;
        for (repeat, count) in [(1, 1), (5, 1), (5, 2_000), (1, 2_000), (0, 3)] {
            // The second burst comes much later, or never.
            let garp = Garp { repeat, delay: Duration::ZERO, ..Garp::default() };
            let mut announcer = Announcer::default();
            announcer.taken(at(0), &garp);
            let mut late = vec![false; count];
            while let Some(now) = announcer.deadline() {
                for position in announcer.due(now, &garp, count) {
                    late[position] |= now > silent;
                }
            }
            let every = late.iter().all(|late| *late);
            assert_eq!(every, repeat > 0, "{repeat} rounds of {count} addresses");
        }
    }

    #[test]
    fn a_rival_that_never_stops_does_not_keep_the_last_address_from_its_turn() {
        let (mut announcer, garp) = (Announcer::default(), Garp::default());
        announcer.taken(at(0), &garp);
        let mut seen = vec![];
        for ms in 0..100 {
            announcer.claimed(at(ms), &garp);
            seen.extend(announcer.due(at(ms), &garp, 200));
        }
        assert!(seen.contains(&199));
    }

    #[test]
    fn the_second_burst_comes_after_the_delay_and_the_refresh_goes_on() {
        let garp = Garp { repeat: 1, refresh: Duration::from_secs(10), ..Garp::default() };
        let mut announcer = Announcer::default();
        announcer.taken(at(0), &garp);
        assert_eq!(run(&mut announcer, &garp, 1, at(4_999)).len(), 2);
        assert_eq!(run(&mut announcer, &garp, 1, at(5_000)).len(), 1);
        assert_eq!(run(&mut announcer, &garp, 1, at(30_000)).len(), 3);
        announcer.stop();
        assert_eq!(announcer.deadline(), None);
    }
}
