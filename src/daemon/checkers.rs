//! The checkers' thread: it runs what [`Board`] says is due, each run in a task of its own, and hands events on.
//!
//! What a result means is decided in `healthcheck/`. A run that panics, hangs or spins delays no other one;
//! it ends as a fault of our own and the check goes on at its next time.
//! Runs that only connect stay on the thread, which saves a wake of another one for each; what reads a server's answer, or
//! starts a script, runs on the runtime of the daemon.
#![expect(clippy::disallowed_methods, reason = "a thread of the daemon waits")]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::base::MonoTime;
use crate::healthcheck::board::{Action, Board, RUNS_MAX, RunId};
use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::{Probe, Source};
use crate::healthcheck::schedule::Spread;
use crate::healthcheck::settings::{CheckEvent, CheckSettings, CheckView, Reason, Standing, TargetId};

use super::descriptors;
use super::outbox::Outbox;

pub mod alone;
mod run;

pub use run::{Sessions, run};

/// Events that wait for the reader in order; more are folded into the newest of each real server.
const EVENTS_MAX: usize = 1024;
/// Questions that wait for the task.
const MESSAGES_MAX: usize = 16;
/// How often it is looked how many file descriptors there are for runs.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// A run that is not brief is cut off this long after its own deadline.
const GRACE: Duration = Duration::from_secs(1);

/// The checkers' thread does not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the checkers' thread has ended")]
pub struct CheckersGone;

/// A handle on the checkers' thread, which ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Checkers(mpsc::Sender<Message>);

#[derive(Debug)]
enum Message {
    Configure(Vec<CheckSettings>, oneshot::Sender<()>),
    BeginAnew,
    Rest(BTreeSet<String>),
    FileChanged(PathBuf),
    Standings(oneshot::Sender<BTreeMap<TargetId, Standing>>),
    Views(oneshot::Sender<Vec<CheckView>>),
}

impl Checkers {
    /// Start the thread without a checker, with the present runtime for runs that do more than connect. Its events must
    /// be read until it ends; the task that is returned ends with it.
    ///
    /// # Errors
    /// Where the thread cannot start.
    pub fn start(sessions: Sessions) -> io::Result<(Self, mpsc::Receiver<CheckEvent>, JoinHandle<()>)> {
        let asked = Arc::new(sessions.clone());
        let probe = move |check: Arc<CheckSettings>, url| {
            let sessions = Arc::clone(&asked);
            async move { run(&check.probe, url, &sessions).await }
        };
        Self::start_with(sessions, probe)
    }

    /// The same with another way to carry out a run: the checker and, for `HTTP_GET`, the url counted from 0.
    ///
    /// # Errors
    /// As those of [`Checkers::start`].
    pub fn start_with<P, F>(
        sessions: Sessions,
        probe: P,
    ) -> io::Result<(Self, mpsc::Receiver<CheckEvent>, JoinHandle<()>)>
    where
        P: Fn(Arc<CheckSettings>, usize) -> F + Send + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (outbox, events) = Outbox::new(EVENTS_MAX);
        let (handle, messages) = mpsc::channel(MESSAGES_MAX);
        let task = Task {
            board: Board::default(),
            spread: Spread::new(random()),
            started: Instant::now(),
            probe,
            daemon: Handle::current(),
            runs: JoinSet::new(),
            aborts: BTreeMap::new(),
            sessions,
            follows_sessions: false,
            outbox,
            places: None,
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (alive, ended) = oneshot::channel::<()>();
        let body = move || {
            // As a task: what wakes the future of `block_on` does so by a system call, though it is on its own thread.
            let serving = runtime.spawn(task.serve(messages));
            runtime.block_on(serving).ok();
            drop(alive);
        };
        thread::Builder::new().name("checkers".to_owned()).spawn(body)?;
        let running = tokio::spawn(async move {
            // Whether it returned or panicked.
            ended.await.ok();
        });
        Ok((Self(handle), events, running))
    }

    /// Check these in place of the present ones, and return when that is in force. A checker whose probe is the
    /// same keeps its state.
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn configure(&self, checks: Vec<CheckSettings>) -> Result<(), CheckersGone> {
        self.ask(|answer| Message::Configure(checks, answer)).await
    }

    /// A fault of ours is over: see [`Board::begin_anew`].
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn begin_anew(&self) -> Result<(), CheckersGone> {
        self.0.send(Message::BeginAnew).await.map_err(|_| CheckersGone)
    }

