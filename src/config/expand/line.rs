//! One line while it is worked on: its text, and from where each part of it came.

use super::output::offset;
use crate::config::source::{SourceId, Span};
use std::ops::Range;

/// A part of a line, from `start` to the next part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: usize,
    /// Verbatim: the place of its first byte; else the use that it came from is `lo..hi`.
    pub(super) lo: u32,
    pub(super) hi: u32,
    pub(super) verbatim: bool,
}

/// Text with places. It is at most a few thousand bytes: see `LINE_BYTES_MAX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    text: String,
    pieces: Vec<Piece>,
    source: SourceId,
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl Line {
    /// A line of a source, which stands there at `at`.
    pub(super) fn verbatim(source: SourceId, at: usize, text: &str) -> Self {
        let lo = offset(at);
        Self { text: text.to_owned(), pieces: vec![Piece { start: 0, lo, hi: lo, verbatim: true }], source }
    }

    /// A line of a definition that is used at `at`.
    pub(super) fn substituted(at: Span, text: &str) -> Self {
        let piece = Piece { start: 0, lo: at.start, hi: at.end, verbatim: false };
        Self { text: text.to_owned(), pieces: vec![piece], source: at.source }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(super) const fn source(&self) -> SourceId {
        self.source
    }

    /// Where `range` of the text came from.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let first = self.pieces.iter().rfind(|piece| piece.start <= range.start);
        let last = self.pieces.iter().rfind(|piece| piece.start < range.end).or(first);
        let (Some(first), Some(last)) = (first, last) else { return Span { source: self.source, ..Span::default() } };
        let lo = if first.verbatim { first.lo + offset(range.start - first.start) } else { first.lo };
        let hi = if last.verbatim { last.lo + offset(range.end.saturating_sub(last.start)) } else { last.hi };
        Span { source: self.source, start: lo, end: hi.max(lo) }
    }

    pub(super) fn whole(&self) -> Span {
        self.span(0..self.text.len())
    }

    /// Take away what stands before byte `at`.
    pub(super) fn cut_front(&mut self, at: usize) {
        *self = self.split_off(at);
    }

    /// Take away what stands from byte `at`.
    pub(super) fn truncate(&mut self, at: usize) {
        self.text.truncate(at);
        self.pieces.retain(|piece| piece.start == 0 || piece.start < at);
    }

    /// What stands from byte `at`, as a line of its own; this one ends before it.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let text = self.text.split_off(at.min(self.text.len()));
        let pieces = self.pieces_from(at, 0);
        self.truncate(at);
        Self { text, pieces, source: self.source }
    }

    /// The pieces of what stands from byte `at`, where that is moved to byte `to`.
    fn pieces_from(&self, at: usize, to: usize) -> Vec<Piece> {
        let split = self.pieces.iter().rfind(|piece| piece.start <= at).map(|&piece| {
            let lo = if piece.verbatim { piece.lo + offset(at - piece.start) } else { piece.lo };
            Piece { start: to, lo, ..piece }
        });
        let later = self.pieces.iter().filter(|piece| piece.start > at);
        split.into_iter().chain(later.map(|&piece| Piece { start: piece.start - at + to, ..piece })).collect()
    }

    /// Put `with` in the place of `range`, which becomes the use that it came from.
    pub(super) fn replace(&mut self, range: Range<usize>, with: &str) {
        let at = self.span(range.clone());
        let after = self.pieces_from(range.end, range.start + with.len());
        let more = range.end < self.text.len();
        self.pieces.retain(|piece| piece.start < range.start);
        if !with.is_empty() || !more {
            self.pieces.push(Piece { start: range.start, lo: at.start, hi: at.end, verbatim: false });
        }
        if more {
            self.pieces.extend(after);
        }
        self.text.replace_range(range, with);
    }

    /// Take away the comment and the blanks on both sides. A backslash that ends the line loses the blanks before it.
    pub(super) fn tidy(&mut self) {
        let comment = comment_start(&self.text);
        let text = self.text.get(..comment.unwrap_or(self.text.len())).unwrap_or_default();
        let end = text.trim_end_matches(is_blank).len();
        let start = text.len() - text.trim_start_matches(is_blank).len();
        self.truncate(end);
        self.cut_front(start.min(end));
        if comment.is_none()
            && let Some(before) = self.text.strip_suffix('\\')
        {
            let blank = before.trim_end_matches(is_blank).len();
            if blank < before.len() {
                self.replace(blank..before.len(), "");
            }
        }
    }

    /// Let `\#` and `\!` outside quotes stand for the character. The places where it did.
    pub(super) fn unescape(&mut self) -> Vec<Span> {
        let mut found = vec![];
        let (mut at, mut quoted) = (0, false);
        while let Some(&byte) = self.text.as_bytes().get(at) {
            match (byte, self.text.as_bytes().get(at + 1)) {
                (b'"', _) => quoted = !quoted,
                (b'\\', Some(b'#' | b'!')) if !quoted => {
                    found.push(self.span(at..at + 2));
                    self.replace(at..at + 1, "");
                }
                (b'\\', _) => at += 1,
                _ => {}
            }
            at += 1;
        }
        found
    }
}

/// Where a comment begins: `#` or `!` anywhere outside double quotes, but not after a backslash.
fn comment_start(text: &str) -> Option<usize> {
    let (mut at, mut quoted) = (0, false);
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' => at += 1,
            b'#' | b'!' if !quoted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blanks_go() {
        let rows = [
            ("priority 77#not part", "priority 77"),
            ("  ! whole line", ""),
            ("advert_int 2!also", "advert_int 2"),
            ("script \"exit 1 # kept\" # gone", "script \"exit 1 # kept\""),
            (r"a \# b # c", r"a \# b"),
            ("priority  \\", "priority\\"),
            ("a # foo \\", "a"),
            ("\ta b\t \r\n", "a b"),
            (r#"regex "a\"b" # c"#, r#"regex "a\"b""#),
            (r"a \\", r"a \\"),
            ("", ""),
            ("é # ü", "é"),
        ];
        for (text, expected) in rows {
            let mut line = Line::verbatim(SourceId(0), 10, text);
            line.tidy();
            assert_eq!(line.text(), expected, "{text}");
        }
    }

    fn places(line: &Line) -> Vec<(u32, u32)> {
        let bytes = 0..line.text().len();
        bytes.map(|at| line.span(at..at + 1)).map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn parts_keep_their_places() {
        let mut line = Line::verbatim(SourceId(0), 100, " a${X}b${Y}c # d");
        line.tidy();
        assert_eq!(line.text(), "a${X}b${Y}c");
        line.replace(6..10, "");
        line.replace(1..5, "12");
        assert_eq!(line.text(), "a12bc");
        assert_eq!(places(&line), [(101, 102), (102, 106), (102, 106), (106, 107), (111, 112)]);
        let tail = line.split_off(2);
        assert_eq!((line.text(), tail.text()), ("a1", "2bc"));
        assert_eq!(places(&line), [(101, 102), (102, 106)]);
        assert_eq!(places(&tail), [(102, 106), (106, 107), (111, 112)]);
        let whole = tail.whole();
        assert_eq!((whole.start, whole.end), (102, 112));
    }

    #[test]
    fn an_escaped_comment_sign_is_the_sign() {
        let mut line = Line::verbatim(SourceId(0), 0, r#"ES\#C \! "\#" \\#"#);
        assert_eq!(line.unescape().len(), 2);
        assert_eq!(line.text(), r#"ES#C ! "\#" \\#"#);
    }
}
