//! The expanded text, and from where each part of it came.
//!
//! Neighbouring lines that were copied as they stand share a segment, so a plain file of any size has one.

use super::line::{Line, Piece};
use crate::config::source::{SourceId, Span};

/// Bytes of text after expansion, at most.
pub const EXPANDED_BYTES_MAX: usize = 128 << 20;

/// What a configuration says after includes, definitions, repetitions, conditions and comments are done with.
/// One statement or brace at least a line; blank lines may occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// Where it begins in the expanded text; it ends where the next begins.
    start: u32,
    source: SourceId,
    /// Verbatim: the place of its first byte. Substituted: where the use begins.
    lo: u32,
    /// Substituted: where the use ends.
    hi: u32,
    verbatim: bool,
}

pub(super) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Expanded {
    pub fn is_full(&self, more: usize) -> bool {
        self.text.len() + more > EXPANDED_BYTES_MAX
    }

    /// Whole lines of a source, as they stand.
    pub(super) fn push_verbatim(&mut self, source: SourceId, at: usize, text: &str) {
        if text.is_empty() {
            return;
        }
        let start = offset(self.text.len());
        let lo = offset(at);
        let joins = self.segments.last().is_some_and(|last| {
            last.verbatim && last.source == source && last.lo.checked_add(start - last.start) == Some(lo)
        });
        if !joins {
            self.segments.push(Segment { start, source, lo, hi: lo, verbatim: true });
        }
        self.text.push_str(text);
        if !text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    pub(super) fn push_line(&mut self, line: &Line) {
        let base = self.text.len();
        for &Piece { start, lo, hi, verbatim } in line.pieces() {
            self.segments.push(Segment { start: offset(base + start), source: line.source(), lo, hi, verbatim });
        }
        self.text.push_str(line.text());
        self.text.push('\n');
    }

    /// Places of parts of the text, asked for from the beginning to the end.
    pub fn places(&self) -> Places<'_> {
        Places { segments: &self.segments, at: 0 }
    }
}

/// Finds spans; each question begins at or after the one before.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    segments: &'a [Segment],
    at: usize,
}

impl Places<'_> {
    /// The place of bytes `start..end` of the expanded text. Exact where they were copied; where they came from
    /// substitutions it covers the uses.
    pub fn span(&mut self, start: usize, end: usize) -> Span {
        let (start, end) = (offset(start), offset(end));
        while self.segments.get(self.at + 1).is_some_and(|next| next.start <= start) {
            self.at += 1;
        }
        let Some(first) = self.segments.get(self.at) else { return Span::default() };
        let mut last = first;
        let mut ahead = self.at;
        while let Some(next) = self.segments.get(ahead + 1)
            && next.start < end
        {
            (last, ahead) = (next, ahead + 1);
        }
        let lo = if first.verbatim { first.lo + start.saturating_sub(first.start) } else { first.lo };
        let hi = if last.verbatim { last.lo + end.saturating_sub(last.start) } else { last.hi };
        if first.source == last.source && lo <= hi {
            Span { source: first.source, start: lo, end: hi }
        } else {
            Span { source: first.source, start: lo, end: first.hi.max(lo) }
        }
    }
}
