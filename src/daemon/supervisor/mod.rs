//! The supervisor: starts every task, joins what they tell, and ends them in good order.
//!
//! It decides nothing about election, health or forwarding: it carries words from room to room.

mod control;
mod dumps;
mod events;
mod host_scripts;
mod operator;
pub mod plane;
mod reload;
mod running;
mod scrape;
pub mod signals;
mod start;

pub use control::PlaneAnswer;

use std::path::PathBuf;

use crate::config::io::loader::LoadOptions;
use crate::config::model::Config;
use crate::daemon::descriptors;
use crate::daemon::heartbeat::StartError;
use crate::daemon::log::{self, LogTo};
use crate::daemon::lvs::ReconfigureError;
use crate::daemon::maintenance::MaintenanceError;
use crate::daemon::rundir::{RunDir, RunDirError};
use crate::daemon::translate::TranslateError;
use crate::lvs::datapath::DatapathError;
use running::End;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    pub file: PathBuf,
    pub run_dir: PathBuf,
    /// What outlives a reboot: the maintenance that an operator set.
    pub state_dir: PathBuf,
    /// How the file is read: `-i` is in it.
    pub load: LoadOptions,
    /// Least level of log lines.
    pub log: String,
    pub log_to: LogTo,
    pub parts: Parts,
}

/// Which halves of the configuration are carried out: keepalived's `--vrrp` and `--check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Virtual routers.
    pub vrrp: bool,
    /// Virtual servers.
    pub checkers: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self { vrrp: true, checkers: true }
    }
}

impl Parts {
    /// Take out what is not carried out.
    pub fn keep(self, config: &mut Config) {
        if !self.vrrp {
            config.instances.clear();
            config.sync_groups.clear();
        }
        if !self.checkers {
            config.virtual_servers.clear();
        }
    }
}

/// Why the daemon does not run, or ran into its end. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{} has {fatal} fatal problems (`vipd check {}` shows them with their place)", file.display(), file.display())]
    Config { file: PathBuf, fatal: usize },
    #[error(transparent)]
    Translate(#[from] TranslateError),
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    #[error(transparent)]
    Maintenance(#[from] MaintenanceError),
    #[error(transparent)]
    Listen(#[from] crate::control::io::server::ListenError),
    #[error("forwarding: {0}")]
    Plane(#[from] DatapathError),
    #[error("forwarding: {0}")]
    Forwarding(#[from] ReconfigureError),
    #[error(transparent)]
    Heartbeat(#[from] StartError),
    #[error("{action}: {error}")]
    System {
        action: &'static str,
        #[source]
        error: std::io::Error,
    },
    #[error("the {task} task ended by itself; everything was handed over and stopped")]
    TaskEnded { task: &'static str },
}

impl RunError {
    /// 4 where the configuration is to blame, else 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config { .. } | Self::Translate(_) => 4,
            Self::RunDir(_)
            | Self::Maintenance(_)
            | Self::Listen(_)
            | Self::Plane(_)
            | Self::Forwarding(_)
            | Self::Heartbeat(_)
            | Self::System { .. }
            | Self::TaskEnded { .. } => 1,
        }
    }
}

async fn serve(
    daemon: &mut running::Daemon,
    signals: &mut signals::Signals,
    run_dir: &RunDir,
) -> Result<End, RunError> {
    daemon.settle();
    let ended = daemon.run(signals).await;
    run_dir.ending();
    match ended {
        Ok(End::Leave) => daemon.leave().await,
        Ok(End::Stop) | Err(_) => daemon.stop().await,
    }
    ended
}

/// Run until told to stop, or to leave all to the next daemon.
///
/// # Errors
/// [`RunError`]: one line for the operator.
pub fn run(options: Options) -> Result<(), RunError> {
    let log = log::start(&options.log, options.log_to);
    let (loaded, _) = start::load(&options)?;
    if let Err(error) = descriptors::raise() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let run_dir = RunDir::lock_for_daemon(&options.run_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| RunError::System { action: "starting the runtime", error })?;
    let ran = runtime.block_on(async {
        let mut signals = signals::Signals::listen()?;
        let shutdown = loaded.shutdown.clone();
        let (ended, shutdown) = if host_scripts::start(loaded.startup.as_ref(), &mut signals).await {
            match start::start(options, loaded, &run_dir, &log).await {
                Ok(mut daemon) => match serve(&mut daemon, &mut signals, &run_dir).await {
                    Ok(End::Leave) => {
                        // What is dropped would be taken down, or let go.
                        std::mem::forget(daemon);
                        return Ok(End::Leave);
                    }
                    ended => (ended, daemon.wanted.shutdown),
                },
                Err(error) => (Err(error), shutdown),
            }
        } else {
            (Ok(End::Stop), shutdown)
        };
        run_dir.ending();
        host_scripts::end(shutdown.as_ref()).await;
        ended
    });
    match ran {
        Ok(End::Leave) => {
            std::mem::forget(runtime);
            // Threads and sockets are there until the process is gone, and nobody is to start beside them.
            std::mem::forget(run_dir);
        }
        // What still runs (a name lookup, a script's last second) does not hold up the end.
        Ok(End::Stop) | Err(_) => runtime.shutdown_background(),
    }
    ran.map(|_| ())
}
