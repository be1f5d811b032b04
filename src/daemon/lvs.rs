//! The task that owns a forwarding plane: it takes health and configuration in, and keeps the plane in step.
//!
//! What the plane should hold is decided by [`Director`]; here are the waiting and the retries; what is told is in `told.rs`.
//! One plane, one task.

#![expect(clippy::disallowed_methods, reason = "a task may wait")]

mod told;
mod tuning;
mod wish;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::base::MonoTime;
use crate::daemon::manual::{self, Question, Reply};
use crate::daemon::wishes::Kept;
use crate::lvs::datapath::{ApplyError, Counters, DatapathError};
use crate::lvs::director::{Director, PoolsError};
use crate::lvs::ipvsadm::Refusal;
use crate::lvs::ipvsadm::manual::Manual;
use crate::lvs::plan::{Scope, outcome, plan};
use crate::lvs::pool::{Event, PoolId, PoolSettings};
use crate::lvs::table::{ServiceKey, Step, Table};
use crate::lvs::timed::Timed;
pub use told::{LvsEvent, LvsView};
pub use tuning::{Hooks, Tuning};
pub use wish::{WishAsked, WishError};

/// First pause after the plane refused a change, doubled each time up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often the plane does what it has to do by itself.
const TEND_EVERY: Duration = Duration::from_secs(3);
/// Commands taken in before the plane is touched: news that comes in a burst costs one plan.
const BURST_MAX: usize = 4096;

/// What the task starts with.
#[derive(Clone, Debug)]
pub struct LvsSettings {
    /// Services that an earlier run of ours left in the plane.
    pub owned: BTreeSet<ServiceKey>,
    /// `lvs_flush`: with the first configuration, delete every service that it does not name.
    pub flush_at_start: bool,
    /// How often the plane is read back, to repair what somebody else changed.
    pub resync: Duration,
    /// What operators wanted of real servers when an earlier run ended.
    pub wishes: Vec<Kept>,
    /// What an earlier run that left everything to this one knew of the real servers.
    pub known: Vec<(PoolId, Event)>,
    /// Where their wishes are kept; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
}

/// What the task is asked.
#[derive(Debug)]
pub enum LvsCommand {
    /// Take up these virtual servers instead of those before. Answered when the plane holds them, or refused them.
    Reconfigure { pools: Vec<PoolSettings>, reply: oneshot::Sender<Result<(), ReconfigureError>> },
    /// Would the plane take these? Nothing is changed.
    Validate { pools: Vec<PoolSettings>, reply: oneshot::Sender<Result<(), ReconfigureError>> },
    /// Links came or went: serve packets of exactly these.
    Interfaces(Vec<String>),
    /// News of a real server.
    Health { pool: PoolId, event: Event },
    /// Timeouts and sync daemons: these, from now on.
    Tune(Tuning),
    /// What the plane holds now, for `status`; services of others too.
    Snapshot { reply: oneshot::Sender<Result<Seen, DatapathError>> },
    /// What an operator wants of a real server. The answer is the pools that have it, when the plane holds it.
    Wish { asked: WishAsked, reply: oneshot::Sender<Result<Vec<PoolId>, WishError>> },
    /// What an operator asks of the plane, or changes in it. Services that are added so are not ours.
    Manual { question: Question, reply: oneshot::Sender<Result<Reply, Refusal>> },
    /// End: with `flush` our services are deleted, without it they stay as they are.
    Shutdown { flush: bool, reply: oneshot::Sender<Result<(), ConvergeError>> },
}

/// The plane, read.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub table: Table,
    pub counters: Counters,
    /// Packets that were not forwarded as usual, by reason.
    pub reasons: Vec<(&'static str, u64)>,
}

