//! What is there of our addresses before the first order is removed.

use std::io;
use std::sync::Arc;

use super::into_io;
use crate::base::Family;
use crate::vrrp::Settings;
use crate::vrrp::io::{address, sysctl};
use crate::vrrp::leftover::{Leftover, leftovers};
use crate::vrrp::links::Links;

/// A sysctl of an interface: the second address of a network becomes the first one where that goes.
pub const PROMOTE: &str = "promote_secondaries";

/// Gives what was found, and what of it stays.
pub async fn remove(handle: &rtnetlink::Handle, all: &[Arc<Settings>], links: &Links) -> io::Result<Vec<Leftover>> {
    let mut found = leftovers(all, links);
    for Leftover { interface, index, held, stays, .. } in found.iter_mut().filter(|one| !one.stays) {
        let family = held.cidr.family();
        // The host's own address may be a secondary one behind it, and would go along.
        let was_off =
            family == Family::V4 && sysctl::get(family, interface, PROMOTE).map_or(true, |before| before == 0);
        let promoted = was_off && sysctl::set(family, interface, PROMOTE, 1).is_ok();
        if was_off && !promoted && !held.ours {
            *stays = true;
            continue;
        }
        let done = address::release(handle, *index, held.cidr, held.peer).await;
        if promoted {
            // An interface that went needs nothing.
            let _ = sysctl::set(family, interface, PROMOTE, 0);
        }
        done.map_err(into_io)?;
    }
    Ok(found)
}
