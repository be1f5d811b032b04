//! The heartbeat's loop: wait, read every packet that waits, decide, carry out.
//!
//! Drain before you decide: a deadline that passed while the thread was not run may be void, since the peer's
//! adverts are in the socket.
#![expect(clippy::disallowed_methods, reason = "a task of the daemon waits")]

mod command;
mod input;
mod output;
mod teller;

pub use command::with_devices;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::fence::FenceSlots;
use super::keeper::{Ask, Done, Keeper, Order, Owner};
use super::processor::{self, Scheduling};
use super::sockets::{Place, Sockets};
use super::{BadFrames, Command, Strangers};
use crate::base::MonoTime;
use crate::daemon::clock;
use crate::vrrp::fleet::{Fleet, HandOverError, Output};
use crate::vrrp::io::lock::Locks;
use crate::vrrp::io::neighbour::Announcer;
use crate::vrrp::lease::Lease;
use crate::vrrp::links::Links;
use crate::vrrp::settings::Key;
use crate::vrrp::{Failure, Happened, Holdings, InstanceView};
use teller::Teller;

/// Packets that are read before deadlines get their turn, in the ordinary case: a flood costs them a millisecond.
const PACKETS_PER_TURN: usize = 256;
/// The same after the thread was not run for [`LATE`]: more than what queued up in a socket's buffer meanwhile.
const PACKETS_PER_LATE_TURN: usize = 8192;
/// After so many turns in a row that a flood filled the thread sleeps: one that never does is taken for one that hangs.
const FULL_TURNS: u32 = 64;
/// How long; adverts are that late at most.
const PAUSE: Duration = Duration::from_millis(1);
/// So late, a deadline may be void by what waits in the sockets.
const LATE: Duration = Duration::from_millis(5);
/// A delay of the thread that is worth an event.
const STALL: Duration = Duration::from_millis(100);
/// The name under which static addresses and routes are told of.
const STATIC: &str = "static";
/// Between two tries to open a socket that could not be had.
const OPEN_EVERY: Duration = Duration::from_secs(1);
/// At least this often the snapshot is replaced.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// What the thread works with.
#[derive(Debug)]
pub struct Parts {
    pub fleet: Fleet,
    pub sockets: Sockets,
    pub locks: Locks,
    pub announcer: Announcer,
    pub keeper: Keeper,
    pub commands: mpsc::Receiver<Command>,
    pub told: mpsc::Sender<Happened>,
    pub lost: Arc<AtomicU64>,
    pub publish: watch::Sender<Arc<Vec<InstanceView>>>,
    pub publish_strangers: watch::Sender<Strangers>,
    pub bad_frames: Arc<BadFrames>,
}

/// The thread's body: it ends when all is handed over, or when the keeper has ended.
pub fn run(parts: Parts, outputs: Vec<Output>, statics: Holdings, scheduling: Scheduling) {
    processor::own(scheduling);
    // Without a runtime nothing can be driven; the supervisor sees that the channels are closed.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Parts {
            fleet,
            sockets,
            locks,
            announcer,
            mut keeper,
            commands,
            told,
            lost,
            publish,
            publish_strangers,
            bad_frames,
        } = parts;
        let Some(sockets) = pollable(sockets) else { return };
        let overruns = keeper.seen.borrow().overruns;
        let fence = FenceSlots::new(keeper.deadlines.take());
        let mut beat = Beat {
            fleet,
            sockets,
            locks,
            announcer,
            keeper,
            teller: Teller::new(told, lost),
            publish,
            publish_strangers,
            bad_frames,
            orders: BTreeMap::new(),
            leases: BTreeMap::new(),
            watched: BTreeMap::new(),
            fence,
            in_flight: None,
            refused: BTreeMap::new(),
            renew_at: None,
            open_at: None,
            unread: false,
            full_turns: 0,
            publish_at: clock::now(),
            handing_over: vec![],
            left: false,
            stopping: vec![],
            overruns,
            routes_lost: 0,
        };
        beat.hold(Owner::Static, statics, Lease::FOREVER);
        beat.carry_out(outputs);
        if beat.serve(commands).await {
            beat.end();
        }
    });
}

/// `None` where the runtime has no descriptor left for it.
#[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn pollable(sockets: Sockets) -> Option<AsyncFd<Sockets>> {
    // SAFETY: the descriptor is owned by `Sockets`, which never replaces it, and `AsyncFd` owns `Sockets`.
    unsafe { AsyncFd::register_with_interest(sockets, Interest::READABLE) }.ok()
}

/// Who waits for a hand-over.
type HandedOver = oneshot::Sender<Result<(), HandOverError>>;

