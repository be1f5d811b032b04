//! SIGINT, SIGTERM and SIGHUP end a drill in order: the lab goes down before the process does.

use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::lab::error::LabError;
use crate::lab::wait::Stop;

/// Set `stop` at the first of the signals, from now until the process ends.
///
/// By a handler, not by a blocked mask: the daemons of the directors would inherit the mask.
pub fn stop_on_signals(stop: &Stop) -> Result<(), LabError> {
    let failed = |source| LabError::Thread { name: "signals".to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut streams = {
        let _inside = runtime.enter();
        let install = |kind| signal(kind).map_err(failed);
        [install(SignalKind::interrupt())?, install(SignalKind::terminate())?, install(SignalKind::hangup())?]
    };
    let stop = stop.clone();
    let wait = move || {
        runtime.block_on(async {
            let [interrupt, terminate, hangup] = &mut streams;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        stop.set();
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop).map_err(failed)
}