/// Why a configuration is not in force.
#[derive(Debug, thiserror::Error)]
pub enum ReconfigureError {
    #[error(transparent)]
    Pools(#[from] PoolsError),
    /// Nothing was changed.
    #[error("{}", first_of(.0))]
    Unsupported(Vec<DatapathError>),
    /// The configuration is taken up, and the plane is tried again and again.
    #[error("the configuration is taken up, but the plane does not follow yet: {0}")]
    Pending(#[source] ConvergeError),
}

fn first_of(errors: &[DatapathError]) -> String {
    let first = errors.first().map_or_else(String::new, ToString::to_string);
    match errors.len() {
        0 | 1 => first,
        more => format!("{first}; and {} like it", more - 1),
    }
}

/// Why the plane does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum ConvergeError {
    #[error(transparent)]
    Read(#[from] DatapathError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Own the plane until told to stop, or until nobody can tell any more; then the plane stays as it is, and is
/// given back.
pub async fn run<D: Manual>(
    plane: D,
    settings: LvsSettings,
    mut commands: mpsc::Receiver<LvsCommand>,
    views: watch::Sender<LvsView>,
    events: mpsc::Sender<LvsEvent>,
) -> D {
    let mut task = Task::new(plane, settings, views, events);
    task.publish();
    loop {
        let wake_at = task.wake_at();
        tokio::select! {
            command = commands.recv() => {
                let Some(first) = command else { return task.plane };
                let mut burst = vec![first];
                while burst.len() < BURST_MAX && let Ok(next) = commands.try_recv() {
                    burst.push(next);
                }
                let mut waiting = vec![];
                for command in burst {
                    match task.take_in(command).await {
                        Taken::On(reply) => waiting.extend(reply),
                        Taken::End => return task.plane,
                    }
                }
                task.settle(waiting).await;
            }
            () = sleep_until(wake_at) => task.wake().await,
        }
    }
}

/// Who waits for a configuration to be in force.
type Waiting = oneshot::Sender<Result<(), ReconfigureError>>;

enum Taken {
    On(Option<Waiting>),
    End,
}

struct Task<D> {
    plane: D,
    settings: LvsSettings,
    director: Director,
    /// What the plane holds as far as we know; `None`: to be read.
    known: Option<Table>,
    /// Health or configuration changed since the plane was last in step.
    changed: bool,
    configured: bool,
    refused: Option<String>,
    retry_at: Option<Instant>,
    pause: Duration,
    resync_at: Instant,
    tend_at: Instant,
    started: Instant,
    timed: Timed,
    views: watch::Sender<LvsView>,
    events: mpsc::Sender<LvsEvent>,
    events_lost: u64,
    /// Interfaces that the plane refused; tried again with the next resync.
    unattached: Option<Vec<String>>,
    tuned: tuning::Tuned,
    /// Wishes may have changed since they were kept.
    unkept: bool,
    /// As the file has them.
    kept: Vec<Kept>,
}

impl<D: Manual> Task<D> {
    fn new(plane: D, settings: LvsSettings, views: watch::Sender<LvsView>, events: mpsc::Sender<LvsEvent>) -> Self {
        Self {
            plane,
            director: Director::new(settings.owned.clone(), settings.known.clone()),
            known: None,
            changed: false,
            configured: false,
            refused: None,
            retry_at: None,
            pause: RETRY_MIN,
            resync_at: Instant::now() + settings.resync,
            tend_at: Instant::now() + TEND_EVERY,
            started: Instant::now(),
            timed: Timed::default(),
            kept: settings.wishes.clone(),
            settings,
            views,
            events,
            events_lost: 0,
            unattached: None,
            tuned: tuning::Tuned::default(),
            unkept: false,
        }
    }

    fn wake_at(&self) -> Instant {
        let timed = self.timed.deadline().map(|at| self.started + at.since_start());
        self.retry_at.into_iter().chain(timed).chain([self.resync_at, self.tend_at]).min().unwrap_or(self.tend_at)
    }

    fn now(&self) -> MonoTime {
        MonoTime::from_start(self.started.elapsed())
    }

    /// Shares grow, and servers that left go.
    fn pass_time(&mut self) {
        for (pool, event) in self.timed.due(self.now()) {
            match self.director.handle(&pool, event) {
                Ok(told) => {
                    self.changed = true;
                    self.tell_pools(told);
                }
                Err(error) => tracing::debug!(%error, "time has passed for something that is gone"),
            }
        }
    }

    async fn take_in(&mut self, command: LvsCommand) -> Taken {
        match command {
            LvsCommand::Reconfigure { pools, reply } => match self.reconfigure(pools) {
                Ok(()) => return Taken::On(Some(reply)),
                Err(error) => answer(reply, Err(error)),
            },
            LvsCommand::Validate { pools, reply } => answer(reply, self.validate(pools)),
            LvsCommand::Interfaces(names) => self.attach(names),
            LvsCommand::Health { pool, event } => match self.director.handle(&pool, event) {
                Ok(told) => {
                    self.changed = true;
                    self.tell_pools(told);
                }
                // A result that was under way while a reload removed its real server.
                Err(error) => tracing::debug!(%error, "health of something that is gone"),
            },
            LvsCommand::Tune(tuning) => self.tune(tuning).await,
            LvsCommand::Snapshot { reply } => answer(reply, self.read().await),
            LvsCommand::Wish { asked, reply } => answer(reply, self.wish(&asked).await),
            LvsCommand::Manual { question, reply } => {
                if matches!(question, Question::Change(_)) {
                    self.known = None;
                }
                answer(reply, manual::ask(&mut self.plane, question).await);
            }
            LvsCommand::Shutdown { flush, reply } => {
                let told = self.director.stop();
                self.tell_pools(told);
                self.untune().await;
                let done = if flush { self.delete_ours().await } else { Ok(()) };
                answer(reply, done);
                return Taken::End;
            }
        }
        Taken::On(None)
    }

    fn validate(&self, pools: Vec<PoolSettings>) -> Result<(), ReconfigureError> {
        let unmet = self.plane.capabilities().check_table(&Director::preview(pools)?);
        for error in &unmet {
            tracing::error!("{error}");
        }
        if unmet.is_empty() { Ok(()) } else { Err(ReconfigureError::Unsupported(unmet)) }
    }

    fn attach(&mut self, names: Vec<String>) {
        match self.plane.attach(&names) {
            Ok(attached) => {
                self.unattached = None;
                tracing::debug!(interfaces = attached.join(" "), "the plane serves these interfaces");
            }
            Err(error) => {
                self.unattached = Some(names);
                self.refuse(&ConvergeError::Read(error));
            }
        }
    }

    fn reconfigure(&mut self, pools: Vec<PoolSettings>) -> Result<(), ReconfigureError> {
        self.validate(pools.clone())?;
        let told = self.director.reconfigure(pools)?;
        if let Err(error) = self.plane.set_locals(&self.director.locals()) {
            self.refuse(&ConvergeError::Read(error));
        }
        self.changed = true;
        self.configured = true;
        self.tell_pools(told);
        self.wish_as_before();
        self.unkept = true;
        Ok(())
    }

    async fn read(&mut self) -> Result<Seen, DatapathError> {
        let (table, counters) = (self.plane.snapshot().await?, self.plane.counters().await?);
        Ok(Seen { table, counters, reasons: self.plane.reasons() })
    }

    async fn delete_ours(&mut self) -> Result<(), ConvergeError> {
        let held = self.plane.snapshot().await?;
        let steps = plan(&held, &Table::default(), &self.director.scope());
        Ok(self.plane.apply(&steps).await?)
    }

    /// Bring the plane in step where something changed, and tell those who wait for it.
    async fn settle(&mut self, waiting: Vec<Waiting>) {
        self.timed.follow(self.now(), self.director.timers());
        // While the plane refuses, health alone waits for the retry: a broken plane is not hammered.
        let due = self.changed && (self.retry_at.is_none() || !waiting.is_empty());
        let mut result = if due { self.converge().await } else { Ok(()) };
        self.publish();
        if let Err(error) = self.keep_wishes().await {
            tracing::error!(%error, "what operators want of real servers");
        }
        for reply in waiting {
            let told = match std::mem::replace(&mut result, Ok(())) {
                Ok(()) if self.refused.is_some() => Err(ReconfigureError::Pending(self.still_refused())),
                Ok(()) => Ok(()),
                Err(error) => Err(ReconfigureError::Pending(error)),
            };
            answer(reply, told);
        }
    }

    /// For the second and later ones who wait for the same refusal.
    fn still_refused(&self) -> ConvergeError {
        let plane = self.plane.capabilities().plane;
        let what = self.refused.clone().unwrap_or_default();
        ConvergeError::Read(DatapathError::Answer { action: format!("changing the {plane} plane"), detail: what })
    }

    /// A retry or a resync is due.
    async fn wake(&mut self) {
        let now = Instant::now();
        if self.tend_at <= now {
            self.tend_at = now + TEND_EVERY;
            if let Err(error) = self.plane.tend().await {
                tracing::debug!(%error, "the plane could not be tended");
            }
        }
        if let Some(names) = self.unattached.take() {
            self.attach(names);
        }
        self.pass_time();
        // What time has changed waits for the retry while the plane refuses.
        if self.retry_at.map_or(self.changed, |at| at <= now) {
            // The error is told and kept by `converge`.
            let _ = self.converge().await;
        } else if self.resync_at <= now {
            self.resync().await;
        }
        self.publish();
    }

    /// Read the plane back; repair and tell what somebody else changed of ours.
    async fn resync(&mut self) {
        self.resync_at = Instant::now() + self.settings.resync;
        self.retune().await;
        if !self.configured || self.retry_at.is_some() {
            return;
        }
        match self.plane.snapshot().await {
            Ok(held) => {
                let repair = plan(&held, &self.director.desired(), &self.director.scope());
                if repair.is_empty() {
                    self.known = Some(held);
                } else {
                    tracing::warn!(steps = repair.len(), "somebody else changed our services, repairing");
                    self.tell(LvsEvent::ForeignChange { repair });
                    self.known = None;
                    // The error is told and kept by `converge`.
                    let _ = self.converge().await;
                }
            }
            Err(error) => self.refuse(&ConvergeError::Read(error)),
        }
    }

    /// Read, plan, do.
    async fn converge(&mut self) -> Result<(), ConvergeError> {
        let result = self.try_converge().await;
        match &result {
            Ok(()) => {
                self.changed = false;
                self.retry_at = None;
                self.pause = RETRY_MIN;
                if self.refused.take().is_some() {
                    tracing::info!("the plane follows again");
                    self.tell(LvsEvent::Recovered);
                }
            }
            Err(error) => self.refuse(error),
        }
        result
    }

    async fn try_converge(&mut self) -> Result<(), ConvergeError> {
        // Until all steps are done, nothing is known: a failure leaves `None`, and the next try reads.
        match self.known.take() {
            Some(known) if !self.settings.flush_at_start => self.catch_up(known).await?,
            Some(_) | None => {
                let held = self.plane.snapshot().await?;
                let desired = self.director.desired();
                let scope = if self.settings.flush_at_start { Scope::everything(&held) } else { self.director.scope() };
                self.apply(&plan(&held, &desired, &scope)).await?;
                self.known = Some(outcome(&held, &desired, &scope));
            }
        }
        self.settings.flush_at_start = false;
        self.director.settled();
        Ok(())
    }

    /// What changed since the plane was in step: few pools, however many there are.
    async fn catch_up(&mut self, mut known: Table) -> Result<(), ConvergeError> {
        let (steps, becomes) = self.director.catch_up(&known);
        self.apply(&steps).await?;
        for (key, entry) in becomes {
            match entry {
                Some(entry) => known.services.insert(key, entry),
                None => known.services.remove(&key),
            };
        }
        self.known = Some(known);
        Ok(())
    }

    async fn apply(&mut self, steps: &[Step]) -> Result<(), ConvergeError> {
        if !steps.is_empty() {
            self.plane.apply(steps).await?;
            tracing::debug!(steps = steps.len(), "plane brought in step");
        }
        Ok(())
    }

    fn refuse(&mut self, error: &ConvergeError) {
        let retry_in = self.pause;
        self.known = None;
        self.retry_at = Some(Instant::now() + retry_in);
        self.pause = (retry_in * 2).min(RETRY_MAX);
        tracing::warn!(%error, retry_in_ms = retry_in.as_millis(), "plane refused a change");
        self.refused = Some(error.to_string());
        self.tell(LvsEvent::Refused { error: error.to_string(), retry_in });
    }
}

/// Who asked may have gone; then nobody needs the answer.
fn answer<T>(reply: oneshot::Sender<T>, told: T) {
    let _ = reply.send(told);
}

#[cfg(test)]
mod tests;
