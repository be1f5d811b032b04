//! What the forwarding task tells: events, and the state that readers see.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    pub pools: Vec<PoolView>,
    /// Why the plane does not hold what it should; `None` while it does.
    pub refused: Option<String>,
    /// Events lost because nobody took them in time.
    pub events_lost: u64,
}
