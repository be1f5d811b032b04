//! What a drill promises for a fault, and whether the records kept it. Pure: no clock, no socket.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Serialize;

use crate::base::MonoTime;
use crate::lab::pair::Seat;
use crate::lab::records::{Flow, Probe, Window};

/// The VIP is looked for each few milliseconds, on two hosts: two sightings closer than this are simultaneous.
pub const SIGHT: Duration = Duration::from_millis(20);

/// What an outage is called.
pub const OUTAGE: &str = "clients without an answer";

/// A bound that theory gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// All clients together are without an answer for at most `limit`.
    Outage { limit: Duration, formula: String },
    /// No probe is lost and no connection fails.
    NothingLost,
    /// No long-lived connection breaks.
    LongLivedKept,
    /// Clients of the dead `server` are without an answer for at most `limit`.
    ServerOut { server: String, limit: Duration, formula: String },
    /// No client that had other servers than `server` loses a probe or a connection.
    OthersUnharmed { server: String },
    /// `server` answers somebody again within `limit`.
    ServerBack { server: String, limit: Duration, formula: String },
    /// The VIP is gone from the killed host `seat` within `limit`.
    VipGone { seat: Seat, limit: Duration, formula: String },
    /// The VIP stays where it is.
    NoMove,
    /// The VIP is not gone from `seat` before the other director has it.
    VipKept { seat: Seat },
    /// No probe is lost; connections may break where they end on the directors themselves.
    NoProbeLost,
    /// Two had the VIP; `loser` lets go within `limit`.
    OneOwner { loser: Seat, limit: Duration, formula: String },
    /// `seat` claims the VIP by gratuitous ARP within `limit`.
    Announced { seat: Seat, vip: Ipv4Addr, limit: Duration, formula: String },
    /// Whenever the VIP is gone from `seat`, it is back within `limit`.
    Restored { seat: Seat, limit: Duration },
    /// Whoever asks `deaf` gets no answer any more when the other director has answered for `limit`.
    OneAnswers { deaf: Seat, limit: Duration, formula: &'static str },
    /// 999 of 1000 adverts of `seat` come at their time, `limit` more or less.
    Punctual { seat: Seat, interval: Duration, limit: Duration },
}

/// A promise, held against the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub promise: String,
    /// How the limit comes about; empty where it is zero by itself.
    pub formula: String,
    pub limit: Amount,
    /// None: it did not come to an end while the drill looked.
    pub measured: Option<Amount>,
    pub kept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    Microseconds(u64),
    Count(usize),
    Kibibytes(u64),
}