    /// The standing of each real server that has a checker; one without is up.
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn standings(&self) -> Result<BTreeMap<TargetId, Standing>, CheckersGone> {
        self.ask(Message::Standings).await
    }

    /// The checks of these services rest: see [`Board::rest`].
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn rest(&self, services: BTreeSet<String>) -> Result<(), CheckersGone> {
        self.0.send(Message::Rest(services)).await.map_err(|_| CheckersGone)
    }

    /// A file that a check may read was written.
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn file_changed(&self, path: PathBuf) -> Result<(), CheckersGone> {
        self.0.send(Message::FileChanged(path)).await.map_err(|_| CheckersGone)
    }

    /// Every checker, for `status`.
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn views(&self) -> Result<Vec<CheckView>, CheckersGone> {
        self.ask(Message::Views).await
    }

    async fn ask<A>(&self, message: impl FnOnce(oneshot::Sender<A>) -> Message) -> Result<A, CheckersGone> {
        let (answer, answered) = oneshot::channel();
        self.0.send(message(answer)).await.map_err(|_| CheckersGone)?;
        answered.await.map_err(|_| CheckersGone)
    }
}

/// Of one real server, the standing and the weight are told apart.
type EventKey = (TargetId, u32);

/// What a run came to.
struct Ended {
    run: RunId,
    outcome: Outcome,
    latency: Duration,
}

struct Task<P> {
    board: Board,
    spread: Spread,
    started: Instant,
    probe: P,
    /// The runtime of the daemon.
    daemon: Handle,
    runs: JoinSet<Ended>,
    aborts: BTreeMap<RunId, AbortHandle>,
    sessions: Sessions,
    /// Some check is of a session.
    follows_sessions: bool,
    outbox: Outbox<EventKey, CheckEvent>,
    /// How many may run at once, and when that was counted.
    places: Option<(usize, Instant)>,
}

impl<P, F> Task<P>
where
    P: Fn(Arc<CheckSettings>, usize) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    async fn serve(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut timer = pin!(sleep_until(self.started));
        loop {
            let deadline = self.board.deadline();
            let wake = self.started + deadline.unwrap_or_default().since_start();
            if timer.deadline() != wake {
                timer.as_mut().reset(wake);
            }
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.answer(message),
                    None => return,
                },
                () = &mut timer, if deadline.is_some() => {
                    self.count_places();
                    let actions = self.board.poll(self.now());
                    self.carry_out(actions);
                }
                Some(ended) = self.runs.join_next() => self.run_ended(ended),
                moved = self.sessions.moved(), if self.follows_sessions => {
                    let now = self.now();
                    for name in &moved {
                        self.board.changed(now, Source::Session(name));
                    }
                }
                () = self.outbox.deliver() => {}
            }
        }
    }

    /// As many runs as there are descriptors for: adverts, forwarding and questions are not to want for any.
    fn count_places(&mut self) {
        let at = Instant::now();
        let before = self.places.filter(|(_, counted)| at < *counted + COUNT_EVERY);
        if before.is_some() {
            return;
        }
        let places = descriptors::free_besides(self.board.running());
        if places < RUNS_MAX && self.places.is_none_or(|(before, _)| before != places) {
            tracing::warn!(at_once = places, "few file descriptors: more checks than this wait for their turn");
        }
        self.board.limit_runs(places);
        self.places = Some((places, at));
    }

    fn now(&self) -> MonoTime {
        MonoTime::from_start(self.started.elapsed())
    }

    /// Nobody waits for an answer whose asker is gone.
    fn answer(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Configure(checks, answer) => {
                self.follows_sessions = checks.iter().any(|check| matches!(check.probe, Probe::Bfd(_)));
                let actions = self.board.configure(now, checks, || self.spread.draw());
                self.carry_out(actions);
                answer.send(()).ok();
            }
            Message::BeginAnew => {
                let actions = self.board.begin_anew(now);
                self.carry_out(actions);
            }
            Message::Rest(services) => {
                let actions = self.board.rest(now, services);
                self.carry_out(actions);
            }
            Message::FileChanged(path) => self.board.changed(now, Source::File(&path)),
            Message::Standings(answer) => {
                answer.send(self.board.standings()).ok();
            }
            Message::Views(answer) => {
                answer.send(self.board.views(now)).ok();
            }
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { run, check, url } => {
                    let deadline = check.probe.deadline().saturating_add(GRACE);
                    let is_brief = is_brief(&check.probe);
                    let probing = (self.probe)(check, url);
                    let task = if is_brief {
                        self.runs.spawn(timed(run, probing))
                    } else {
                        self.runs.spawn_on(timed(run, bounded(probing, deadline)), &self.daemon)
                    };
                    self.aborts.insert(run, task);
                }
                Action::Abort(run) => {
                    if let Some(task) = self.aborts.get(&run) {
                        task.abort();
                    }
                }
                Action::Tell(event) => {
                    log(&event);
                    self.outbox.put((event.target().clone(), subject(&event)), event);
                }
                Action::LogFailure { check, outcome, failures } => tracing::info!(
                    service = check.target.service,
                    destination = check.target.destination,
                    check = check.index,
                    failures,
                    reason = %outcome,
                    "a check failed"
                ),
            }
        }
    }

    fn run_ended(&mut self, ended: Result<Ended, JoinError>) {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a check's task panicked");
                }
                let Some((run, _)) = self.aborts.iter().find(|(_, task)| task.id() == error.id()) else { return };
                Ended { run: *run, outcome: Outcome::Local(LocalFault::TaskEnded), latency: Duration::ZERO }
            }
        };
        let Ended { run, outcome, latency } = ended;
        self.aborts.remove(&run);
        tracing::debug!(%outcome, latency_us = latency.as_micros(), "check ended");
        let actions = self.board.finish(self.now(), run, outcome, latency);
        self.carry_out(actions);
    }
}

