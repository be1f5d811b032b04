//! The daemon's answers, as JSON has them. Words are keepalived's and ipvsadm's; `daemon/` fills them in.

use serde::{Deserialize, Serialize};

/// `GET /status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    /// `RUNNING`, or `STOPPING` while it hands over.
    pub state: String,
    pub uptime_s: u64,
    pub config: ConfigStatus,
    #[serde(default)]
    pub scheduling: SchedulingStatus,
    pub instances: Vec<InstanceStatus>,
    /// What virtual routers track, besides interfaces.
    pub trackers: Vec<TrackerStatus>,
    pub virtual_servers: Vec<VirtualServerStatus>,
    /// `None`: nothing is forwarded.
    #[serde(default)]
    pub plane: Option<PlaneStatus>,
    /// VRRP packets that are for none of the virtual routers, by interface and reason.
    pub strangers: std::collections::BTreeMap<String, std::collections::BTreeMap<String, u64>>,
    /// ARP packets, Neighbour Advertisements and frames of a virtual MAC that could not be read; kinds never met are left
    /// out.
    #[serde(default)]
    pub bad_frames: std::collections::BTreeMap<String, u64>,
    /// BFD packets that were dropped, by reason.
    pub bfd_discards: std::collections::BTreeMap<String, u64>,
    /// The last moves and changes, oldest first; at most [`EVENTS_MAX`].
    pub events: Vec<EventStatus>,
    pub counters: DaemonCounters,
}

/// How many events the daemon keeps for `status`.
pub const EVENTS_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigStatus {
    pub file: String,
    /// Seconds since it was loaded.
    pub loaded_s_ago: u64,
    pub reloads: u64,
    pub failed_reloads: u64,
    /// What the last reload that failed said.
    pub last_failure: Option<String>,
}

/// How the thread that sends adverts gets the processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulingStatus {
    /// `real-time, priority 2`; `ordinary, nice -20`.
    pub heartbeat: String,
    /// Why it is not what was wanted; then adverts may be late on a busy machine.
    pub refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    pub name: String,
    /// MASTER, BACKUP, FAULT, INIT or STOP.
    pub state: String,
    pub interface: String,
    pub vrid: u8,
    pub family: String,
    pub version: u8,
    pub priority: u8,
    pub effective_priority: u8,
    /// Seconds since the last move.
    pub since_s: f64,
    /// Why it is in this state, as one phrase.
    pub because: String,
    pub addresses: Vec<String>,
    /// Whoever advertises for this virtual router, as last heard.
    pub peer: Option<PeerStatus>,
    pub active_down_ms: f64,
    pub adverts_sent: u64,
    pub adverts_received: u64,
    pub transitions: u64,
    #[serde(default)]
    pub counters: InstanceCounters,
    /// Packets dropped, by reason; reasons never met are left out.
    pub discards: std::collections::BTreeMap<String, u64>,
}

/// What else a virtual router counts, since it was configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounters {
    pub became_master: u64,
    pub released_master: u64,
    pub priority_zero_sent: u64,
    pub priority_zero_received: u64,
    /// Gratuitous ARPs and unsolicited Neighbour Advertisements.
    pub announcements_sent: u64,
    /// Another one served at the same time, and one of the two gave way.
    pub conflicts: u64,
    /// Neighbours said that one of our addresses is theirs.
    pub claims: u64,
    /// Somebody took them away, and they were put back.
    pub addresses_restored: u64,
    /// The same of routes and rules.
    pub routes_restored: u64,
    pub send_failures: u64,
}

/// The forwarding plane as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneStatus {
    /// `ebpf` or `ipvs`.
    pub name: String,
    /// Why it does not hold what it should; `None` while it does.
    pub refused: Option<String>,
    /// The interfaces that are served, and where their packets are served first: `xdp`, `generic xdp` or `tc`.
    pub hooks: std::collections::BTreeMap<String, String>,
    /// Why each of them is served there.
    pub hooks_because: std::collections::BTreeMap<String, HookBecause>,
    /// Connections that it tracks now.
    pub connections: u32,
    /// How many it has room for; `None`: memory is the limit.
    pub connections_max: Option<u32>,
    /// Packets that were not forwarded as usual since the plane was made, by reason; 0 for those never met, so
    /// that a monitor sees the first one.
    pub reasons: std::collections::BTreeMap<String, u64>,
}

