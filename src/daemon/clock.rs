//! The clock that every task reads: `CLOCK_MONOTONIC`, so that times of the heartbeat and of others compare.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::base::MonoTime;

/// Seconds since 1970, for files that other programs read.
pub fn unix_seconds() -> f64 {
    // The kernel always has this clock too.
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// Now, since the host's boot. It does not count while the host is suspended, as kernel timers do not.
pub fn now() -> MonoTime {
    // The kernel always has this clock (clock_gettime(2)).
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(MonoTime::ZERO, |time| MonoTime::from_start(Duration::from(time)))
}
