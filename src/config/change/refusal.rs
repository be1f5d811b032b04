//! Why a running daemon does not take up a file that could be started: a reload must never hurt.

use std::collections::HashSet;

use super::transition::key;
use crate::base::Count;
use crate::config::model::Config;
use crate::config::problem::Flaws;

/// Nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("lvs_datapath cannot change while vipd runs: restart it, the peer takes over meanwhile")]
    PlaneChanged,
    #[error("the file ends inside a block, as one does that was saved halfway: close it (`vipd check` shows where)")]
    Unclosed,
    #[error("the file has no virtual router and no virtual server left; to end everything, stop the daemon")]
    Empty,
    #[error("the file has {}, and no `{lost}`, which runs: mend it first (`vipd check` shows what)", Count(*errors, "error"))]
    Loses { errors: usize, lost: String },
}

/// Why a daemon that runs `old` refuses `new`, of which the file has these flaws.
pub fn refusal(old: &Config, new: &Config, flaws: Flaws) -> Option<Refusal> {
    // A plane is open as soon as there is a virtual server, and stays.
    if old.global.plane != new.global.plane && !old.virtual_servers.is_empty() {
        return Some(Refusal::PlaneChanged);
    }
    if flaws.unclosed {
        return Some(Refusal::Unclosed);
    }
    let instances: HashSet<_> = new.instances.iter().map(key).collect();
    let services: HashSet<_> = new.virtual_servers.iter().map(|one| &one.id).collect();
    let router = old.instances.iter().find(|one| !instances.contains(&key(one)));
    let service = || old.virtual_servers.iter().find(|one| !services.contains(&one.id));
    let lost = router
        .map(|router| format!("vrrp_instance {}", router.name))
        .or_else(|| service().map(|service| format!("virtual_server {}", service.id)))?;
    match flaws.errors {
        _ if instances.is_empty() && services.is_empty() => Some(Refusal::Empty),
        0 => None,
        errors => Some(Refusal::Loses { errors, lost }),
    }
}
