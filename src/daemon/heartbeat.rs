//! The heartbeat: the one thread that sends adverts and moves virtual addresses.
//!
//! It has its own runtime and locked memory, and touches no disk, DNS, script or log: what others need to
//! know leaves by channels that it never waits for. Netlink has a thread of its own (`keeper.rs`).

mod beat;
mod fence;
mod keeper;
mod listener;
pub mod processor;
mod sockets;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::base::{IfName, MonoTime};
use crate::daemon::clock;
use crate::vrrp::fleet::{Fleet, HandOverError, LeftActive, Maintenance, Output};
use crate::vrrp::io::fence::Deadlines;
use crate::vrrp::io::lock::{self, LockError, Locks};
use crate::vrrp::io::neighbour::Announcer;
use crate::vrrp::io::socket::is_permission;
use crate::vrrp::links::Links;
use crate::vrrp::settings::{Outcome, SettingsError, Tracked};
use crate::vrrp::{Discard, Happened, Holdings, InstanceView, Settings};
use processor::{Processor, Scheduling};
use sockets::{Refused, Sockets};

/// Packets dropped because they are for nobody here, by interface and reason.
pub type Strangers = BTreeMap<IfName, BTreeMap<Discard, u64>>;

/// Frames that could not be read, or may not be believed, since the start.
#[derive(Debug, Default)]
pub struct BadFrames {
    pub arp: AtomicU64,
    pub neighbour_adverts: AtomicU64,
    /// From the hardware address of a virtual router of ours, and no IP packet.
    pub virtual_mac: AtomicU64,
}

/// Events waiting for the supervisor; beyond it they are dropped and counted.
pub const EVENTS_MAX: usize = 1024;
/// Commands waiting for the heartbeat.
pub const COMMANDS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatOptions {
    pub scheduling: Scheduling,
    /// `vip_fence`: packets for an address are dropped when its virtual router has renewed no deadline.
    pub fence: bool,
    /// `vrrp_startup_delay`: no virtual router begins before.
    pub startup_delay: Duration,
    /// `vrrp_delay_after_boot`: nor before the system has run so long.
    pub uptime_min: Duration,
}

/// The running thread, as the supervisor holds it.
#[derive(Debug)]
pub struct Heartbeat {
    /// At most [`EVENTS_MAX`] wait; more are dropped and counted.
    pub events: mpsc::Receiver<Happened>,
    pub commands: mpsc::Sender<Command>,
    /// All virtual routers, in the order of the configuration; replaced at every change and every second.
    pub snapshot: watch::Receiver<Arc<Vec<InstanceView>>>,
    /// Packets for no virtual router of ours, by interface and reason.
    pub strangers: watch::Receiver<Strangers>,
    pub bad_frames: Arc<BadFrames>,
    /// Why there is no fence although one was asked for.
    pub unfenced: Option<String>,
    /// Why the fence ends with this process, and not with the lease of its addresses.
    pub unpinned: Option<String>,
    /// Number of the eBPF map with the deadlines of the fence, where there is one.
    pub fence: Option<u32>,
    pub processor: Processor,
    /// Events lost because nobody took them in time.
    pub events_lost: Arc<AtomicU64>,
}

/// What the supervisor tells the heartbeat.
#[derive(Debug)]
pub enum Command {
    /// Something tracked that reports by itself has its first result, or another one.
    Tracked { what: Tracked, outcome: Outcome },
    /// Drive these from now on. Matched by [`crate::vrrp::Key`]; what is unchanged keeps state, timers and counters.
    Reconfigure { settings: Vec<Arc<Settings>>, statics: Holdings, reply: oneshot::Sender<Result<(), StartError>> },
    /// Show all as they are at this moment; the snapshot may be a second old.
    Look { reply: oneshot::Sender<Vec<InstanceView>> },
    /// Let others be Active. The reply comes when they are, or when it is known that they will not be.
    HandOver { instances: Vec<String>, force: bool, reply: oneshot::Sender<Result<(), HandOverError>> },
    /// These hold nothing from now on.
    Maintain(Maintenance),
    /// Speak once more, and touch nothing from then on: the process is about to end, and its successor goes on.
    Leave { reply: oneshot::Sender<Vec<LeftActive>> },
    /// Hand over everything, and end. The reply comes when nothing is held any more.
    Shutdown { reply: oneshot::Sender<()> },
}

/// Why the heartbeat does not start, or does not take a new configuration. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("`{instance}`: there is no interface {interface}")]
    NoInterface { instance: String, interface: IfName },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{action}: {error}; the daemon needs CAP_NET_ADMIN and CAP_NET_RAW")]
    Permission {
        action: String,
        #[source]
        error: std::io::Error,
    },
    #[error("{action}: {error}")]
    System {
        action: String,
        #[source]
        error: std::io::Error,
    },
    #[error("the heartbeat has ended")]
    Ended,
}

