//! The keeper: a thread of its own for netlink, since the kernel may take its time there and adverts may not wait.
//!
//! It carries addresses into the kernel and reads the links; it renews a lease only when the heartbeat says so,
//! so that an address never outlives a heartbeat that hangs.
#![expect(clippy::disallowed_methods, reason = "a thread of the daemon waits")]

mod addresses;
mod devices;
mod guarding;
mod leftovers;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::listener::{self, Listener};
use super::{BadFrames, HeartbeatOptions, processor};
use crate::base::{Cidr, Family, IfName, MonoTime, Route};
use crate::daemon::clock;
use crate::vrrp::io::claims::Claim;
use crate::vrrp::io::fence::{self, Deadlines, Fence, Guard};
use crate::vrrp::io::link::{Watcher, Woken, snapshot};
use crate::vrrp::io::route::{self, RouteWatcher};
use crate::vrrp::io::{address, macvlan, sysctl, unanswered};
use crate::vrrp::lease::Lease;
use crate::vrrp::leftover::Leftover;
use crate::vrrp::links::Links;
use crate::vrrp::settings::{Device, Key};
use crate::vrrp::{Failure, Holdings, Settings};
use devices::Devices;
use guarding::Guarding;
use leftovers::PROMOTE;
use routes::Placed;

/// After a change, the links are read once for all changes that come within this time.
const SETTLE: Duration = Duration::from_millis(10);
/// The links are read at least this often while something of ours is there, whatever the kernel tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While nothing is, what the kernel tells has nearly all to say.
const LOOK_SELDOM: Duration = Duration::from_secs(10);
/// Requests that are under way at once.
const PIPELINE: usize = 64;

/// Whose something is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Router(Key),
    /// `static_ipaddress` and the like: there as long as the daemon runs.
    Static,
}

/// What one owner should have in the kernel.
#[derive(Clone, Debug)]
pub struct Order {
    pub owner: Owner,
    pub holdings: Holdings,
    pub lease: Lease,
    /// Of the fence.
    pub slot: Option<u32>,
}

/// What the heartbeat asks; one at a time is under way.
#[derive(Debug)]
pub enum Ask {
    /// Hold exactly these, and renew all others that are held.
    Hold { at: MonoTime, orders: Vec<Order>, reply: oneshot::Sender<Vec<Done>> },
    /// Renew every lease.
    Renew { at: MonoTime, reply: oneshot::Sender<Vec<Done>> },
}

/// How it went, per owner.
#[derive(Debug)]
pub struct Done {
    pub owner: Owner,
    /// Whether this answers an order, and not only renews.
    pub ordered: bool,
    pub failures: Vec<Failure>,
    /// Routes and rules that somebody else had removed.
    pub restored: Vec<String>,
}

/// What the keeper tells of the links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub links: Links,
    /// This host forwards IPv6 packets.
    pub router: bool,
    /// Routes and rules of ours that were removed, since the start: it is time to hold them again.
    pub routes_lost: u64,
    /// Times that netlink had more to tell than fits, since the start.
    pub overruns: u64,
}

/// The keeper's thread, as the heartbeat holds it.
#[derive(Debug)]
pub struct Keeper {
    pub asks: mpsc::Sender<Ask>,
    pub seen: watch::Receiver<Seen>,
    /// What neighbours say of the addresses in `watched`.
    pub claims: mpsc::Receiver<Claim>,
    pub watched: watch::Sender<BTreeSet<IpAddr>>,
    /// `None`: no fence.
    pub deadlines: Option<Deadlines>,
    /// Why there is none although one was asked for.
    pub unfenced: Option<String>,
    /// Why it ends with the process.
    pub unpinned: Option<String>,
    /// What was there of our addresses before.
    pub leftovers: Vec<Leftover>,
    thread: Option<JoinHandle<()>>,
}