/// Whether a run is a few system calls, and reads nothing that a server says: nothing of it can take long, and its one wait
/// has a bound.
const fn is_brief(probe: &Probe) -> bool {
    match probe {
        Probe::Tcp(_) => true,
        Probe::Http(_)
        | Probe::Https(_)
        | Probe::Script(_)
        | Probe::Smtp(_)
        | Probe::Dns(_)
        | Probe::Udp(_)
        | Probe::Ping(_)
        | Probe::Agent(_)
        | Probe::Grpc(_)
        | Probe::File(_)
        | Probe::Bfd(_) => false,
    }
}

async fn timed(run: RunId, probing: impl Future<Output = Outcome>) -> Ended {
    let started = Instant::now();
    let outcome = probing.await;
    Ended { run, outcome, latency: started.elapsed() }
}

async fn bounded(probing: impl Future<Output = Outcome>, deadline: Duration) -> Outcome {
    let outcome = timeout(deadline, probing).await;
    outcome.unwrap_or(Outcome::Timeout { waiting_for: Stage::Run, after: deadline })
}

/// Of what an event tells: a later one about the same takes the place of one that nobody has read.
const fn subject(event: &CheckEvent) -> u32 {
    match event {
        CheckEvent::Up { .. } | CheckEvent::Down { .. } => 0,
        CheckEvent::Weight { .. } => 1,
        CheckEvent::Silence { check, .. } => check.index.saturating_add(2),
    }
}

fn log(event: &CheckEvent) {
    match event {
        CheckEvent::Up { target, reason: Reason::Unchecked } => {
            tracing::info!(
                service = target.service,
                destination = target.destination,
                "real server is checked no more"
            );
        }
        CheckEvent::Up { target, reason } => {
            tracing::info!(service = target.service, destination = target.destination, %reason, "real server is up");
        }
        CheckEvent::Down { target, reason } => {
            tracing::info!(service = target.service, destination = target.destination, %reason, "real server is down");
        }
        CheckEvent::Weight { target, wish } => {
            tracing::info!(
                service = target.service,
                destination = target.destination,
                %wish,
                "real server asks for a weight"
            );
        }
        CheckEvent::Silence { target, check, because: Some(reason) } => {
            tracing::warn!(
                service = target.service,
                destination = target.destination,
                check = check.index,
                %reason,
                "a check has no result any more"
            );
        }
        CheckEvent::Silence { target, check, because: None } => {
            tracing::info!(
                service = target.service,
                destination = target.destination,
                check = check.index,
                "a check has results again"
            );
        }
    }
}

/// A fresh random number: the keys of each `RandomState` differ, and that is all a seed needs.
fn random() -> u32 {
    let [high, .., a, b, c] = RandomState::new().hash_one(0_u8).to_be_bytes();
    u32::from_be_bytes([high, a, b, c])
}
