//! What can go wrong while a lab is built, used or taken down.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("the lab needs root: it makes network namespaces")]
    NotRoot,
    #[error("`{command}` failed ({status}): {stderr}")]
    Command { command: String, status: String, stderr: String },
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("{action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("network namespace {name}: {source}")]
    Namespace { name: String, source: nix::Error },
    #[error("{host}: {what}: {source}")]
    Socket { host: String, what: String, source: io::Error },
    #[error("cannot start the thread {name}: {source}")]
    Thread { name: String, source: io::Error },
    #[error("the thread {name} panicked")]
    Panicked { name: String },
    #[error("signal {signal} to process {pid}: {source}")]
    Signal { signal: &'static str, pid: i32, source: nix::Error },
    #[error("director {name} is not running")]
    NotRunning { name: String },
    #[error("{what}: not within {after:?}")]
    TimedOut { what: String, after: Duration },
    #[error("interrupted")]
    Interrupted,
}
