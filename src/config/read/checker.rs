//! The checks of a real server, a file for each family, and what all kinds share.

mod agent;
mod datagram;
mod http;
mod misc;
mod smtp;

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::value::{SECOND, TIME_MAX, address, flag, interface, number, seconds, set};
use crate::base::Family;
use crate::config::model::{CheckDefaults, Checker, CheckerKind};
use crate::config::problem::{Problem, Severity};
use crate::config::tree::Statement;

/// The longest time of a health check: keepalived's limit of `delay_loop` is of the same order.
const LONG: u64 = 4_294_967_295 * SECOND;
const RETRY_MAX: i64 = 2_147_483_647;

/// Read the block if it is a check; false: it is none.
pub fn read(block: &Statement<'_>, checkers: &mut Vec<Checker>, problems: &mut Vec<Problem>) -> bool {
    match block.keyword.text {
        "TCP_CHECK" => {
            let mut checker = empty(block, CheckerKind::Tcp);
            for inner in block.statements() {
                shared(inner, &mut checker, problems);
            }
            checkers.push(checker);
        }
        "HTTP_GET" => checkers.extend(http::read(block, problems)),
        "SSL_GET" => checkers.extend(http::read_tls(block, problems)),
        "MISC_CHECK" => checkers.extend(misc::read(block, problems)),
        "SMTP_CHECK" => checkers.extend(smtp::read(block, problems)),
        "DNS_CHECK" => checkers.push(datagram::dns(block, problems)),
        "UDP_CHECK" => checkers.push(datagram::udp(block, problems)),
        "PING_CHECK" => {
            let mut checker = empty(block, CheckerKind::Ping);
            for inner in block.statements() {
                shared(inner, &mut checker, problems);
            }
            checkers.push(checker);
        }
        "AGENT_CHECK" => checkers.push(agent::read(block, problems)),
        "GRPC_CHECK" => checkers.push(agent::grpc(block, problems)),
        "FILE_CHECK" => checkers.extend(agent::file(block, problems)),
        "BFD_CHECK" => checkers.extend(agent::bfd(block, problems)),
        _ => return false,
    }
    true
}

fn empty(block: &Statement<'_>, kind: CheckerKind) -> Checker {
    Checker {
        at: block.keyword.at,
        kind,
        check: CheckDefaults::default(),
        connect_ip: None,
        connect_port: None,
        bind_ip: None,
        bind_port: None,
        bind_if: None,
        fwmark: None,
        alpha: None,
        log_all_failures: None,
    }
}

/// Keywords that every kind of check has; false: it is none of them.
fn shared(inner: &Statement<'_>, checker: &mut Checker, problems: &mut Vec<Problem>) -> bool {
    match inner.keyword.text {
        "connect_ip" => checker.connect_ip = address(problems, inner, 0),
        "connect_port" => checker.connect_port = number(problems, inner, 0, 1..=65_535, ""),
        "bindto" => checker.bind_ip = address(problems, inner, 0),
        "bind_port" => checker.bind_port = number(problems, inner, 0, 1..=65_535, ""),
        "bind_if" => checker.bind_if = interface(problems, inner, 0),
        "fwmark" => {
            let mark = number::<u32>(problems, inner, 0, 0..=i64::from(u32::MAX), "");
            checker.fwmark = mark.and_then(NonZeroU32::new);
        }
        "alpha" => set(&mut checker.alpha, flag(problems, inner).map(Some)),
        "log_all_failures" => set(&mut checker.log_all_failures, flag(problems, inner).map(Some)),
        "retry" => checker.check.retry = number(problems, inner, 0, 0..=RETRY_MAX, ""),
        _ => return times(inner, &mut checker.check, problems),
    }
    true
}

/// The values that a check inherits, but for `retry`; false: it is none of them.
pub fn times(inner: &Statement<'_>, check: &mut CheckDefaults, problems: &mut Vec<Problem>) -> bool {
    match inner.keyword.text {
        "delay_loop" => set(&mut check.delay_loop, seconds(problems, inner, 0, 1..=LONG).map(Some)),
        "connect_timeout" => set(&mut check.connect_timeout, seconds(problems, inner, 0, 1..=TIME_MAX).map(Some)),
        "delay_before_retry" => set(&mut check.delay_before_retry, seconds(problems, inner, 0, 0..=LONG).map(Some)),
        "warmup" => set(&mut check.warmup, seconds(problems, inner, 0, 0..=LONG).map(Some)),
        _ => return false,
    }
    true
}

/// `retry` of a service or a real server, which is at least 1 there.
pub fn retry(inner: &Statement<'_>, check: &mut CheckDefaults, problems: &mut Vec<Problem>) {
    set(&mut check.retry, number(problems, inner, 0, 1..=RETRY_MAX, "").map(Some));
}

/// What excludes what, once the whole `block` of a real server's check is read.
pub fn settle(checker: &mut Checker, block: &Statement<'_>, real_server: IpAddr, problems: &mut Vec<Problem>) {
    let target = checker.connect_ip.unwrap_or(real_server);
    if let Some(source) = checker.bind_ip.filter(|source| Family::of(*source) != Family::of(target)) {
        let message = format!("`bindto` is {source}, and {target} is not of its family");
        let written = block.statements().iter().rfind(|inner| inner.keyword.text == "bindto");
        let at = written.and_then(|bindto| bindto.arg(0)).map_or(checker.at, |word| word.at);
        let problem = Problem::new("wrong-family", Severity::Error, at, message).label("passed over");
        problems.push(problem.help("name an address of this host that has the family of the checked one"));
        checker.bind_ip = None;
    }
    let is_local = |addr: IpAddr| matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local());
    if is_local(target) && checker.bind_if.is_none() {
        let message = format!("{target} is a link-local address, and the check names no interface");
        problems.push(
            Problem::new("link-local-without-interface", Severity::Error, checker.at, message)
                .label("cannot be reached")
                .help("add: bind_if IFNAME"),
        );
    }
}

fn incomplete(block: &Statement<'_>, needed: &str) -> Problem {
    let message = format!("`{}` has no `{needed}`, and is left out", block.keyword.text);
    Problem::new("checker-incomplete", Severity::Error, block.keyword.at, message).label("left out")
}