/// Start it, remove what is there of these addresses already, and read the links. Where no other daemon of ours
/// runs here (`alone`), routes, rules and interfaces that one left go too. `bpffs`: where the fence is to outlive us.
///
/// # Errors
/// Where the kernel gives no netlink socket or no list, or the thread cannot start.
pub fn start(
    settings: &[Arc<Settings>],
    options: HeartbeatOptions,
    alone: bool,
    bpffs: Option<&Path>,
    bad_frames: Arc<BadFrames>,
) -> io::Result<Keeper> {
    let configured = settings.to_vec();
    let (asks, asked) = mpsc::channel(1);
    let (publish, seen) = watch::channel(Seen::default());
    let (ready, started) = std::sync::mpsc::channel();
    let (ours, addresses) = watch::channel(BTreeSet::new());
    let (told, claims) = mpsc::channel(listener::CLAIMS_MAX);
    let listener = Listener::open()?;
    if let (false, Some(bpffs)) = (options.fence, bpffs) {
        fence::clear(bpffs);
    }
    let (fence, mut unfenced) = match options.fence.then(|| fence::load(bpffs)).transpose() {
        Ok(fence) => (fence, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let (guard, deadlines, unpinned) = match fence {
        Some(Fence { guard, deadlines, unpinned }) => (Some(guard), Some(deadlines), unpinned),
        None => (None, None, None),
    };
    let body = move || {
        processor::beside(options.scheduling);
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(async {
            match Work::begin(&configured, alone, publish, guard).await {
                Ok((work, watcher, refused, leftovers)) => {
                    // Whoever started us is waiting; if not, the channel of asks is closed too.
                    let _ = ready.send(Ok((refused, leftovers)));
                    tokio::spawn(listener.run(addresses, told, bad_frames));
                    work.run(watcher, asked).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    };
    let thread = std::thread::Builder::new().name("addresses".to_owned()).spawn(body)?;
    let (refused, leftovers) =
        started.recv().map_err(|_| io::Error::other("the thread for addresses ended at once"))??;
    unfenced = unfenced.or(refused);
    let unpinned = unpinned.map(|error| error.to_string());
    Ok(Keeper { asks, seen, claims, watched: ours, deadlines, unfenced, unpinned, leftovers, thread: Some(thread) })
}

impl Drop for Keeper {
    /// End it, and wait until nothing of it is left.
    fn drop(&mut self) {
        self.asks = mpsc::channel(1).0;
        // Where it panicked it has ended too.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Work {
    handle: rtnetlink::Handle,
    publish: watch::Sender<Seen>,
    /// What the kernel holds for each virtual router, as ordered last.
    held: BTreeMap<Owner, Order>,
    placed: Placed,
    devices: Devices,
    /// Open as soon as there is a route or a rule.
    routes: Option<RouteWatcher>,
    /// The addresses that we put into the kernel, by link: before Linux 5.18 it does not keep our mark.
    added: BTreeSet<(u32, Cidr)>,
    guarding: Guarding,
    /// Where `promote_secondaries` was off.
    promoted: BTreeSet<IfName>,
}

impl Work {
    async fn begin(
        configured: &[Arc<Settings>],
        alone: bool,
        publish: watch::Sender<Seen>,
        guard: Option<Guard>,
    ) -> io::Result<(Self, Watcher, Option<String>, Vec<Leftover>)> {
        let watcher = Watcher::open()?;
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        may_change(&handle).await?;
        let read = snapshot(&handle).await.map_err(into_io)?;
        let leftovers = leftovers::remove(&handle, configured, &read).await?;
        if alone {
            route::remove_marked(&handle).await.map_err(into_io)?;
            macvlan::remove_marked(&handle).await.map_err(into_io)?;
        }
        let (held, placed, added) = (BTreeMap::new(), Placed::default(), BTreeSet::new());
        let (devices, promoted) = (Devices::default(), BTreeSet::new());
        let mut work = Self {
            handle,
            publish,
            held,
            placed,
            devices,
            routes: None,
            added,
            guarding: Guarding::new(guard),
            promoted,
        };
        work.look(0).await;
        let refused = work.guarding.unattached().map(str::to_owned);
        Ok((work, watcher, refused, leftovers))
    }

    async fn run(mut self, mut watcher: Watcher, mut asked: mpsc::Receiver<Ask>) {
        let mut look_at = Instant::now() + LOOK_EVERY;
        let mut overruns = 0;
        loop {
            tokio::select! {
                biased;
                ask = asked.recv() => match ask {
                    Some(Ask::Hold { at, orders, reply }) => {
                        drop(reply.send(self.carry_out(at, orders).await));
                        self.look(0).await;
                        look_at = look_at.min(Instant::now() + LOOK_EVERY);
                    }
                    Some(Ask::Renew { at, reply }) => drop(reply.send(self.renew(at, &BTreeSet::new()).await)),
                    None => return,
                },
                () = sleep_until(look_at) => {
                    self.look(std::mem::take(&mut overruns)).await;
                    look_at = Instant::now() + if self.held.is_empty() { LOOK_SELDOM } else { LOOK_EVERY };
                }
                () = lost(&mut self.routes) => {
                    self.publish.send_modify(|seen| seen.routes_lost += 1);
                    sleep(SETTLE).await;
                }
                woken = watcher.changed() => {
                    match woken {
                        Ok(Woken::Changed) => (),
                        Ok(Woken::Overrun) => overruns += 1,
                        // Not to spin where reading fails for good.
                        Err(_) => sleep(SETTLE).await,
                    }
                    look_at = look_at.min(Instant::now() + SETTLE);
                }
            }
        }
    }

    /// Read the links and publish them where they changed. Where that fails the next change, or the next second,
    /// tries again.
    async fn look(&mut self, overruns: u64) {
        let Ok(links) = snapshot(&self.handle).await else { return };
        self.welcome_back(&links).await;
        self.guarding.follow(&links);
        let there: BTreeSet<(u32, Cidr)> =
            links.0.values().flat_map(|link| link.addresses.iter().map(|held| (link.index, held.cidr))).collect();
        self.added.retain(|added| there.contains(added));
        let (before, routes_lost) = (self.publish.borrow().overruns, self.publish.borrow().routes_lost);
        let now = Seen { links, router: forwards_ipv6(), routes_lost, overruns: before + overruns };
        self.publish.send_if_modified(|seen| {
            let changed = *seen != now;
            *seen = now;
            changed
        });
    }

    /// Before anybody hears of a link that is back: make it usable at once.
    async fn welcome_back(&self, links: &Links) {
        let before = self.publish.borrow().links.clone();
        for (name, link) in &links.0 {
            if link.running && before.get(name).is_some_and(|before| !before.running) {
                // Where it fails, the kernel asks again within a second by itself.
                let _ = unanswered::forget(&self.handle, link.index).await;
            }
        }
    }

    async fn carry_out(&mut self, at: MonoTime, orders: Vec<Order>) -> Vec<Done> {
        let ordered: BTreeSet<Owner> = orders.iter().map(|order| order.owner.clone()).collect();
        let mut gone = vec![];
        for order in orders {
            let owner = order.owner.clone();
            self.watch_routes(&order.holdings);
            let empty = order.holdings.is_empty();
            let before = if empty { self.held.remove(&owner) } else { self.held.insert(owner.clone(), order) };
            let addresses = before.into_iter().flat_map(|before| before.holdings.addresses);
            gone.extend(addresses.map(|address| (owner.clone(), address)));
        }
        let mut failed = self.guard_held(&ordered);
        failed.extend(self.release_changed(&gone).await);
        let mut done = self.renew(at, &ordered).await;
        failed.extend(self.release_routes(&ordered).await);
        failed.extend(self.release(gone).await);
        self.demote();
        failed.extend(self.release_devices(&ordered).await);
        for (owner, failure) in failed {
            match done.iter_mut().find(|done| done.owner == owner) {
                Some(done) => done.failures.push(failure),
                None => done.push(Done { owner, ordered: true, failures: vec![failure], restored: vec![] }),
            }
        }
        let answered: BTreeSet<Owner> = done.iter().map(|done| done.owner.clone()).collect();
        let rest = ordered.difference(&answered).cloned();
        done.extend(rest.map(|owner| Done { owner, ordered: true, failures: vec![], restored: vec![] }));
        done
    }

    /// Add or renew everything that should be held; asked for at `at`.
    async fn renew(&mut self, at: MonoTime, ordered: &BTreeSet<Owner>) -> Vec<Done> {
        let refused = self.hold_devices().await;
        let links = self.publish.borrow().links.clone();
        let mut failed: BTreeMap<Owner, Vec<Failure>> = BTreeMap::new();
        for (owner, order) in &self.held {
            let of_devices = order.holdings.devices.iter().filter_map(|one| refused.get(&one.vmac.name)).cloned();
            let promoted = promote(order, &mut self.promoted);
            failed.insert(owner.clone(), promoted.into_iter().chain(of_devices).collect());
        }
        for (owner, failure) in self.hold_addresses(at, ordered, &links).await {
            failed.entry(owner).or_default().push(failure);
        }
        let mut all = vec![];
        let wanted: BTreeSet<&Route> = self.held.values().flat_map(|order| &order.holdings.routes).collect();
        for order in self.held.values() {
            let is_new = ordered.contains(&order.owner);
            let mut failures = failed.remove(&order.owner).unwrap_or_default();
            let mut restored = vec![];
            if !is_stale(order, at) {
                let Holdings { addresses: _, routes, rules, promote_secondaries: _, refuse: _, devices: _ } =
                    &order.holdings;
                let wanted = is_new.then_some(&wanted);
                let outcome = self.placed.hold(&self.handle, &links, (routes, rules), wanted).await;
                failures.extend(outcome.failures);
                restored = outcome.restored;
            }
            all.push(Done { owner: order.owner.clone(), ordered: is_new, failures, restored });
        }
        all
    }

    /// What was off before is off again where nobody asks for it any more.
    fn demote(&mut self) {
        let asked: BTreeSet<&IfName> = self.held.values().filter_map(promotes).collect();
        for interface in self.promoted.extract_if(.., |interface| !asked.contains(interface)) {
            // An interface that is gone took it along.
            let _ = sysctl::set(Family::V4, &interface, PROMOTE, 0);
        }
    }

    /// The fence knows an address before the kernel has it.
    fn guard_held(&mut self, ordered: &BTreeSet<Owner>) -> Vec<(Owner, Failure)> {
        let links = self.publish.borrow().links.clone();
        let (guarding, held) = (&mut self.guarding, &self.held);
        let of = |owner: &Owner| Some((owner.clone(), guarding.hold(&links, held.get(owner)?)?));
        ordered.iter().filter_map(of).collect()
    }

    fn watch_routes(&mut self, holdings: &Holdings) {
        if self.routes.is_none() && !(holdings.routes.is_empty() && holdings.rules.is_empty()) {
            // Where it cannot be had, the next renewal puts back what is lost.
            self.routes = RouteWatcher::open().ok();
        }
        if let Some(watcher) = &mut self.routes {
            watcher.watch(&holdings.routes);
        }
    }

    /// The interfaces for addresses, before these. Gives what the kernel refused.
    async fn hold_devices(&mut self) -> BTreeMap<IfName, Failure> {
        let all: BTreeSet<&Device> = self.held.values().flat_map(|order| &order.holdings.devices).collect();
        if all.is_empty() {
            return BTreeMap::new();
        }
        let links = self.publish.borrow().links.clone();
        let up = devices_up(&self.held);
        let (made, refused) = self.devices.hold(&self.handle, &links, all.into_iter(), &up).await;
        if made {
            self.look(0).await;
        }
        refused
    }

    /// Those that nobody needs go, and those without addresses go down; failures count for one of those who ordered.
    async fn release_devices(&mut self, ordered: &BTreeSet<Owner>) -> Vec<(Owner, Failure)> {
        let all =
            self.held.values().flat_map(|order| &order.holdings.devices).map(|one| one.vmac.name.clone()).collect();
        let up = devices_up(&self.held);
        let failures = self.devices.keep_only(&self.handle, &all, &up).await;
        let owner = ordered.first().cloned().unwrap_or(Owner::Static);
        failures.into_iter().map(|failure| (owner.clone(), failure)).collect()
    }

    /// Remove the routes and rules that nobody holds any more; failures count for one of those who ordered.
    async fn release_routes(&mut self, ordered: &BTreeSet<Owner>) -> Vec<(Owner, Failure)> {
        let links = self.publish.borrow().links.clone();
        let routes = self.held.values().flat_map(|order| &order.holdings.routes).collect();
        let rules = self.held.values().flat_map(|order| &order.holdings.rules).collect();
        let failures = self.placed.keep_only(&self.handle, &links, &routes, &rules).await;
        let owner = ordered.first().cloned().unwrap_or(Owner::Static);
        failures.into_iter().map(|failure| (owner.clone(), failure)).collect()
    }
}

/// Asked for so long ago that it may be void.
fn is_stale(order: &Order, asked_at: MonoTime) -> bool {
    clock::now().since(asked_at) > order.lease.stale_after()
}

/// The interfaces of virtual routers that hold something.
fn devices_up(held: &BTreeMap<Owner, Order>) -> BTreeSet<IfName> {
    let routers = held.values().filter(|order| matches!(order.owner, Owner::Router(_)));
    routers.flat_map(|order| &order.holdings.devices).map(|one| one.vmac.name.clone()).collect()
}

/// `net.ipv6.conf.all.forwarding`; without IPv6, no.
fn forwards_ipv6() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").is_ok_and(|text| text.trim() != "0")
}

/// Whether the kernel lets us change addresses: asked by removing one of a link that is not there.
async fn may_change(handle: &rtnetlink::Handle) -> io::Result<()> {
    let nowhere = Cidr::host(std::net::Ipv4Addr::UNSPECIFIED.into());
    address::release(handle, u32::MAX >> 1, nowhere, None).await.map_err(into_io)
}

fn into_io(error: rtnetlink::Error) -> io::Error {
    if let rtnetlink::Error::NetlinkError(error) = &error { error.to_io() } else { io::Error::other(error) }
}

/// The interface whose `promote_secondaries` is to be on.
fn promotes(order: &Order) -> Option<&IfName> {
    let Owner::Router(key) = &order.owner else { return None };
    (order.holdings.promote_secondaries && key.family == Family::V4).then_some(&key.interface)
}

/// Before the first address, so that it holds for all of them. `promoted` gets the interface where it was off.
fn promote(order: &Order, promoted: &mut BTreeSet<IfName>) -> Option<Failure> {
    let interface = promotes(order)?;
    let mut set = || {
        if sysctl::get(Family::V4, interface, PROMOTE)? == 0 {
            sysctl::set(Family::V4, interface, PROMOTE, 1)?;
            promoted.insert(interface.clone());
        }
        Ok(())
    };
    let set: io::Result<()> = set();
    Some(Failure::Sysctl { name: PROMOTE.to_owned(), error: set.err()?.to_string() })
}

/// Wait until a route or a rule of ours is removed; for ever where there is none.
async fn lost(routes: &mut Option<RouteWatcher>) {
    match routes {
        Some(watcher) => watcher.lost().await,
        None => std::future::pending().await,
    }
}
