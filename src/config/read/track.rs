//! The blocks `track_interface`, `track_script`, `track_file`, `track_process` and `track_bfd` of instances and sync groups, and the
//! weights that stand in them and in what they name.

use std::ops::RangeInclusive;

use super::value::{error, number_word, parsed};
use crate::config::model::{TrackEntry, TrackInterface, Trackable, Tracking};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// Weights of interfaces and scripts.
pub const WEIGHTS: RangeInclusive<i64> = -253..=253;
/// Weights of files and processes: with -254 and 254 a fault can be reached.
pub const WIDE_WEIGHTS: RangeInclusive<i64> = -254..=254;

/// Read the block if it is one of them; false: it is another.
pub fn read(block: &Statement<'_>, tracking: &mut Tracking, problems: &mut Vec<Problem>) -> bool {
    let keyword = block.keyword.text;
    if keyword == "track_interface" {
        interfaces(block, &mut tracking.interfaces, problems);
        return true;
    }
    let Some(kind) = Trackable::ALL.into_iter().find(|kind| kind.list() == keyword) else { return false };
    let range = match kind {
        Trackable::Script | Trackable::Bfd => WEIGHTS,
        Trackable::File | Trackable::Process => WIDE_WEIGHTS,
    };
    let entries = tracking.entries_mut(kind);
    for line in block.statements() {
        let options = options(problems, line, kind.list(), range.clone());
        if let Some(first) = entries.iter().find(|entry| entry.name == line.keyword.text) {
            problems.push(twice(line.keyword, kind.list(), first.at));
            continue;
        }
        entries.push(TrackEntry {
            name: line.keyword.text.to_owned(),
            weight: options.weight,
            reverse: options.reverse,
            at: line.keyword.at,
        });
    }
    true
}

/// `IFNAME [weight N [reverse]]`.
fn interfaces(block: &Statement<'_>, interfaces: &mut Vec<TrackInterface>, problems: &mut Vec<Problem>) {
    for line in block.statements() {
        let options = options(problems, line, "track_interface", WEIGHTS);
        if let Some(first) = interfaces.iter().find(|entry| entry.interface.as_str() == line.keyword.text) {
            problems.push(twice(line.keyword, "track_interface", first.at));
        } else if let Some(interface) = parsed(problems, "bad-interface-name", line.keyword) {
            interfaces.push(TrackInterface {
                interface,
                weight: options.weight,
                reverse: options.reverse,
                at: line.keyword.at,
            });
        }
    }
}

fn twice(name: Word<'_>, list: &str, first: Span) -> Problem {
    error("tracked-twice", name, format!("`{}` stands in `{list}` already", name.text))
        .label("left out")
        .related(first, "the first one counts")
        .help("remove one of the two; weights do not add up")
}

/// What follows the name in a line: `[weight N [reverse]]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    weight: Option<i16>,
    reverse: bool,
}

fn options(problems: &mut Vec<Problem>, line: &Statement<'_>, block: &str, range: RangeInclusive<i64>) -> Options {
    let mut options = Options::default();
    let Some(word) = line.arg(0) else { return options };
    if word.text == "weight" {
        if line.arg(1).is_none() {
            problems.push(error("value-missing", word, "nothing follows `weight`").label("a value is missing"));
        }
        options.weight = line.arg(1).and_then(|weight| number_word(problems, "weight", weight, range.clone(), ""));
        options.reverse = is_reverse(problems, line.arg(2));
    } else {
        let name = line.keyword.text;
        let (least, most) = range.into_inner();
        problems.push(
            error("unknown-word", word, format!("`{}` is no option of `{name}` in `{block}`", word.text))
                .label("left out")
                .help(format!("the options are: weight {least}..{most} [reverse]")),
        );
    }
    options
}

/// The statement `weight N [reverse]` of a script, a file or a process.
pub fn weight(
    problems: &mut Vec<Problem>,
    statement: &Statement<'_>,
    range: RangeInclusive<i64>,
) -> (Option<i16>, bool) {
    let weight = statement.arg(0).and_then(|word| number_word(problems, "weight", word, range, ""));
    (weight, is_reverse(problems, statement.arg(1)))
}

/// `reverse` or `noreverse`, where there is a word at all.
fn is_reverse(problems: &mut Vec<Problem>, word: Option<Word<'_>>) -> bool {
    match word {
        None => false,
        Some(word) if word.text == "reverse" => true,
        Some(word) if word.text == "noreverse" => false,
        Some(word) => {
            let message = format!("`{}` follows a weight, where only `reverse` may stand", word.text);
            problems.push(Problem::new("unknown-word", Severity::Error, word.at, message).label("left out"));
            false
        }
    }
}
