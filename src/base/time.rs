//! The time that cores take as an argument. Reading a clock is `daemon/clock.rs`.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock (`CLOCK_MONOTONIC` in the daemon, anything in a test), in nanoseconds; the last is 584
/// years after the clock's start. A virtual router has dozens: one that is there or not takes eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Duration", into = "Duration")]
pub struct MonoTime(NonZeroU64);

impl MonoTime {
    /// Nanoseconds are counted from 1.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The point that lies `since_start` after the clock's own start.
    pub fn from_start(since_start: Duration) -> Self {
        Self::ZERO + since_start
    }

    pub const fn since_start(self) -> Duration {
        self.since(Self::ZERO)
    }

    /// How long ago `earlier` was; zero where it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for MonoTime {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for MonoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MonoTime").field(&self.since_start()).finish()
    }
}

impl From<Duration> for MonoTime {
    fn from(since_start: Duration) -> Self {
        Self::from_start(since_start)
    }
}

impl From<MonoTime> for Duration {
    fn from(time: MonoTime) -> Self {
        time.since_start()
    }
}

impl Add<Duration> for MonoTime {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for MonoTime {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub for MonoTime {
    type Output = Duration;
    /// Saturating: see [`MonoTime::since`].
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_end_at_the_ends_of_the_clock() {
        let at = |ns| MonoTime::from_start(Duration::from_nanos(ns));
        assert_eq!((MonoTime::ZERO.since_start(), at(0)), (Duration::ZERO, MonoTime::default()));
        assert_eq!((at(5) + Duration::from_nanos(2), at(7) - at(5)), (at(7), Duration::from_nanos(2)));
        assert_eq!(at(5) - at(7), Duration::ZERO);
        let last = MonoTime::ZERO + Duration::MAX;
        assert_eq!((last + Duration::from_nanos(1), last > at(7)), (last, true));
    }

    #[test]
    fn a_time_that_may_be_missing_takes_no_more() {
        assert_eq!(size_of::<Option<MonoTime>>(), 8);
    }
}
