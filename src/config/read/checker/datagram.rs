//! `DNS_CHECK` and `UDP_CHECK`.

use super::{empty, shared};
use crate::base::{HexError, Pattern};
use crate::config::model::{Checker, CheckerKind, DnsCheck, UdpCheck};
use crate::config::problem::{Problem, Severity};
use crate::config::read::value::{error, number, parsed, set};
use crate::config::tree::Statement;

const LENGTH_MAX: i64 = 65_535;

/// A name or a type that is none: the root, and SOA, are asked for.
pub fn dns(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Checker {
    let mut checker = empty(block, CheckerKind::Tcp);
    let mut dns = DnsCheck::default();
    for inner in block.statements() {
        match (inner.keyword.text, inner.arg(0)) {
            ("type", Some(record)) => set(&mut dns.record, parsed(problems, "unknown-word", record)),
            ("name", Some(name)) => set(&mut dns.name, parsed(problems, "bad-dns-name", name)),
            _ => {
                shared(inner, &mut checker, problems);
            }
        }
    }
    Checker { kind: CheckerKind::Dns(dns), ..checker }
}

pub fn udp(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Checker {
    let mut checker = empty(block, CheckerKind::Tcp);
    let mut udp = UdpCheck::default();
    for inner in block.statements() {
        match inner.keyword.text {
            "payload" => {
                udp.payload = bytes(inner, problems, |pattern: Pattern| pattern.payload());
            }
            "require_reply" => {
                udp.reply_required = true;
                udp.reply = bytes(inner, problems, Ok);
            }
            "min_reply_length" => udp.reply_min_bytes = number(problems, inner, 0, 0..=LENGTH_MAX, "bytes"),
            "max_reply_length" => udp.reply_max_bytes = number(problems, inner, 0, 0..=LENGTH_MAX, "bytes"),
            _ => {
                shared(inner, &mut checker, problems);
            }
        }
    }
    let max = udp.reply_max_bytes.unwrap_or(UdpCheck::REPLY_MAX_BYTES);
    if let Some(min) = udp.reply_min_bytes.filter(|min| *min > max) {
        let message = format!("a reply of at least {min} bytes and at most {max} cannot be: the check always fails");
        problems.push(Problem::new("reply-length", Severity::Error, block.keyword.at, message).label("always fails"));
    }
    Checker { kind: CheckerKind::Udp(Box::new(udp)), ..checker }
}

/// The words after the keyword as hexadecimal digits; without a word, nothing.
fn bytes<T>(
    inner: &Statement<'_>,
    problems: &mut Vec<Problem>,
    wanted: impl FnOnce(Pattern) -> Result<T, HexError>,
) -> Option<T> {
    let first = inner.arg(0)?;
    let text = inner.args.iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
    match text.parse::<Pattern>().and_then(wanted) {
        Ok(bytes) => Some(bytes),
        Err(problem) => {
            problems.push(error("not-hexadecimal", first, problem.to_string()).label("left out").help("as: 00 1f a0"));
            None
        }
    }
}
