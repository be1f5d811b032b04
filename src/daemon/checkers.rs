//! The checkers' thread: it makes the checks that [`Board`] says are due, and hands events on.
//!
//! What a result means is decided in `healthcheck/`. `TCP_CHECK` is made by the thread itself (`healthcheck/io/connector.rs`),
//! which never blocks. Every other kind is a task on the runtime of the daemon: one that panics, hangs or spins delays no
//! other; it ends as a fault of our own and the check goes on at its next time.
#![expect(clippy::disallowed_methods, reason = "a thread of the daemon reads the clock and spawns")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Builder;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::healthcheck::board::{Board, Left};
use crate::healthcheck::io::connector::{Connector, Ended};
use crate::healthcheck::outcome::Outcome;
use crate::healthcheck::schedule::Spread;
use crate::healthcheck::settings::{CheckEvent, CheckSettings, CheckView, Reason, Standing, TargetId};

use super::clock;
use super::outbox::Outbox;
use inbox::{Door, inbox};
use thread::Thread;

pub mod alone;
mod inbox;
mod run;
mod task;
mod thread;

pub use run::{Sessions, run};

/// Events that wait for the reader in order; more are folded into the newest of each real server.
const EVENTS_MAX: usize = 1024;

/// The checkers' thread does not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the checkers' thread has ended")]
pub struct CheckersGone;

/// A handle on the checkers' thread, which ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Checkers(Arc<LastHandle>);

#[derive(Debug)]
struct LastHandle(Door<Message>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        self.0.send(Message::End).ok();
    }
}

/// Each asker waits for its answer, so that as many wait in the inbox as there are askers and runs.
#[derive(Debug)]
enum Message {
    Configure(Vec<CheckSettings>, oneshot::Sender<()>),
    Resume(Left, oneshot::Sender<()>),
    Leave(oneshot::Sender<Left>),
    BeginAnew(oneshot::Sender<()>),
    Rest(BTreeSet<String>, oneshot::Sender<()>),
    FileChanged(PathBuf, oneshot::Sender<()>),
    /// BFD sessions that came up or went down.
    SessionsMoved(Vec<String>, oneshot::Sender<()>),
    Standings(oneshot::Sender<BTreeMap<TargetId, Standing>>),
    Views(oneshot::Sender<Vec<CheckView>>),
    /// A run that was a task.
    Ended(Ended),
    /// The reader of the events has made room.
    Room,
    /// The last handle is gone.
    End,
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

    /// The same with another way to carry out a run that does more than connect: the checker and, for `HTTP_GET`, the url
    /// counted from 0.
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
        let (door, inbox) = inbox()?;
        let connector = Connector::new()?;
        connector.wake_by(inbox.bell())?;
        let thread = Thread {
            board: Board::default(),
            spread: Spread::new(random()),
            now: clock::now(),
            now_is_past: false,
            due: None,
            connector,
            probe,
            daemon: Handle::current(),
            tasks: BTreeMap::new(),
            ended: VecDeque::new(),
            inbox,
            door: door.clone(),
            follows_sessions: false,
            outbox,
            awaits_room: false,
            places: None,
        };
        let (alive, ended) = oneshot::channel::<()>();
        Builder::new().name("checkers".to_owned()).spawn(move || {
            thread.serve();
            drop(alive);
        })?;
        let followed = door.clone();
        let running = tokio::spawn(async move {
            tokio::select! {
                // Whether it returned or panicked.
                _ = ended => {}
                () = follow(sessions, followed) => {}
            }
        });
        Ok((Self(Arc::new(LastHandle(door))), events, running))
    }

    /// Check these in place of the present ones, and return when that is in force. A checker whose probe is the
    /// same keeps its state.
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn configure(&self, checks: Vec<CheckSettings>) -> Result<(), CheckersGone> {
        self.ask(|answer| Message::Configure(checks, answer)).await
    }

    /// What the process before left: see [`Board::resume`].
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn resume(&self, left: Left) -> Result<(), CheckersGone> {
        self.ask(|answer| Message::Resume(left, answer)).await
    }

    /// What the checks have learnt, for the next process.
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn leave(&self) -> Result<Left, CheckersGone> {
        self.ask(Message::Leave).await
    }

    /// A fault of ours is over: see [`Board::begin_anew`].
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn begin_anew(&self) -> Result<(), CheckersGone> {
        self.ask(Message::BeginAnew).await
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
        self.ask(|answer| Message::Rest(services, answer)).await
    }

    /// A file that a check may read was written.
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn file_changed(&self, path: PathBuf) -> Result<(), CheckersGone> {
        self.ask(|answer| Message::FileChanged(path, answer)).await
    }

    /// Every checker, for `status`.
    ///
    /// # Errors
    /// [`CheckersGone`] where the thread has ended.
    pub async fn views(&self) -> Result<Vec<CheckView>, CheckersGone> {
        self.ask(Message::Views).await
    }

    async fn ask<A>(&self, message: impl FnOnce(oneshot::Sender<A>) -> Message) -> Result<A, CheckersGone> {
        ask(&self.0.0, message).await
    }
}

async fn ask<A>(door: &Door<Message>, message: impl FnOnce(oneshot::Sender<A>) -> Message) -> Result<A, CheckersGone> {
    let (answer, answered) = oneshot::channel();
    door.send(message(answer))?;
    answered.await.map_err(|_| CheckersGone)
}

/// Tell the thread which BFD sessions moved, for as long as it runs.
async fn follow(mut sessions: Sessions, door: Door<Message>) {
    loop {
        let moved = sessions.moved().await;
        let told = moved.is_empty() || ask(&door, |answer| Message::SessionsMoved(moved, answer)).await.is_ok();
        if !told {
            return;
        }
    }
}

/// Of one real server, the standing and the weight are told apart.
type EventKey = (TargetId, u32);

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
