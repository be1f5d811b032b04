//! The signals that the daemon takes; all but SIGQUIT, which keepalived leaves to the kernel, are keepalived's.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::RunError;
use super::dumps::Dump;

pub const STOP: i32 = libc::SIGTERM;
/// All is left to the next daemon (`RestartKillSignal=` of the systemd unit).
pub const LEAVE: i32 = libc::SIGQUIT;
pub const RELOAD: i32 = libc::SIGHUP;
pub const DATA: i32 = libc::SIGUSR1;
pub const STATS: i32 = libc::SIGUSR2;

/// Statistics, which begin anew.
pub fn stats_clear() -> i32 {
    libc::SIGRTMAX() - 1
}

pub fn json() -> i32 {
    libc::SIGRTMIN() + 2
}

/// What a signal asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Stop,
    Leave,
    Reload,
    Dump(Dump),
    /// Of the kernel: a real-time thread does not pause.
    StepBack,
}

/// Heard from now on: one that comes while the daemon starts waits until it runs.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    data: Signal,
    stats: Signal,
    stats_clear: Signal,
    json: Signal,
    busy: Signal,
}

impl Signals {
    /// # Errors
    /// [`RunError::System`] where the system refuses a handler.
    pub fn listen() -> Result<Self, RunError> {
        let listen = |number| {
            signal(SignalKind::from_raw(number))
                .map_err(|error| RunError::System { action: "listening to signals", error })
        };
        Ok(Self {
            terminate: listen(STOP)?,
            interrupt: listen(libc::SIGINT)?,
            quit: listen(LEAVE)?,
            hangup: listen(RELOAD)?,
            data: listen(DATA)?,
            stats: listen(STATS)?,
            stats_clear: listen(stats_clear())?,
            json: listen(json())?,
            busy: listen(libc::SIGXCPU)?,
        })
    }

    /// The next one that asks to end, where there is nothing to leave to anybody yet; the others wait. Dropping the future loses none.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
            _ = self.quit.recv() => (),
        }
    }

    /// The next one. Dropping the future loses none.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.quit.recv() => Asked::Leave,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.data.recv() => Asked::Dump(Dump::Data),
            _ = self.stats.recv() => Asked::Dump(Dump::Stats),
            _ = self.stats_clear.recv() => Asked::Dump(Dump::StatsClear),
            _ = self.json.recv() => Asked::Dump(Dump::Json),
            _ = self.busy.recv() => Asked::StepBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Number, raise};

    use super::*;

    #[tokio::test]
    async fn each_signal_asks_for_its_own() {
        let mut signals = Signals::listen().unwrap();
        let rows = [
            (Number::SIGTERM, Asked::Stop),
            (Number::SIGINT, Asked::Stop),
            (Number::SIGQUIT, Asked::Leave),
            (Number::SIGHUP, Asked::Reload),
            (Number::SIGUSR1, Asked::Dump(Dump::Data)),
            (Number::SIGUSR2, Asked::Dump(Dump::Stats)),
            (Number::SIGXCPU, Asked::StepBack),
        ];
        for (number, asked) in rows {
            raise(number).unwrap();
            assert_eq!(signals.next().await, asked, "{number}");
        }
    }
}
