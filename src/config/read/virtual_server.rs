//! `virtual_server`: what its statements say. What follows from them together is `virtual_server/settle.rs`.

mod settle;

pub use settle::{Groups, Members};

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use super::value::{TIME_MAX, address, choice, error, flag, number, number_word, seconds, set};
use super::{checker, notify, real_server};
use crate::base::{Family, Weight};
use crate::config::model::{
    CheckDefaults, Command, LbKind, Protocol, RealServer, SorryServer, VirtualServer, VirtualServerId, Wrapping,
    WrappingChecksum,
};
use crate::config::near::nearest;
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// The schedulers by ipvsadm's names.
const SCHEDULERS: [(&str, &str); 14] = [
    ("rr", "rr"),
    ("wrr", "wrr"),
    ("lc", "lc"),
    ("wlc", "wlc"),
    ("lblc", "lblc"),
    ("lblcr", "lblcr"),
    ("dh", "dh"),
    ("sh", "sh"),
    ("sed", "sed"),
    ("nq", "nq"),
    ("fo", "fo"),
    ("ovf", "ovf"),
    ("mh", "mh"),
    ("twos", "twos"),
];
const KINDS: [(&str, LbKind); 5] = [
    ("NAT", LbKind::Nat),
    ("DR", LbKind::Dr),
    ("TUN", LbKind::Tun(Wrapping::Ipip)),
    ("FNAT", LbKind::FullNat),
    ("FULLNAT", LbKind::FullNat),
];
const PERSISTENCE_MAX: i64 = 2_678_400;
const PERSISTENCE_DEFAULT: u32 = 360;

/// What the statements of one service said; `None`: nothing.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the file, free of the others")]
struct Draft {
    family: Option<(Family, Span)>,
    lb_algo: Option<&'static str>,
    sched_flags: [bool; 3],
    lb_kind: Option<LbKind>,
    local_addresses: Option<String>,
    toa: bool,
    protocol: Option<(Protocol, Span)>,
    ops: Option<Span>,
    persistence_timeout: Option<u32>,
    persistence_prefix: Option<u8>,
    persistence_asked: bool,
    /// Where `persistence_engine sip` stands.
    sip: Option<Span>,
    quorum: Option<(u32, Span)>,
    hysteresis: Option<(u32, Span)>,
    quorum_up: Option<Box<Command>>,
    quorum_down: Option<Box<Command>>,
    alpha: bool,
    omega: bool,
    ha_suspend: bool,
    slow_start: Option<Duration>,
    drain_time: Option<Duration>,
    sorry: Option<(SorryServer, Span)>,
    sorry_inhibit: bool,
    inhibit_on_failure: bool,
    check: CheckDefaults,
    virtualhost: Option<String>,
    mail: Option<bool>,
    real_servers: Vec<RealServer>,
    /// One at least was named, whatever came of it.
    named_real_servers: bool,
}

/// One service; `None` where it could not run, with the problem that says why.
pub fn read(statement: &Statement<'_>, groups: &Groups<'_>, problems: &mut Vec<Problem>) -> Option<VirtualServer> {
    let id = id(statement, problems);
    let blocks = statement.statements().iter().filter(|inner| inner.block.is_some()).count();
    let mut draft = Draft { real_servers: Vec::with_capacity(blocks), ..Draft::default() };
    let mut service_weight = Weight::ONE;
    for inner in statement.statements() {
        if inner.keyword.text == "weight" {
            let weight = number::<u32>(problems, inner, 0, 1..=i64::from(Weight::MAX), "");
            set(&mut service_weight, weight.and_then(|weight| Weight::new(weight).ok()));
        }
    }
    for inner in statement.statements() {
        match inner.keyword.text {
            "real_server" => {
                draft.named_real_servers = true;
                draft.real_servers.extend(real_server::read(inner, service_weight, problems));
            }
            keyword => {
                let read =
                    balancing(keyword, inner, &mut draft, problems) || quorum(keyword, inner, &mut draft, problems);
                if !read && !checker::times(inner, &mut draft.check, problems) {
                    options(keyword, inner, &mut draft, problems);
                }
            }
        }
    }
    settle::settle(id?, statement.at(), draft, groups, problems)
}

