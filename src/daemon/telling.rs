//! What happened, told: one log event each, with fields, and a line for the recorder. The only place that says so.
//!
//! Messages begin as keepalived's do, since people grep for them; fields carry what programs need.

use crate::daemon::history::words;
use crate::daemon::recorder::Kind;
use crate::vrrp::{ConflictPhase, Failure, Happened, Standing, Warning};

/// The word keepalived's users know.
pub const fn keepalived_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Initialize => "INIT",
        Standing::Backup => "BACKUP",
        Standing::Active | Standing::HandingOver => "MASTER",
        Standing::Fault => "FAULT",
        Standing::Stopped => "STOP",
    }
}

/// A line for the recorder: of which kind, of whom, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub kind: Kind,
    pub name: String,
    pub text: String,
}

/// Log it; what an operator asks about afterwards comes back as a line to keep.
pub fn tell(happened: &Happened) -> Option<Line> {
    match happened {
        Happened::Moved { at: _, instance, from, to, reason, priority, late, evidence: _ } => {
            moved(instance, *from, *to, reason, priority.get(), late.as_micros())
        }
        Happened::Conflict { at: _, instance, phase, rival, theirs } => {
            conflict(instance, *phase, &rival.to_string(), theirs.get())
        }
        Happened::PriorityChanged { at: _, instance, from, to } => {
            tracing::info!(%instance, from = from.get(), to = to.get(), "({instance}) Changing effective priority from {from} to {to}");
            line(instance, format!("effective priority {from} -> {to}"))
        }
        Happened::Discarded { at: _, instance, interface, from, reason, count } => {
            if let Some(instance) = instance {
                tracing::warn!(%instance, %interface, %from, %reason, count, "advert discarded");
            } else {
                // Virtual routers of others are on the same network: that is no news.
                tracing::debug!(%interface, %from, %reason, count, "advert for nobody here discarded");
            }
            None
        }
        Happened::Claimed { at: _, instance, address, mac, count } => {
            let mac = words::mac(*mac);
            tracing::warn!(%instance, %address, mac, count, "({instance}) {mac} says that {address} is there; announced again");
            line(instance, format!("{mac} says that {address} is there; announced again"))
        }
        Happened::PeerChanged { at: _, instance, from: _, to } => {
            tracing::debug!(%instance, from = %to.addr, priority = to.priority, "another peer, or another priority");
            None
        }
        Happened::LinkChanged { at: _, instance, interface, state } => {
            tracing::info!(%instance, %interface, ?state, "({instance}) interface {interface} changed");
            None
        }
        Happened::LinkFlapped { at: _, instance, interface, state, lasted, count } => {
            let text = words::flapped(interface, *state, *lasted, *count);
            tracing::info!(%instance, %interface, ?state, lasted_us = lasted.as_micros(), "({instance}) {text}");
            None
        }
        Happened::Warned { at: _, instance, from, warning } => {
            warned(instance, &from.to_string(), warning);
            None
        }
        Happened::AddressLost { at: _, instance, address, put_back } => {
            let text = words::removed(address, *put_back);
            tracing::warn!(%instance, %address, put_back, "({instance}) {text}");
            line(instance, text)
        }
        Happened::AddressFound { at: _, instance, interface, address, removed } => {
            let text = words::was_there(interface, address, *removed);
            tracing::warn!(%instance, %interface, %address, removed, "({instance}) {text}");
            line(instance, text)
        }
        Happened::Failed { at: _, instance, failure } => failed(instance, failure),
        Happened::Stalled { at: _, late } => {
            tracing::warn!(late_us = late.as_micros(), "the heartbeat was not run for {:.3} s", late.as_secs_f64());
            line("heartbeat", format!("was not run for {:.3} s", late.as_secs_f64()))
        }
        Happened::RouteRestored { at: _, instance, what } => {
            let text = format!("somebody else removed the {what}; it is back");
            tracing::warn!(instance, "({instance}) {text}");
            line(instance, text)
        }
        Happened::Resynced { at: _, count } => {
            tracing::warn!(count, "netlink lost messages; everything was read again");
            None
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every arm of `tell` gives what there is to keep")]
fn line(name: &str, text: String) -> Option<Line> {
    Some(Line { kind: Kind::Instance, name: name.to_owned(), text })
}

fn moved(
    instance: &str,
    from: Standing,
    to: Standing,
    reason: &crate::vrrp::Reason,
    priority: u8,
    late_us: u128,
) -> Option<Line> {
    let (was, is) = (keepalived_word(from), keepalived_word(to));
    let cause = reason.word();
    if to == Standing::HandingOver {
        tracing::info!(instance, %from, %to, cause, priority, "({instance}) resigned, serving until the new master is heard");
        return line(instance, format!("resigned, serving on: {reason}"));
    }
    tracing::info!(instance, %from, %to, cause, priority, late_us, "({instance}) Entering {is} STATE: {reason}");
    line(instance, format!("{was} -> {is}: {reason}"))
}

fn conflict(instance: &str, phase: ConflictPhase, rival: &str, theirs: u8) -> Option<Line> {
    let text = match phase {
        ConflictPhase::Began => {
            format!("Received advert from {rival} with lower priority {theirs}, forcing new election")
        }
        ConflictPhase::Won => format!("{rival} with priority {theirs} fell silent; announced again"),
        ConflictPhase::Lost => format!("Master received advert from {rival} with higher priority {theirs}"),
    };
    let phase = match phase {
        ConflictPhase::Began => "conflict_began",
        ConflictPhase::Won => "conflict_won",
        ConflictPhase::Lost => "conflict_lost",
    };
    tracing::info!(instance, phase, rival, theirs, "({instance}) {text}");
    line(instance, text)
}

fn warned(instance: &str, from: &str, warning: &Warning) {
    match warning {
        Warning::AddressList { theirs, ours } => {
            tracing::warn!(
                instance,
                from,
                theirs,
                ours,
                "({instance}) {from} advertises another list of addresses than ours"
            );
        }
        Warning::Interval { theirs_centis, ours_centis } => {
            tracing::warn!(
                instance,
                from,
                theirs_centis,
                ours_centis,
                "({instance}) {from} advertises at another interval than ours"
            );
        }
        Warning::TwoOwners => {
            tracing::error!(instance, from, "({instance}) CONFIGURATION ERROR: {}", words::two_owners(&from));
        }
        Warning::ChecksumForm { pseudo_header } => {
            tracing::warn!(
                instance,
                from,
                pseudo_header,
                "({instance}) {from} computes the checksum in the other way (v3_checksum_as_v2); it may not take ours"
            );
        }
    }
}

fn failed(instance: &str, failure: &Failure) -> Option<Line> {
    let text = words::failed(failure);
    tracing::error!(instance, "({instance}) {text}");
    line(instance, text)
}