/// Why an interface is served at its hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookBecause {
    pub reason: String,
    /// It is served worse than the configuration asks for.
    pub is_refusal: bool,
}

/// A tracked script, file or process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// `script`, `file`, `process`.
    pub kind: String,
    pub name: String,
    /// `good`, `bad`, the number of a file; `unknown` before the first result.
    pub state: String,
    /// Why, as one phrase.
    pub because: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    pub address: String,
    pub priority: u8,
    pub heard_s_ago: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VirtualServerStatus {
    /// As the configuration names it: the service, or `TCP group NAME`.
    #[serde(default)]
    pub virtual_server: String,
    /// As ipvsadm writes it: `TCP 192.0.2.1:80`, `FWM 7`.
    pub service: String,
    pub plane: String,
    pub scheduler: String,
    pub forwarding: String,
    /// `up` with quorum, `down` without, `sorry` on the sorry server.
    pub state: String,
    pub quorum: u32,
    pub live_weight: u64,
    pub connections: u64,
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    pub real_servers: Vec<RealServerStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RealServerStatus {
    pub address: String,
    /// `up`, `down`, `untried`, `draining`, `disabled`, or `sorry` where it is the sorry server.
    pub state: String,
    /// Seconds since its checks last changed its state; nothing where it has none.
    pub since_s: Option<f64>,
    /// What an operator wants of it: `drain`, `disable`, `weight N`; `None` where the configuration stands.
    #[serde(default)]
    pub by_operator: Option<String>,
    pub weight: u32,
    pub configured_weight: u32,
    pub active: u32,
    pub inactive: u32,
    pub connections: u64,
    pub checks: Vec<CheckStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckStatus {
    pub kind: String,
    pub state: String,
    /// The last result as one phrase; where it is `stale`, why there is none any more.
    pub last: Option<String>,
    /// Of a result.
    pub latency_ms: Option<f64>,
    /// Since the last run, whatever it came to.
    pub age_s: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventStatus {
    /// Seconds before this answer.
    pub s_ago: f64,
    /// `instance`, `real_server`, `virtual_server`, `script`, `config`, `plane`.
    pub kind: String,
    pub name: String,
    pub text: String,
}

/// `GET /explain?NAME`: why a virtual router is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub name: String,
    /// MASTER, BACKUP, FAULT, INIT or STOP.
    pub state: String,
    /// Seconds since the last move.
    pub since_s: f64,
    pub interface: String,
    pub vrid: u8,
    pub priority: u8,
    pub effective_priority: u8,
    /// Why it is so now.
    pub because: String,
    /// What changes it, and when.
    pub next: String,
    /// Why it entered this state.
    pub entered_because: String,
    pub notes: Vec<String>,
    /// Oldest first.
    pub history: Vec<HistoryStatus>,
}

/// `POST /failover`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverRequest {
    pub instance: String,
    /// Let go also where nobody takes over.
    pub force: bool,
}

/// `POST /maintenance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRequest {
    pub on: bool,
    /// `None`: every virtual router.
    pub instance: Option<String>,
    /// Let go also where nobody takes over.
    pub force: bool,
}

/// What was done, as one phrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub said: String,
}

/// One entry of the flight recorder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// Seconds since 1970.
    pub unix_s: f64,
    /// The last of several that are one entry.
    pub until_unix_s: Option<f64>,
    pub s_ago: f64,
    pub text: String,
    /// The same as data: what happened, with its numbers. Its form follows the daemon's version.
    pub what: serde_json::Value,
}

/// What the daemon lost, since it started. All zero is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonCounters {
    pub events_lost: u64,
    pub log_lines_lost: u64,
    pub plane_failures: u64,
}

/// What `POST /reload` answers when the file was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Of the file; what they stand in was left out.
    pub errors: usize,
}

/// What `POST /reload` and others answer when they refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub error: String,
}
