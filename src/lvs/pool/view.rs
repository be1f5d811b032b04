//! What `status` and metrics show of a pool. Plain data that leaves the process.

use serde::{Deserialize, Serialize};

use super::{Health, Pool, PoolId, Wish};
use crate::base::Weight;
use crate::lvs::table::{DestinationKey, Forwarding, Service, ServiceKey};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    pub id: PoolId,
    pub services: Vec<ServiceKey>,
    /// Scheduler, flags, persistence.
    pub service: Service,
    pub quorum: u32,
    pub hysteresis: u32,
    pub quorum_up: bool,
    /// Sum of the weights of live real servers: what the quorum is compared with.
    pub live_weight: u64,
    pub sorry_server: Option<SorryServerView>,
    pub real_servers: Vec<RealServerView>,
    /// They left the configuration, and keep their connections for `drain_time`.
    pub leaving: Vec<LeavingView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavingView {
    pub address: DestinationKey,
    pub forwarding: Forwarding,
    /// The weight that was configured.
    pub weight_configured: Weight,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SorryServerView {
    pub address: DestinationKey,
    pub forwarding: Forwarding,
    /// It serves: the quorum is lost.
    pub active: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServerView {
    /// As the configuration names it; in the table the port can be the service's.
    pub address: DestinationKey,
    pub forwarding: Forwarding,
    pub weight_configured: Weight,
    /// The weight in the table; `None`: not in the table.
    pub weight_now: Option<Weight>,
    pub health: Health,
    pub wish: Option<Wish>,
}

impl Pool {
    pub fn view(&self) -> PoolView {
        let settings = self.settings();
        let real_servers = settings.real_servers.iter().filter_map(|(at, real)| {
            let member = self.members.get(at)?;
            Some(RealServerView {
                address: *at,
                forwarding: real.forwarding,
                weight_configured: real.weight,
                weight_now: self.weight_now(*at, real),
                health: member.health,
                wish: member.wish,
            })
        });
        let leaving = self.leaving.iter().map(|(at, real)| LeavingView {
            address: *at,
            forwarding: real.forwarding,
            weight_configured: real.weight,
        });
        let active = !self.has_quorum();
        PoolView {
            id: settings.id.clone(),
            services: settings.services.clone(),
            service: settings.service,
            quorum: settings.quorum,
            hysteresis: settings.hysteresis,
            quorum_up: self.has_quorum(),
            live_weight: self.live_weight(),
            sorry_server: settings.sorry_server.map(|sorry| SorryServerView {
                address: sorry.address,
                forwarding: sorry.forwarding,
                active,
            }),
            real_servers: real_servers.collect(),
            leaving: leaving.collect(),
        }
    }
}
