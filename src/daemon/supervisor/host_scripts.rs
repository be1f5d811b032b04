//! `startup_script` and `shutdown_script`: what prepares the host for the daemon, and what clears up after it. How they end
//! is logged, and changes nothing else: keepalived goes on as well.

use super::signals::Signals;
use crate::daemon::translate::HostScript;
use crate::notify::io::script::{Output, run};

/// Before anything is started; false: the daemon is asked to stop meanwhile.
pub(super) async fn start(script: Option<&HostScript>, signals: &mut Signals) -> bool {
    tokio::select! {
        () = carry_out("startup_script", script) => true,
        // The script is killed with all that it started.
        () = signals.stop() => false,
    }
}

/// After everything has ended, whether it was started or not: the first script may have been half done.
pub(super) async fn end(script: Option<&HostScript>) {
    carry_out("shutdown_script", script).await;
}

async fn carry_out(keyword: &'static str, script: Option<&HostScript>) {
    let Some(HostScript { command, limit }) = script else { return };
    tracing::info!(keyword, %command, "running a script of the host");
    let ran = run(command, &[], *limit, Output::Keep).await;
    if ran.end.is_success() {
        tracing::info!(keyword, "the script ended well");
    } else {
        tracing::error!(keyword, %command, end = %ran.end, output = ran.output.trim(), "the script failed");
    }
}
