//! Events to stderr or to syslog, through a bounded queue: a full pipe loses lines and counts them, and holds nobody up.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that wait for a slow reader; a further one is dropped and counted. Room for all of them is taken at the start,
/// 32 bytes each: this is four lines at once of each of 255 virtual routers.
const LINES_MAX: usize = 1024;

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

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTo {
    Stderr,
    /// `/dev/log`, with facility daemon and the name of keepalived, which operators look for.
    Syslog,
}

/// Lines as datagrams to the local syslog (RFC 3164). A syslog that is not there loses them.
#[derive(Debug, Default)]
struct Syslog {
    socket: Option<UnixDatagram>,
}

/// Facility daemon, severity notice: what a line says of its level is in the line.
const PRIORITY: u8 = 3 * 8 + 5;

impl Write for Syslog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut message = format!("<{PRIORITY}>Keepalived[{}]: ", std::process::id()).into_bytes();
        message.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        // A syslog that was started again has another socket.
        let sent = self.socket.as_ref().is_some_and(|socket| socket.send(&message).is_ok());
        if !sent {
            self.socket = connect();
            if let Some(socket) = &self.socket {
                socket.send(&message)?;
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connect() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect("/dev/log").ok()?;
    Some(socket)
}

/// Start logging at `level` (`VIPD_LOG` overrides it, in `EnvFilter`'s grammar).
pub fn start(level: &str, to: LogTo) -> Log {
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX);
    let (writer, worker): (NonBlocking, WorkerGuard) = match to {
        LogTo::Stderr => queue.finish(io::stderr()),
        LogTo::Syslog => queue.finish(Syslog::default()),
    };
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
