//! The thread that drives all BFD sessions. Like the heartbeat it touches no disk, name service, script or log, and it tells
//! the heartbeat by itself, so that a busy supervisor delays nothing.
#![expect(clippy::disallowed_methods, reason = "a thread of the daemon waits")]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::clock;
use super::heartbeat;
use super::heartbeat::processor::{self, Scheduling};
use crate::base::{Family, MonoTime};
use crate::bfd::fleet::{Fleet, Output, View};
use crate::bfd::io::socket::{PACKET_MAX, Receiver, Sender, random};
use crate::bfd::packet::Discard;
use crate::bfd::{Diagnostic, Settings, State};
use crate::vrrp::settings::{Outcome, Tracked};

/// Events waiting for the supervisor; beyond it they are dropped: the state itself is in the snapshot.
const EVENTS_MAX: usize = 256;
const COMMANDS_MAX: usize = 16;
/// Packets of a socket before deadlines get their turn: more than what queued up while the thread was not run. A flood of
/// them costs some milliseconds.
const PACKETS_PER_TURN: usize = 4096;
/// How long the thread sleeps then: a real-time one that never does is taken for one that hangs.
const PAUSE: Duration = Duration::from_millis(1);
/// What could not be opened is tried again so often.
const OPEN_EVERY: Duration = Duration::from_secs(1);

/// What the supervisor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BfdEvent {
    Moved {
        session: String,
        from: State,
        to: State,
        diagnostic: Diagnostic,
    },
    /// Told once until it works again.
    Failed {
        session: String,
        error: String,
    },
}

#[derive(Debug)]
enum Command {
    Configure(Vec<Settings>, oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// The running thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Bfd {
    commands: mpsc::Sender<Command>,
    pub snapshot: watch::Receiver<Arc<Vec<View>>>,
    /// Packets that were dropped, by reason.
    pub discards: watch::Receiver<Discards>,
}

type Discards = BTreeMap<Discard, u64>;

/// The thread does not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the BFD thread has ended")]
pub struct BfdGone;

impl Bfd {
    /// Start the thread without a session. It tells the heartbeat by `heartbeat`, and the supervisor by the events.
    ///
    /// # Errors
    /// Where the thread cannot start.
    pub fn start(
        heartbeat: mpsc::Sender<heartbeat::Command>,
        scheduling: Scheduling,
    ) -> io::Result<(Self, mpsc::Receiver<BfdEvent>)> {
        let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
        let (told, events) = mpsc::channel(EVENTS_MAX);
        let (publish, snapshot) = watch::channel(Arc::default());
        let (publish_discards, discards) = watch::channel(Discards::default());
        let body = move || {
            processor::own(scheduling);
            // Without a runtime nothing can be driven; whoever commands sees that the channel is closed.
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            let thread = Thread {
                fleet: Fleet::default(),
                receivers: BTreeMap::new(),
                senders: BTreeMap::new(),
                failed: BTreeMap::new(),
                open_at: None,
                heartbeat,
                told,
                publish,
                publish_discards,
            };
            runtime.block_on(thread.serve(commanded));
        };
        std::thread::Builder::new().name("bfd".to_owned()).spawn(body)?;
        Ok((Self { commands, snapshot, discards }, events))
    }

    /// Drive these in place of the present ones; what is unchanged stays up.
    ///
    /// # Errors
    /// [`BfdGone`]
    pub async fn configure(&self, wanted: Vec<Settings>) -> Result<(), BfdGone> {
        let (done, reply) = oneshot::channel();
        self.commands.send(Command::Configure(wanted, done)).await.map_err(|_| BfdGone)?;
        reply.await.map_err(|_| BfdGone)
    }

    /// Tell all neighbours, and end.
    pub async fn shut_down(&self) {
        let (done, reply) = oneshot::channel();
        if self.commands.send(Command::Shutdown(done)).await.is_ok() {
            // A thread that has ended has nothing more to tell.
            let _ = reply.await;
        }
    }
}

/// Family and whether it is for several hops.
type Place = (Family, bool);

struct Thread {
    fleet: Fleet,
    receivers: BTreeMap<Place, AsyncFd<Receiver>>,
    senders: BTreeMap<String, (Settings, Sender)>,
    /// What was told of each session or place that cannot send or receive.
    failed: BTreeMap<String, String>,
    open_at: Option<MonoTime>,
    heartbeat: mpsc::Sender<heartbeat::Command>,
    told: mpsc::Sender<BfdEvent>,
    publish: watch::Sender<Arc<Vec<View>>>,
    publish_discards: watch::Sender<Discards>,
}

impl Thread {
    async fn serve(mut self, mut commands: mpsc::Receiver<Command>) {
        let started = (Instant::now(), clock::now());
        let mut unread = false;
        loop {
            let deadline = [self.fleet.deadline(), self.open_at].into_iter().flatten().min();
            let wake = started.0 + deadline.unwrap_or(started.1).since(started.1);
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Configure(wanted, done)) => {
                        self.configure(wanted).await;
                        // Nobody waits for an answer whose asker is gone.
                        let _ = done.send(());
                    }
                    Some(Command::Shutdown(done)) => {
                        let outputs = self.fleet.shut_down(clock::now());
                        self.carry_out(outputs).await;
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                () = readable(&self.receivers), if !unread => {}
                () = sleep(PAUSE), if unread => {}
                () = sleep_until(wake), if deadline.is_some() => {}
            }
            unread = self.turn().await;
        }
    }

