//! Checks and BFD sessions without the rest of a daemon, for what measures them.

use std::io;

use tokio::sync::mpsc;

use super::{Checkers, Sessions};
use crate::bfd::Settings;
use crate::daemon::bfd::Bfd;
use crate::daemon::heartbeat::processor::Scheduling;
use crate::healthcheck::settings::{CheckEvent, CheckSettings};

/// They run until this is dropped.
#[derive(Debug)]
pub struct Alone {
    _checkers: Checkers,
    _sessions: Bfd,
}

/// Start them in the network namespace of the thread that calls.
///
/// # Errors
/// Where a thread cannot start.
pub async fn start(
    checks: Vec<CheckSettings>,
    sessions: Vec<Settings>,
) -> io::Result<(mpsc::Receiver<CheckEvent>, Alone)> {
    // There is no heartbeat to be told.
    let (heartbeat, _) = mpsc::channel(1);
    let (bfd, _) = Bfd::start(heartbeat, Scheduling::Nice(0))?;
    let (checkers, events, _) = Checkers::start(Sessions::new(bfd.snapshot.clone()))?;
    // A thread that has ended tells nothing, and that is what is measured.
    bfd.configure(sessions).await.ok();
    checkers.configure(checks).await.ok();
    Ok((events, Alone { _checkers: checkers, _sessions: bfd }))
}
