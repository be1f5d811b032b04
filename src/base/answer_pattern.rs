//! What the answer of an HTTP check must match, or must not: `regex` and the words around it.
//!
//! A pattern takes time in proportion to the answer, whatever it says; look-around and back-references, which PCRE2
//! has and which can take for ever, are refused.

use std::hash::{Hash, Hasher};

use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

/// Memory that one compiled pattern may take.
const COMPILED_MAX_BYTES: usize = 1024 * 1024;

/// PCRE2's names of what changes a match, as `regex_options` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the file, free of the others")]
pub struct PatternOptions {
    pub caseless: bool,
    pub dotall: bool,
    pub extended: bool,
    pub multiline: bool,
    pub ungreedy: bool,
    /// `utf` or `ucp`: characters and their classes; else bytes and ASCII.
    pub unicode: bool,
}

/// Where in the answer, and which way round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct PatternPlace {
    /// `regex_min_offset`: a match begins at this byte or later.
    pub min_offset: usize,
    /// `regex_max_offset`: a match begins at this byte or before.
    pub max_offset: Option<usize>,
    /// `regex_no_match`: a match is the failure.
    pub no_match: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct AnswerPattern {
    text: String,
    options: PatternOptions,
    place: PatternPlace,
    #[serde(skip)]
    compiled: Regex,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{source}")]
pub struct AnswerPatternError {
    #[from]
    source: regex::Error,
}

impl AnswerPattern {
    /// # Errors
    /// [`AnswerPatternError`] for what is not a pattern here, or too large a one.
    pub fn new(text: &str, options: PatternOptions, place: PatternPlace) -> Result<Self, AnswerPatternError> {
        let PatternOptions { caseless, dotall, extended, multiline, ungreedy, unicode } = options;
        let compiled = RegexBuilder::new(text)
            .case_insensitive(caseless)
            .dot_matches_new_line(dotall)
            .ignore_whitespace(extended)
            .multi_line(multiline)
            .swap_greed(ungreedy)
            .unicode(unicode)
            .size_limit(COMPILED_MAX_BYTES)
            .build()?;
        Ok(Self { text: text.to_owned(), options, place, compiled })
    }

    /// Whether an answer is as wanted.
    pub fn holds(&self, answer: &[u8]) -> bool {
        let PatternPlace { min_offset, max_offset, no_match } = self.place;
        let found = if min_offset <= answer.len() { self.compiled.find_at(answer, min_offset) } else { None };
        let matches = found.is_some_and(|found| max_offset.is_none_or(|max| found.start() <= max));
        matches != no_match
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub const fn options(&self) -> PatternOptions {
        self.options
    }

    pub const fn place(&self) -> PatternPlace {
        self.place
    }

    /// A match is the failure.
    pub const fn is_negated(&self) -> bool {
        self.place.no_match
    }
}

impl PartialEq for AnswerPattern {
    fn eq(&self, other: &Self) -> bool {
        let Self { text, options, place, compiled: _ } = other;
        (&self.text, self.options, self.place) == (text, *options, *place)
    }
}

impl Eq for AnswerPattern {}

impl Hash for AnswerPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { text, options, place, compiled: _ } = self;
        (text, options, place).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, the pattern, its options, its place, the answer, whether it holds.
    type Row<'a> = (&'a str, &'a str, PatternOptions, PatternPlace, &'a [u8], bool);

    #[test]
    fn a_pattern_holds_where_it_is_wanted() {
        let none = PatternOptions::default();
        let caseless = PatternOptions { caseless: true, ..none };
        let dotall = PatternOptions { dotall: true, ..none };
        let from = |min_offset| PatternPlace { min_offset, ..PatternPlace::default() };
        let to = |max| PatternPlace { max_offset: Some(max), ..PatternPlace::default() };
        let not = PatternPlace { no_match: true, ..PatternPlace::default() };
        let rows: [Row; 13] = [
            ("somewhere", "up", none, from(0), b"all is up", true),
            ("nowhere", "up", none, from(0), b"down", false),
            ("another case", "UP", none, from(0), b"all is up", false),
            ("any case", "UP", caseless, from(0), b"all is up", true),
            ("over lines", "a.b", none, from(0), b"a\nb", false),
            ("over lines, asked for", "a.b", dotall, from(0), b"a\nb", true),
            ("from the very byte", "up", none, from(7), b"all is up", true),
            ("before the first byte", "up", none, from(8), b"all is up", false),
            ("an answer that is too short", "", none, from(10), b"all is up", false),
            ("at the last byte", "up", none, to(7), b"all is up", true),
            ("behind the last byte", "up", none, to(6), b"all is up", false),
            ("must not", "up", none, not, b"all is up", false),
            ("does not", "up", none, not, b"\xff\xfe", true),
        ];
        for (name, text, options, place, answer, wanted) in rows {
            assert_eq!(AnswerPattern::new(text, options, place).unwrap().holds(answer), wanted, "{name}");
        }
        for text in ["(?=a)", r"(a)\1", "(", "(a{1000}){1000}"] {
            assert!(AnswerPattern::new(text, none, not).is_err(), "{text}");
        }
    }
}
