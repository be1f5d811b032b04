//! The notify FIFOs and the scripts that read them.
//!
//! A reload leaves those alone that are configured as before: their readers lose no line.
#![expect(clippy::disallowed_methods, reason = "scripts are given time to end")]

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::notify::fifo::{FifoSettings, Fifos, Line};
use crate::notify::io::fifo::Fifo;
use crate::notify::io::script::{self, Output};

/// A script may read the last lines for so long (keepalived's time).
const LAST_LINES: Duration = Duration::from_secs(1);
/// A reader runs as long as its FIFO.
const NO_LIMIT: Duration = Duration::from_hours(24 * 365 * 10);

/// All of them.
#[derive(Debug, Default)]
pub struct Pipes {
    both: Option<Pipe>,
    vrrp: Option<Pipe>,
    lvs: Option<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    settings: FifoSettings,
    fifo: Fifo,
    script: Option<JoinHandle<()>>,
}

impl Pipes {
    /// Have exactly these from now on. One that cannot be had is logged, and tried again at the next reload.
    pub async fn configure(&mut self, wanted: &Fifos) {
        let Fifos { both, vrrp, lvs } = wanted;
        let Self { both: had_both, vrrp: had_vrrp, lvs: had_lvs } = self;
        for (pipe, wanted) in [(had_both, both), (had_vrrp, vrrp), (had_lvs, lvs)] {
            if pipe.as_ref().map(|pipe| &pipe.settings) == wanted.as_ref() {
                continue;
            }
            if let Some(pipe) = pipe.take() {
                pipe.close().await;
            }
            if let Some(settings) = wanted {
                *pipe = Pipe::open(settings.clone()).await;
            }
        }
    }

    /// Of virtual routers.
    pub fn vrrp(&mut self, line: &Line) {
        for pipe in [&mut self.vrrp, &mut self.both].into_iter().flatten() {
            pipe.write(line);
        }
    }

    /// Of virtual servers.
    pub fn lvs(&mut self, line: &Line) {
        for pipe in [&mut self.lvs, &mut self.both].into_iter().flatten() {
            pipe.write(line);
        }
    }

    /// Close all; scripts get a second for the last lines.
    pub async fn close(&mut self) {
        for pipe in [self.both.take(), self.vrrp.take(), self.lvs.take()].into_iter().flatten() {
            pipe.close().await;
        }
    }
}

impl Pipe {
    async fn open(settings: FifoSettings) -> Option<Self> {
        let (path, account) = (settings.path.clone(), settings.account.clone());
        // The disk and name services may take their time.
        let opened = tokio::task::spawn_blocking(move || Fifo::open(path.as_ref(), account.as_ref())).await;
        let fifo = match opened {
            Ok(Ok(fifo)) => fifo,
            Ok(Err(error)) => {
                tracing::error!(%error, "notify FIFO");
                return None;
            }
            Err(error) => {
                tracing::error!(%error, "notify FIFO");
                return None;
            }
        };
        let script = settings.script.clone().map(|command| {
            let path = settings.path.clone();
            tokio::spawn(async move {
                let run = script::run(&command, &[path], NO_LIMIT, Output::Discard).await;
                tracing::info!(%command, end = ?run.end, "the reader of a notify FIFO ended");
            })
        });
        Some(Self { settings, fifo, script })
    }

    fn write(&mut self, line: &Line) {
        if self.fifo.write(line) {
            let path = self.fifo.path().display();
            tracing::warn!(%path, %line, "nobody reads the notify FIFO fast enough; lines are lost");
        }
    }

    async fn close(self) {
        let Self { settings: _, fifo, script } = self;
        drop(fifo);
        if let Some(mut script) = script
            && timeout(LAST_LINES, &mut script).await.is_err()
        {
            // Its process group goes with it.
            script.abort();
        }
    }
}
