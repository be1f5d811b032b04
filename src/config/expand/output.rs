//! The expanded text, and from where each part of it came.
//!
//! Neighbouring lines that were copied as they stand share a part, so a plain file of any size has one, and no copy.

use super::line::{Line, Piece};
use crate::config::source::{SourceId, Sources, Span};
use std::ops::Range;

/// Bytes of text after expansion, at most.
pub const EXPANDED_BYTES_MAX: usize = 128 << 20;
/// Bytes of memory for the lines that repetitions and definitions made, at most.
pub const REPEATED_BYTES_MAX: usize = 16 << 20;
/// Such lines, at most: what is read from one may take a kilobyte.
pub const REPEATED_LINES_MAX: usize = 100_000;

/// What a configuration says after includes, definitions, repetitions, conditions and comments are done with.
/// One statement or brace at least a line; blank lines may occur. What was copied is not held twice: it is a range of
/// its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The lines that are not as they stand in a source.
    made: String,
    /// Of `made`.
    segments: Vec<Segment>,
    parts: Vec<Part>,
    /// Bytes of all parts.
    bytes: usize,
    repeated_lines: usize,
    /// Of memory.
    repeated_bytes: usize,
}

/// Whole lines.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// As they stand in a source.
    Copied { source: SourceId, range: Range<usize> },
    /// In `made`.
    Made(Range<usize>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// Where it begins in `made`; it ends where the next begins.
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

/// Bytes that the line takes: its text, and where its pieces came from.
fn memory_of(line: &Line) -> usize {
    line.text().len() + 1 + line.pieces().len() * size_of::<Segment>()
}

impl Expanded {
    pub fn is_full(&self, more: usize) -> bool {
        self.bytes + more > EXPANDED_BYTES_MAX
    }

    /// The line would be too much; `repeated`: a repetition or a definition made it, and may make any number.
    pub(super) fn is_full_for(&self, line: &Line, repeated: bool) -> bool {
        let lines_full = self.repeated_lines >= REPEATED_LINES_MAX;
        let bytes_full = self.repeated_bytes + memory_of(line) > REPEATED_BYTES_MAX;
        self.is_full(line.text().len() + 1) || repeated && (lines_full || bytes_full)
    }

    /// Whole lines of a source, as they stand: these bytes of it.
    pub(super) fn push_verbatim(&mut self, source: SourceId, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.bytes += range.len();
        match self.parts.last_mut() {
            Some(Part::Copied { source: last, range: before }) if *last == source && before.end == range.start => {
                before.end = range.end;
            }
            Some(Part::Copied { .. } | Part::Made(_)) | None => self.parts.push(Part::Copied { source, range }),
        }
    }

    pub(super) fn push_line(&mut self, line: &Line, repeated: bool) {
        if repeated {
            self.repeated_lines += 1;
            self.repeated_bytes += memory_of(line);
        }
        let base = self.made.len();
        for &Piece { start, lo, hi, verbatim } in line.pieces() {
            self.segments.push(Segment { start: offset(base + start), source: line.source(), lo, hi, verbatim });
        }
        self.made.push_str(line.text());
        self.made.push('\n');
        self.bytes += self.made.len() - base;
        match self.parts.last_mut() {
            Some(Part::Made(range)) => range.end = self.made.len(),
            Some(Part::Copied { .. }) | None => self.parts.push(Part::Made(base..self.made.len())),
        }
    }

    /// The text, whole lines at a time; the last line of a part may lack its line feed. `sources` are those that were
    /// expanded.
    pub fn parts<'a>(&'a self, sources: &'a Sources) -> impl Iterator<Item = (&'a str, Places<'a>)> {
        self.parts.iter().map(|part| match part {
            Part::Copied { source, range } => {
                let text = sources.text(*source).get(range.clone()).unwrap_or_default();
                (text, Places(Origin::Copied { source: *source, from: offset(range.start) }))
            }
            Part::Made(range) => {
                let from = offset(range.start);
                let before = self.segments.partition_point(|segment| segment.start < from);
                let segments = self.segments.get(before..).unwrap_or_default();
                (self.made.get(range.clone()).unwrap_or_default(), Places(Origin::Made { segments, from }))
            }
        })
    }
}

/// Finds the spans of one part; each question begins at or after the one before.
#[derive(Clone, Debug)]
pub struct Places<'a>(Origin<'a>);

#[derive(Clone, Debug)]
enum Origin<'a> {
    /// The part begins at byte `from` of the source.
    Copied { source: SourceId, from: u32 },
    /// The part begins at byte `from` of `made`, and no question is about what stands before `segments`.
    Made { segments: &'a [Segment], from: u32 },
}

impl Places<'_> {
    /// The place of bytes `start..end` of the part. Exact where they were copied; where they came from substitutions
    /// it covers the uses.
    pub fn span(&mut self, start: usize, end: usize) -> Span {
        let (start, end) = (offset(start), offset(end));
        match &mut self.0 {
            Origin::Copied { source, from } => Span { source: *source, start: *from + start, end: *from + end },
            Origin::Made { segments, from } => {
                let (start, end) = (*from + start, *from + end);
                while let [_, rest @ ..] = *segments
                    && rest.first().is_some_and(|next| next.start <= start)
                {
                    *segments = rest;
                }
                made_span(segments, start, end)
            }
        }
    }
}

/// The place of bytes `start..end` of `made`, where the first segment is that of `start`.
fn made_span(segments: &[Segment], start: u32, end: u32) -> Span {
    let Some((first, rest)) = segments.split_first() else { return Span::default() };
    let last = rest.iter().take_while(|next| next.start < end).last().unwrap_or(first);
    let lo = if first.verbatim { first.lo + start.saturating_sub(first.start) } else { first.lo };
    let hi = if last.verbatim { last.lo + end.saturating_sub(last.start) } else { last.hi };
    if first.source == last.source && lo <= hi {
        Span { source: first.source, start: lo, end: hi }
    } else {
        Span { source: first.source, start: lo, end: first.hi.max(lo) }
    }
}
