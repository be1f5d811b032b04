//! Events to stderr, through a bounded queue: a full pipe loses lines and counts them, and holds nobody up.

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that wait for a slow reader; a further one is dropped and counted.
const LINES_MAX: usize = 8192;

/// Keep it until the end: dropping it writes out what waits (for at most a second).
#[derive(Debug)]
pub struct Log {
    _worker: WorkerGuard,
    lost: ErrorCounter,
}

impl Log {
    /// Counts the lines dropped since the start.
    pub fn counter(&self) -> ErrorCounter {
        self.lost.clone()
    }
}

/// Start logging at `level` (`VIPD_LOG` overrides it, in `EnvFilter`'s grammar).
pub fn start(level: &str) -> Log {
    let (writer, worker): (NonBlocking, WorkerGuard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX).finish(std::io::stderr());
    let lost = writer.error_counter();
    let filter = EnvFilter::try_from_env("VIPD_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    if subscriber.try_init().is_err() {
        tracing::debug!("somebody else logs already");
    }
    Log { _worker: worker, lost }
}
