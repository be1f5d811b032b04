//! What every forwarding plane promises; `tests/contract/` holds all of them to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::table::{DestinationKey, Scheduler, ServiceKey, Step, Table};

/// What a plane can do. A configuration that asks for more is refused before anything is touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The word of `lvs_datapath`: `memory`, `ipvs` or `ebpf`.
    pub plane: &'static str,
    pub schedulers: BTreeSet<Scheduler>,
    pub features: BTreeSet<Feature>,
}

/// `lvs_ebpf_mode`: where the eBPF plane serves. TC is always there, for what XDP leaves to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HookMode {
    /// XDP by the driver of what carries the network itself; TC elsewhere.
    #[default]
    Auto,
    /// XDP everywhere: by the driver, else generic.
    Xdp,
    Tc,
}

/// Where packets of an interface are served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    Xdp,
    GenericXdp,
    Tc,
}

impl Hook {
    /// As users read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::GenericXdp => "generic xdp",
            Self::Tc => "tc",
        }
    }
}

/// An interface that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    pub interface: String,
    /// The first hook that does it.
    pub hook: Hook,
    pub because: HookReason,
}

/// Why an interface is served where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum HookReason {
    #[error("lvs_ebpf_mode is tc")]
    ModeIsTc,
    #[error("its driver runs XDP")]
    DriverRuns,
    #[error("its driver has no XDP")]
    DriverLacks,
    #[error("a virtual link, where TC is faster; lvs_ebpf_mode xdp takes XDP")]
    Virtual,
    #[error("it is part of another interface")]
    Member,
    #[error("it is not Ethernet")]
    NotEthernet,
    #[error("VLAN devices stand on it, and XDP may not see their tags")]
    Vlans,
    #[error("its index is past what XDP is told of")]
    FarIndex,
    /// XDP was to be there.
    #[error("XDP was refused: {0}")]
    Refused(String),
}

impl HookReason {
    /// Whether it is served worse than the mode asks for.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::ModeIsTc
            | Self::DriverRuns
            | Self::DriverLacks
            | Self::Virtual
            | Self::Member
            | Self::NotEthernet
            | Self::Vlans
            | Self::FarIndex => false,
        }
    }
}

/// What a plane may or may not be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    Masq,
    Route,
    /// IPIP; GUE and GRE are named apart.
    Tunnel,
    Gue,
    Gre,
    /// Of GUE and GRE: a checksum over what they carry.
    TunnelChecksum,
    FullNat,
    Sctp,
    Ipv6,
    Fwmark,
    Persistence,
    /// By an engine that reads the packet: the Call-ID of SIP.
    PersistenceEngine,
    OnePacket,
    Thresholds,
}

/// Where `FullNat` connections of a service begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locals {
    pub addresses: Vec<IpAddr>,
    /// The real server is told the client's address and port, in an option of TCP's handshake (kind 254, as DPVS and
    /// Alibaba's LVS write it).
    pub toa: bool,
}

impl From<Vec<IpAddr>> for Locals {
    fn from(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, toa: false }
    }
}

/// A forwarding plane: the kernel's IPVS, our eBPF program, or memory.
///
/// Nobody adds or deletes by hand: `plan(snapshot, desired)` gives the steps.
#[expect(async_fn_in_trait, reason = "the planes are one enum, nobody needs `dyn` or `Send` bounds")]
pub trait Datapath {
    fn capabilities(&self) -> Capabilities;

    /// What the plane holds now.
    async fn snapshot(&mut self) -> Result<Table, DatapathError>;

    /// Carry out the steps in order; one that fails does not keep the others from being tried.
    async fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError>;

    /// Counters of every service and destination since it was added.
    async fn counters(&mut self) -> Result<Counters, DatapathError>;

    /// What a plane has to do now and then by itself: called every few seconds.
    ///
    /// # Errors
    /// [`DatapathError`]; nothing is lost, the next time does it.
    async fn tend(&mut self) -> Result<(), DatapathError> {
        Ok(())
    }

