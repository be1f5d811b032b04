//! When a checker runs next: on a grid of `delay_loop`, sooner to repeat a failure. It never drifts.
//!
//! It reads no clock and has no random numbers: the time and the jitter are passed in.

use std::time::Duration;

use crate::base::MonoTime;

/// The first check comes no sooner than this after the start (keepalived's rule).
pub const FIRST_CHECK_AFTER: Duration = Duration::from_secs(1);
/// Shortest period kept; a shorter `delay_loop` is taken as this.
pub const DELAY_LOOP_MIN: Duration = Duration::from_millis(1);

/// Jitter that spreads checkers evenly, however many there are: steps of the golden ratio from a seed. Drawn at
/// random, some would fall together and others leave gaps.
#[derive(Clone, Copy, Debug)]
pub struct Spread(u32);

impl Spread {
    pub const fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// The next one, in units of 1 / 2^32 of the warmup.
    pub const fn draw(&mut self) -> u32 {
        // 2^32 divided by the golden ratio (Knuth, The Art of Computer Programming 3, section 6.4).
        const STEP: u32 = 0x9e37_79b9;
        self.0 = self.0.wrapping_add(STEP);
        self.0
    }
}

/// Why and how soon the next run comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next point of the grid.
    Period,
    /// A failure is repeated after this.
    Retry(Duration),
    AtOnce,
}

/// The grid of one checker: one point and whole periods from it, however long the runs take; the first run may come
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    first: MonoTime,
    /// A point of the grid, at `first` or less than a period after it.
    point: MonoTime,
    period: Duration,
}

impl Schedule {
    /// `jitter` is the part of `warmup` to wait, in units of 1 / 2^32. Without a warmup all checks begin together, and
    /// the jitter spreads those that follow.
    pub fn new(now: MonoTime, period: Duration, warmup: Duration, jitter: u32) -> Self {
        let part = |of: Duration| Duration::from_nanos_u128((of.as_nanos() * u128::from(jitter)) >> 32);
        let grid = Self::starting(now + FIRST_CHECK_AFTER + part(warmup), period);
        if warmup.is_zero() { Self { point: grid.first + part(grid.period), ..grid } } else { grid }
    }

    /// A grid that begins at `first`.
    pub fn starting(first: MonoTime, period: Duration) -> Self {
        Self { first, point: first, period: period.max(DELAY_LOOP_MIN) }
    }

    /// The first run.
    pub const fn first(&self) -> MonoTime {
        self.first
    }

    /// The next run after one that ended at `now`.
    pub fn next(&self, now: MonoTime, next: Next) -> MonoTime {
        match next {
            Next::Period => self.after(now),
            Next::Retry(wait) => now + wait,
            Next::AtOnce => now,
        }
    }

    /// The first point of the grid that lies after `now`.
    fn after(&self, now: MonoTime) -> MonoTime {
        if now < self.first {
            return self.first;
        }
        if now < self.point {
            return self.point;
        }
        let (into, period) = (nanos(now.since(self.point)), nanos(self.period).max(1));
        now + Duration::from_nanos(period.saturating_sub(into % period))
    }
}

/// In 64 bits, which last for 584 years: each check divides by it.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn the_next_run_lies_on_the_grid_unless_a_failure_is_repeated() {
        let retry = Next::Retry(Duration::from_millis(300));
        let rows = [
            ("first run, no jitter", 0, None, 5_000),
            ("first run, half the warmup", 1 << 31, None, 7_000),
            ("a quick run", 0, Some((5_003, Next::Period)), 15_000),
            ("a run that took more than two periods", 0, Some((27_500, Next::Period)), 35_000),
            ("a run that ended on the grid", 0, Some((15_000, Next::Period)), 25_000),
            ("a failure", 0, Some((5_003, retry)), 5_303),
            ("the grid is met again after the retry", 0, Some((5_310, Next::Period)), 15_000),
            ("at once", 0, Some((5_003, Next::AtOnce)), 5_003),
        ];
        for (name, jitter, ended, wanted) in rows {
            let grid = Schedule::new(at(4_000), Duration::from_secs(10), Duration::from_secs(4), jitter);
            let got = ended.map_or(grid.first(), |(now, next)| grid.next(at(now), next));
            assert_eq!(got, at(wanted), "{name}");
        }
    }

    proptest! {
        #[test]
        fn checkers_are_spread_without_gaps_and_without_crowds(seed: u32, count in 2..2000_u32) {
            let mut spread = Spread::new(seed);
            let mut drawn: Vec<u32> = (0..count).map(|_| spread.draw()).collect();
            drawn.sort_unstable();
            let even = (1_u64 << 32) / u64::from(count);
            for pair in drawn.windows(2) {
                let gap = u64::from(pair[1] - pair[0]);
                prop_assert!(gap * 3 > even && gap < even * 3, "a gap of {gap}, evenly {even}");
            }
        }
    }

    #[test]
    fn the_whole_warmup_is_never_reached_and_a_period_is_never_zero() {
        let grid = Schedule::new(at(0), Duration::ZERO, Duration::from_mins(1), u32::MAX);
        assert!(grid.first() < at(61_000) && grid.first() > at(60_999));
        assert!(grid.next(grid.first(), Next::Period) > grid.first());
    }
}
