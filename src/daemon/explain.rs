//! Why a virtual router is what it is, and what it would take to change that: sentences with numbers. Pure.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::{MonoTime, Priority};
use crate::control::api::{Explanation, HistoryStatus};
use crate::daemon::history::{Entry, words};
use crate::daemon::telling::keepalived_word;
use crate::vrrp::settings::Outcome;
use crate::vrrp::{InstanceView, PeerView, Standing, TrackView};

/// Explain `view` as it is at `now`; `all` has the other members of its sync group.
pub fn explain<'a>(
    now: MonoTime,
    unix_s: f64,
    view: &InstanceView,
    all: &[InstanceView],
    history: impl Iterator<Item = &'a Entry>,
) -> Explanation {
    let (because, next) = match view.state {
        Standing::Initialize => initialize(view),
        Standing::Backup => backup(now, view, all),
        Standing::Active => active(now, view),
        Standing::Fault => fault(view),
        Standing::HandingOver => {
            let left = left(now, view.deadline);
            (reason(view), format!("still serves until the new master is heard, {left} more at most"))
        }
        Standing::Stopped => (reason(view), "it is not configured any more".to_owned()),
    };
    Explanation {
        name: view.name.clone(),
        state: keepalived_word(view.state).to_owned(),
        since_s: now.since(view.since).as_secs_f64(),
        interface: view.interface.to_string(),
        vrid: view.vrid.get(),
        priority: view.priority.get(),
        effective_priority: view.effective_priority.get(),
        because,
        next,
        entered_because: reason(view),
        notes: notes(view),
        history: history.map(|entry| shown(unix_s, entry)).collect(),
    }
}

fn shown(unix_s: f64, entry: &Entry) -> HistoryStatus {
    HistoryStatus {
        unix_s: entry.unix_s,
        until_unix_s: entry.until_unix_s,
        s_ago: (unix_s - entry.unix_s).max(0.0),
        text: words::line(&entry.what),
        // Plain data: it always has a JSON form.
        what: serde_json::to_value(&*entry.what).unwrap_or_default(),
    }
}

fn reason(view: &InstanceView) -> String {
    view.reason.as_ref().map_or_else(|| "it has not started yet".to_owned(), ToString::to_string)
}

fn initialize(view: &InstanceView) -> (String, String) {
    let waits: Vec<String> =
        view.tracks.iter().filter(|track| track.outcome.is_none()).map(|track| track.what.to_string()).collect();
    let next = "it becomes BACKUP with the first result".to_owned();
    if waits.is_empty() { (reason(view), next) } else { (format!("it waits for {}", waits.join(", ")), next) }
}

fn fault(view: &InstanceView) -> (String, String) {
    let faults: Vec<String> = view.faults.iter().map(ToString::to_string).collect();
    let because = if faults.is_empty() { reason(view) } else { faults.join("; ") };
    (because, "it becomes BACKUP when all of that is over".to_owned())
}

fn backup(now: MonoTime, view: &InstanceView, all: &[InstanceView]) -> (String, String) {
    let left = left(now, view.deadline);
    let down = seconds(view.active_down);
    if view.wants_active {
        let group = view.sync_group.clone().unwrap_or_default();
        let waits: Vec<String> = all
            .iter()
            .filter(|other| other.name != view.name && other.sync_group == view.sync_group)
            .filter(|other| !other.wants_active && other.state != Standing::Active)
            .map(|other| format!("{} ({})", other.name, keepalived_word(other.state)))
            .collect();
        let next = "it becomes MASTER when all of them can".to_owned();
        return (format!("sync group {group} is not ready: it waits for {}", waits.join(", ")), next);
    }
    let silent = format!("would become MASTER in {left} without another advert (Active_Down {down})");
    let Some((peer, heard)) = view.peer.zip(view.last_heard) else {
        let because = format!("it has heard no advert since it started, {} ago", ago(now, view.since));
        return (because, format!("becomes MASTER in {left} unless it hears one (Active_Down {down})"));
    };
    let last = format!("last heard {} ago", ago(now, heard));
    let PeerView { addr, priority } = peer;
    if priority == 0 {
        return (format!("{addr} resigned, {last}"), format!("becomes MASTER in {left}"));
    }
    let since = view.peer_since.map_or_else(String::new, |since| format!(" since {} ago", ago(now, since)));
    let ours = view.effective_priority;
    let because = format!("{addr} advertises {}{since}, {last}", compared(priority, ours, addr));
    let next = match view.preempt_at {
        _ if priority >= ours.get() => silent,
        Some(at) if at > now => {
            format!("preempts in {} (preempt_delay); without another advert in {left}", seconds(at - now))
        }
        _ if view.yielded => format!("{silent}; after `vipd failover` it lets the lesser master go on"),
        _ if !view.preempt => format!("{silent}; nopreempt lets the lesser master go on"),
        Some(_) | None => format!("becomes MASTER in {left}: it preempts the lesser master"),
    };
    (because, next)
}

