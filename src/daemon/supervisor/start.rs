//! Starting: read, translate, listen, open the plane, check, and last of all elect. What fails leaves nothing.
#![expect(clippy::disallowed_methods, reason = "the supervisor starts tasks")]

use std::collections::BTreeSet;
use std::path::Path;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::config::model::{self, Config};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Sources;
use crate::control::io::server::Listener;
use crate::daemon::bfd::{Bfd, BfdEvent};
use crate::daemon::checkers::{Checkers, Sessions};
use crate::daemon::heartbeat::processor::{self, TURN_MAX};
use crate::daemon::heartbeat::{Before, Heartbeat, StartError};
use crate::daemon::history::file;
use crate::daemon::leaving::{self, Left};
use crate::daemon::loading::load as load_file;
use crate::daemon::log::Log;
use crate::daemon::lvs::{self, LvsCommand, LvsEvent, LvsSettings, LvsView, Seen};
use crate::daemon::mailer::Mailer;
use crate::daemon::notices::Notices;
use crate::daemon::notifier::Notifier;
use crate::daemon::pipes::Pipes;
use crate::daemon::recorder::{Kind, Recorder};
use crate::daemon::rundir::{RunDir, control_socket};
use crate::daemon::supervisor::control::Ask;
use crate::daemon::supervisor::reload::Loading;
use crate::daemon::supervisor::running::{Daemon, Forwarding, Standing};
use crate::daemon::supervisor::scrape::Metrics;
use crate::daemon::supervisor::{Options, RunError, control, plane};
use crate::daemon::trackers::Trackers;
use crate::daemon::translate::{Wanted, health, translate};
use crate::daemon::watchers::Watchers;
use crate::daemon::{clock, maintenance, owned, sysctls, watching, wishes};
use crate::healthcheck::board::{self, Board};
use crate::lvs::datapath::{Datapath as _, DatapathError};
use crate::lvs::pool::{Event, PoolId, PoolSettings};
use crate::vrrp::fleet::Maintenance;

/// Questions from the control socket that wait for the supervisor.
const ASKS_MAX: usize = 64;
/// Events of the forwarding task that wait for the supervisor; beyond it they are lost and counted.
const LVS_EVENTS_MAX: usize = 4096;
/// Commands that wait for the forwarding task.
const LVS_COMMANDS_MAX: usize = 4096;
/// How often the plane is read back.
const RESYNC: std::time::Duration = std::time::Duration::from_secs(10);

/// Read the configuration, log its problems, and translate it.
///
/// # Errors
/// [`RunError::Config`] where it has a fatal problem, [`RunError::Translate`] where the rooms cannot take it.
pub fn load(options: &Options) -> Result<(Wanted, Config), RunError> {
    let mut loaded = load_file(&options.file, &options.load);
    for problem in &loaded.problems {
        log(problem, &loaded.sources);
    }
    let fatal = loaded.problems.iter().filter(|problem| problem.severity == Severity::Fatal).count();
    if fatal > 0 {
        return Err(RunError::Config { file: options.file.clone(), fatal });
    }
    options.parts.keep(&mut loaded.config);
    let flaws = loaded.flaws();
    let wanted = Wanted { flaws, ..translate(&loaded.config)? };
    for adjustment in &wanted.adjustments {
        tracing::warn!("{adjustment}");
    }
    Ok((wanted, loaded.config))
}

/// One line each: `vipd check` shows them in full.
fn log(problem: &Problem, sources: &Sources) {
    let place = problem.at.map_or_else(String::new, |at| {
        let place = sources.place(at.source, at.start);
        format!("{}:{}:{}: ", sources.name(at.source), place.line, place.column)
    });
    let help = problem.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
    let (code, message) = (problem.code, &problem.message);
    match problem.severity {
        Severity::Fatal | Severity::Error => tracing::error!(code, "{place}{message}{help}"),
        Severity::ScriptSecurity | Severity::Warning => tracing::warn!(code, "{place}{message}{help}"),
        Severity::Note => tracing::debug!(code, "{place}{message}{help}"),
    }
}

