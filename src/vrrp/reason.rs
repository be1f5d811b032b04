//! Why a virtual router moved, as data: logs, status, `explain` and tests read this one enum.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::Tracked;
use crate::base::{IfName, Priority};

/// Where a virtual router stands (RFC 9568 section 6.4), with what keepalived and we add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not started, or held until the first result of a tracked script.
    Initialize,
    Backup,
    Active,
    /// keepalived's own: something that it needs is broken.
    Fault,
    /// Stopping: resigned, and still serving until somebody else is Active.
    HandingOver,
    Stopped,
}

impl Standing {
    /// Whether the virtual addresses are held.
    pub const fn serves(self) -> bool {
        match self {
            Self::Active | Self::HandingOver => true,
            Self::Initialize | Self::Backup | Self::Fault | Self::Stopped => false,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initialize => "initialize",
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Fault => "fault",
            Self::HandingOver => "handing_over",
            Self::Stopped => "stopped",
        })
    }
}

/// The cause of one move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum Reason {
    /// Started, and waits for an Active's advert.
    Started,
    /// Started with priority 255.
    StartedAsOwner,
    /// Active in the process before, which left all to this one so lately that nobody has missed an advert.
    Resumed,
    /// `Active_Down` passed without an acceptable advert; `silent_for` is `None` where none was ever heard.
    ActiveSilent {
        silent_for: Option<Duration>,
        /// The timer that expired.
        waited: Duration,
    },
    /// An Active of lesser priority is alive, and we preempt it.
    Preempted { active: IpAddr, theirs: Priority },
    /// The Active sent priority 0.
    ActiveResigned { active: IpAddr },
    /// Another Active has the higher priority, or the same and the greater address.
    BetterAdvert { from: IpAddr, theirs: Priority },
    /// We slept past our own `Active_Down` and listen before we speak again.
    Overslept { late: Duration },
    /// All members of the sync group want to be Active; why this one does.
    GroupReady { group: String, because: Box<Reason> },
    /// Another member of the sync group left Active; why it did.
    GroupLeft { group: String, member: String, because: Box<Reason> },
    /// Another member of the sync group, Backup since a reload, follows this router.
    GroupBackup { group: String, member: String, active: IpAddr, theirs: Priority },
    /// Something that it needs is broken.
    Faulted { fault: Fault },
    /// The last fault went away.
    FaultCleared,
    /// The operator, a reload or the system stops it.
    Stopping,
    /// The operator wants another router to be Active.
    Operator,
    /// Resigned: the new Active was heard.
    HandedOver { to: IpAddr },
    /// Resigned: nobody took over within the bound.
    NobodyTookOver { waited: Duration },
    /// Stopping: it held nothing.
    NothingHeld,
}

/// What is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Its own interface, or one that it tracks, is down or has no carrier.
    InterfaceDown { interface: IfName },
    /// There is none of that name.
    InterfaceGone { interface: IfName },
    /// No address to send adverts from.
    NoSource { interface: IfName },
    /// It cannot hear there: the system gives no socket.
    NoSocket { interface: IfName },
    /// `track_src_ip`: the address that it is told to send from is not on its interface.
    SourceGone { source: IpAddr },
    /// `unicast_fault_no_peer`: it speaks to peers, and has none.
    NoPeer,
    /// Something tracked without a weight failed.
    TrackFailed { tracked: Tracked },
    /// Another member of the sync group has a fault.
    GroupMember { group: String, member: String, because: Box<Fault> },
    /// The operator wants it to hold nothing.
    Maintenance,
    /// Somebody removed our addresses again and again (design: restore, then give up).
    AddressFight { removals: u32 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InterfaceDown { interface } => write!(f, "interface {interface} is down"),
            Self::InterfaceGone { interface } => write!(f, "there is no interface {interface}"),
            Self::NoSource { interface } => write!(f, "no address on {interface} to send from"),
            Self::NoSocket { interface } => {
                write!(f, "no socket on {interface} to hear others by; tried again each second")
            }
            Self::SourceGone { source } => write!(f, "its source address {source} is not there"),
            Self::NoPeer => f.write_str("it has no unicast peer, and is told not to use multicast"),
            Self::TrackFailed { tracked } => write!(f, "{tracked} failed"),
            Self::GroupMember { group, member, because } => write!(f, "{member} of sync group {group}: {because}"),
            Self::Maintenance => f.write_str("an operator set maintenance (`vipd maintenance off` ends it)"),
            Self::AddressFight { removals } => write!(f, "its addresses were removed {removals} times by others"),
        }
    }
}

impl Reason {
    /// Active in the process before, alone or with its group.
    pub fn is_resumed(&self) -> bool {
        matches!(self, Self::Resumed) || matches!(self, Self::GroupReady { because, .. } if because.is_resumed())
    }

    /// The constant word of a log field and a metric label.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::StartedAsOwner => "started_as_owner",
            Self::Resumed => "resumed",
            Self::ActiveSilent { .. } => "active_silent",
            Self::Preempted { .. } => "preempted",
            Self::ActiveResigned { .. } => "active_resigned",
            Self::BetterAdvert { .. } => "better_advert",
            Self::Overslept { .. } => "overslept",
            Self::GroupReady { .. } => "group_ready",
            Self::GroupLeft { .. } => "group_left",
            Self::GroupBackup { .. } => "group_backup",
            Self::Faulted { .. } => "faulted",
            Self::FaultCleared => "fault_cleared",
            Self::Stopping => "stopping",
            Self::Operator => "operator",
            Self::HandedOver { .. } => "handed_over",
            Self::NobodyTookOver { .. } => "nobody_took_over",
            Self::NothingHeld => "nothing_held",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::StartedAsOwner => f.write_str("started with priority 255"),
            Self::Resumed => f.write_str("goes on where the daemon before left it (restart)"),
            Self::ActiveSilent { silent_for: Some(span), waited } => {
                let (span, waited) = (span.as_secs_f64(), waited.as_secs_f64());
                write!(f, "no acceptable advert for {span:.3} s (Active_Down {waited:.3} s)")
            }
            Self::ActiveSilent { silent_for: None, .. } => f.write_str("no advert heard since the start"),
            Self::Preempted { active, theirs } => write!(f, "{active} is Active with the lower priority {theirs}"),
            Self::ActiveResigned { active } => write!(f, "{active} resigned"),
            Self::BetterAdvert { from, theirs } => write!(f, "{from} is Active with priority {theirs}"),
            Self::Overslept { late } => write!(f, "was not run for {:.3} s", late.as_secs_f64()),
            Self::GroupReady { group, because } => write!(f, "{because}; all of sync group {group} can be Active"),
            Self::GroupLeft { group, member, because } => {
                write!(f, "{member} of sync group {group} left Active: {because}")
            }
            Self::GroupBackup { group, member, active, theirs } => {
                write!(f, "{member} of sync group {group} is Backup: {active} is Active with priority {theirs}")
            }
            Self::Faulted { fault } => fault.fmt(f),
            Self::FaultCleared => f.write_str("the last fault went away"),
            Self::Stopping => f.write_str("is told to stop"),
            Self::Operator => f.write_str("an operator asked for a failover"),
            Self::HandedOver { to } => write!(f, "{to} took over"),
            Self::NobodyTookOver { waited } => write!(f, "nobody took over within {:.3} s", waited.as_secs_f64()),
            Self::NothingHeld => f.write_str("held no address"),
        }
    }
}
