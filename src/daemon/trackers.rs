//! The runner of `vrrp_script`s: each at its own interval, never twice at once, in a task of its own.
//!
//! What a result means is decided in `healthcheck/rise_fall.rs`; what it does to a priority, in `vrrp/`.
#![expect(clippy::disallowed_methods, reason = "a task of the daemon waits")]

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::base::MonoTime;
use crate::healthcheck::rise_fall::RiseFall;
use crate::healthcheck::schedule::{Next, Schedule};
use crate::notify::command::{ScriptCommand, ScriptEnd};
use crate::notify::io::script::{self, Output};

use super::outbox::Outbox;

/// Events that wait for the reader in order; more are folded into the newest of each script.
const EVENTS_MAX: usize = 256;
/// Questions that wait for the task.
const MESSAGES_MAX: usize = 16;

/// One `vrrp_script`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSettings {
    pub script: String,
    pub command: ScriptCommand,
    pub interval: Duration,
    /// By default the interval.
    pub timeout: Duration,
    pub rise: NonZeroU32,
    pub fall: NonZeroU32,
}

/// Why the result of a script turned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackReason {
    Ended(ScriptEnd),
    /// The task of the run ended without a result: counted as a failure.
    TaskEnded,
}

impl fmt::Display for TrackReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(end) => end.fmt(f),
            Self::TaskEnded => f.write_str("was lost with its task"),
        }
    }
}

/// The result of a script turned, or is its first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackEvent {
    pub script: String,
    pub good: bool,
    pub reason: TrackReason,
}

/// One line of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackView {
    pub script: String,
    /// `None` until the first result.
    pub good: Option<bool>,
    pub running: bool,
    pub last: Option<TrackReason>,
    /// How long ago the last run ended.
    pub age: Option<Duration>,
    pub results: u64,
}

/// The trackers' task does not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the trackers' task has ended")]
pub struct TrackersGone;

/// A handle on the trackers' task, which ends, and its scripts with it, when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Trackers(mpsc::Sender<Message>);

#[derive(Debug)]
enum Message {
    Configure(Vec<TrackSettings>, oneshot::Sender<()>),
    Views(oneshot::Sender<Vec<TrackView>>),
}

impl Trackers {
    /// Start the task, on the present runtime, without a script. Its events must be read until it ends.
    pub fn start() -> (Self, mpsc::Receiver<TrackEvent>, JoinHandle<()>) {
        let (outbox, events) = Outbox::new(EVENTS_MAX);
        let (handle, messages) = mpsc::channel(MESSAGES_MAX);
        let task = Task {
            started: Instant::now(),
            scripts: BTreeMap::new(),
            runs: JoinSet::new(),
            running: HashMap::new(),
            outbox,
        };
        (Self(handle), events, tokio::spawn(task.serve(messages)))
    }

    /// Run these in place of the present ones. A script of the same name keeps its result; an unchanged one also
    /// its rhythm, a changed one is run at once. Of two with one name the later counts.
    ///
    /// # Errors
    /// [`TrackersGone`] where the task has ended.
    pub async fn configure(&self, scripts: Vec<TrackSettings>) -> Result<(), TrackersGone> {
        self.ask(|answer| Message::Configure(scripts, answer)).await
    }

    /// Every script, by name.
    ///
    /// # Errors
    /// [`TrackersGone`] where the task has ended.
    pub async fn views(&self) -> Result<Vec<TrackView>, TrackersGone> {
        self.ask(Message::Views).await
    }

    async fn ask<A>(&self, message: impl FnOnce(oneshot::Sender<A>) -> Message) -> Result<A, TrackersGone> {
        let (answer, answered) = oneshot::channel();
        self.0.send(message(answer)).await.map_err(|_| TrackersGone)?;
        answered.await.map_err(|_| TrackersGone)
    }
}

struct Script {
    settings: TrackSettings,
    state: RiseFall,
    schedule: Schedule,
    run: RunState,
    last: Option<(TrackReason, MonoTime)>,
    results: u64,
}

enum RunState {
    Waiting { due: MonoTime },
    Running(AbortHandle),
}

struct Task {
    started: Instant,
    scripts: BTreeMap<String, Script>,
    runs: JoinSet<ScriptEnd>,
    /// Runs of scripts that are still configured as they were when the run began.
    running: HashMap<Id, String>,
    outbox: Outbox<String, TrackEvent>,
}

