//! The heartbeat: the one thread that sends adverts and moves virtual addresses.
//!
//! It has its own runtime and locked memory, and touches no disk, DNS, script or log: what others need to
//! know leaves by channels that it never waits for.

use std::num::NonZeroU8;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::base::IfName;
use crate::vrrp::{Happened, InstanceView, Settings};

/// Events waiting for the supervisor; beyond it they are dropped and counted.
pub const EVENTS_MAX: usize = 1024;
/// Commands waiting for the heartbeat.
pub const COMMANDS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatOptions {
    /// `vrrp_rt_priority`: `SCHED_RR` with this priority, 1..=99; `None`: the ordinary scheduler.
    pub rt_priority: Option<NonZeroU8>,
}

/// The running thread, as the supervisor holds it.
#[derive(Debug)]
pub struct Heartbeat {
    /// At most [`EVENTS_MAX`] wait; more are dropped and counted.
    pub events: mpsc::Receiver<Happened>,
    pub commands: mpsc::Sender<Command>,
    /// All virtual routers, in the order of the configuration; replaced at every change and every second.
    pub snapshot: watch::Receiver<Arc<Vec<InstanceView>>>,
}

/// What the supervisor tells the heartbeat.
#[derive(Debug)]
pub enum Command {
    /// A tracker (`Tracked::Script`) changed its mind, or has its first result.
    ScriptResult { tracker: String, good: bool },
    /// Drive these from now on. Matched by [`crate::vrrp::Key`]; what is unchanged keeps state, timers and counters.
    Reconfigure { settings: Vec<Settings>, reply: oneshot::Sender<Result<(), StartError>> },
    /// Hand over everything, and end. The reply comes when nothing is held any more.
    Shutdown { reply: oneshot::Sender<()> },
}

/// Why the heartbeat does not start, or does not take a new configuration. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("`{instance}`: there is no interface {interface}")]
    NoInterface { instance: String, interface: IfName },
    #[error("`{first}` and `{second}` are the same virtual router: VRID, family and interface are equal")]
    Duplicate { first: String, second: String },
    #[error("{what}: {got} is more than {most}")]
    TooMany { what: &'static str, got: usize, most: usize },
    #[error("`{instance}`: VRRPv2 cannot carry IPv6")]
    Version2OverIpv6 { instance: String },
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