fn compared(theirs: u8, ours: Priority, addr: IpAddr) -> String {
    match theirs.cmp(&ours.get()) {
        std::cmp::Ordering::Greater => format!("{theirs} > {ours}"),
        std::cmp::Ordering::Equal => format!("{theirs} = {ours}, and {addr} was first or has the greater address,"),
        std::cmp::Ordering::Less => format!("{theirs} < {ours}"),
    }
}

fn active(now: MonoTime, view: &InstanceView) -> (String, String) {
    let ours = view.effective_priority;
    let peer = match (view.peer, view.last_heard) {
        (Some(PeerView { addr, priority }), Some(heard)) => {
            format!("the last other router it heard was {addr} with priority {priority}, {} ago", ago(now, heard))
        }
        (Some(_) | None, Some(_) | None) => "it has heard no other router".to_owned(),
    };
    let lasting = if ours.is_owner() {
        "it owns the addresses: nobody can preempt it".to_owned()
    } else {
        format!("would become BACKUP by an advert above {ours}, or of {ours} from a greater address")
    };
    let because = format!("{}; {peer}", reason(view));
    (because, format!("{lasting}; its next advert is due in {}", left(now, view.deadline)))
}

/// What else an operator may want to know.
fn notes(view: &InstanceView) -> Vec<String> {
    let mut notes: Vec<String> = view.tracks.iter().map(|track| tracked(view, track)).collect();
    if view.priority != view.effective_priority {
        let (base, now) = (view.priority, view.effective_priority);
        notes.insert(0, format!("its priority is {now}: {base} as configured, with the weights of what it tracks"));
    }
    if !view.discards.is_empty() {
        let counted: Vec<String> = view.discards.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        notes.push(format!("rejected packets since it was configured: {}", counted.join(", ")));
    }
    let counters = &view.counters;
    notes.push(format!(
        "since it was configured it sent {} adverts and heard {}; {} moves, {} conflicts, {} addresses put back",
        counters.adverts_sent,
        counters.adverts_received,
        counters.transitions,
        counters.conflicts,
        counters.addresses_restored,
    ));
    notes
}

fn tracked(view: &InstanceView, track: &TrackView) -> String {
    let is = match track.outcome {
        None => "has no result yet".to_owned(),
        Some(Outcome::Good(true)) => "is good".to_owned(),
        Some(Outcome::Good(false)) => "is bad".to_owned(),
        Some(Outcome::Number(number)) => format!("says {number}"),
    };
    let effect = match track.weight.filter(|weight| *weight != 0) {
        _ if track.fault => "which is a fault".to_owned(),
        None => "its failure is a fault".to_owned(),
        Some(weight) => format!("weight {weight:+}, now {:+} to the priority", track.adds),
    };
    format!("{} {is} ({effect}{})", track.what, never(view, track).unwrap_or_default())
}

/// The drop that a failure brings would not be enough: the most common mistake with weights.
fn never(view: &InstanceView, track: &TrackView) -> Option<String> {
    let weight = track.weight.filter(|weight| *weight != 0)?;
    let peer = view.peer.map(|peer| peer.priority).filter(|priority| *priority > 0)?;
    if view.state != Standing::Active || track.outcome != Some(Outcome::Good(true)) || track.reverse {
        return None;
    }
    let after = i32::from(view.effective_priority.get()) - i32::from(weight.unsigned_abs());
    (after > i32::from(peer)).then(|| format!("; its failure would leave {after}, and {peer} was heard: no failover"))
}

fn left(now: MonoTime, at: Option<MonoTime>) -> String {
    at.map_or_else(|| "an unknown time".to_owned(), |at| seconds(at.since(now)))
}

fn ago(now: MonoTime, then: MonoTime) -> String {
    seconds(now.since(then))
}

/// Milliseconds while they matter.
fn seconds(span: Duration) -> String {
    match span.as_secs() {
        0..=9 => format!("{:.3} s", span.as_secs_f64()),
        10..=119 => format!("{:.1} s", span.as_secs_f64()),
        120..=7199 => format!("{} min {} s", span.as_secs() / 60, span.as_secs() % 60),
        whole => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests;
