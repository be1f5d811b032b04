//! Writing keepalived's dump files when a signal asks for them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::daemon::dump::{self, Moment};
use crate::daemon::supervisor::running::Daemon;
use crate::daemon::{clock, pidfile};

/// They hold passwords.
const MODE: u32 = 0o600;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// SIGUSR1: `keepalived.data`.
    Data,
    /// SIGUSR2: `keepalived.stats`.
    Stats,
    /// SIGRTMAX-1: the same, and counting begins anew.
    StatsClear,
    /// SIGRTMIN+2: `keepalived.json`.
    Json,
}

impl Daemon {
    /// Write it in the background: a slow disk holds up nobody.
    pub fn dump(&mut self, asked: Dump) {
        let views = Arc::clone(&self.heartbeat.snapshot.borrow());
        let counted = dump::stats(&views);
        let stats = dump::since(counted.clone(), &self.standing.cleared);
        if asked == Dump::StatsClear {
            self.standing.cleared = counted;
        }
        let (config, now, unix_s) = (self.wanted.config.clone(), clock::now(), clock::unix_seconds());
        tokio::task::spawn_blocking(move || {
            let config = config.config();
            let moment = Moment { config: &config, views: &views, stats: &stats, now, unix_s };
            let (name, text) = match asked {
                Dump::Data => ("keepalived.data", moment.data_text()),
                Dump::Stats | Dump::StatsClear => ("keepalived.stats", dump::stats_text(&stats)),
                Dump::Json => ("keepalived.json", moment.json()),
            };
            let path = directory().join(name);
            match pidfile::replace(&path, text.as_bytes(), MODE) {
                Ok(()) => tracing::info!(path = %path.display(), "dumped"),
                Err(error) => tracing::error!(path = %path.display(), %error, "the dump was not written"),
            }
        });
    }
}

/// `TMPDIR` where it is absolute, as keepalived.
fn directory() -> PathBuf {
    let given = std::env::var_os("TMPDIR").map(PathBuf::from);
    given.filter(|dir| dir.is_absolute()).unwrap_or_else(|| PathBuf::from("/tmp"))
}
