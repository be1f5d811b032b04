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

/// Whole seconds up to `most`.
pub fn whole_seconds(problems: &mut Vec<Problem>, statement: &Statement<'_>, at: usize, most: u32) -> Option<Duration> {
    let seconds: Option<u32> = number(problems, statement, at, 0..=most.into(), "s");
    seconds.map(|seconds| Duration::from_secs(seconds.into()))
}

/// A whole number as C writes it: decimal, hexadecimal after `0x`, octal after `0`. `None`: it is none, or has more than
/// 64 bits.
pub fn c_integer(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, base) = match (text.strip_prefix("0x").or(text.strip_prefix("0X")), text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        (None, _) => (text, 10),
    };
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, base).ok() }
}

/// The same up to `most`, for a word that stands alone; `what` names it in words.
pub fn c_number_word<T: TryFrom<u64>>(problems: &mut Vec<Problem>, what: &str, word: Word<'_>, most: u64) -> Option<T> {
    let parsed = c_integer(word.text);
    if let Some(value) = parsed.filter(|value| *value <= most).and_then(|value| T::try_from(value).ok()) {
        return Some(value);
    }
    let (code, label) = match parsed {
        Some(_) => ("out-of-range", "outside the range"),
        None => ("not-a-number", "not a whole number"),
    };
    let message = format!("`{what}` is `{}`, and it is a whole number from 0 to {most}, as 100 or 0x64", word.text);
    problems.push(error(code, word, message).label(label));
    None
}

fn blank(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

/// How a time is written.
struct TimeForm {
    unit: &'static str,
    micros: u64,
    /// Down to a microsecond.
    decimals: u32,
    decimals_said: &'static str,
    example: &'static str,
}

const SECONDS: TimeForm =
    TimeForm { unit: "seconds", micros: SECOND, decimals: 6, decimals_said: "six", example: "5 or 0.25" };
const MILLISECONDS: TimeForm =
    TimeForm { unit: "milliseconds", micros: 1000, decimals: 3, decimals_said: "three", example: "50 or 2.5" };

/// A time in seconds with at most six decimals; the range is in microseconds.
pub fn seconds(
    problems: &mut Vec<Problem>,
    statement: &Statement<'_>,
    at: usize,
    range: RangeInclusive<u64>,
) -> Option<Duration> {
    seconds_word(problems, statement.keyword.text, statement.arg(at)?, range)
}

/// As [`seconds`]: what the word is, and the word.
pub fn seconds_word(
    problems: &mut Vec<Problem>,
    what: &str,
    word: Word<'_>,
    range: RangeInclusive<u64>,
) -> Option<Duration> {
    time(problems, what, word, range, &SECONDS)
}

/// A time in milliseconds with at most three decimals; the range is in microseconds.
pub fn thousandths(
    problems: &mut Vec<Problem>,
    statement: &Statement<'_>,
    at: usize,
    range: RangeInclusive<u64>,
) -> Option<Duration> {
    time(problems, statement.keyword.text, statement.arg(at)?, range, &MILLISECONDS)
}

fn time(
    problems: &mut Vec<Problem>,
    what: &str,
    word: Word<'_>,
    range: RangeInclusive<u64>,
    form: &TimeForm,
) -> Option<Duration> {
    let unit = form.unit;
    let Some((micros, cut)) = decimal(word.text, form.decimals) else {
        let message = format!("`{what}` is `{}`, and it is a number of {unit}, as {}", word.text, form.example);
        problems.push(error("not-a-time", word, message).label(format!("not a number of {unit}")));
        return None;
    };
    if cut {
        let most = form.decimals_said;
        let message = format!("`{what}` is `{}`, and a time in {unit} has at most {most} decimals", word.text);
        problems.push(error("too-fine", word, message).label("rounded to a microsecond"));
    }
    if range.contains(&micros) {
        return Some(Duration::from_micros(micros));
    }
    let bound = |micros: &u64| Duration::from_micros(*micros).div_duration_f64(Duration::from_micros(form.micros));
    let (least, most) = (bound(range.start()), bound(range.end()));
    let message = format!("`{what}` is `{}`, and it is {least} to {most} {unit}", word.text);
    problems.push(error("out-of-range", word, message).label("outside the range"));
    None
}

/// A decimal number, in units of its decimal place `decimals`; true: it had more, and was rounded.
fn decimal(text: &str, decimals: u32) -> Option<(u64, bool)> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let unit = 10_u64.pow(decimals);
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let (mut part, mut scale) = (0, unit);
    let mut rest = fraction.bytes();
    for digit in rest.by_ref().take(usize::try_from(decimals).unwrap_or(0)) {
        scale /= 10;
        part += u64::from(digit.saturating_sub(b'0')) * scale;
    }
    let next = rest.next();
    let round = next.is_some_and(|digit| digit >= b'5');
    Some((whole.saturating_mul(unit).saturating_add(part).saturating_add(u64::from(round)), next.is_some()))
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

/// The same for the two flags that keepalived takes as set whatever stands after them but a false word.
pub fn flag_or_on(problems: &mut Vec<Problem>, statement: &Statement<'_>) -> bool {
    let before = problems.len();
    let value = flag(problems, statement).unwrap_or(true);
    for problem in problems.iter_mut().skip(before) {
        problem.severity = Severity::Warning;
        "taken as true".clone_into(&mut problem.label);
    }
    value
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
