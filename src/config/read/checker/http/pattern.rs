//! `regex` of a url, and the words that say where and how it matches.

use crate::base::{AnswerPattern, PatternOptions, PatternPlace};
use crate::config::command::split_escaped;
use crate::config::problem::{Problem, Severity};
use crate::config::read::value::{error, number};
use crate::config::source::Span;
use crate::config::tree::Statement;

const OFFSET_MAX: i64 = 4_294_967_295;

/// Options of PCRE2 that change no match, or only what this engine does anyway.
const WITHOUT_EFFECT: [&str; 14] = [
    "alt_verbnames",
    "auto_callout",
    "dupnames",
    "never_backslash_c",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "no_utf_check",
    "use_offset_limit",
    "dollar_endonly",
    "match_unset_backref",
];

/// The text of a pattern, before its options are known.
pub(super) struct Text {
    text: String,
    at: Span,
}

pub(super) fn regex(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Text> {
    inner.arg(0)?;
    match split_escaped(inner.rest) {
        Ok(words) => words.into_iter().next().map(|text| Text { text, at: inner.at() }),
        Err(bad) => {
            problems.push(Problem::new("bad-regex", Severity::Error, inner.at(), bad.to_string()).label("left out"));
            None
        }
    }
}

/// The words around it; any other is passed over.
pub(super) fn around(
    keyword: &str,
    inner: &Statement<'_>,
    options: &mut PatternOptions,
    place: &mut PatternPlace,
    problems: &mut Vec<Problem>,
) {
    match keyword {
        "regex_no_match" => place.no_match = true,
        "regex_min_offset" => place.min_offset = number(problems, inner, 0, 0..=OFFSET_MAX, "").unwrap_or(0),
        "regex_max_offset" => place.max_offset = number(problems, inner, 0, 0..=OFFSET_MAX, ""),
        "regex_options" => {
            for word in inner.args.iter() {
                match word.text {
                    "caseless" => options.caseless = true,
                    "dotall" => options.dotall = true,
                    "extended" => options.extended = true,
                    "multiline" => options.multiline = true,
                    "ungreedy" => options.ungreedy = true,
                    "utf" | "ucp" => options.unicode = true,
                    other if WITHOUT_EFFECT.contains(&other) => {}
                    other => {
                        let message = format!("the option `{other}` of a regex is not known here");
                        let problem = error("regex-option", *word, message).label("passed over");
                        problems.push(Problem { severity: Severity::Note, ..problem });
                    }
                }
            }
        }
        _ => {}
    }
}

impl Text {
    pub(super) fn compile(
        self,
        options: PatternOptions,
        place: PatternPlace,
        problems: &mut Vec<Problem>,
    ) -> Option<AnswerPattern> {
        match AnswerPattern::new(&self.text, options, place) {
            Ok(pattern) => Some(pattern),
            Err(bad) => {
                let bad = bad.to_string();
                let why = bad.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let message = format!("the regex `{}` cannot be used: {why}", self.text);
                problems.push(
                    Problem::new("bad-regex", Severity::Error, self.at, message)
                        .label("left out: the status and the digest decide"),
                );
                None
            }
        }
    }
}