    /// Read, then decide: a deadline may be void by what waits in the sockets. Whether there is more to read.
    async fn turn(&mut self) -> bool {
        let (mut outputs, mut unread) = (vec![], false);
        for receiver in self.receivers.values() {
            let mut buffer = [0; PACKET_MAX];
            let mut left = PACKETS_PER_TURN;
            // An error is that of an earlier packet of ours (a port that nobody listens on).
            while let Ok(Some((envelope, bytes))) = receiver.get_ref().receive(&mut buffer) {
                outputs.extend(self.fleet.received(clock::now(), &envelope, bytes));
                left -= 1;
                if left == 0 {
                    unread = true;
                    break;
                }
            }
        }
        outputs.extend(self.fleet.tick(clock::now()));
        self.publish_discards.send_if_modified(|known| {
            let news = known != self.fleet.discards();
            if news {
                known.clone_from(self.fleet.discards());
            }
            news
        });
        self.carry_out(outputs).await;
        if self.open_at.is_some_and(|at| at <= clock::now()) {
            self.open();
        }
        unread
    }

    async fn configure(&mut self, wanted: Vec<Settings>) {
        let outputs = self.fleet.configure(clock::now(), wanted, random);
        self.carry_out(outputs).await;
        self.open();
        for view in self.fleet.views() {
            self.tell_heartbeat(view.name, view.state == State::Up).await;
        }
        self.publish.send_replace(Arc::new(self.fleet.views()));
    }

    /// Open what is needed and missing, close the rest.
    fn open(&mut self) {
        let wanted: Vec<Settings> = self.fleet.settings().cloned().collect();
        let place = |settings: &Settings| (Family::of(settings.neighbor), settings.multihop);
        self.receivers.retain(|known, _| wanted.iter().any(|settings| place(settings) == *known));
        self.senders.retain(|_, (known, _)| wanted.contains(known));
        self.failed.retain(|name, _| wanted.iter().any(|settings| settings.name == *name));
        self.open_at = None;
        for settings in &wanted {
            let opened = self.open_one(place(settings), settings);
            self.note(&settings.name, opened);
        }
    }

    fn open_one(&mut self, place: Place, settings: &Settings) -> io::Result<()> {
        if let Entry::Vacant(vacant) = self.receivers.entry(place) {
            vacant.insert(pollable(Receiver::open(place.0, place.1)?)?);
        }
        if let Entry::Vacant(vacant) = self.senders.entry(settings.name.clone()) {
            vacant.insert((settings.clone(), Sender::open(settings)?));
        }
        Ok(())
    }

    /// A failure is told once, and what cannot be opened is tried again.
    fn note(&mut self, session: &str, opened: io::Result<()>) {
        match opened {
            Ok(()) => _ = self.failed.remove(session),
            Err(error) => {
                self.open_at = Some(clock::now() + OPEN_EVERY);
                let error = error.to_string();
                if self.failed.insert(session.to_owned(), error.clone()).as_ref() != Some(&error) {
                    // A queue that is full has told the supervisor enough.
                    let _ = self.told.try_send(BfdEvent::Failed { session: session.to_owned(), error });
                }
            }
        }
    }

    async fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { session, bytes } => {
                    if let Some((_, sender)) = self.senders.get(&session) {
                        // What is not sent is missed by the neighbour, and the session goes down.
                        let _ = sender.send(&bytes);
                    }
                }
                Output::Moved { session, from, to, diagnostic } => {
                    self.tell_heartbeat(session.clone(), to == State::Up).await;
                    let _ = self.told.try_send(BfdEvent::Moved { session, from, to, diagnostic });
                    self.publish.send_replace(Arc::new(self.fleet.views()));
                }
            }
        }
    }

    /// A heartbeat that has ended needs to know nothing.
    async fn tell_heartbeat(&self, session: String, up: bool) {
        let command = heartbeat::Command::Tracked { what: Tracked::Bfd(session), outcome: Outcome::Good(up) };
        let _ = self.heartbeat.send(command).await;
    }
}

#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn pollable(receiver: Receiver) -> io::Result<AsyncFd<Receiver>> {
    // SAFETY: the descriptor is owned by `Receiver`, which never replaces it, and `AsyncFd` owns `Receiver`.
    unsafe { AsyncFd::register_with_interest(receiver, Interest::READABLE) }.map_err(io::Error::from)
}

/// Wait until one of them has a packet.
async fn readable(receivers: &BTreeMap<Place, AsyncFd<Receiver>>) {
    let each = receivers.values().map(|receiver| {
        Box::pin(async move {
            if let Ok(mut ready) = receiver.readable().await {
                ready.clear_ready();
            }
        })
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() {
        return std::future::pending().await;
    }
    futures_util::future::select_all(each).await;
}
