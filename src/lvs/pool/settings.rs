//! What the configuration says of a virtual server, in the words of the forwarding plane; no health.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Family, Weight};
use crate::lvs::datapath::Locals;
use crate::lvs::table::{Destination, DestinationKey, Entry, Forwarding, Persistence, Protocol, Service, ServiceKey};

/// keepalived's `persistence_timeout` where a service of every port names none, in seconds.
const PERSISTENCE_DEFAULT_S: u32 = 360;

/// What names a pool from one reload to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PoolId {
    /// `virtual_server ADDR PORT` or `virtual_server fwmark N`.
    Service(ServiceKey),
    /// `virtual_server group NAME`: several services with one set of real servers and one quorum.
    Group { name: String, protocol: Protocol },
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => key.fmt(f),
            Self::Group { name, protocol } => write!(f, "{protocol} group {name}"),
        }
    }
}

/// A `virtual_server` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    pub id: PoolId,
    /// One service, or all services of a group.
    pub services: Vec<ServiceKey>,
    pub service: Service,
    /// Addresses of this host that `FullNat` connections begin at.
    pub locals: Locals,
    /// Sum of the weights of live servers below which the pool is lost; 1 by default, 0 counts as 1.
    pub quorum: u32,
    /// Lost below `quorum - hysteresis`, gained again at `quorum + hysteresis`.
    pub hysteresis: u32,
    /// Stopping counts as going down: its events are told ([`super::Pool::stop`]).
    pub omega: bool,
    pub sorry_server: Option<SorryServer>,
    /// `slow_start`: a server that comes up gets its weight step by step over this time; zero: at once.
    pub slow_start: Duration,
    /// `drain_time`: a server that leaves the configuration keeps its connections for so long; zero: it is removed at once.
    pub drain_time: Duration,
    /// `rs_init_notifies`: that a server is up at first is told too.
    pub init_notifies: bool,
    pub real_servers: BTreeMap<DestinationKey, RealServer>,
}

/// `sorry_server`: serves while the quorum is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SorryServer {
    pub address: DestinationKey,
    pub forwarding: Forwarding,
    /// `sorry_server_inhibit`: stays in the table with weight 0 instead of being removed.
    pub inhibit: bool,
}

/// A `real_server` block without its checkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealServer {
    pub forwarding: Forwarding,
    pub weight: Weight,
    /// `inhibit_on_failure`: weight 0 instead of removal.
    pub inhibit_on_failure: bool,
    pub upper_threshold: u32,
    pub lower_threshold: u32,
    pub start: Start,
}

/// How a real server stands before its first check result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It has no checker, so it is always up.
    Unchecked,
    /// Up until a checker fails: keepalived's default.
    Up,
    /// `alpha`: out of the table until every checker has succeeded once.
    Down,
}

/// What keepalived complains about and corrects; the pool runs with the corrected value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Adjustment {
    #[error("{pool}: quorum {quorum} is above the sum of weights, lowered to {lowered}")]
    Quorum { pool: PoolId, quorum: u32, lowered: u32 },
    #[error("{pool}: hysteresis {hysteresis} must be less than quorum {quorum}, lowered to {lowered}")]
    Hysteresis { pool: PoolId, hysteresis: u32, quorum: u32, lowered: u32 },
    #[error("{pool}: a service of every port needs persistence, turned on with {PERSISTENCE_DEFAULT_S} s")]
    Persistence { pool: PoolId },
    #[error("{pool}: {real_server} has another address family than the service and is no tunnel, dropped")]
    Family { pool: PoolId, real_server: DestinationKey },
}