impl StartError {
    fn of(action: impl Into<String>, error: io::Error) -> Self {
        let action = action.into();
        if is_permission(&error) { Self::Permission { action, error } } else { Self::System { action, error } }
    }
}

impl From<Refused> for StartError {
    fn from(refused: Refused) -> Self {
        Self::of(format!("opening a VRRP socket on {}", refused.place.0), refused.error)
    }
}

/// What is known from before the start.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Virtual routers that hold nothing for now.
    pub maintenance: Maintenance,
    /// Those that the process before left Active, and which go on.
    pub left: Vec<LeftActive>,
}

impl Heartbeat {
    /// Start the thread. When this returns, sockets are open and virtual routers are driven.
    ///
    /// # Errors
    /// [`StartError`]; then no thread, socket or address is left.
    pub fn start(settings: Vec<Settings>, options: HeartbeatOptions) -> Result<Self, StartError> {
        let settings = settings.into_iter().map(Arc::new).collect();
        Self::start_in(settings, Holdings::default(), options, Before::default(), None)
    }

    /// The same, with what is held as long as the daemon runs, and what is known from before. `bpffs`: a directory where the
    /// fence outlives this process.
    ///
    /// # Errors
    /// As [`Heartbeat::start`].
    pub fn start_in(
        settings: Vec<Arc<Settings>>,
        statics: Holdings,
        options: HeartbeatOptions,
        before: Before,
        bpffs: Option<&Path>,
    ) -> Result<Self, StartError> {
        Settings::check_all(&settings)?;
        let alone = !lock::others().map_err(LockError::System)?;
        let mut locks = Locks::default();
        locks.hold(settings.iter().map(|one| one.key()))?;
        let processor = Processor::of(options.scheduling);
        let options = HeartbeatOptions { scheduling: processor.scheduling, ..options };
        let bad_frames = Arc::<BadFrames>::default();
        let Before { maintenance, left } = before;
        let mut keeper = keeper::start(&settings, options, alone, bpffs, Arc::clone(&bad_frames))
            .map_err(|error| StartError::of("reading links and addresses", error))?;
        let (unfenced, unpinned) = (keeper.unfenced.take(), keeper.unpinned.take());
        let fence = keeper.deadlines.as_ref().map(Deadlines::id);
        let links = keeper.seen.borrow().links.clone();
        interfaces_exist(&settings, &links)?;
        let mut sockets = Sockets::new().map_err(|error| StartError::of("preparing to wait", error))?;
        let announcer = Announcer::open().map_err(|error| StartError::of("opening a packet socket", error))?;
        let now = clock::now();
        let mut fleet = Fleet::default();
        let begins_at = (now + options.startup_delay).max(MonoTime::from_start(options.uptime_min));
        // It is for a system that boots; where all go on they have begun before.
        let all_go_on = settings.iter().all(|one| left.iter().any(|left| left.key == one.key()));
        if begins_at > now && !all_go_on {
            fleet.hold_off(begins_at);
        }
        let found = std::mem::take(&mut keeper.leftovers).into_iter().filter_map(|one| one.happened(now));
        let mut outputs: Vec<Output> = found.map(Output::Happened).collect();
        outputs.extend(fleet.maintain(now, maintenance));
        fleet.resume(left);
        outputs.extend(fleet.links(now, links.clone()));
        let statics = beat::with_devices(statics, &settings);
        outputs.extend(fleet.reconfigure(now, settings));
        if let Some(refused) = sockets.open(&fleet.sockets(), &links).into_iter().next() {
            return Err(refused.into());
        }
        let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
        let (told, events) = mpsc::channel(EVENTS_MAX);
        let (publish, snapshot) = watch::channel(Arc::new(fleet.views()));
        let (publish_strangers, strangers) = watch::channel(Strangers::default());
        let events_lost = Arc::new(AtomicU64::new(0));
        let parts = beat::Parts {
            fleet,
            sockets,
            locks,
            announcer,
            keeper,
            commands: commanded,
            told,
            lost: Arc::clone(&events_lost),
            publish,
            publish_strangers,
            bad_frames: Arc::clone(&bad_frames),
        };
        let thread = std::thread::Builder::new().name("heartbeat".to_owned());
        thread
            .spawn(move || beat::run(parts, outputs, statics, options.scheduling))
            .map_err(|error| StartError::of("starting the thread", error))?;
        Ok(Self {
            events,
            commands,
            snapshot,
            strangers,
            bad_frames,
            unfenced,
            unpinned,
            fence,
            processor,
            events_lost,
        })
    }
}

/// The interfaces of all these virtual routers are there, but for those that may wait for theirs.
fn interfaces_exist(settings: &[Arc<Settings>], links: &Links) -> Result<(), StartError> {
    match settings.iter().find(|one| !one.waits_for_interface && links.get(&one.interface).is_none()) {
        Some(one) => Err(StartError::NoInterface { instance: one.name.clone(), interface: one.interface.clone() }),
        None => Ok(()),
    }
}