    /// Where `FullNat` connections of these services begin: addresses of this host that nobody else uses. Replaces what
    /// was said before; for services that are there and for those that come.
    ///
    /// # Errors
    /// [`DatapathError::Full`] where a service has more than the plane takes.
    fn set_locals(&mut self, of: &BTreeMap<ServiceKey, Locals>) -> Result<(), DatapathError> {
        let _ = of;
        Ok(())
    }

    /// Packets that were not forwarded as usual since the plane was made, by the word of the reason. A plane that does
    /// not count them answers none.
    fn reasons(&self) -> Vec<(&'static str, u64)> {
        vec![]
    }

    /// Serve at these hooks from now on. `fence`: number of the eBPF map that says until when packets may be served
    /// before the fence has seen them (`bpf/fence.bpf.c`). A plane with one hook takes no notice.
    ///
    /// # Errors
    /// [`DatapathError`]: XDP could not be set up; what is served goes on by TC.
    fn set_hooks(&mut self, mode: HookMode, fence: Option<u32>) -> Result<(), DatapathError> {
        let _ = (mode, fence);
        Ok(())
    }

    /// How many connections the plane has room for. `None`: memory is the limit.
    fn connections_max(&self) -> Option<u32> {
        None
    }

    /// Whether a persistent client with a new connection stays with a server of weight 0. It does not where nobody says
    /// so. A plane whose kernel has a sysctl for it takes no notice.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`].
    fn set_quiescent_keeps(&mut self, keeps: bool) -> Result<(), DatapathError> {
        let _ = keeps;
        Ok(())
    }

    /// The interfaces that are served, and where. A plane with one hook answers none.
    fn hooks(&self) -> Vec<Served> {
        vec![]
    }

    /// Serve packets of exactly these interfaces; called again when links come and go. The answer is those that
    /// exist. A plane that sees all packets without being told answers none.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`] naming the interface that refused.
    fn attach(&mut self, interfaces: &[String]) -> Result<Vec<String>, DatapathError> {
        let _ = interfaces;
        Ok(vec![])
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    #[error(
        "the kernel has no IPVS (module ip_vs): run `modprobe ip_vs`, or choose our own plane with `lvs_datapath ebpf`"
    )]
    NoIpvs,
    #[error("{action}: no permission; the {plane} plane needs {capability}")]
    Permission { plane: &'static str, action: String, capability: &'static str },
    #[error("the {plane} plane cannot {what}")]
    Unsupported { plane: &'static str, what: String },
    #[error("{action}: {object} does not exist")]
    NotFound { action: &'static str, object: String },
    #[error("{action}: the {plane} plane is full: {limit} {what} at most")]
    Full { plane: &'static str, action: String, what: &'static str, limit: u32 },
    #[error("{action}: {source}")]
    Kernel { action: String, source: std::io::Error },
    #[error("{action}: the kernel's answer makes no sense: {detail}")]
    Answer { action: String, detail: String },
    #[error("loading the eBPF program: {detail}")]
    Load { detail: String },
}

/// The steps that a plane refused, each with its reason; the others are done.
#[derive(Debug, thiserror::Error)]
#[error("{} of {tried} changes of the forwarding plane failed; the first: {}", failed.len(), failed.first().map_or_else(String::new, |(_, error)| error.to_string()))]
pub struct ApplyError {
    pub tried: usize,
    pub failed: Vec<(Step, DatapathError)>,
}

/// `ipvsadm --stats` and `--rate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Per second, smoothed as the kernel's estimator does it (`ip_vs_est.c`).
    pub rate: Rate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStats {
    pub stats: Stats,
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceStats {
    pub stats: Stats,
    pub destinations: BTreeMap<DestinationKey, DestinationStats>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub services: BTreeMap<ServiceKey, ServiceStats>,
}