impl PoolSettings {
    /// Everything that the plane may hold of it at one time or another: all real servers and the sorry server.
    pub fn whole(self) -> Vec<(ServiceKey, Entry)> {
        let (settings, _) = self.adjusted();
        let entry = |key: ServiceKey| {
            let reals = settings.real_servers.iter().filter(|(at, real)| reaches(key, **at, real.forwarding));
            let reals = reals.map(|(at, real)| (table_key(key, *at, real.forwarding), real.destination(real.weight)));
            let sorry = settings.sorry_server.iter().filter(|one| reaches(key, one.address, one.forwarding));
            let sorry = sorry.map(|one| (table_key(key, one.address, one.forwarding), one.destination(Weight::ONE)));
            Entry { service: settings.service, destinations: reals.chain(sorry).collect() }
        };
        settings.services.iter().map(|key| (*key, entry(*key))).collect()
    }

    /// Settings that can hold, and what had to be changed for it (keepalived `check_data.c`).
    #[must_use]
    pub fn adjusted(mut self) -> (Self, Vec<Adjustment>) {
        let mut told = vec![];
        let pool = self.id.clone();
        self.real_servers.retain(|at, real_server| {
            let fits = self.services.iter().any(|key| reaches(*key, *at, real_server.forwarding));
            if !fits {
                told.push(Adjustment::Family { pool: pool.clone(), real_server: *at });
            }
            fits
        });
        self.quorum = self.quorum.max(1);
        let sum = self.real_servers.values().map(|real_server| u64::from(real_server.weight.get())).sum::<u64>();
        let lowered = u32::try_from(sum).unwrap_or(u32::MAX).max(1);
        if self.quorum > lowered {
            told.push(Adjustment::Quorum { pool: pool.clone(), quorum: self.quorum, lowered });
            self.quorum = lowered;
        }
        if self.hysteresis >= self.quorum {
            let (hysteresis, quorum, lowered) = (self.hysteresis, self.quorum, self.quorum.saturating_sub(1));
            if hysteresis != lowered {
                told.push(Adjustment::Hysteresis { pool: pool.clone(), hysteresis, quorum, lowered });
            }
            self.hysteresis = lowered;
        }
        let every_port = |key: &ServiceKey| matches!(key, ServiceKey::Address { port: 0, .. });
        if self.service.persistence.is_none() && self.services.iter().any(every_port) {
            let family = self.services.first().map_or(Family::V4, ServiceKey::family);
            self.service.persistence =
                Some(Persistence { timeout_s: PERSISTENCE_DEFAULT_S, prefix_len: family.bits(), sip: false });
            told.push(Adjustment::Persistence { pool });
        }
        (self, told)
    }
}

/// Only a tunnel joins two address families (`ip_vs_ctl.c`). Of a group with both each service has the servers of its own.
pub(super) fn reaches(service: ServiceKey, at: DestinationKey, forwarding: Forwarding) -> bool {
    matches!(forwarding, Forwarding::Tunnel(_)) || service.family() == Family::of(at.addr)
}

impl RealServer {
    /// What the table says of it with this weight.
    pub const fn destination(&self, weight: Weight) -> Destination {
        Destination {
            forwarding: self.forwarding,
            weight,
            upper_threshold: self.upper_threshold,
            lower_threshold: self.lower_threshold,
        }
    }
}

impl SorryServer {
    pub const fn destination(&self, weight: Weight) -> Destination {
        Destination { forwarding: self.forwarding, weight, upper_threshold: 0, lower_threshold: 0 }
    }
}

/// The destination that a real server is within a service.
///
/// Route and Tunnel leave the port as it is, so the port is the service's; a firewall mark has none.
pub const fn table_key(service: ServiceKey, at: DestinationKey, forwarding: Forwarding) -> DestinationKey {
    let port = match (forwarding, service) {
        (Forwarding::Masq | Forwarding::FullNat, _) => at.port,
        (Forwarding::Route | Forwarding::Tunnel(_), ServiceKey::Address { port, .. }) => port,
        (Forwarding::Route | Forwarding::Tunnel(_), ServiceKey::Fwmark { .. }) => 0,
    };
    DestinationKey { addr: at.addr, port }
}
