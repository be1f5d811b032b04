//! `bfd_instance NAME`.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use super::track::{WEIGHTS, weight};
use super::value::{error, host_word, number, set};
use crate::base::Family;
use crate::config::model::{BfdInstance, MaxHops};
use crate::config::problem::{Problem, Severity};
use crate::config::tree::{Statement, Word};

/// keepalived's defaults.
const MIN: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_secs(1);
const MULTIPLIER: u8 = 5;
/// The longest time in milliseconds that 32 bits of microseconds hold.
const MILLIS_MAX: i64 = 4_294_967;
/// Above it a session takes long to see anything, and keepalived warns.
const MILLIS_LONG: i64 = 10_000;

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

fn millis(statement: &Statement<'_>, least: i64, problems: &mut Vec<Problem>) -> Option<Duration> {
    let millis: u32 = number(problems, statement, 0, least..=MILLIS_MAX, "ms")?;
    if i64::from(millis) > MILLIS_LONG {
        let what = statement.keyword.text;
        let message = format!("`{what}` is {} s, so that a failure is seen late", millis / 1000);
        problems.push(Problem::new("bfd-slow", Severity::Warning, statement.at(), message).label("above 10 s"));
    }
    Some(Duration::from_millis(millis.into()))
}
