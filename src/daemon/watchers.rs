//! The watcher of tracked files and processes: one task, which tells whenever a result is another one.
//!
//! What a result does to a priority is decided in `vrrp/track.rs`. The kernel says when to look (inotify, the process
//! connector); where it does not, everything is looked at each second. Reading is done by threads that may hang.
#![expect(clippy::disallowed_methods, reason = "a task of the daemon waits")]

mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::base::MonoTime;
use crate::vrrp::io::file::{self, Directories};
use crate::vrrp::io::process::{self, Events, Told};
use crate::vrrp::settings::{Outcome, Tracked};
use crate::vrrp::track::connector::ProcessEvent;
use crate::vrrp::track::process::{Limits, Pattern, Running};

use super::outbox::Outbox;
use state::State;

/// Events that wait for the reader in order; more are folded into the newest of each tracker.
const EVENTS_MAX: usize = 256;
/// Questions that wait for the task.
const MESSAGES_MAX: usize = 16;
/// Everything is looked at so often where the kernel does not tell of processes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// And where it does: files on file systems that tell nothing, directories that came back.
const LOOK_SELDOM: Duration = Duration::from_secs(5);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchSettings {
    File {
        name: String,
        path: PathBuf,
        /// What is written into it at the start, and whether also where it is there already.
        init: Option<(i32, bool)>,
    },
    Process {
        name: String,
        pattern: Pattern,
        limits: Limits,
    },
}

impl WatchSettings {
    /// What the heartbeat knows it by.
    pub fn what(&self) -> Tracked {
        match self {
            Self::File { name, .. } => Tracked::File(name.clone()),
            Self::Process { name, .. } => Tracked::Process(name.clone()),
        }
    }

    /// Where the tracked file of this name is; `None`: it is another thing.
    pub fn file(&self, wanted: &str) -> Option<&Path> {
        match self {
            Self::File { name, path, .. } => (name == wanted).then_some(path),
            Self::Process { .. } => None,
        }
    }
}

/// Why a result is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchReason {
    Says {
        number: i32,
    },
    /// It counts as 0.
    Unreadable {
        error: String,
    },
    Run {
        count: usize,
    },
}

impl std::fmt::Display for WatchReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Says { number } => write!(f, "says {number}"),
            Self::Unreadable { error } => write!(f, "counts as 0: {error}"),
            Self::Run { count: 1 } => f.write_str("1 process runs"),
            Self::Run { count } => write!(f, "{count} processes run"),
        }
    }
}

/// A result is another one, or the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEvent {
    pub what: Tracked,
    pub outcome: Outcome,
    pub reason: WatchReason,
}

/// One line of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchView {
    pub what: Tracked,
    /// `None` until the first result.
    pub outcome: Option<Outcome>,
    pub reason: Option<WatchReason>,
}

/// The watchers' task does not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the watchers' task has ended")]
pub struct WatchersGone;

/// A handle on the watchers' task, which ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Watchers(mpsc::Sender<Message>);

#[derive(Debug)]
enum Message {
    Configure(Vec<WatchSettings>, oneshot::Sender<()>),
    Views(oneshot::Sender<Vec<WatchView>>),
}

impl Watchers {
    /// Start the task, on the present runtime, with nothing to watch. Its events must be read until it ends.
    ///
    /// # Errors
    /// Where the system has no inotify instance left.
    pub fn start() -> io::Result<(Self, mpsc::Receiver<WatchEvent>, JoinHandle<()>)> {
        let (outbox, events) = Outbox::new(EVENTS_MAX);
        let (handle, messages) = mpsc::channel(MESSAGES_MAX);
        let task = Task {
            started: Instant::now(),
            state: State::default(),
            directories: pollable(Directories::new()?)?,
            events: None,
            reading: None,
            look_at: MonoTime::ZERO,
            outbox,
        };
        Ok((Self(handle), events, tokio::spawn(task.serve(messages))))
    }

    /// Watch these in place of the present ones. What is unchanged keeps its result.
    ///
    /// # Errors
    /// [`WatchersGone`] where the task has ended.
    pub async fn configure(&self, wanted: Vec<WatchSettings>) -> Result<(), WatchersGone> {
        self.ask(|answer| Message::Configure(wanted, answer)).await
    }

    /// Everything watched, by name.
    ///
    /// # Errors
    /// [`WatchersGone`] where the task has ended.
    pub async fn views(&self) -> Result<Vec<WatchView>, WatchersGone> {
        self.ask(Message::Views).await
    }

    async fn ask<A>(&self, message: impl FnOnce(oneshot::Sender<A>) -> Message) -> Result<A, WatchersGone> {
        let (answer, answered) = oneshot::channel();
        self.0.send(message(answer)).await.map_err(|_| WatchersGone)?;
        answered.await.map_err(|_| WatchersGone)
    }
}

/// What a thread is to read.
#[derive(Debug, Default)]
pub(super) struct ToRead {
    pub files: Vec<(String, PathBuf)>,
    /// Written before they are read.
    pub init: Vec<(PathBuf, i32, bool)>,
    /// `None`: all that are there.
    pub processes: Option<Vec<u32>>,
    pub command_lines: bool,
}

