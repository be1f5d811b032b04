//! The loop: one event after the other, each handed to the task that it concerns; and the end in good order.

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing_appender::non_blocking::ErrorCounter;

use crate::base::MonoTime;
use crate::config::model;
use crate::daemon::checkers::Checkers;
use crate::daemon::dump::AllStats;
use crate::daemon::heartbeat::{Command, Heartbeat};
use crate::daemon::lvs::{LvsCommand, LvsEvent, LvsView};
use crate::daemon::notices::Notices;
use crate::daemon::notifier::Notifier;
use crate::daemon::recorder::Recorder;
use crate::daemon::supervisor::control::Ask;
use crate::daemon::supervisor::dumps::Dump;
use crate::daemon::supervisor::{Options, RunError, plane, signals};
use crate::daemon::systemd::{Told, tell};
use crate::daemon::trackers::{TrackEvent, Trackers};
use crate::daemon::translate::Wanted;
use crate::healthcheck::settings::CheckEvent;
use crate::lvs::io::plane::Plane;

/// Scripts of the stop are waited for this long.
const LAST_SCRIPTS: Duration = Duration::from_secs(2);
/// The hand-over has bounds of its own; this one only guards against a heartbeat that hangs.
const HAND_OVER_MAX: Duration = Duration::from_secs(30);

/// The forwarding task, as the supervisor holds it.
#[derive(Debug)]
pub struct Forwarding {
    pub commands: mpsc::Sender<LvsCommand>,
    pub view: watch::Receiver<LvsView>,
    pub task: JoinHandle<Plane>,
    pub kind: model::Plane,
}

/// How the daemon itself stands, for `status`.
#[derive(Clone, Debug)]
pub struct Standing {
    pub started: MonoTime,
    pub loaded: MonoTime,
    pub reloads: u64,
    pub failed_reloads: u64,
    pub last_failure: Option<String>,
    pub stopping: bool,
    pub plane_failures: u64,
    /// What was counted when keepalived's statistics were cleared.
    pub cleared: AllStats,
}

impl Standing {
    pub fn new(now: MonoTime) -> Self {
        Self {
            started: now,
            loaded: now,
            reloads: 0,
            failed_reloads: 0,
            last_failure: None,
            stopping: false,
            plane_failures: 0,
            cleared: AllStats::new(),
        }
    }
}

/// Everything that runs.
#[derive(Debug)]
pub struct Daemon {
    pub options: Options,
    pub run_dir: PathBuf,
    /// The configuration in force.
    pub wanted: Wanted,
    pub heartbeat: Heartbeat,
    /// `None` while there is no virtual server.
    pub forwarding: Option<Forwarding>,
    pub lvs_told: mpsc::Sender<LvsEvent>,
    pub lvs_events: mpsc::Receiver<LvsEvent>,
    pub checkers: Checkers,
    pub check_events: mpsc::Receiver<CheckEvent>,
    pub trackers: Trackers,
    pub track_events: mpsc::Receiver<TrackEvent>,
    pub notifier: Notifier,
    pub links: mpsc::Receiver<()>,
    pub asks: mpsc::Receiver<Ask>,
    /// The other tasks; one that ends says its name.
    pub tasks: JoinSet<&'static str>,
    pub serving: AbortHandle,
    pub notices: Notices,
    pub recorder: Recorder,
    pub log_lost: ErrorCounter,
    pub standing: Standing,
}

impl Daemon {
    /// Serve until a signal asks to stop.
    ///
    /// # Errors
    /// [`RunError::TaskEnded`] where a task that must not end has ended.
    pub async fn run(&mut self) -> Result<(), RunError> {
        let listen = |kind| signal(kind).map_err(|error| RunError::System { action: "listening to signals", error });
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let mut data = listen(SignalKind::from_raw(signals::DATA))?;
        let mut stats = listen(SignalKind::from_raw(signals::STATS))?;
        let mut stats_clear = listen(SignalKind::from_raw(signals::stats_clear()))?;
        let mut json = listen(SignalKind::from_raw(signals::json()))?;
        tell(Told::Ready);
        let (instances, servers) = (self.wanted.instances.len(), self.wanted.pools.len());
        tracing::info!(instances, virtual_servers = servers, "vipd {} is running", env!("CARGO_PKG_VERSION"));
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => self.reload_and_tell().await,
                _ = data.recv() => self.dump(Dump::Data),
                _ = stats.recv() => self.dump(Dump::Stats),
                _ = stats_clear.recv() => self.dump(Dump::StatsClear),
                _ = json.recv() => self.dump(Dump::Json),
                task = self.next() => if let Some(task) = task {
                    return Err(RunError::TaskEnded { task });
                },
            }
        }
    }

    /// Take in the next event, whatever it is; the name of a task that has ended and must not.
    async fn next(&mut self) -> Option<&'static str> {
        tokio::select! {
            happened = self.heartbeat.events.recv() => match happened {
                Some(happened) => self.happened(&happened).await,
                None => return Some("heartbeat"),
            },
            Some(event) = self.check_events.recv() => self.checked(event).await,
            Some(event) = self.lvs_events.recv() => self.forwarded(event).await,
            Some(event) = self.track_events.recv() => self.tracked(event).await,
            Some(()) = self.links.recv() => self.links_changed().await,
            Some(ask) = self.asks.recv() => self.asked(ask).await,
            () = ended(self.forwarding.as_ref()) => return Some("forwarding"),
            Some(task) = self.tasks.join_next() => return Some(task.unwrap_or("control socket")),
        }
        None
    }

    async fn links_changed(&mut self) {
        let Some(forwarding) = &self.forwarding else { return };
        match plane::interfaces() {
            // A task that has ended is noticed by the loop.
            Ok(names) => drop(forwarding.commands.send(LvsCommand::Interfaces(names)).await),
            Err(error) => tracing::warn!(%error, "the plane keeps the interfaces it has"),
        }
    }

    /// Hand over, then end everything. Events go on being served meanwhile.
    pub async fn stop(&mut self) {
        tell(Told::Stopping);
        tracing::info!("stopping: virtual addresses are handed over");
        self.standing.stopping = true;
        let (reply, mut done) = oneshot::channel();
        let told = self.heartbeat.commands.send(Command::Shutdown { reply }).await.is_ok();
        let hand_over = async {
            if !told {
                return;
            }
            loop {
                tokio::select! {
                    _ = &mut done => return,
                    // Other tasks' ends change nothing any more.
                    task = self.next() => if task == Some("heartbeat") { return },
                }
            }
        };
        if timeout(HAND_OVER_MAX, hand_over).await.is_err() {
            tracing::error!("the hand-over took too long; the kernel drops the addresses with their lease");
        }
        while let Ok(happened) = self.heartbeat.events.try_recv() {
            self.happened(&happened).await;
        }
        if let Some(forwarding) = self.forwarding.take() {
            forwarding.end(&self.run_dir).await;
        }
        while let Ok(event) = self.lvs_events.try_recv() {
            self.forwarded(event).await;
        }
        if !self.notifier.idle_within(LAST_SCRIPTS).await {
            tracing::warn!("scripts are still running; they are left to themselves");
        }
        self.serving.abort();
        self.tasks.shutdown().await;
        tracing::info!("stopped");
    }
}

/// Wait until the forwarding task ends; for ever where there is none.
async fn ended(forwarding: Option<&Forwarding>) {
    match forwarding {
        Some(forwarding) => forwarding.commands.closed().await,
        None => std::future::pending().await,
    }
}
