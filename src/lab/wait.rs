//! The lab's clock, and waiting for a condition with a deadline.
//!
//! Nothing in the lab waits for a time to pass; it waits for something to be true.
#![expect(clippy::disallowed_methods, reason = "the lab reads the clock and waits")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::LabError;
use crate::base::MonoTime;

/// How often a condition is looked at.
pub const POLL: Duration = Duration::from_millis(5);

/// The clock that all threads of a lab share; it starts at zero.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub fn now(&self) -> MonoTime {
        MonoTime::from_start(self.start.elapsed())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::start()
    }
}

/// A flag that everything which waits looks at: set it, and the lab comes to an end.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Sleep one [`POLL`].
pub(super) fn pause() {
    std::thread::sleep(POLL);
}

/// Wait until `condition` holds; gives the time it took.
///
/// # Errors
/// [`LabError::TimedOut`] with `what` after `deadline`.
pub fn until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) -> Result<Duration, LabError> {
    let clock = Clock::start();
    loop {
        if condition() {
            return Ok(clock.now().since_start());
        }
        if clock.now().since_start() >= deadline {
            return Err(LabError::TimedOut { what: what.to_owned(), after: deadline });
        }
        pause();
    }
}
