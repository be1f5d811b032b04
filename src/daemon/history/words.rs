//! How an entry of the flight recorder reads: one line, with its numbers.

use std::fmt;
use std::time::Duration;

use super::What;
use crate::base::{Cidr, IfName};
use crate::daemon::telling::keepalived_word;
use crate::vrrp::settings::Outcome;
use crate::vrrp::{ConflictPhase, Evidence, Failure, Happened, LinkState, PeerView, Standing, Warning};

/// One line.
pub fn line(what: &What) -> String {
    match what {
        What::Happened(happened) => describe(happened),
        What::Tracker { what, outcome, reason } => match outcome {
            Outcome::Good(true) => format!("{what} is good: {reason}"),
            Outcome::Good(false) => format!("{what} is bad: {reason}"),
            Outcome::Number(number) => format!("{what} says {number}: {reason}"),
        },
        What::Daemon { text } => text.clone(),
    }
}

fn describe(happened: &Happened) -> String {
    match happened {
        Happened::Moved { at: _, instance: _, from, to, reason, priority, late, evidence } => {
            let mut text = if *to == Standing::HandingOver {
                format!("resigned, serving on: {reason}")
            } else {
                format!("{} -> {}: {reason}", keepalived_word(*from), keepalived_word(*to))
            };
            text.push_str(&format!(" [priority {priority}{}{}]", lateness(*late), seen(evidence)));
            text
        }
        Happened::Conflict { at: _, instance: _, phase, rival, theirs } => match phase {
            ConflictPhase::Began => format!("{rival} is Active too, with the lower priority {theirs}; answered it"),
            ConflictPhase::Won => format!("{rival} with priority {theirs} fell silent; announced again"),
            ConflictPhase::Lost => format!("{rival} is Active too, and better: priority {theirs}"),
        },
        Happened::PriorityChanged { at: _, instance: _, from, to } => format!("effective priority {from} -> {to}"),
        Happened::PeerChanged { at: _, instance: _, from, to } => match from {
            None => format!("heard {} for the first time, {}", to.addr, says(to)),
            Some(from) if from.addr == to.addr => format!("{} {} (before: {})", to.addr, says(to), from.priority),
            Some(from) => format!("heard {}, {} (before: {}, {})", to.addr, says(to), from.addr, from.priority),
        },
        Happened::LinkChanged { at: _, instance: _, interface, state } => match state {
            LinkState::Up => format!("interface {interface} is up"),
            LinkState::Down => format!("interface {interface} is down or has no carrier"),
            LinkState::Gone => format!("interface {interface} is gone"),
        },
        Happened::LinkFlapped { at: _, instance: _, interface, state, lasted, count } => {
            flapped(interface, *state, *lasted, *count)
        }
        Happened::Discarded { at: _, instance: _, interface, from, reason, count } => {
            format!("rejected {count} packets on {interface}, the last from {from}: {reason}")
        }
        Happened::Warned { at: _, instance: _, from, warning } => match warning {
            Warning::AddressList { theirs, ours } => {
                format!("{from} advertises another list of addresses than ours ({theirs} to {ours}); taken")
            }
            Warning::Interval { theirs_centis, ours_centis } => {
                format!("{from} advertises each {theirs_centis} cs, and we each {ours_centis} cs")
            }
            Warning::TwoOwners => two_owners(from),
            Warning::ChecksumForm { .. } => {
                format!(
                    "{from} computes the checksum in the other way (v3_checksum_as_v2); taken, but it may not take ours"
                )
            }
        },
        Happened::RouteRestored { at: _, instance: _, what } => format!("somebody removed the {what}; put back"),
        Happened::AddressLost { at: _, instance: _, address, put_back } => removed(address, *put_back),
        Happened::AddressFound { at: _, instance: _, interface, address, removed } => {
            was_there(interface, address, *removed)
        }
        Happened::Claimed { at: _, instance: _, address, mac, count } => {
            format!("{} said {} that {address} is there; announced again", self::mac(*mac), times(*count))
        }
        Happened::Failed { at: _, instance: _, failure } => failed(failure),
        Happened::Stalled { at: _, late } => {
            format!("our own thread was not run for {:.3} s", late.as_secs_f64())
        }
        Happened::Resynced { at: _, count } => format!("netlink lost messages ({}); all was read again", times(*count)),
    }
}

/// Both are configured as the owner of the addresses.
pub fn two_owners(from: &impl fmt::Display) -> String {
    format!("{from} has priority 255 as well: addresses have one owner, give one of the two another priority")
}

/// An address that somebody removed.
pub fn removed(address: &Cidr, put_back: bool) -> String {
    let then = if put_back { "put back" } else { "once too often, and not put back" };
    format!("somebody removed {address}; {then}")
}

/// A change that its delay kept from counting.
pub fn flapped(interface: &IfName, state: LinkState, lasted: Duration, count: u64) -> String {
    let was = match state {
        LinkState::Up => "up",
        LinkState::Down | LinkState::Gone => "down",
    };
    let most = if count == 1 { "" } else { " at most" };
    let seconds = lasted.as_secs_f64();
    format!("interface {interface} was {was} {}, for {seconds:.3} s{most}: too short to count", times(count))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn says(peer: &PeerView) -> String {
    match peer.priority {
        0 => "resigns".to_owned(),
        priority => format!("advertises {priority}"),
    }
}

/// Below this a deadline was served in time.
const IN_TIME: Duration = Duration::from_millis(5);

fn lateness(late: Duration) -> String {
    if late < IN_TIME { String::new() } else { format!(", our timer was {:.3} s late", late.as_secs_f64()) }
}

fn seen(evidence: &Evidence) -> String {
    let Evidence { heard, rejected, last } = evidence;
    let mut text = format!("; since the move before {heard} adverts heard");
    if *rejected > 0 {
        text.push_str(&format!(", {rejected} rejected"));
    }
    if let Some((PeerView { addr, priority }, ago)) = last {
        text.push_str(&format!("; last {addr} with {priority}, {:.3} s before", ago.as_secs_f64()));
    }
    text
}

/// A virtual address that was there before the start.
pub fn was_there(interface: &IfName, address: &Cidr, removed: bool) -> String {
    if removed {
        return format!(
            "{address} was on {interface} before the start, left by another daemon or set by hand: removed"
        );
    }
    format!(
        "{address} was on {interface} before the start and stays, since {interface} would have no other address, or adverts \
         none to come from, or other addresses would go along (promote_secondaries cannot be set): this host answers for \
         it as BACKUP too; give {interface} an address of its own"
    )
}

/// `02:00:00:00:00:09`.
pub fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

/// What the kernel refused.
pub fn failed(failure: &Failure) -> String {
    match failure {
        Failure::Advert { error } => format!("an advert could not be sent: {error}"),
        Failure::Announce { address, error } => format!("{address} could not be announced: {error}"),
        Failure::AddressAdd { address, error } => format!("{address} could not be added: {error}"),
        Failure::AddressRemove { address, error } => format!("{address} could not be removed: {error}"),
        Failure::RouteAdd { what, error } => format!("the {what} could not be added: {error}"),
        Failure::RouteRemove { what, error } => format!("the {what} could not be removed: {error}"),
        Failure::Device { name, error } => format!("the interface {name} could not be had: {error}"),
        Failure::NotRefused { error } => format!("packets for its addresses are not refused (no_accept): {error}"),
        Failure::Sysctl { name, error } => format!("the sysctl {name} could not be set: {error}"),
    }
}
