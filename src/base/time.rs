//! The time that cores take as an argument. Reading a clock is `daemon/clock.rs`.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock (`CLOCK_MONOTONIC` in the daemon, anything in a test), in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MonoTime(Duration);

impl MonoTime {
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The point that lies `since_start` after the clock's own start.
    pub const fn from_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long ago `earlier` was; zero where it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for MonoTime {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
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