struct Beat {
    fleet: Fleet,
    sockets: AsyncFd<Sockets>,
    /// What no other daemon here may drive.
    locks: Locks,
    announcer: Announcer,
    keeper: Keeper,
    teller: Teller,
    publish: watch::Sender<Arc<Vec<InstanceView>>>,
    publish_strangers: watch::Sender<Strangers>,
    bad_frames: Arc<BadFrames>,
    /// What the keeper has not been told yet: the newest of each virtual router.
    orders: BTreeMap<Owner, Order>,
    /// Who holds something, and how long each may.
    leases: BTreeMap<Owner, Lease>,
    watched: BTreeMap<Key, Vec<IpAddr>>,
    fence: FenceSlots,
    in_flight: Option<oneshot::Receiver<Vec<Done>>>,
    /// What the kernel refused at the last try.
    refused: BTreeMap<Owner, Vec<Failure>>,
    renew_at: Option<MonoTime>,
    /// A socket could not be had.
    open_at: Option<MonoTime>,
    /// The sockets had more packets than one turn may read.
    unread: bool,
    /// Turns in a row that left packets unread.
    full_turns: u32,
    publish_at: MonoTime,
    /// Who waits for which hand-over.
    handing_over: Vec<(Vec<String>, HandedOver)>,
    /// All is left to the next process.
    left: bool,
    /// Who waits for the end.
    stopping: Vec<oneshot::Sender<()>>,
    overruns: u64,
    routes_lost: u64,
}

impl Beat {
    /// Whether it ended in order: nothing is held any more.
    async fn serve(&mut self, mut commands: mpsc::Receiver<Command>) -> bool {
        let mut open = true;
        loop {
            if self.full_turns >= FULL_TURNS {
                self.full_turns = 0;
                sleep(PAUSE).await;
            }
            let deadline = self.deadline();
            self.sockets.get_ref().wake_at(deadline);
            tokio::select! {
                biased;
                ready = self.sockets.readable() => if let Ok(mut ready) = ready { ready.clear_ready() },
                done = answered(&mut self.in_flight) => match done {
                    Some(done) => self.kept(done),
                    // The keeper has ended: leases run out, and the peer takes over.
                    None => return false,
                },
                command = commands.recv(), if open => {
                    open = command.is_some();
                    self.commanded(command);
                    if self.left {
                        // As it is until the process ends: whatever is dropped here would be let go.
                        return std::future::pending().await;
                    }
                }
                Some(claim) = self.keeper.claims.recv() => {
                    let outputs = self.fleet.claimed(clock::now(), claim.index, claim.address, claim.mac);
                    self.carry_out(outputs);
                }
                seen = self.keeper.seen.changed() => match seen {
                    // What lapsed while the thread was not run is none that somebody took away.
                    Ok(()) => {
                        self.turn(deadline);
                        self.links_changed();
                    }
                    Err(_) => return false,
                },
            }
            self.turn(deadline);
            if self.fleet.is_stopped() && self.leases.contains_key(&Owner::Static) {
                self.hold(Owner::Static, Holdings::default(), Lease::FOREVER);
                self.order();
            }
            if self.fleet.is_stopped() && self.orders.is_empty() && self.in_flight.is_none() {
                self.publish_now(clock::now());
                return true;
            }
        }
    }

    /// Whoever is told may start another one at once.
    fn end(self) {
        let Self { keeper, locks, stopping, .. } = self;
        drop((keeper, locks));
        // Whoever asked may have gone.
        for reply in stopping {
            let _ = reply.send(());
        }
    }

    fn deadline(&self) -> Option<MonoTime> {
        let now = clock::now();
        let more = self.unread.then_some(now);
        let renew = if self.in_flight.is_none() { self.renew_at } else { None };
        [self.fleet.deadline(now), renew, more, self.open_at, Some(self.publish_at)].into_iter().flatten().min()
    }

    /// Read, then decide.
    fn turn(&mut self, deadline: Option<MonoTime>) {
        let late = deadline.map_or(Duration::ZERO, |deadline| clock::now().since(deadline));
        self.drain(if late >= LATE { PACKETS_PER_LATE_TURN } else { PACKETS_PER_TURN });
        self.full_turns = if self.unread { self.full_turns + 1 } else { 0 };
        let now = clock::now();
        if late >= STALL {
            self.tell(Happened::Stalled { at: now, late });
        }
        if self.open_at.is_some_and(|at| at <= now) {
            let links = self.keeper.seen.borrow().links.clone();
            self.open_sockets(now, &links);
        }
        let outputs = self.fleet.tick(now);
        self.carry_out(outputs);
        self.answer_hand_overs();
        self.order();
        self.teller.catch_up();
        if now >= self.publish_at {
            self.publish_now(now);
        }
    }

    fn answer_hand_overs(&mut self) {
        for (names, reply) in std::mem::take(&mut self.handing_over) {
            match self.fleet.handed_over(&names) {
                // Nobody waits for an answer whose asker is gone.
                Some(outcome) => drop(reply.send(outcome)),
                None => self.handing_over.push((names, reply)),
            }
        }
    }

    fn tell(&mut self, happened: Happened) {
        match happened {
            Happened::Moved { .. } | Happened::PriorityChanged { .. } | Happened::Conflict { .. } => {
                self.publish_at = clock::now();
            }
            Happened::Discarded { .. }
            | Happened::Warned { .. }
            | Happened::PeerChanged { .. }
            | Happened::LinkFlapped { .. }
            | Happened::Claimed { .. }
            | Happened::LinkChanged { .. }
            | Happened::AddressLost { .. }
            | Happened::AddressFound { .. }
            | Happened::RouteRestored { .. }
            | Happened::Failed { .. }
            | Happened::Stalled { .. }
            | Happened::Resynced { .. } => (),
        }
        self.teller.tell(happened);
    }

