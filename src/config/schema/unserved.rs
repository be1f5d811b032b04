//! Values of keywords that are accepted and not carried out: each is held to its form, as keepalived does it.

use std::time::Duration;

use crate::config::keyword::{Form, Keyword, MAX};
use crate::config::problem::Problem;
use crate::config::read::value::{TIME_MAX, address, c_integer, choice, error, flag, number_word, seconds};
use crate::config::tree::{Statement, Word};

/// The permission bits of `umask`, as <sys/stat.h> names them without `S_`.
const BITS: [&str; 12] =
    ["IRUSR", "IWUSR", "IXUSR", "IRWXU", "IRGRP", "IWGRP", "IXGRP", "IRWXG", "IROTH", "IWOTH", "IXOTH", "IRWXO"];

pub(super) fn values(keyword: &Keyword, statement: &Statement<'_>, problems: &mut Vec<Problem>) {
    let int = |word: Word<'_>, least: i64, most: i64, unit, problems: &mut Vec<Problem>| {
        // Numbers without a limit of their own are held in 32 bits.
        let range = least.max(i32::MIN.into())..=if most == MAX { i32::MAX.into() } else { most };
        _ = number_word::<i64>(problems, keyword.word, word, range, unit);
    };
    match keyword.form {
        Form::Bool => _ = flag(problems, statement),
        Form::Int(least, most, unit) => {
            if let Some(word) = statement.arg(0) {
                int(word, least, most, unit, problems);
            }
        }
        Form::Ints(least, most) => statement.args.iter().for_each(|word| int(*word, least, most, "", problems)),
        Form::Seconds(least, most) => {
            _ = seconds(problems, statement, 0, micros(least).unwrap_or(0)..=micros(most).unwrap_or(TIME_MAX));
        }
        Form::Address => _ = address(problems, statement, 0),
        Form::OneOf(words) | Form::Maybe(words) => {
            let known: Vec<(&str, ())> = words.iter().map(|word| (*word, ())).collect();
            _ = choice(problems, statement, 0, &known);
        }
        Form::Word(form) => too_long(form, statement, problems),
        Form::Words(..) => special(keyword.word, statement, problems),
        Form::Flag | Form::Command(_) | Form::Block(..) => {}
    }
}

/// A limit of the table.
fn micros(seconds: &str) -> Option<u64> {
    u64::try_from(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?.as_micros()).ok()
}

/// Of a word whose form ends in `<=N`.
fn too_long(form: &str, statement: &Statement<'_>, problems: &mut Vec<Problem>) {
    let most: Option<usize> = form.split_once("<=").and_then(|(_, most)| most.parse().ok());
    let Some((word, most)) = statement.arg(0).zip(most).filter(|(word, most)| word.text.len() > *most) else { return };
    let message = format!("`{}` has {} bytes, and the most is {most}", word.text, word.text.len());
    problems.push(error("too-long-a-word", word, message).label("too long"));
}

/// Values of more forms than one.
fn special(keyword: &str, statement: &Statement<'_>, problems: &mut Vec<Problem>) {
    let Some(first) = statement.arg(0) else { return };
    let numbered = match keyword {
        "max_auto_priority" => -1..=99,
        "timer_expired_backup" | "thread_timer_expired" => 1..=254,
        "vrrp_rx_bufs_policy" if !["MTU", "ADVERT", "NO_SEND_RX"].contains(&first.text) => 0..=i32::MAX.into(),
        "umask" if !is_mask(statement) => {
            let message = "`umask` is a number up to 0777, or bits as IWGRP|IWOTH";
            problems.push(error("bad-umask", first, message).label("neither of the two"));
            return;
        }
        _ => return,
    };
    _ = number_word::<i64>(problems, keyword, first, numbered, "");
}

/// A number, or permission bits with `|` between them.
fn is_mask(statement: &Statement<'_>) -> bool {
    let text = statement.args.iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
    umask(&text).is_some() || text.split('|').all(|bit| BITS.contains(&bit.trim()))
}

/// A mask of permission bits up to 0777, as C writes numbers: `022`, `0x12`, `18`.
pub fn umask(text: &str) -> Option<u32> {
    c_integer(text).and_then(|mask| u32::try_from(mask).ok()).filter(|mask| *mask <= 0o777)
}
