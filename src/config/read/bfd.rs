//! `bfd_instance NAME`.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use super::track::{WEIGHTS, weight};
use super::value::{TIME_MAX, error, host_word, number, set, thousandths};
use crate::base::Family;
use crate::config::model::{BfdInstance, CheckerKind, Config, MaxHops};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// keepalived's defaults.
const MIN: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_secs(1);
const MULTIPLIER: u8 = 5;
/// What IPv6 packets start with where nothing is said; those of IPv4 start with 255.
const HOP_LIMIT: u8 = 64;
/// Above it a session takes long to see anything, and keepalived warns.
const LONG: Duration = Duration::from_secs(10);
/// A millisecond, in microseconds.
const MILLI: u64 = 1000;

/// One session; `None` where it has no neighbour.
pub fn read(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<BfdInstance> {
    let name = statement.arg(0)?;
    let mut neighbor: Option<IpAddr> = None;
    let mut bfd = BfdInstance {
        name: name.text.to_owned(),
        at: name.at,
        neighbor: std::net::Ipv4Addr::UNSPECIFIED.into(),
        source: None,
        min_rx: MIN,
        min_tx: MIN,
        idle_tx: IDLE,
        multiplier: NonZeroU8::new(MULTIPLIER)?,
        passive: false,
        ttl: None,
        max_hops: None,
        multihop: false,
        weight: 0,
        reverse: false,
        for_vrrp: false,
        for_checkers: false,
    };
    for inner in statement.statements() {
        match inner.keyword.text {
            "neighbor_ip" | "neighbour_ip" => neighbor = address(inner, problems),
            "source_ip" => bfd.source = address(inner, problems),
            "min_rx" => set(&mut bfd.min_rx, millis(inner, 1, problems)),
            "min_tx" => set(&mut bfd.min_tx, millis(inner, 1, problems)),
            "idle_tx" => set(&mut bfd.idle_tx, millis(inner, 1000, problems)),
            "multiplier" => {
                set(&mut bfd.multiplier, number::<u8>(problems, inner, 0, 1..=255, "").and_then(NonZeroU8::new));
            }
            "passive" => bfd.passive = true,
            "ttl" | "hoplimit" => bfd.ttl = number(problems, inner, 0, 1..=255, ""),
            "max_hops" => {
                let hops: Option<i16> = number(problems, inner, 0, -1..=255, "");
                bfd.max_hops = hops.map(|hops| u8::try_from(hops).map_or(MaxHops::Any, MaxHops::Most));
            }
            "multihop" => bfd.multihop = true,
            "weight" => {
                let (weight, reverse) = weight(problems, inner, WEIGHTS);
                set(&mut bfd.weight, weight);
                bfd.reverse = reverse;
            }
            "vrrp" => bfd.for_vrrp = true,
            "checker" => bfd.for_checkers = true,
            _ => {}
        }
    }
    let Some(neighbor) = neighbor else {
        problems.push(incomplete(name));
        return None;
    };
    bfd.neighbor = neighbor;
    hops_within_ttl(&mut bfd, problems);
    if bfd.source.is_some_and(|source| Family::of(source) != Family::of(neighbor)) {
        let message = format!("bfd_instance `{}` has a neighbour of one family and a source of the other", bfd.name);
        problems.push(error("wrong-family", name, message).label("left out"));
        return None;
    }
    Some(bfd)
}

fn incomplete(name: Word<'_>) -> Problem {
    let message = format!("bfd_instance `{}` has no `neighbor_ip`, and is left out", name.text);
    error("block-incomplete", name, message).label("left out").help("add: neighbor_ip ADDRESS")
}

fn address(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<IpAddr> {
    host_word(problems, statement.keyword.text, statement.arg(0)?)
}

fn millis(statement: &Statement<'_>, least: u64, problems: &mut Vec<Problem>) -> Option<Duration> {
    let time = thousandths(problems, statement, 0, least * MILLI..=TIME_MAX / MILLI * MILLI)?;
    if time > LONG {
        let what = statement.keyword.text;
        let message = format!("`{what}` is {} s, so that a failure is seen late", time.as_secs());
        problems.push(Problem::new("bfd-slow", Severity::Warning, statement.at(), message).label("above 10 s"));
    }
    Some(time)
}

/// A packet starts with `ttl`, so it cannot have lost more of it.
fn hops_within_ttl(bfd: &mut BfdInstance, problems: &mut Vec<Problem>) {
    let ttl = bfd.ttl.unwrap_or(match Family::of(bfd.neighbor) {
        Family::V4 => u8::MAX,
        Family::V6 => HOP_LIMIT,
    });
    let most = match bfd.max_hops {
        None => return,
        Some(MaxHops::Any) => u8::MAX,
        Some(MaxHops::Most(most)) => most,
    };
    if most > ttl {
        let message = format!("bfd_instance `{}` allows more hops than its packets live ({ttl})", bfd.name);
        problems.push(
            Problem::new("hops-above-ttl", Severity::Error, bfd.at, message)
                .label(format!("`max_hops {ttl}` is used"))
                .help("lower max_hops, or raise ttl"),
        );
        bfd.max_hops = Some(MaxHops::Most(ttl));
    }
}

/// What is wrong between sessions and those who use them: of two with one neighbour the first is kept, and who is told
/// of a session is what it says (`vrrp`, `checker`; neither is both).
pub fn settle(config: &mut Config, problems: &mut Vec<Problem>) {
    let mut seen: Vec<(IpAddr, Option<IpAddr>, Span)> = vec![];
    config.bfds.retain(|bfd| {
        let same = |(neighbor, source, _): &&(IpAddr, Option<IpAddr>, Span)| {
            *neighbor == bfd.neighbor && (*source == bfd.source || source.is_none() || bfd.source.is_none())
        };
        let Some((.., first)) = seen.iter().find(same) else {
            seen.push((bfd.neighbor, bfd.source, bfd.at));
            return true;
        };
        let message = format!("bfd_instance `{}` has the neighbour {} of another session", bfd.name, bfd.neighbor);
        problems.push(
            Problem::new("duplicate-neighbour", Severity::Error, bfd.at, message)
                .label("left out")
                .related(*first, "the first one is kept")
                .help("track the first session, or give each its own source_ip"),
        );
        false
    });
    let Config { bfds, instances, sync_groups, virtual_servers, .. } = config;
    let not_for = |name: &str, wanted: fn(&BfdInstance) -> bool| {
        bfds.iter().any(|bfd| bfd.name == name && (bfd.for_vrrp || bfd.for_checkers) && !wanted(bfd))
    };
    let mut keep = |name: &str, at: Span, used: &str, wanted: fn(&BfdInstance) -> bool, word: &str| {
        let wrong = not_for(name, wanted);
        if wrong {
            let message = format!("`{used}` names the bfd_instance `{name}`, which is not for it");
            problems.push(
                Problem::new("bfd-not-for-this", Severity::Error, at, message)
                    .label("left out")
                    .help(format!("add `{word}` to the bfd_instance")),
            );
        }
        !wrong
    };
    let tracking = instances.iter_mut().map(|instance| &mut instance.track);
    for track in tracking.chain(sync_groups.iter_mut().map(|group| &mut group.track)) {
        track.bfds.retain(|entry| keep(&entry.name, entry.at, "track_bfd", |bfd| bfd.for_vrrp, "vrrp"));
    }
    for real in virtual_servers.iter_mut().flat_map(|server| &mut server.real_servers) {
        real.checkers.retain(|checker| {
            let CheckerKind::Bfd { session, at } = &checker.kind else { return true };
            keep(session, *at, "BFD_CHECK", |bfd| bfd.for_checkers, "checker")
        });
    }
}
