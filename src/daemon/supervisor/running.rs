//! The loop: one event after the other, each handed to the task that it concerns; and the end in good order.
#![expect(clippy::disallowed_methods, reason = "the supervisor waits")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing_appender::non_blocking::ErrorCounter;

use crate::base::MonoTime;
use crate::config::model;
use crate::daemon::bfd::{Bfd, BfdEvent};
use crate::daemon::checkers::Checkers;
use crate::daemon::clock;
use crate::daemon::dump::AllStats;
use crate::daemon::heartbeat::{Command, Heartbeat, processor};
use crate::daemon::history::History;
use crate::daemon::history::file::Writer;
use crate::daemon::leaving::{self, Left};
use crate::daemon::lvs::{LvsCommand, LvsEvent, LvsView};
use crate::daemon::mailer::Mailer;
use crate::daemon::memory;
use crate::daemon::notices::Notices;
use crate::daemon::notifier::Notifier;
use crate::daemon::pipes::Pipes;
use crate::daemon::recorder::Recorder;
use crate::daemon::rundir::RunDir;
use crate::daemon::supervisor::control::Ask;
use crate::daemon::supervisor::reload::{Loading, ReloadError};
use crate::daemon::supervisor::scrape::Metrics;
use crate::daemon::supervisor::signals::{Asked, Signals};
use crate::daemon::supervisor::{Options, RunError, plane};
use crate::daemon::systemd::{Told, tell};
use crate::daemon::trackers::{TrackEvent, Trackers};
use crate::daemon::translate::Wanted;
use crate::daemon::watchers::{WatchEvent, Watchers};
use crate::daemon::watching;
use crate::healthcheck::settings::CheckEvent;
use crate::lvs::io::plane::Plane;
use crate::vrrp::Happened;
use crate::vrrp::fleet::Maintenance;

/// Scripts of the stop are waited for this long.
const LAST_SCRIPTS: Duration = Duration::from_secs(2);
/// The hand-over has bounds of its own; this one only guards against a heartbeat that hangs.
const HAND_OVER_MAX: Duration = Duration::from_secs(30);

/// After this long without anything worth a line in the histories, what they needed is given back.
const QUIET: Duration = Duration::from_secs(5);

/// The forwarding task, as the supervisor holds it.
#[derive(Debug)]
pub struct Forwarding {
    pub commands: mpsc::Sender<LvsCommand>,
    pub view: watch::Receiver<LvsView>,
    pub task: JoinHandle<Plane>,
    pub kind: model::Plane,
    /// No command works on the eBPF plane beside us.
    pub alone: Option<RunDir>,
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
    /// When the memory is given back that moves needed; `None` where there was none since.
    pub settle_at: Option<Instant>,
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
            settle_at: None,
        }
    }
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order: nothing of ours stays.
    Stop,
    /// Everything stays as it is, for the next daemon.
    Leave,
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
    /// A configuration that is being read for a reload.
    pub loading: Loading,
    pub lvs_told: mpsc::Sender<LvsEvent>,
    pub lvs_events: mpsc::Receiver<LvsEvent>,
    pub checkers: Checkers,
    pub check_events: mpsc::Receiver<CheckEvent>,
    pub trackers: Trackers,
    pub track_events: mpsc::Receiver<TrackEvent>,
    pub bfd: Bfd,
    pub bfd_events: mpsc::Receiver<BfdEvent>,
    pub watchers: Watchers,
    pub watch_events: mpsc::Receiver<WatchEvent>,
    pub notifier: Notifier,
    pub links: mpsc::Receiver<()>,
    pub asks: mpsc::Receiver<Ask>,
    /// The other tasks; one that ends says its name.
    pub tasks: JoinSet<&'static str>,
    pub serving: AbortHandle,
    pub metrics: Metrics,
    pub notices: Notices,
    pub pipes: Pipes,
    pub mailer: Mailer,
    pub recorder: Recorder,
    pub history: History,
    /// Which virtual routers hold nothing, as the state directory has it.
    pub maintenance: Maintenance,
    pub history_writer: Writer,
    pub log_lost: ErrorCounter,
    pub standing: Standing,
}