    /// Give the keeper what it has not been told yet, or have it renew.
    fn order(&mut self) {
        let now = clock::now();
        let due = self.renew_at.is_some_and(|at| at <= now);
        if self.in_flight.is_some() || (self.orders.is_empty() && !due) {
            return;
        }
        let (reply, answer) = oneshot::channel();
        let orders: Vec<Order> = std::mem::take(&mut self.orders).into_values().collect();
        let ask = if orders.is_empty() { Ask::Renew { at: now, reply } } else { Ask::Hold { at: now, orders, reply } };
        // Where it cannot be sent the keeper has ended, and the answer says so.
        let _ = self.keeper.asks.try_send(ask);
        self.in_flight = Some(answer);
        self.renew_at = self.leases.values().map(|lease| lease.refresh_every).min().map(|every| now + every);
    }

    fn kept(&mut self, all: Vec<Done>) {
        self.in_flight = None;
        let now = clock::now();
        for Done { owner, ordered, failures, restored } in all {
            let before = self.refused.remove(&owner).unwrap_or_default();
            // What stays refused is told once, and tried again with every renewal.
            let news: Vec<_> =
                failures.iter().filter(|failure| ordered || !before.contains(failure)).cloned().collect();
            match &owner {
                Owner::Router(key) => {
                    for failure in news {
                        let outputs = self.fleet.failed(now, key, failure);
                        self.carry_out(outputs);
                    }
                    for what in restored {
                        let outputs = self.fleet.restored(now, key, what);
                        self.carry_out(outputs);
                    }
                    if ordered && !self.orders.contains_key(&owner) {
                        if !self.leases.contains_key(&owner) {
                            self.fence.released(key);
                        }
                        self.fleet.settled(now, key);
                    }
                    if before.iter().any(|failure| !failures.contains(failure)) {
                        self.fleet.healed(now, key);
                    }
                }
                Owner::Static => {
                    for failure in news {
                        self.tell(Happened::Failed { at: now, instance: STATIC.to_owned(), failure });
                    }
                    for what in restored {
                        self.tell(Happened::RouteRestored { at: now, instance: STATIC.to_owned(), what });
                    }
                    // An answer to an older order knows nothing of what is new in the next one.
                    if !self.orders.contains_key(&owner) {
                        let outputs = self.fleet.statics(now, &failures);
                        self.carry_out(outputs);
                    }
                }
            }
            if !failures.is_empty() && self.leases.contains_key(&owner) {
                self.refused.insert(owner, failures);
            }
        }
    }

    fn links_changed(&mut self) {
        let now = clock::now();
        let seen = self.keeper.seen.borrow_and_update().clone();
        if seen.routes_lost > self.routes_lost {
            self.routes_lost = seen.routes_lost;
            self.renew_at = Some(now);
        }
        if seen.overruns > self.overruns {
            self.tell(Happened::Resynced { at: now, count: seen.overruns - self.overruns });
            self.overruns = seen.overruns;
        }
        self.open_sockets(now, &seen.links);
        let outputs = self.fleet.links(now, seen.links);
        self.carry_out(outputs);
    }

    /// Who cannot hear has a fault until a later try succeeds.
    fn open_sockets(&mut self, now: MonoTime, links: &Links) {
        let needed = self.fleet.sockets();
        let sockets = self.sockets.get_mut();
        sockets.prune(&needed, links);
        let refused = sockets.open(&needed, links);
        let was_refused = self.open_at.take().is_some();
        self.open_at = (!refused.is_empty()).then(|| now + OPEN_EVERY);
        let mut deaf = BTreeSet::new();
        for refused in refused {
            let error = format!("no socket: {}", refused.error);
            let instance = refused.place.0.to_string();
            if !was_refused {
                self.tell(Happened::Failed { at: now, instance, failure: Failure::Advert { error } });
            }
            deaf.insert(refused.place);
        }
        let outputs = self.fleet.deaf(now, deaf);
        self.carry_out(outputs);
    }

    fn publish_now(&mut self, now: MonoTime) {
        // In the memory of the last ones, unless somebody reads those.
        self.publish.send_modify(|shown| match Arc::get_mut(shown) {
            Some(shown) => {
                shown.clear();
                shown.extend(self.fleet.each_view());
            }
            None => *shown = Arc::new(self.fleet.views()),
        });
        self.publish_strangers.send_replace(self.fleet.strangers());
        self.publish_at = now + PUBLISH_EVERY;
    }
}

/// The keeper's answer; for ever where nothing was asked, `None` where it has ended.
async fn answered(in_flight: &mut Option<oneshot::Receiver<Vec<Done>>>) -> Option<Vec<Done>> {
    match in_flight {
        Some(answer) => answer.await.ok(),
        None => std::future::pending().await,
    }
}