/// Start every task.
///
/// # Errors
/// [`RunError`]; what was started before the failure is ended again.
pub async fn start(options: Options, wanted: Wanted, run_dir: &RunDir, log: &Log) -> Result<Daemon, RunError> {
    let maintenance = maintenance::read(&options.state_dir)?;
    let listener = Listener::bind(&control_socket(run_dir.path()))?;
    let (lvs_told, lvs_events) = mpsc::channel(LVS_EVENTS_MAX);
    let links = watching::watch().map_err(|error| RunError::System { action: "watching the links", error })?;
    clear_leftovers(&wanted, run_dir.path()).await;
    let Left { routers, checks } = leaving::take(run_dir.path(), clock::now());
    let mut forwarding = None;
    if !wanted.pools.is_empty() {
        let known = foretold(&wanted, checks.clone());
        forwarding = Some(forward(&wanted, run_dir.path(), Some(&options.state_dir), known, lvs_told.clone()).await?);
    }
    // IPVS has its settings only now.
    let settings = sysctls::follow(&wanted);
    let before = Before { maintenance: maintenance.clone(), left: routers };
    let elected = elect(&wanted, before, run_dir.path());
    if elected.is_err()
        && let Some(forwarding) = forwarding.take()
    {
        forwarding.end(run_dir.path()).await;
    }
    let heartbeat = elected?;
    let (bfd, bfd_events) = start_bfd(&heartbeat)?;
    let mut tasks = JoinSet::new();
    let (checkers, check_events, running) = Checkers::start(Sessions::new(bfd.snapshot.clone()))
        .map_err(|error| RunError::System { action: "starting the checkers", error })?;
    spawn(&mut tasks, "checkers", running);
    let (trackers, track_events, running) = Trackers::start();
    spawn(&mut tasks, "trackers", running);
    let (watchers, watch_events, running) =
        Watchers::start().map_err(|error| RunError::System { action: "watching files", error })?;
    spawn(&mut tasks, "watchers", running);
    let (notifier, running) = Notifier::start();
    spawn(&mut tasks, "notifier", running);
    let (serving, metrics, asks) = serve(&mut tasks, listener);
    let mut daemon = Daemon {
        options,
        run_dir: run_dir.path().to_owned(),
        heartbeat,
        forwarding,
        loading: Loading::default(),
        lvs_told,
        lvs_events,
        checkers,
        check_events,
        trackers,
        track_events,
        bfd,
        bfd_events,
        watchers,
        watch_events,
        notifier,
        links,
        asks,
        tasks,
        serving,
        metrics,
        notices: Notices::default(),
        pipes: Pipes::default(),
        mailer: Mailer::start(),
        recorder: Recorder::default(),
        history: file::read(run_dir.path()),
        maintenance,
        history_writer: file::Writer::new(run_dir.path()),
        log_lost: log.counter(),
        standing: Standing::new(clock::now()),
        wanted,
    };
    begin(&mut daemon, checks, settings).await;
    Ok(daemon)
}

/// Every task runs: give them what they are to do. `settings` are lines about those of the kernel.
async fn begin(daemon: &mut Daemon, checks: board::Left, settings: Vec<String>) {
    // A task that has ended is noticed by the loop.
    let _ = daemon.checkers.resume(checks).await;
    daemon.follow_configuration().await;
    daemon.recorder.record(clock::now(), Kind::Config, "vipd", "started".to_owned());
    daemon.begin_history();
    daemon.record_settings(settings);
}

