//! Words that lines of routes and rules have in common: tables, protocols, realms, type of service, metrics.

use std::collections::BTreeMap;
use std::iter::{Chain, Copied, Once, Peekable, once};
use std::slice::Iter;

use crate::base::{Family, MetricName, RouteMetric};
use crate::config::names::Names;
use crate::config::problem::{Problem, Severity};
use crate::config::read::value::{c_integer, c_number_word, error};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// The words of a line, the first one included.
pub struct Words<'a>(Peekable<Chain<Once<Word<'a>>, Copied<Iter<'a, Word<'a>>>>>);

impl<'a> Words<'a> {
    pub fn new(line: &'a Statement<'a>) -> Self {
        Self(once(line.keyword).chain(line.args.iter().copied()).peekable())
    }

    pub fn next(&mut self) -> Option<Word<'a>> {
        self.0.next()
    }

    pub fn peek(&mut self) -> Option<Word<'a>> {
        self.0.peek().copied()
    }

    pub fn next_if(&mut self, wanted: impl FnOnce(Word<'a>) -> bool) -> Option<Word<'a>> {
        self.0.next_if(|word| wanted(*word))
    }
}

pub fn family_word(word: Word<'_>) -> Option<Family> {
    match word.text {
        "inet" => Some(Family::V4),
        "inet6" => Some(Family::V6),
        _ => None,
    }
}

/// A table by number or name.
pub fn table(word: Word<'_>, names: &Names, problems: &mut Vec<Problem>) -> Option<u32> {
    named(word, "table", &names.tables, u32::MAX, "rt_tables", problems)
}

/// `RTPROT_*` by number or name.
pub fn protocol(word: Word<'_>, names: &Names, problems: &mut Vec<Problem>) -> Option<u8> {
    named(word, "protocol", &names.protocols, u8::MAX.into(), "rt_protos", problems)
}

fn named<T: TryFrom<u64> + TryFrom<u32>>(
    word: Word<'_>,
    what: &str,
    names: &BTreeMap<String, u32>,
    most: u32,
    file: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    if let Some(number) = names.get(word.text) {
        return T::try_from(*number).ok();
    }
    if word.text.starts_with(|c: char| c.is_ascii_digit() || c == '+') {
        return c_number_word(problems, what, word, most.into());
    }
    let message = format!("`{}` is no {what} that is known here", word.text);
    let help = format!("write the number of the {what}, or name it in /etc/iproute2/{file}");
    problems.push(error("unknown-word", word, message).label("left out").help(help));
    None
}

/// A type of service: a name, or a number as C writes it.
pub fn tos(word: Word<'_>, names: &Names, problems: &mut Vec<Problem>) -> Option<u8> {
    let text = word.text;
    let number = names.services.get(text).map(|number| u64::from(*number)).or_else(|| c_integer(text));
    let value = number.and_then(|number| u8::try_from(number).ok());
    if value.is_none() {
        let message = format!("the type of service is `{text}`, and it is a number from 0 to 255");
        problems.push(error("out-of-range", word, message).label("0 is taken"));
    }
    value
}

/// `[SOURCE/]DESTINATION`, each a number or a name.
pub fn realms(word: Word<'_>, names: &Names, problems: &mut Vec<Problem>) -> Option<(u16, u16)> {
    let realm = |text: &str| {
        let number = names.realms.get(text).map(|number| u64::from(*number)).or_else(|| c_integer(text));
        number.and_then(|number| u16::try_from(number).ok())
    };
    let (from, to) = word.text.split_once('/').unwrap_or(("0", word.text));
    let realms = realm(from).zip(realm(to));
    if realms.is_none() {
        let message =
            format!("the realms are `{}`, and they are one number or name, or two with a slash between", word.text);
        problems.push(error("not-a-number", word, message).label("left out"));
    }
    realms
}

/// An option without its value: keepalived stops at the line, and does not run.
pub fn missing(option: Word<'_>, what: &str) -> Problem {
    let message = format!("`{}` of a {what} has no value", option.text);
    Problem::new("missing-argument", Severity::Fatal, option.at, message)
        .label("something is missing after it")
        .help(format!("write the value after `{}`, on the same line, or remove the word", option.text))
}

/// Say of all that is wrong with a line that it is left out for it.
pub fn leave_out(problems: &mut [Problem], what: &str) {
    for problem in problems.iter_mut().filter(|problem| problem.severity == Severity::Error) {
        let label = std::mem::take(&mut problem.label);
        problem.label = match label.as_str() {
            "" | "left out" => format!("the {what} is left out"),
            _ if label.ends_with("left out") => label,
            _ => format!("{label}: the {what} is left out"),
        };
    }
}

/// The protocol that keepalived gives to what it tracks (`RTPROT_KEEPALIVED`).
pub const OWN_PROTOCOL: u8 = 18;

/// The option at this place gives another protocol to what is tracked.
pub fn foreign_protocol(at: Span, what: &str) -> Problem {
    let message = format!("a {what} with another protocol than keepalived's ({OWN_PROTOCOL}) cannot be tracked");
    Problem::new("protocol-of-tracked", Severity::Error, at, message)
        .label("passed over: it gets our own")
        .help("remove `protocol`, or add `no_track`")
}

/// The word is no metric.
pub struct NotAMetric;

/// `NAME [lock] VALUE`; `None`: its value is bad.
pub fn metric(
    option: Word<'_>,
    words: &mut Words<'_>,
    problems: &mut Vec<Problem>,
) -> Result<Option<RouteMetric>, NotAMetric> {
    let (name, ..) = MetricName::ALL.into_iter().find(|(_, word, _)| *word == option.text).ok_or(NotAMetric)?;
    let locked = words.next_if(|word| word.text == "lock").is_some();
    let Some(given) = words.next() else {
        problems.push(missing(option, "route"));
        return Ok(None);
    };
    let value = match name {
        // ecn is the one feature there is (`RTAX_FEATURE_ECN`).
        MetricName::Features => (given.text == "ecn").then_some(1),
        // The kernel counts eighths and quarters of a millisecond (`tcp_input.c`); a number without a unit is such a count.
        MetricName::Rtt => millis(given.text, 8),
        MetricName::RttVar => millis(given.text, 4),
        MetricName::RtoMin => millis(given.text, 1),
        MetricName::Mtu
        | MetricName::Window
        | MetricName::SsThresh
        | MetricName::Cwnd
        | MetricName::AdvMss
        | MetricName::Reordering
        | MetricName::HopLimit
        | MetricName::InitCwnd
        | MetricName::InitRwnd
        | MetricName::QuickAck
        | MetricName::FastOpenNoCookie => given.text.parse().ok(),
    };
    if value.is_none() {
        let message = format!("`{}` of a route is `{}`, which is no value of it", option.text, given.text);
        problems.push(error("not-a-number", given, message).label("left out"));
    }
    Ok(value.map(|value| RouteMetric { name, value, locked }))
}

/// `100ms`, `0.5s`, or a number that is in the kernel's unit already.
fn millis(text: &str, parts: u32) -> Option<u32> {
    let (number, factor) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1),
        (None, Some(number)) => (number, 1000),
        (None, None) => return text.parse().ok(),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{fraction:0<3}");
    let thousandths: u64 = whole.parse::<u64>().ok()?.checked_mul(1000)? + digits.get(..3)?.parse::<u64>().ok()?;
    let value = thousandths.checked_mul(factor)?.checked_mul(parts.into())? / 1000;
    value.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_metrics_are_in_the_kernels_unit() {
        let rows = [
            ("100", 8, Some(100)),
            ("100ms", 8, Some(800)),
            ("1s", 1, Some(1000)),
            ("0.25s", 4, Some(1000)),
            ("1.5ms", 8, Some(12)),
            ("s", 1, None),
            ("-1ms", 1, None),
            ("9999999999s", 8, None),
        ];
        for (text, parts, expected) in rows {
            assert_eq!(millis(text, parts), expected, "{text}");
        }
    }
}
