//! Values of statements: numbers, times, flags, addresses, words of a list. Each bad one becomes a problem and `None`.
//! A value that is missing is `None` in silence: the schema tells.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::base::{Cidr, IfName};
use crate::config::near::nearest;
use crate::config::problem::{Problem, Severity};
use crate::config::tree::{Statement, Word};

/// Seconds in microseconds, the unit in which ranges of times are written here.
pub const SECOND: u64 = 1_000_000;
/// The longest time that fits keepalived's 32 bits of microseconds.
pub const TIME_MAX: u64 = 4_294_967_295;

pub fn error(code: &'static str, word: Word<'_>, message: impl Into<String>) -> Problem {
    Problem::new(code, Severity::Error, word.at, message)
}

/// A whole number of the range, decimal. `unit` follows the range in words; it may be empty.
pub fn number<T>(
    problems: &mut Vec<Problem>,
    statement: &Statement<'_>,
    at: usize,
    range: RangeInclusive<i64>,
    unit: &str,
) -> Option<T>
where
    T: TryFrom<i64>,
{
    number_word(problems, statement.keyword.text, statement.arg(at)?, range, unit)
}

/// The same for a word that stands alone; `what` names it in words.
pub fn number_word<T>(
    problems: &mut Vec<Problem>,
    what: &str,
    word: Word<'_>,
    range: RangeInclusive<i64>,
    unit: &str,
) -> Option<T>
where
    T: TryFrom<i64>,
{
    let parsed = whole(word.text);
    if let Some(value) = parsed.filter(|value| range.contains(value)).and_then(|value| T::try_from(value).ok()) {
        return Some(value);
    }
    let (least, most) = range.into_inner();
    let code = if parsed.is_some() { "out-of-range" } else { "not-a-number" };
    problems.push(
        error(
            code,
            word,
            format!("`{what}` is `{}`, and it is a whole number from {least} to {most}{}", word.text, blank(unit)),
        )
        .label(if parsed.is_some() { "outside the range" } else { "not a whole number" }),
    );
    None
}

fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number of more digits than i64 holds is a number outside every range.
    plain.then(|| text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
}

fn blank(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

/// A time in seconds with at most six decimals; the range is in microseconds.
pub fn seconds(
    problems: &mut Vec<Problem>,
    statement: &Statement<'_>,
    at: usize,
    range: RangeInclusive<u64>,
) -> Option<Duration> {
    let word = statement.arg(at)?;
    let what = statement.keyword.text;
    let Some(parsed) = micros(word.text) else {
        problems.push(
            error(
                "not-a-time",
                word,
                format!("`{what}` is `{}`, and it is a number of seconds, as 5 or 0.25", word.text),
            )
            .label("not a number of seconds"),
        );
        return None;
    };
    if parsed.cut {
        problems.push(
            error("too-fine", word, format!("`{what}` is `{}`, and a time has at most six decimals", word.text))
                .label("rounded to a microsecond"),
        );
    }
    if range.contains(&parsed.micros) {
        return Some(Duration::from_micros(parsed.micros));
    }
    let (least, most) = range.into_inner();
    let (least, most) = (Duration::from_micros(least).as_secs_f64(), Duration::from_micros(most).as_secs_f64());
    problems.push(
        error("out-of-range", word, format!("`{what}` is `{}`, and it is {least} to {most} seconds", word.text))
            .label("outside the range"),
    );
    None
}

/// What was read of a time.
struct Micros {
    micros: u64,
    /// There were more than six decimals.
    cut: bool,
}

fn micros(text: &str) -> Option<Micros> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let seconds: u64 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let mut part = 0;
    let mut scale = 100_000;
    for digit in fraction.bytes().take(6) {
        part += u64::from(digit.saturating_sub(b'0')) * scale;
        scale /= 10;
    }
    let round = fraction.as_bytes().get(6).is_some_and(|digit| *digit >= b'5');
    let micros = seconds.saturating_mul(SECOND).saturating_add(part).saturating_add(u64::from(round));
    Some(Micros { micros, cut: fraction.len() > 6 })
}

/// `true` `on` `yes` or `false` `off` `no`; without an argument it is true.
pub fn flag(problems: &mut Vec<Problem>, statement: &Statement<'_>) -> Option<bool> {
    match statement.arg(0) {
        None => Some(true),
        Some(word) => match word.text {
            "true" | "on" | "yes" => Some(true),
            "false" | "off" | "no" => Some(false),
            text => {
                let message =
                    format!("`{}` is `{text}`, and it is true, on, yes, false, off or no", statement.keyword.text);
                problems.push(error("not-a-boolean", word, message).label("neither true nor false"));
                None
            }
        },
    }
}

/// An address; a prefix behind it is told and passed over.
pub fn address(problems: &mut Vec<Problem>, statement: &Statement<'_>, at: usize) -> Option<IpAddr> {
    address_word(problems, statement.keyword.text, statement.arg(at)?)
}

pub fn address_word(problems: &mut Vec<Problem>, what: &str, word: Word<'_>) -> Option<IpAddr> {
    if let Ok(addr) = word.text.parse() {
        return Some(addr);
    }
    if let Ok(cidr) = word.text.parse::<Cidr>() {
        let message = format!("`{what}` is `{}`, and it is an address without a prefix", word.text);
        problems.push(
            Problem::new("prefix-not-used", Severity::Warning, word.at, message)
                .label("the prefix is passed over")
                .help(format!("write: {}", cidr.addr())),
        );
        return Some(cidr.addr());
    }
    problems.push(
        error("not-an-address", word, format!("`{what}` is `{}`, and it is an IPv4 or IPv6 address", word.text))
            .label("not an address")
            .help("names are not looked up here: write the address"),
    );
    None
}

/// An address after which a prefix may stand, which is not looked at.
pub fn host_word(problems: &mut Vec<Problem>, what: &str, word: Word<'_>) -> Option<IpAddr> {
    match word.text.parse::<Cidr>() {
        Ok(cidr) => Some(cidr.addr()),
        Err(_) => address_word(problems, what, word),
    }
}

pub fn interface(problems: &mut Vec<Problem>, statement: &Statement<'_>, at: usize) -> Option<IfName> {
    parsed(problems, "bad-interface-name", statement.arg(at)?)
}

/// A word that a type of ours reads; the error of the type is the message.
pub fn parsed<T>(problems: &mut Vec<Problem>, code: &'static str, word: Word<'_>) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    match word.text.parse() {
        Ok(value) => Some(value),
        Err(problem) => {
            problems.push(error(code, word, problem.to_string()));
            None
        }
    }
}

/// One word of a list, case sensitive.
pub fn choice<T: Copy>(
    problems: &mut Vec<Problem>,
    statement: &Statement<'_>,
    at: usize,
    known: &[(&str, T)],
) -> Option<T> {
    let word = statement.arg(at)?;
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == word.text) {
        return Some(*value);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let message = format!("`{}` is `{}`, and it is one of {}", statement.keyword.text, word.text, names.join(", "));
    let problem = error("unknown-word", word, message).label("not known here");
    let same = names.iter().find(|name| name.eq_ignore_ascii_case(word.text)).copied();
    problems.push(match same.or_else(|| nearest(word.text, names.iter().copied())) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem,
    });
    None
}

/// Set `place` where there is a value.
pub fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