impl From<Duration> for Amount {
    fn from(span: Duration) -> Self {
        Self::Microseconds(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Promise {
    /// `interval` is the time between two probes, `flows` how many flows share them.
    pub fn judge(&self, window: &Window, interval: Duration, flows: u32) -> Verdict {
        let nothing = Amount::Count(0);
        match self {
            Self::Outage { limit, formula } => {
                let measured = outage(window.from, window.probes_after(), interval);
                within(OUTAGE.to_owned(), formula, *limit, measured)
            }
            Self::NothingLost => {
                let lost = lost(window, |_| true) + failed(window, |_| true);
                exactly("no probe lost, no connection failed".to_owned(), nothing, lost)
            }
            Self::LongLivedKept => {
                let broken = window.broken_after().count();
                exactly("no connection in flight broke".to_owned(), nothing, broken)
            }
            Self::ServerOut { server, limit, formula } => {
                let measured = server_outage(window, server, interval * flows);
                within(format!("clients of {server} without an answer"), formula, *limit, measured)
            }
            Self::OthersUnharmed { server } => {
                let (probes, requests) = (flows_of_others(window, server), request_flows_of_others(window, server));
                let harmed =
                    lost(window, |flow| probes.contains(&flow)) + failed(window, |flow| requests.contains(&flow));
                exactly(format!("no failure for clients of other servers than {server}"), nothing, harmed)
            }
            Self::ServerBack { server, limit, formula } => {
                within(format!("{server} answers again"), formula, *limit, first_answer(window, server))
            }
            Self::VipGone { seat, limit, formula } => {
                let gone = moved(window, *seat, false).map(|at| at.since(window.from));
                within(format!("VIP gone from the killed {seat} (lease)"), formula, *limit, gone)
            }
            Self::NoMove => {
                let moves = window.moves.iter().filter(|moved| moved.at >= window.from).count();
                exactly("the VIP did not move".to_owned(), nothing, moves)
            }
            Self::NoProbeLost => exactly("no probe lost".to_owned(), nothing, lost(window, |_| true)),
            Self::OneOwner { loser, limit, formula } => {
                let gone = moved(window, *loser, false).map(|at| at.since(window.from));
                within(format!("VIP gone from {loser}: one owner again"), formula, *limit, gone)
            }
            Self::Announced { seat, vip, limit, formula } => {
                let mut claims = window.claims.iter().filter(|claim| claim.at >= window.from);
                let first = claims.find(|claim| claim.seat == *seat && claim.addr == *vip);
                let measured = first.map(|claim| claim.at.since(window.from));
                within(format!("{seat} announces the VIP"), formula, *limit, measured)
            }
            Self::Restored { seat, limit } => {
                within(format!("VIP back on {seat}"), "what vipd promises", *limit, longest_absence(window, *seat))
            }
            Self::OneAnswers { deaf, limit, formula } => {
                let what = format!("{deaf} and {} answer for the VIP at the same time", deaf.other());
                within(what, formula, *limit, both_answer(window, *deaf))
            }
            Self::Punctual { seat, interval, limit } => {
                let what = format!("adverts of {seat} early or late, p99.9");
                within(what, "what vipd promises", *limit, jitter(window, *seat, *interval))
            }
            Self::VipKept { seat } => {
                let peer = moved(window, seat.other(), true);
                let early = match (moved(window, *seat, false), peer) {
                    (Some(gone), Some(there)) => Some(there.since(gone)),
                    (None, Some(_)) => Some(Duration::ZERO),
                    (Some(_) | None, None) => None,
                };
                let what = format!("VIP on nobody between {seat} and {}", seat.other());
                within(what, "how often the drill looks", SIGHT, early)
            }
        }
    }
}

fn within(promise: String, formula: &str, limit: Duration, measured: Option<Duration>) -> Verdict {
    Verdict {
        promise,
        formula: formula.to_owned(),
        limit: limit.into(),
        measured: measured.map(Amount::from),
        kept: measured.is_some_and(|measured| measured <= limit),
    }
}

fn exactly(promise: String, limit: Amount, count: usize) -> Verdict {
    let measured = Amount::Count(count);
    Verdict { promise, formula: String::new(), limit, measured: Some(measured), kept: measured == limit }
}

/// Of something that was counted beside the records.
pub fn at_most(promise: String, limit: usize, count: usize) -> Verdict {
    let (formula, measured) = (String::new(), Some(Amount::Count(count)));
    Verdict { promise, formula, limit: Amount::Count(limit), measured, kept: count <= limit }
}

/// The longest time without an answer, as a client sees it: between the sending of two probes that were answered
/// with at least one lost in between, less the interval. Zero where none is lost; none where it did not end.
///
/// A pause of the client itself, with nothing lost, is no outage.
pub fn outage<'a>(from: MonoTime, probes: impl Iterator<Item = &'a Probe>, interval: Duration) -> Option<Duration> {
    let (mut last, mut silent, mut longest) = (from, false, Duration::ZERO);
    for probe in probes {
        if probe.answer.is_none() {
            silent = true;
            continue;
        }
        if silent {
            longest = longest.max(probe.sent.since(last).saturating_sub(interval));
        }
        (last, silent) = (probe.sent, false);
    }
    (!silent).then_some(longest)
}

/// Probes since the fault without an answer, of the flows that `counts`.
pub fn lost(window: &Window, counts: impl Fn(Flow) -> bool) -> usize {
    window.probes_after().filter(|probe| probe.answer.is_none() && counts(probe.flow)).count()
}

/// The longest that a probe since the fault waited for its answer.
pub fn slowest(window: &Window) -> Duration {
    let waits = window.probes_after().filter_map(|probe| Some(probe.answer.as_ref()?.at.since(probe.sent)));
    waits.max().unwrap_or_default()
}

/// Connections since the fault that failed, of the flows that `counts`.
pub fn failed(window: &Window, counts: impl Fn(Flow) -> bool) -> usize {
    window.requests_after().filter(|request| request.result.is_err() && counts(request.flow)).count()
}

/// Flows of which a probe was answered before the fault by a server that `counts`.
fn answered_flows(window: &Window, counts: impl Fn(&str) -> bool) -> BTreeSet<Flow> {
    let before = window.probes.iter().filter(|probe| probe.sent < window.from);
    let theirs = before.filter(|probe| probe.answer.as_ref().is_some_and(|answer| counts(&answer.from)));
    theirs.map(|probe| probe.flow).collect()
}

/// Flows of which a connection was answered before the fault by a server that `counts`.
fn connected_flows(window: &Window, counts: impl Fn(&str) -> bool) -> BTreeSet<Flow> {
    let before = window.requests.iter().filter(|request| request.started < window.from);
    let theirs = before.filter(|request| request.result.as_ref().is_ok_and(|name| counts(name)));
    theirs.map(|request| request.flow).collect()
}

fn probe_flows(window: &Window, server: &str) -> BTreeSet<Flow> {
    answered_flows(window, |name| name == server)
}

fn request_flows(window: &Window, server: &str) -> BTreeSet<Flow> {
    connected_flows(window, |name| name == server)
}

/// Flows that only other servers answered. Of one that nobody answered yet nothing is known.
fn flows_of_others(window: &Window, server: &str) -> BTreeSet<Flow> {
    &answered_flows(window, |name| name != server) - &probe_flows(window, server)
}

fn request_flows_of_others(window: &Window, server: &str) -> BTreeSet<Flow> {
    &connected_flows(window, |name| name != server) - &request_flows(window, server)
}

/// The longest outage of a single flow of `server`: of its probes, and until its last failed connection.
fn server_outage(window: &Window, server: &str, interval: Duration) -> Option<Duration> {
    let mut longest = Duration::ZERO;
    for flow in probe_flows(window, server) {
        let of_flow = window.probes_after().filter(|probe| probe.flow == flow);
        longest = longest.max(outage(window.from, of_flow, interval)?);
    }
    let flows = request_flows(window, server);
    let of_server = window.requests_after().filter(|request| flows.contains(&request.flow));
    let failures = of_server.filter(|request| request.result.is_err());
    let last = failures.map(|request| request.started.since(window.from)).max();
    Some(longest.max(last.unwrap_or_default()))
}

fn first_answer(window: &Window, server: &str) -> Option<Duration> {
    let answers = window.probes_after().filter_map(|probe| probe.answer.as_ref());
    let probes = answers.filter(|answer| *answer.from == *server).map(|answer| answer.at);
    let requests =
        window.requests_after().filter(|request| request.result.as_ref().is_ok_and(|name| **name == *server));
    let first = probes.chain(requests.map(|request| request.ended)).min();
    first.map(|at| at.since(window.from))
}

/// When `seat` first got the VIP, or lost it, since the fault.
fn moved(window: &Window, seat: Seat, holds: bool) -> Option<MonoTime> {
    let mut moves = window.moves.iter().filter(|moved| moved.at >= window.from);
    moves.find(|moved| moved.seat == seat && moved.holds == holds).map(|moved| moved.at)
}

/// The longest time between the VIP leaving `seat` and coming back; zero where it was quicker than the drill looks,
/// none where it did not come back.
fn longest_absence(window: &Window, seat: Seat) -> Option<Duration> {
    let (mut gone, mut longest) = (None, Duration::ZERO);
    for moved in window.moves.iter().filter(|moved| moved.seat == seat && moved.at >= window.from) {
        if !moved.holds {
            gone = Some(moved.at);
        } else if let Some(since) = gone.take() {
            longest = longest.max(moved.at.since(since));
        }
    }
    gone.is_none().then_some(longest)
}

/// From the first answer of the other director to the last one of `seat`, since the fault; none where either was never
/// heard: then nobody asked.
fn both_answer(window: &Window, seat: Seat) -> Option<Duration> {
    window.replies.iter().find(|reply| reply.seat == seat)?;
    let after = |seat: Seat| window.replies.iter().filter(move |reply| reply.seat == seat && reply.at >= window.from);
    let first = after(seat.other()).map(|reply| reply.at).min()?;
    let last = after(seat).map(|reply| reply.at).max();
    // `since` is zero where it is the other way round.
    Some(last.map_or(Duration::ZERO, |last| last.since(first)))
}

/// How far 999 of 1000 distances between two adverts of `seat` are from `interval`, at most; none without two adverts.
pub fn jitter(window: &Window, seat: Seat, interval: Duration) -> Option<Duration> {
    let mut last: BTreeMap<u8, MonoTime> = BTreeMap::new();
    let mut off = vec![];
    for advert in window.adverts.iter().filter(|advert| advert.seat == seat && advert.at >= window.from) {
        if let Some(before) = last.insert(advert.vrid, advert.at) {
            off.push(advert.at.since(before).abs_diff(interval));
        }
    }
    off.sort_unstable();
    let rank = (off.len() * 999).div_ceil(1000);
    off.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests;
