//! `track_file NAME` and `vrrp_track_process NAME`: what is watched for the priority of instances.

use std::time::Duration;

use super::track::{WIDE_WEIGHTS, weight};
use super::value::{error, number, seconds, set};
use crate::config::model::{ArgumentsMatch, InitFile, TrackFile, TrackProcess};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// The longest delay of a process, in microseconds.
const DELAY_MAX: u64 = 3_600_000_000;

/// Numbers of a file that make a difference: priorities are 1 to 254 apart from the owner's.
const FILE_VALUES: std::ops::RangeInclusive<i32> = -254..=254;

/// One file; `None` where it has no path.
pub fn file(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<TrackFile> {
    let name = statement.arg(0)?;
    let mut file = TrackFile {
        name: name.text.to_owned(),
        at: name.at,
        path: String::new(),
        weight: 1,
        reverse: false,
        init: None,
    };
    let mut path_at = None;
    for inner in statement.statements() {
        match inner.keyword.text {
            "file" if path_at.is_some() => problems.push(second(inner, path_at)),
            "file" => {
                path_at = inner.arg(0).map(|word| word.at);
                file.path = inner.arg(0).map(|word| word.text.to_owned()).unwrap_or_default();
            }
            "weight" => {
                let (weight, reverse) = weight(problems, inner, WIDE_WEIGHTS);
                set(&mut file.weight, weight);
                file.reverse = reverse;
            }
            "init_file" => file.init = Some(init(inner, problems)),
            _ => {}
        }
    }
    if file.path.is_empty() {
        problems.push(incomplete(statement, name, "file"));
        return None;
    }
    Some(file)
}

/// `init_file [INT] [overwrite]`.
fn init(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> InitFile {
    let mut init = InitFile { value: 0, overwrite: false };
    for (at, word) in statement.args.iter().enumerate() {
        if word.text == "overwrite" {
            init.overwrite = true;
        } else {
            let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
            set(&mut init.value, number(problems, statement, at, range, ""));
            if !FILE_VALUES.contains(&init.value) {
                problems.push(beyond(*word));
            }
        }
    }
    init
}

fn beyond(word: Word<'_>) -> Problem {
    let (least, most) = (FILE_VALUES.start(), FILE_VALUES.end());
    let message = format!("`init_file` is `{}`, and beyond {least} to {most} it says nothing more", word.text);
    error("out-of-range", word, message).label("written all the same").help("write what moves a priority")
}

/// A keyword that says what the block is about, again.
fn second(inner: &Statement<'_>, first: Option<Span>) -> Problem {
    let message = format!("there is a `{}` already", inner.keyword.text);
    let problem = Problem::new("given-twice", Severity::Error, inner.at(), message).label("passed over");
    let problem = problem.help("remove one of the two, or write a block of its own for it");
    match first {
        Some(first) => problem.related(first, "this one counts"),
        None => problem,
    }
}

/// One process; `None` where it has no program.
pub fn process(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<TrackProcess> {
    let name = statement.arg(0)?;
    let mut process = TrackProcess {
        name: name.text.to_owned(),
        at: name.at,
        program: String::new(),
        arguments: vec![],
        arguments_match: ArgumentsMatch::Any,
        full_command: false,
        weight: 0,
        reverse: false,
        quorum: 1,
        quorum_max: None,
        terminate_delay: Duration::ZERO,
        fork_delay: Duration::ZERO,
    };
    let (mut comparison, mut program_at, mut weight_at) = (None, None, None);
    for inner in statement.statements() {
        let delay = |problems: &mut Vec<Problem>| seconds(problems, inner, 0, 1..=DELAY_MAX);
        match inner.keyword.text {
            "process" if program_at.is_some() => problems.push(second(inner, program_at)),
            "process" => {
                program_at = inner.arg(0).map(|word| word.at);
                let mut words = inner.args.iter().map(|word| word.text.to_owned());
                process.program = words.next().unwrap_or_default();
                process.arguments = words.collect();
            }
            "param_match" => comparison = Some(param_match(inner, problems)),
            "weight" if weight_at.is_some() => problems.push(second(inner, weight_at)),
            "weight" => {
                let (weight, reverse) = weight(problems, inner, WIDE_WEIGHTS);
                weight_at = weight.filter(|weight| *weight != 0).map(|_| inner.at());
                set(&mut process.weight, weight);
                process.reverse = reverse;
            }
            "quorum" => set(&mut process.quorum, number(problems, inner, 0, 1..=65_535, "")),
            "quorum_max" => process.quorum_max = number(problems, inner, 0, 0..=65_535, ""),
            "delay" => {
                let delay = delay(problems);
                set(&mut process.terminate_delay, delay);
                set(&mut process.fork_delay, delay);
            }
            "terminate_delay" => set(&mut process.terminate_delay, delay(problems)),
            "fork_delay" => set(&mut process.fork_delay, delay(problems)),
            "full_command" => process.full_command = true,
            _ => {}
        }
    }
    if process.program.is_empty() {
        problems.push(incomplete(statement, name, "process"));
        return None;
    }
    // Arguments that are written are meant.
    let written = if process.arguments.is_empty() { ArgumentsMatch::Any } else { ArgumentsMatch::Exact };
    process.arguments_match = comparison.unwrap_or(written);
    process.full_command |= process.arguments_match != ArgumentsMatch::Any;
    // keepalived's way: a most of 0 (none may run) lets go of the least.
    if let Some(most) = process.quorum_max.filter(|most| *most != 0 && *most < process.quorum) {
        let message = format!(
            "vrrp_track_process `{}` wants at least {} processes and at most {most}",
            process.name, process.quorum
        );
        problems.push(
            error("quorum-impossible", name, message).label("never good").help("raise quorum_max, or lower quorum"),
        );
    }
    Some(process)
}

/// `param_match [initial|partial]`; alone: exact.
fn param_match(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> ArgumentsMatch {
    match statement.arg(0) {
        None => ArgumentsMatch::Exact,
        Some(word) if word.text == "initial" => ArgumentsMatch::Initial,
        Some(word) if word.text == "partial" => ArgumentsMatch::Partial,
        Some(word) => {
            let message = format!("`{}` is no way to compare arguments", word.text);
            problems.push(
                error("unknown-word", word, message)
                    .label("compared exactly")
                    .help("write: param_match initial, or param_match partial"),
            );
            ArgumentsMatch::Exact
        }
    }
}

fn incomplete(statement: &Statement<'_>, name: Word<'_>, keyword: &str) -> Problem {
    let message = format!("{} `{}` has no `{keyword}`, and is left out", statement.keyword.text, name.text);
    error("block-incomplete", name, message).label("left out").help(format!("add: {keyword}"))
}
