//! `bfd_instance` to the session's settings.

use crate::bfd::Settings;
use crate::config::model;

/// The TTL that proves that no router was passed (RFC 5881 section 5).
const TTL_MAX: u8 = 255;

pub fn session(bfd: &model::BfdInstance) -> Settings {
    let model::BfdInstance {
        name,
        at: _,
        neighbor,
        source,
        min_rx,
        min_tx,
        idle_tx,
        multiplier,
        passive,
        ttl,
        max_hops,
        multihop,
        weight: _,
        reverse: _,
        for_vrrp: _,     // Who tracks it says so by itself,
        for_checkers: _, // and so does a BFD_CHECK.
    } = bfd;
    Settings {
        name: name.clone(),
        neighbor: *neighbor,
        source: *source,
        min_rx: *min_rx,
        min_tx: *min_tx,
        idle_tx: *idle_tx,
        multiplier: *multiplier,
        passive: *passive,
        ttl: ttl.unwrap_or(TTL_MAX),
        ttl_min: match max_hops {
            Some(model::MaxHops::Any) => 0,
            Some(model::MaxHops::Most(hops)) => TTL_MAX - hops,
            None if *multihop => 0,
            None => TTL_MAX,
        },
        multihop: *multihop,
    }
}
