//! What the forwarding task tells: events to the supervisor, the view that readers have, and how both get out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;

use super::Task;
use crate::lvs::datapath::Served;
use crate::lvs::director::{Told, Unseen};
use crate::lvs::ipvsadm::manual::Manual;
use crate::lvs::pool::{PoolEvent, PoolId, PoolView};
use crate::lvs::table::Step;

/// What the task tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LvsEvent {
    Pool {
        pool: PoolId,
        event: PoolEvent,
    },
    /// Somebody else changed our services; these steps repair it.
    ForeignChange {
        repair: Vec<Step>,
    },
    /// The plane refused a change; tried again after the pause.
    Refused {
        error: String,
        retry_in: Duration,
    },
    /// The plane follows again.
    Recovered,
}

/// What readers see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LvsView {
    /// `memory`, `ipvs` or `ebpf`.
    pub plane: String,
    /// The interfaces that are served, and where; of a plane with one hook none.
    pub hooks: Vec<Served>,
    /// How many connections it has room for; `None`: memory is the limit.
    pub connections_max: Option<u32>,
    pub pools: Vec<PoolView>,
    /// Why the plane does not hold what it should; `None` while it does.
    pub refused: Option<String>,
    /// Events lost because nobody took them in time.
    pub events_lost: u64,
}

impl<D: Manual> Task<D> {
    pub(super) fn tell_pools(&mut self, told: Vec<Told>) {
        for (pool, event) in told {
            match event {
                // The checkers have told why.
                PoolEvent::RealServerUp { .. } | PoolEvent::RealServerDown { .. } => {
                    tracing::debug!(%pool, "virtual server: {event}");
                }
                PoolEvent::QuorumGained { .. } | PoolEvent::SorryServerIn { .. } | PoolEvent::SorryServerOut { .. } => {
                    tracing::info!(%pool, "virtual server: {event}");
                }
                PoolEvent::QuorumLost { .. } | PoolEvent::WishDropped { .. } => {
                    tracing::warn!(%pool, "virtual server: {event}");
                }
            }
            self.tell(LvsEvent::Pool { pool, event });
        }
    }

    /// Forwarding does not wait for those who listen: an event that finds the queue full is lost and counted.
    pub(super) fn tell(&mut self, event: LvsEvent) {
        match self.events.try_send(event) {
            // Nobody listens: a caller's choice.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => self.events_lost = self.events_lost.saturating_add(1),
        }
    }

    pub(super) fn publish(&mut self) {
        let unseen = self.director.take_unseen();
        let director = &self.director;
        self.views.send_modify(|view| {
            match unseen {
                Unseen::All => view.pools = director.views(),
                Unseen::Pools(changed) => {
                    for pool in changed.iter().filter_map(|id| director.view(id)) {
                        // In the order of their names since they were last published all together.
                        let at = view.pools.binary_search_by(|known| known.id.cmp(&pool.id));
                        if let Some(known) = at.ok().and_then(|at| view.pools.get_mut(at)) {
                            *known = pool;
                        }
                    }
                }
            }
            self.plane.capabilities().plane.clone_into(&mut view.plane);
            view.hooks = self.plane.hooks();
            view.connections_max = self.plane.connections_max();
            view.refused.clone_from(&self.refused);
            view.events_lost = self.events_lost;
        });
    }
}