/// `ADDR [PORT]`, `fwmark N` or `group NAME`.
fn id(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<VirtualServerId> {
    let first = statement.arg(0)?;
    if ["fwmark", "group"].contains(&first.text) && statement.arg(1).is_none() {
        let message = format!("`virtual_server {}` does not say which one", first.text);
        problems.push(
            Problem::new("missing-argument", Severity::Fatal, first.at, message)
                .label("something is missing after it")
                .help("the form is: virtual_server ADDR PORT | fwmark MARK | group NAME"),
        );
    }
    match first.text {
        "fwmark" => {
            let mark = number_word(problems, "fwmark", statement.arg(1)?, 1..=i64::from(u32::MAX), "")?;
            NonZeroU32::new(mark).map(|mark| VirtualServerId::Fwmark { mark })
        }
        "group" => Some(VirtualServerId::Group { name: statement.arg(1)?.text.to_owned() }),
        _ => {
            let addr = address(problems, statement, 0)?;
            let port = match statement.arg(1) {
                Some(port) => number_word(problems, "port", port, 0..=65_535, "")?,
                None => 0,
            };
            Some(VirtualServerId::Address { addr, port })
        }
    }
}

/// How packets are given out; false: the keyword is none of it.
fn balancing(keyword: &str, inner: &Statement<'_>, draft: &mut Draft, problems: &mut Vec<Problem>) -> bool {
    match keyword {
        "lb_algo" | "lvs_sched" => set(&mut draft.lb_algo, choice(problems, inner, 0, &SCHEDULERS).map(Some)),
        "lb_kind" | "lvs_method" => set(&mut draft.lb_kind, kind(inner, problems).map(Some)),
        "toa" => set(&mut draft.toa, flag(problems, inner)),
        "laddr_group_name" => draft.local_addresses = inner.arg(0).map(|name| name.text.to_owned()),
        "sh-fallback" | "mh-fallback" | "sh-port" | "mh-port" | "hashed" if !hashes(draft.lb_algo) => {
            let message = format!("`{keyword}` is for the schedulers sh and mh");
            problems.push(
                Problem::new("flag-without-scheduler", Severity::Error, inner.keyword.at, message)
                    .label("passed over")
                    .help("write it below `lb_algo sh` or `lb_algo mh`"),
            );
        }
        "flag-1" | "sh-fallback" | "mh-fallback" => raise(&mut draft.sched_flags, 0),
        "flag-2" | "sh-port" | "mh-port" => raise(&mut draft.sched_flags, 1),
        "flag-3" => raise(&mut draft.sched_flags, 2),
        "ops" => draft.ops = Some(inner.keyword.at),
        "protocol" => set(&mut draft.protocol, protocol(inner, problems).map(Some)),
        "persistence_timeout" => {
            draft.persistence_asked |= inner.arg(0).is_none();
            let timeout = number(problems, inner, 0, 1..=PERSISTENCE_MAX, "seconds");
            set(&mut draft.persistence_timeout, timeout.map(Some));
        }
        "persistence_granularity" => {
            let prefix = inner.arg(0).and_then(|word| granularity(word, problems));
            draft.persistence_asked |= prefix.is_some();
            draft.persistence_prefix = prefix;
        }
        "persistence_engine" => {
            draft.sip = choice(problems, inner, 0, &[("sip", ())]).map(|()| inner.at());
        }
        "ip_family" => {
            const FAMILIES: [(&str, Family); 2] = [("inet", Family::V4), ("inet6", Family::V6)];
            draft.family = choice(problems, inner, 0, &FAMILIES).map(|family| (family, inner.at()));
        }
        _ => return false,
    }
    true
}

/// Quorum and the sorry server; false: the keyword is none of it.
fn quorum(keyword: &str, inner: &Statement<'_>, draft: &mut Draft, problems: &mut Vec<Problem>) -> bool {
    match keyword {
        "quorum" => {
            let quorum = number(problems, inner, 0, 1..=i64::from(u32::MAX), "");
            draft.quorum = quorum.map(|quorum| (quorum, inner.at()));
        }
        "hysteresis" => {
            let hysteresis = number(problems, inner, 0, 0..=i64::from(u32::MAX), "");
            draft.hysteresis = hysteresis.map(|hysteresis| (hysteresis, inner.at()));
        }
        "quorum_up" => notify::first_only(&mut draft.quorum_up, inner, problems),
        "quorum_down" => notify::first_only(&mut draft.quorum_down, inner, problems),
        "sorry_server" => draft.sorry = sorry_server(inner, problems).map(|sorry| (sorry, inner.at())),
        "sorry_server_inhibit" if draft.sorry.is_some() => draft.sorry_inhibit = true,
        "sorry_server_lvs_method" => {
            let kind = kind(inner, problems);
            match &mut draft.sorry {
                Some((sorry, _)) => sorry.lb_kind = kind,
                None => problems.push(before_sorry(inner)),
            }
        }
        "sorry_server_inhibit" => problems.push(before_sorry(inner)),
        _ => return false,
    }
    true
}

fn before_sorry(inner: &Statement<'_>) -> Problem {
    let message = format!("no `sorry_server` stands before `{}`", inner.keyword.text);
    Problem::new("no-sorry-server", Severity::Error, inner.keyword.at, message)
        .label("passed over")
        .help("write it below the line of the sorry server")
}

fn hashes(lb_algo: Option<&str>) -> bool {
    lb_algo.is_some_and(|name| ["sh", "mh"].contains(&name))
}

fn options(keyword: &str, inner: &Statement<'_>, draft: &mut Draft, problems: &mut Vec<Problem>) {
    match keyword {
        "retry" => checker::retry(inner, &mut draft.check, problems),
        "alpha" => draft.alpha = true,
        "omega" => draft.omega = true,
        "ha_suspend" => draft.ha_suspend = true,
        "slow_start" => draft.slow_start = seconds(problems, inner, 0, 1..=TIME_MAX),
        "drain_time" => draft.drain_time = seconds(problems, inner, 0, 1..=TIME_MAX),
        "inhibit_on_failure" => draft.inhibit_on_failure = true,
        "virtualhost" => draft.virtualhost = inner.arg(0).map(|word| word.text.to_owned()),
        "smtp_alert" => draft.mail = flag(problems, inner),
        _ => {}
    }
}

fn raise(flags: &mut [bool; 3], at: usize) {
    if let Some(flag) = flags.get_mut(at) {
        *flag = true;
    }
}

/// `NAT`, `DR`, `TUN`, and `FNAT` of DPVS, which we also call `FULLNAT`.
pub fn kind(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<LbKind> {
    Some(match choice(problems, inner, 0, &KINDS)? {
        LbKind::Tun(_) => LbKind::Tun(wrapping(inner, problems)?),
        kind @ (LbKind::Nat | LbKind::Dr | LbKind::FullNat) => kind,
    })
}

/// What follows `TUN`: `[type ipip|gue|gre] [port N] [nocsum|csum|remcsum]`.
fn wrapping(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Wrapping> {
    let (mut kind, mut port, mut checksum) = ("ipip", None, WrappingChecksum::None);
    let mut words = inner.args.iter().skip(1);
    while let Some(word) = words.next() {
        match word.text {
            "nocsum" => checksum = WrappingChecksum::None,
            "csum" => checksum = WrappingChecksum::Checksum,
            "remcsum" => checksum = WrappingChecksum::Remote,
            "type" => kind = words.next().map_or("", |word| word.text),
            "port" => port = Some(number_word(problems, "port", *words.next()?, 1..=65_535, "")?),
            other => {
                let message = format!("`{other}` is not known after TUN; there are type, port, nocsum, csum, remcsum");
                problems.push(error("unknown-word", *word, message).label("not known here"));
                return None;
            }
        }
    }
    match (kind, port) {
        ("ipip", _) => Some(Wrapping::Ipip),
        ("gre", _) => Some(Wrapping::Gre { checksum }),
        ("gue", Some(port)) => Some(Wrapping::Gue { port, checksum }),
        ("gue", None) => {
            let message = "a GUE tunnel needs the port that its real servers listen on";
            problems.push(
                Problem::new("missing-argument", Severity::Error, inner.at(), message)
                    .label("has no port")
                    .help("TUN type gue port 6080"),
            );
            None
        }
        (other, _) => {
            let message = format!("the type of the tunnel is `{other}`, and it is one of ipip, gue, gre");
            problems.push(Problem::new("unknown-word", Severity::Error, inner.at(), message).label("not known here"));
            None
        }
    }
}

/// `TCP`, `UDP` or `SCTP` in any case.
fn protocol(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<(Protocol, Span)> {
    const PROTOCOLS: [(&str, Protocol); 3] = [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)];
    let word = inner.arg(0)?;
    let known = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.text));
    if let Some((_, protocol)) = known {
        return Some((*protocol, inner.at()));
    }
    let problem =
        error("unknown-word", word, format!("`protocol` is `{}`, and it is one of TCP, UDP, SCTP", word.text));
    let upper = word.text.to_ascii_uppercase();
    problems.push(match nearest(&upper, PROTOCOLS.iter().map(|(name, _)| *name)) {
        Some(near) => problem.label("not known here").help(format!("did you mean `{near}`?")),
        None => problem.label("not known here"),
    });
    None
}

/// A netmask, or a prefix length.
fn granularity(word: Word<'_>, problems: &mut Vec<Problem>) -> Option<u8> {
    if let Ok(IpAddr::V4(mask)) = word.text.parse() {
        let bits = u32::from(mask);
        if bits.leading_ones() + bits.trailing_zeros() >= 32 && bits != 0 {
            return u8::try_from(bits.leading_ones()).ok();
        }
        problems.push(error("bad-netmask", word, format!("`{mask}` is not a netmask")).label("left out"));
        return None;
    }
    number_word(problems, "persistence_granularity", word, 1..=128, "")
}

fn sorry_server(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<SorryServer> {
    let addr = address(problems, inner, 0)?;
    let port = match inner.arg(1) {
        Some(port) => number_word(problems, "port", port, 0..=65_535, "")?,
        None => 0,
    };
    Some(SorryServer { addr, port, lb_kind: None })
}
