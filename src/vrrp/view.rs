//! What status, metrics and `explain` show of a virtual router. A snapshot: nothing here changes anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reason::{Fault, Reason, Standing};
use super::receive::Discard;
use super::settings::{Outcome, Tracked, Version};
use crate::base::{AdvertInterval, Cidr, Family, IfName, MonoTime, Priority, Vrid};

/// One virtual router at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    pub name: String,
    pub vrid: Vrid,
    pub interface: IfName,
    pub family: Family,
    pub version: Version,
    pub state: Standing,
    /// Of the configuration.
    pub priority: Priority,
    /// With the trackers' weights.
    pub effective_priority: Priority,
    pub interval: AdvertInterval,
    pub preempt: bool,
    pub sync_group: Option<String>,
    pub addresses: Vec<Cidr>,
    /// When the state was entered, on the heartbeat's clock.
    pub since: MonoTime,
    /// Why it was entered; `None` before the first move.
    pub reason: Option<Reason>,
    pub faults: Vec<Fault>,
    pub skew: Duration,
    pub active_down: Duration,
    /// Backup of VRRPv3: the interval of the Active's adverts.
    pub learnt_interval: Option<AdvertInterval>,
    /// The last advert that passed all checks.
    pub last_heard: Option<MonoTime>,
    pub peer: Option<PeerView>,
    /// Since when `peer` is what it is.
    pub peer_since: Option<MonoTime>,
    /// Backup: when it becomes Active if nothing is heard. Active: when its next advert is due. Handing over: the end.
    pub deadline: Option<MonoTime>,
    /// Backup: `preempt_delay` runs until then.
    pub preempt_at: Option<MonoTime>,
    /// Backup: its timer expired, and its sync group is not ready.
    pub wants_active: bool,
    /// Backup: an operator had it hand over, and its successor lives.
    pub yielded: bool,
    pub tracks: Vec<TrackView>,
    pub counters: Counters,
    pub discards: BTreeMap<Discard, u64>,
}

/// Who was heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    pub addr: IpAddr,
    /// 0: it resigned.
    pub priority: u8,
}

/// Something tracked, as it was judged last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackView {
    pub what: Tracked,
    /// `None`: no result yet.
    pub outcome: Option<Outcome>,
    /// `None` or 0: a failure is a fault.
    pub weight: Option<i16>,
    pub reverse: bool,
    /// It is a fault now.
    pub fault: bool,
    /// What it adds to the priority now.
    pub adds: i32,
}

/// Counted since the virtual router was first configured; a reload keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub adverts_sent: u64,
    pub adverts_received: u64,
    pub priority_zero_sent: u64,
    pub priority_zero_received: u64,
    pub became_active: u64,
    pub left_active: u64,
    pub transitions: u64,
    pub announcements_sent: u64,
    pub conflicts: u64,
    pub addresses_restored: u64,
    /// Routes and rules.
    #[serde(default)]
    pub routes_restored: u64,
    /// Neighbours said that one of our addresses is theirs.
    pub claims: u64,
    pub send_failures: u64,
    /// VRRPv3 over IPv4: adverts whose checksum leaves the pseudo-header out.
    pub checksums_without_pseudo_header: u64,
}
