//! Where a word stands. A span is 12 bytes, since a large file has a million of them.

use std::ops::Range;
use std::sync::OnceLock;

/// One of the texts that a configuration was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// Bytes `start..end` of a source. Two spans are always equal, so that models compare by what they say.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct Span {
    pub source: SourceId,
    pub start: u32,
    pub end: u32,
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The text of every file that was read, by [`SourceId`].
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: String,
    /// Where each line begins: found when it is first asked for, since most texts have no problems.
    line_starts: OnceLock<Vec<usize>>,
    /// The text to be shown, where it differs.
    shown: OnceLock<Option<String>>,
}

/// A place as editors and people count: lines and columns from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// `Position` of the Language Server Protocol: both count from 0, characters in UTF-16 code units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LspPosition {
    pub line: usize,
    pub character: usize,
}

impl Sources {
    /// Keep a text; files beyond 2^32 - 1 bytes are refused by the loader before they come here.
    pub fn add(&mut self, name: String, text: String) -> SourceId {
        let id = SourceId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(Source { name, text, line_starts: OnceLock::new(), shown: OnceLock::new() });
        id
    }

    pub fn name(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |text| &text.name)
    }

    pub fn text(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |text| &text.text)
    }

    /// The text for people: carriage returns are blanks, as they are to the reader, and end no lines.
    pub fn shown_text(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |text| {
            let shown = text.shown.get_or_init(|| text.text.contains('\r').then(|| text.text.replace('\r', " ")));
            shown.as_deref().unwrap_or(&text.text)
        })
    }

    /// Where a byte of a source stands. It costs the logarithm of the number of lines, and the length of the line.
    pub fn place(&self, id: SourceId, offset: u32) -> Place {
        let (line, before) = self.line_before(id, offset);
        Place { line, column: before.chars().count() + 1 }
    }

    pub fn lsp_position(&self, id: SourceId, offset: u32) -> LspPosition {
        let (line, before) = self.line_before(id, offset);
        LspPosition { line: line - 1, character: before.encode_utf16().count() }
    }

    /// The line of an offset, from 1, and what stands on it before.
    fn line_before(&self, id: SourceId, offset: u32) -> (usize, &str) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let starts = self.line_starts(id);
        let line = starts.partition_point(|start| *start <= offset).max(1);
        let start = starts.get(line - 1).copied().unwrap_or(0);
        let text = self.text(id);
        (line, text.get(start..offset.min(text.len())).unwrap_or(""))
    }

    /// The bytes of lines `first..=last`, counted from 1, as far as there are such lines.
    pub fn lines(&self, id: SourceId, first: usize, last: usize) -> Range<usize> {
        let starts = self.line_starts(id);
        let end = self.text(id).len();
        let start = starts.get(first.saturating_sub(1)).copied().unwrap_or(end);
        start..starts.get(last).copied().unwrap_or(end).max(start)
    }

    fn line_starts(&self, id: SourceId) -> &[usize] {
        self.get(id).map_or(&[], |text| {
            text.line_starts.get_or_init(|| {
                let ends = text.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
                std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
            })
        })
    }

    /// The span as bytes of its source.
    pub fn range(span: Span) -> Range<usize> {
        let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        at(span.start)..at(span.end)
    }

    fn get(&self, id: SourceId) -> Option<&Source> {
        self.texts.get(usize::try_from(id.0).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        let id = sources.add("a".into(), "ab\né c\n\nd".into());
        let rows = [(0, 1, 1), (2, 1, 3), (3, 2, 1), (5, 2, 2), (6, 2, 3), (7, 2, 4), (8, 3, 1), (9, 4, 1), (99, 4, 2)];
        for (offset, line, column) in rows {
            assert_eq!(sources.place(id, offset), Place { line, column }, "{offset}");
        }
        assert_eq!(sources.lines(id, 2, 2), 3..8);
        assert_eq!(sources.lines(id, 4, 9), 9..10);
        assert_eq!(sources.place(SourceId(7), 5), Place { line: 1, column: 1 });
        let id = sources.add("b".into(), "\u{1f600}\u{e9}x\n".into());
        assert_eq!(sources.place(id, 6), Place { line: 1, column: 3 });
        assert_eq!(sources.lsp_position(id, 6), LspPosition { line: 0, character: 3 });
        assert_eq!(sources.lsp_position(id, 8), LspPosition { line: 1, character: 0 });
    }
}