/// One thing that happened.
enum Incoming {
    Happened(Happened),
    Checked(CheckEvent),
    Forwarded(LvsEvent),
    Tracked(TrackEvent),
    Watched(WatchEvent),
    Bfd(BfdEvent),
    Links,
    /// The histories changed, and it is time to write them.
    History,
    /// Nothing has moved for a while.
    Quiet,
    Asked(Ask),
    /// A configuration was read.
    Loaded(Box<Result<Wanted, ReloadError>>),
    /// A task that must not end has ended.
    Ended(&'static str),
}

impl Daemon {
    /// Serve until a signal asks to end.
    ///
    /// # Errors
    /// [`RunError::TaskEnded`] where a task that must not end has ended.
    pub async fn run(&mut self, signals: &mut Signals) -> Result<End, RunError> {
        tell(Told::Ready);
        let (instances, servers) = (self.wanted.instances.len(), self.wanted.pools.len());
        tracing::info!(instances, virtual_servers = servers, "vipd {} is running", env!("CARGO_PKG_VERSION"));
        if instances == 0 && servers == 0 {
            tracing::warn!("the configuration has no virtual router and no virtual server: there is nothing to do");
        }
        loop {
            // What is dropped here has received nothing: each thing is handled to its end below.
            let incoming = tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => return Ok(End::Stop),
                    Asked::Leave => return Ok(End::Leave),
                    Asked::Reload => {
                        self.begin_reload(None);
                        continue;
                    }
                    Asked::Dump(dump) => {
                        self.dump(dump);
                        continue;
                    }
                    Asked::StepBack => {
                        self.step_back();
                        continue;
                    }
                },
                incoming = self.next() => incoming,
            };
            if let Some(task) = self.handle(incoming).await {
                return Err(RunError::TaskEnded { task });
            }
        }
    }

    /// Receive one thing, and nothing else: dropping the future loses none.
    async fn next(&mut self) -> Incoming {
        let watched = if self.standing.stopping { None } else { self.forwarding.as_ref() };
        tokio::select! {
            happened = self.heartbeat.events.recv() => happened.map_or(Incoming::Ended("heartbeat"), Incoming::Happened),
            Some(event) = self.check_events.recv() => Incoming::Checked(event),
            Some(event) = self.lvs_events.recv() => Incoming::Forwarded(event),
            Some(event) = self.track_events.recv() => Incoming::Tracked(event),
            Some(event) = self.watch_events.recv() => Incoming::Watched(event),
            event = self.bfd_events.recv() => event.map_or(Incoming::Ended("BFD"), Incoming::Bfd),
            Some(()) = self.links.recv() => Incoming::Links,
            Some(ask) = self.asks.recv() => Incoming::Asked(ask),
            () = self.history_writer.due(&self.history) => Incoming::History,
            () = quiet(self.standing.settle_at) => Incoming::Quiet,
            loaded = self.loading.loaded() => Incoming::Loaded(Box::new(loaded)),
            () = ended(watched) => Incoming::Ended("forwarding"),
            Some(task) = self.tasks.join_next() => Incoming::Ended(task.unwrap_or("control socket")),
        }
    }

    /// Do what it sets off; the name of a task that has ended and must not.
    async fn handle(&mut self, incoming: Incoming) -> Option<&'static str> {
        match incoming {
            Incoming::Happened(happened) => self.happened(&happened).await,
            Incoming::Checked(event) => self.checked(event).await,
            Incoming::Forwarded(event) => self.forwarded(event).await,
            Incoming::Tracked(event) => self.tracked(event).await,
            Incoming::Watched(event) => self.watched(event).await,
            Incoming::Bfd(event) => self.bfd_told(event),
            Incoming::Links => self.links_changed().await,
            Incoming::Asked(ask) => self.asked(ask).await,
            Incoming::History => {
                self.history_writer.begin(&mut self.history);
                self.standing.settle_at = Some(Instant::now() + QUIET);
            }
            Incoming::Quiet => self.settle(),
            Incoming::Loaded(loaded) => self.loaded(*loaded).await,
            Incoming::Ended(task) => return Some(task),
        }
        None
    }

    /// Let the checks of services rest whose addresses are not here (`ha_suspend`).
    pub async fn rest_checks(&self) {
        if self.wanted.suspended.is_empty() {
            // The set that the last configuration left is empty then too.
            let _ = self.checkers.rest(BTreeSet::new()).await;
            return;
        }
        match watching::addresses() {
            Ok(here) => {
                let away = |addresses: &[IpAddr]| !addresses.iter().any(|address| here.contains(address));
                let resting = self.wanted.suspended.iter().filter(|(_, addresses)| away(addresses));
                // A task that has ended is noticed by the loop.
                let _ = self.checkers.rest(resting.map(|(service, _)| service.clone()).collect()).await;
            }
            Err(error) => tracing::warn!(%error, "the addresses of this host are not known; checks go on as they are"),
        }
    }

    /// After the start, each reload and the last of some moves: what they needed goes, what is used from now on stays.
    pub fn settle(&mut self) {
        self.standing.settle_at = None;
        if let Err(error) = memory::settle(self.wanted.process.no_swap) {
            tracing::debug!(%error, "no memory is locked");
        }
    }

    /// Heartbeat and BFD are run like any other thread from now on, until the next start.
    fn step_back(&mut self) {
        match processor::step_back() {
            Ok(()) => {
                self.heartbeat.processor.stepped_back();
                tracing::error!("a real-time thread does not pause: all are ordinary threads until the next start");
            }
            Err(error) => {
                tracing::error!(%error, "a real-time thread does not pause, and cannot be made an ordinary one");
            }
        }
    }

    async fn links_changed(&mut self) {
        self.rest_checks().await;
        let Some(forwarding) = &self.forwarding else { return };
        match plane::interfaces() {
            // A task that has ended is noticed by the loop.
            Ok(names) => drop(forwarding.commands.send(LvsCommand::Interfaces(names)).await),
            Err(error) => tracing::warn!(%error, "the plane keeps the interfaces it has"),
        }
    }

    /// Leave addresses, plane, connections, fence and sessions as they are. What may take its time comes first, while the
    /// heartbeat goes on; its last advert comes last, and the process is to end at once after this.
    pub async fn leave(&mut self) {
        tell(Told::Stopping);
        tracing::info!("leaving: everything is left to the next daemon");
        self.note_for_all("the daemon is told to leave everything to the next one (SIGQUIT)");
        // Their scripts would run beside those of the next one. A task that has ended has none.
        let checks = self.checkers.leave().await.unwrap_or_default();
        let _ = self.trackers.configure(vec![]).await;
        let _ = self.checkers.configure(vec![]).await;
        while let Ok(happened) = self.heartbeat.events.try_recv() {
            self.happened(&happened).await;
        }
        if !self.notifier.idle_within(LAST_SCRIPTS).await {
            tracing::warn!("scripts are still running; they are left to themselves");
        }
        self.pipes.close().await;
        self.mailer.close().await;
        self.history_writer.finish(&mut self.history).await;
        let (reply, left) = oneshot::channel();
        let asked = self.heartbeat.commands.send(Command::Leave { reply }).await.is_ok();
        // A heartbeat that has ended left nothing.
        let routers = if asked { left.await.unwrap_or_default() } else { vec![] };
        let active = routers.len();
        leaving::write(&self.run_dir, clock::now(), Left { routers, checks });
        tracing::info!(active, "left: what is Active is served as long as its addresses have a lease");
    }

    /// Hand over, then end everything. Events go on being served meanwhile.
    pub async fn stop(&mut self) {
        tell(Told::Stopping);
        tracing::info!("stopping: virtual addresses are handed over");
        self.standing.stopping = true;
        self.note_for_all("the daemon is told to stop");
        let (reply, mut done) = oneshot::channel();
        let told = self.heartbeat.commands.send(Command::Shutdown { reply }).await.is_ok();
        let deadline = Instant::now() + HAND_OVER_MAX;
        loop {
            if !told {
                break;
            }
            let incoming = tokio::select! {
                _ = &mut done => break,
                () = sleep_until(deadline) => {
                    tracing::error!("the hand-over took too long; the kernel drops the addresses with their lease");
                    break;
                }
                incoming = self.next() => incoming,
            };
            // Other tasks' ends change nothing any more.
            if self.handle(incoming).await == Some("heartbeat") {
                break;
            }
        }
        while let Ok(happened) = self.heartbeat.events.try_recv() {
            self.happened(&happened).await;
        }
        self.bfd.shut_down().await;
        if let Some(forwarding) = self.forwarding.take() {
            forwarding.end(&self.run_dir).await;
        }
        while let Ok(event) = self.lvs_events.try_recv() {
            self.forwarded(event).await;
        }
        if !self.notifier.idle_within(LAST_SCRIPTS).await {
            tracing::warn!("scripts are still running; they are left to themselves");
        }
        self.pipes.close().await;
        self.mailer.close().await;
        self.history_writer.finish(&mut self.history).await;
        self.serving.abort();
        self.metrics.follow(None);
        self.tasks.shutdown().await;
        tracing::info!("stopped");
    }
}

/// Wait until then; for ever where there is no such time.
async fn quiet(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Wait until the forwarding task ends; for ever where there is none.
async fn ended(forwarding: Option<&Forwarding>) {
    match forwarding {
        Some(forwarding) => forwarding.commands.closed().await,
        None => std::future::pending().await,
    }
}
