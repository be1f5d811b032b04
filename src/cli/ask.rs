//! One question to the running daemon, and its answer: what most verbs do.

use std::path::Path;

use crate::control::io::client;
use crate::daemon::rundir::control_socket;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("starting the runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Call(#[from] client::CallError),
    #[error("the daemon's answer cannot be read ({0}); is it of another version?")]
    Answer(#[from] serde_json::Error),
}

/// # Errors
/// [`AskError::Runtime`], or [`AskError::Call`]: no daemon there, or it refuses.
pub fn ask(run_dir: &Path, method: &str, target: &str, body: Vec<u8>) -> Result<String, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AskError::Runtime)?;
    Ok(runtime.block_on(client::call(&control_socket(run_dir), method, target, body))?)
}