/// Answer on the control socket, and be ready to on the one of `metrics_listen`.
fn serve(tasks: &mut JoinSet<&'static str>, listener: Listener) -> (AbortHandle, Metrics, mpsc::Receiver<Ask>) {
    let (asking, asks) = mpsc::channel(ASKS_MAX);
    let metrics = Metrics::new(asking.clone());
    let serving = tasks.spawn(async move {
        listener.serve(move |asked| control::answer(asking.clone(), asked)).await;
        "control socket"
    });
    (serving, metrics, asks)
}

fn start_bfd(heartbeat: &Heartbeat) -> Result<(Bfd, mpsc::Receiver<BfdEvent>), RunError> {
    Bfd::start(heartbeat.commands.clone(), heartbeat.processor.scheduling)
        .map_err(|error| RunError::System { action: "starting the BFD thread", error })
}

/// Start the heartbeat.
fn elect(wanted: &Wanted, before: Before, run_dir: &Path) -> Result<Heartbeat, StartError> {
    if before.maintenance != Maintenance::default() {
        let maintenance = &before.maintenance;
        tracing::warn!("in maintenance: {maintenance}, as an operator left it; `vipd maintenance off` ends it");
    }
    if let Err(error) = processor::limit(wanted.process.rt_limit.unwrap_or(TURN_MAX)) {
        tracing::warn!(%error, "a heartbeat that hangs is not taken off the processor");
    }
    let (instances, statics) = (wanted.instances.clone(), wanted.statics.clone());
    let heartbeat = Heartbeat::start_in(instances, statics, wanted.heartbeat, before, Some(&plane::pins(run_dir)))?;
    if let Some(error) = &heartbeat.unfenced {
        tracing::warn!(%error, "vip_fence: without it, a frozen daemon's addresses stay until their lease ends");
    }
    if let Some(error) = &heartbeat.unpinned {
        tracing::warn!(%error, "vip_fence: it ends with this process, whose addresses stay until their lease ends");
    }
    if let Some(reason) = &heartbeat.processor.refused {
        let scheduling = heartbeat.processor.scheduling.to_string();
        tracing::warn!(reason, scheduling, "on a busy machine adverts may be late: CAP_SYS_NICE is needed");
    }
    Ok(heartbeat)
}

fn spawn(tasks: &mut JoinSet<&'static str>, name: &'static str, running: tokio::task::JoinHandle<()>) {
    tasks.spawn(async move {
        // Whether it panicked or returned: the supervisor learns which one ended.
        let _ = running.await;
        name
    });
}

/// What the checkers of this configuration will tell first of what the daemon before knew: the plane is to hear of no pool
/// without it.
fn foretold(wanted: &Wanted, checks: board::Left) -> Vec<(PoolId, Event)> {
    let told = Board::foretell(clock::now(), checks, wanted.checks.clone());
    told.iter().filter_map(|event| health(&wanted.targets, event)).collect()
}

/// Open the plane that the configuration chose and bring it in step. `known` is what an earlier run knew of real servers.
///
/// # Errors
/// [`RunError::Plane`], or [`RunError::Forwarding`] where it cannot do what the configuration asks.
pub async fn forward(
    wanted: &Wanted,
    run_dir: &std::path::Path,
    state_dir: Option<&std::path::Path>,
    known: Vec<(PoolId, Event)>,
    told: mpsc::Sender<LvsEvent>,
) -> Result<Forwarding, RunError> {
    let alone = match wanted.plane {
        model::Plane::Ebpf => Some(RunDir::lock_plane_for_daemon(run_dir).await?),
        model::Plane::Ipvs => None,
    };
    let plane = plane::open_for(wanted, run_dir).await?;
    // Services that an operator added by hand are not in it, and stay.
    let left = owned::read(run_dir, wanted.plane);
    let settings = LvsSettings {
        owned: left,
        flush_at_start: wanted.flush_at_start,
        resync: RESYNC,
        wishes: state_dir.map(wishes::read).unwrap_or_default(),
        state_dir: state_dir.map(std::path::Path::to_owned),
        known,
    };
    let (commands, taken) = mpsc::channel(LVS_COMMANDS_MAX);
    let (publish, view) = watch::channel(LvsView::default());
    let task = tokio::spawn(lvs::run(plane, settings, taken, publish, told));
    let forwarding = Forwarding { commands, view, task, kind: wanted.plane, alone };
    let ours = services(&wanted.pools);
    owned::add(run_dir, wanted.plane, &ours);
    match forwarding.ask(|reply| LvsCommand::Reconfigure { pools: wanted.pools.clone(), reply }).await {
        // Taken up, and tried again until the plane follows: the task has logged why.
        Some(Err(lvs::ReconfigureError::Pending(_))) | None => Ok(forwarding),
        Some(Ok(())) => {
            owned::write(run_dir, wanted.plane, &ours);
            Ok(forwarding)
        }
        Some(Err(error)) => {
            forwarding.end(run_dir).await;
            Err(error.into())
        }
    }
}