impl Task {
    async fn serve(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            let deadline = self.scripts.values().filter_map(Script::due).min();
            let wake = self.started + deadline.unwrap_or_default().since_start();
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.answer(message),
                    None => return,
                },
                () = sleep_until(wake), if deadline.is_some() => self.start_due(),
                Some(ended) = self.runs.join_next_with_id() => self.run_ended(ended),
                () = self.outbox.deliver() => {}
            }
        }
    }

    fn now(&self) -> MonoTime {
        MonoTime::from_start(self.started.elapsed())
    }

    /// Nobody waits for an answer whose asker is gone.
    fn answer(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Configure(wanted, answer) => {
                self.configure(now, wanted);
                answer.send(()).ok();
            }
            Message::Views(answer) => {
                answer.send(self.scripts.values().map(|script| script.view(now)).collect()).ok();
            }
        }
    }

    fn configure(&mut self, now: MonoTime, wanted: Vec<TrackSettings>) {
        let mut old = std::mem::take(&mut self.scripts);
        for settings in wanted {
            let name = settings.script.clone();
            let script = match old.remove(&name) {
                Some(kept) if kept.settings == settings => kept,
                Some(changed) => {
                    self.forget(&changed);
                    let state = changed.state.with_limits(settings.rise, settings.fall);
                    Script { state, last: changed.last, results: changed.results, ..Script::new(now, settings) }
                }
                None => Script::new(now, settings),
            };
            self.scripts.insert(name, script);
        }
        for gone in old.values() {
            self.forget(gone);
        }
    }

    fn forget(&mut self, script: &Script) {
        if let RunState::Running(run) = &script.run {
            run.abort();
            self.running.remove(&run.id());
        }
    }

    fn start_due(&mut self) {
        let now = self.now();
        for (name, script) in &mut self.scripts {
            if script.due().is_none_or(|due| due > now) {
                continue;
            }
            let TrackSettings { command, timeout, .. } = script.settings.clone();
            let run = self.runs.spawn(async move { script::run(&command, &[], timeout, Output::Discard).await.end });
            self.running.insert(run.id(), name.clone());
            script.run = RunState::Running(run);
        }
    }

    fn run_ended(&mut self, ended: Result<(Id, ScriptEnd), JoinError>) {
        let (task, reason) = match ended {
            Ok((task, end)) => (task, TrackReason::Ended(end)),
            Err(error) => (error.id(), TrackReason::TaskEnded),
        };
        let now = self.now();
        let Some(name) = self.running.remove(&task) else { return };
        let Some(script) = self.scripts.get_mut(&name) else { return };
        script.run = RunState::Waiting { due: script.schedule.next(now, Next::Period) };
        script.last = Some((reason.clone(), now));
        if let TrackReason::Ended(end) = &reason
            && is_want(end)
        {
            tracing::warn!(script = name, %reason, "a script has no result");
            return;
        }
        script.results = script.results.saturating_add(1);
        let success = match &reason {
            TrackReason::Ended(end) => end.is_success(),
            TrackReason::TaskEnded => false,
        };
        tracing::debug!(script = name, %reason, "script ended");
        if let Some(good) = script.state.observe(success) {
            tracing::info!(script = name, good, %reason, "script turned");
            self.outbox.put(name.clone(), TrackEvent { script: name, good, reason });
        }
    }
}

impl Script {
    fn new(now: MonoTime, settings: TrackSettings) -> Self {
        Self {
            state: RiseFall::new(settings.rise, settings.fall),
            schedule: Schedule::starting(now, settings.interval),
            run: RunState::Waiting { due: now },
            settings,
            last: None,
            results: 0,
        }
    }

    const fn due(&self) -> Option<MonoTime> {
        match self.run {
            RunState::Waiting { due } => Some(due),
            RunState::Running(_) => None,
        }
    }

    fn view(&self, now: MonoTime) -> TrackView {
        TrackView {
            script: self.settings.script.clone(),
            good: self.state.good(),
            running: matches!(self.run, RunState::Running(_)),
            last: self.last.as_ref().map(|(reason, _)| reason.clone()),
            age: self.last.as_ref().map(|(_, at)| now.since(*at)),
            results: self.results,
        }
    }
}

/// This host had no descriptor, process or memory for the script, which says nothing of what the script would have said.
const fn is_want(end: &ScriptEnd) -> bool {
    matches!(end, ScriptEnd::NotStarted { errno: libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM })
}