/// What it found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub files: Vec<(String, Result<i32, String>)>,
    /// Whether those are all processes that there are.
    pub all: bool,
    pub processes: Vec<(u32, Option<Running>)>,
}

struct Task {
    started: Instant,
    state: State,
    directories: AsyncFd<Directories>,
    /// `None`: the kernel does not tell of processes, or nobody asks.
    events: Option<Events>,
    reading: Option<JoinHandle<Found>>,
    /// When everything is looked at again.
    look_at: MonoTime,
    outbox: Outbox<Tracked, WatchEvent>,
}

impl Task {
    async fn serve(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            self.begin_reading();
            let deadline = self.state.deadline().into_iter().chain([self.look_at]).min().unwrap_or(self.look_at);
            let idle = self.state.is_idle();
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.answer(message),
                    None => return,
                },
                found = found(&mut self.reading) => {
                    let now = self.now();
                    self.state.found(now, found);
                }
                ready = self.directories.readable() => if let Ok(mut ready) = ready {
                    ready.get_inner().drain();
                    ready.clear_ready();
                    self.state.files_may_have_changed();
                },
                told = told(&mut self.events) => self.heard(told),
                () = sleep_until(self.started + deadline.since_start()), if !idle => self.look_when_due(),
                () = self.outbox.deliver() => {}
            }
            for event in self.state.take_events() {
                tracing::info!(tracked = %event.what, reason = %event.reason, "tracker turned");
                self.outbox.put(event.what.clone(), event);
            }
        }
    }

    fn now(&self) -> MonoTime {
        MonoTime::from_start(self.started.elapsed())
    }

    /// Nobody waits for an answer whose asker is gone.
    fn answer(&mut self, message: Message) {
        match message {
            Message::Configure(wanted, answer) => {
                self.state.configure(wanted);
                self.listen();
                self.look_at = self.now();
                answer.send(()).ok();
            }
            Message::Views(answer) => drop(answer.send(self.state.views())),
        }
    }

    /// Open or close what tells of changes.
    fn listen(&mut self) {
        let parents = self.state.directories();
        self.directories.get_mut().watch(&parents.iter().map(PathBuf::as_path).collect::<Vec<&Path>>());
        if !self.state.has_processes() {
            self.events = None;
        } else if self.events.is_none() {
            match Events::open() {
                Ok(events) => self.events = Some(events),
                Err(error) => {
                    tracing::info!(%error, "the kernel does not tell of processes; /proc is read each second");
                }
            }
        }
    }

    fn look_when_due(&mut self) {
        let now = self.now();
        self.state.tick(now);
        if now >= self.look_at {
            let parents = self.state.directories();
            self.directories.get_mut().watch(&parents.iter().map(PathBuf::as_path).collect::<Vec<&Path>>());
            self.state.look_at_all();
            self.look_at = now + if self.events.is_some() { LOOK_SELDOM } else { LOOK_EVERY };
        }
    }

    fn heard(&mut self, told: io::Result<Told>) {
        let now = self.now();
        match told {
            Ok(Told::Event(ProcessEvent::Forked { parent, child })) => self.state.forked(parent, child),
            Ok(Told::Event(ProcessEvent::Became { process })) => self.state.look_at_process(process),
            Ok(Told::Event(ProcessEvent::Ended { process })) => self.state.ended(now, process),
            Ok(Told::Nothing) => {}
            Ok(Told::Overrun) => self.state.look_at_all(),
            Err(error) => {
                tracing::warn!(%error, "the kernel does not tell of processes any more");
                self.events = None;
                self.look_at = now;
            }
        }
    }

    /// One thread at a time reads what has to be read.
    fn begin_reading(&mut self) {
        if self.reading.is_none()
            && let Some(wanted) = self.state.take_to_read()
        {
            self.reading = Some(tokio::task::spawn_blocking(move || read(&wanted)));
        }
    }
}

fn read(wanted: &ToRead) -> Found {
    for (path, value, overwrite) in &wanted.init {
        if let Err(error) = file::init(path, *value, *overwrite) {
            tracing::warn!(path = %path.display(), %error, "a tracked file could not be made");
        }
    }
    let files =
        wanted.files.iter().map(|(name, path)| (name.clone(), file::read(path).map_err(|error| error.to_string())));
    let all = wanted.processes.is_none();
    let ids = wanted.processes.clone().unwrap_or_else(|| process::all().unwrap_or_default());
    let processes = ids.into_iter().map(|id| (id, process::read(id, wanted.command_lines)));
    Found { files: files.collect(), all, processes: processes.collect() }
}

#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn pollable(directories: Directories) -> io::Result<AsyncFd<Directories>> {
    // SAFETY: the descriptor is owned by `Directories`, which never replaces it, and `AsyncFd` owns `Directories`.
    unsafe { AsyncFd::register(directories) }.map_err(io::Error::from)
}

/// What the thread found; for ever where none reads. One that panicked found nothing.
async fn found(reading: &mut Option<JoinHandle<Found>>) -> Found {
    let Some(thread) = reading else { return std::future::pending().await };
    let found = thread.await.unwrap_or_default();
    *reading = None;
    found
}

async fn told(events: &mut Option<Events>) -> io::Result<Told> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