/// Take down what a killed daemon left in a plane that this configuration does not use.
async fn clear_leftovers(wanted: &Wanted, run_dir: &std::path::Path) {
    if !plane::left_by_ebpf(run_dir) {
        owned::forget(run_dir, model::Plane::Ebpf); // The plane went with a mount namespace, and they with it.
    }
    let left = [
        (model::Plane::Ebpf, plane::left_by_ebpf(run_dir)),
        (model::Plane::Ipvs, !owned::read(run_dir, model::Plane::Ipvs).is_empty()),
    ];
    for (kind, left) in left {
        if !left || (kind == wanted.plane && !wanted.pools.is_empty()) {
            continue;
        }
        tracing::info!(plane = ?kind, "taking down what an earlier run left");
        let nothing = Wanted { plane: kind, pools: vec![], ..wanted.clone() };
        let (told, _) = mpsc::channel(1);
        match forward(&nothing, run_dir, None, vec![], told).await {
            Ok(forwarding) => forwarding.end(run_dir).await,
            Err(RunError::Plane(DatapathError::NoIpvs)) => {
                tracing::warn!("this kernel has no IPVS any more, and nothing of what an earlier run left in it");
                owned::forget(run_dir, kind);
            }
            Err(error) => tracing::error!(%error, "what an earlier run left in the plane stays"),
        }
    }
}

/// All services of these pools.
pub fn services(pools: &[PoolSettings]) -> BTreeSet<crate::lvs::table::ServiceKey> {
    pools.iter().flat_map(|pool| pool.services.iter().copied()).collect()
}

impl Forwarding {
    /// Ask the task, and wait for its answer; `None` where it has ended.
    pub async fn ask<A>(&self, command: impl FnOnce(oneshot::Sender<A>) -> LvsCommand) -> Option<A> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    /// What the plane holds; nothing where it cannot be read.
    pub async fn seen(&self) -> Seen {
        match self.ask(|reply| LvsCommand::Snapshot { reply }).await {
            Some(Ok(seen)) => seen,
            Some(Err(error)) => {
                tracing::warn!(%error, "counters cannot be read");
                Seen::default()
            }
            None => Seen::default(),
        }
    }

    /// Delete our services, end the task, and take the plane down.
    pub async fn end(self, run_dir: &std::path::Path) {
        if let Some(Err(error)) = self.ask(|reply| LvsCommand::Shutdown { flush: true, reply }).await {
            tracing::error!(%error, "the services were not all deleted");
        }
        let kind = self.kind;
        match self.task.await {
            Ok(mut plane) => {
                // Services of an operator's hand go on being served, as IPVS goes on serving them.
                let keep = plane.snapshot().await.is_ok_and(|held| !held.services.is_empty());
                if let Err(error) = plane.close(keep).await {
                    tracing::error!(%error, "the forwarding plane was not taken down whole");
                }
                owned::forget(run_dir, kind);
            }
            Err(error) => tracing::error!(%error, "the forwarding task ended badly"),
        }
        drop(self.alone);
    }
}
