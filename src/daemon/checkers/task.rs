//! A run of a check as a task on the runtime of the daemon: it tells its end, however it ends.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::healthcheck::board::RunId;
use crate::healthcheck::io::connector::Ended;
use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};

/// A run is cut off this long after its own deadline.
const GRACE: Duration = Duration::from_secs(1);

/// Start a run that is to end within `deadline`; `tell` is called once, though it panics or is aborted.
pub fn spawn(
    daemon: &Handle,
    run: RunId,
    deadline: Duration,
    probing: impl Future<Output = Outcome> + Send + 'static,
    tell: impl FnOnce(Ended) + Send + 'static,
) -> AbortHandle {
    let lost = Ended { run, outcome: Outcome::Local(LocalFault::TaskEnded), latency: Duration::ZERO };
    let mut end = End { ended: Some((lost, tell)) };
    let after = deadline.saturating_add(GRACE);
    let task = daemon.spawn(async move {
        let started = Instant::now();
        let outcome = timeout(after, probing).await;
        let outcome = outcome.unwrap_or(Outcome::Timeout { waiting_for: Stage::Run, after });
        if let Some((ended, _)) = &mut end.ended {
            *ended = Ended { run, outcome, latency: started.elapsed() };
        }
    });
    task.abort_handle()
}

/// Tells when it is dropped.
struct End<T: FnOnce(Ended)> {
    ended: Option<(Ended, T)>,
}

impl<T: FnOnce(Ended)> Drop for End<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a check's task panicked");
        }
        if let Some((ended, tell)) = self.ended.take() {
            tell(ended);
        }
    }
}
