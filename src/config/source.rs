//! Where a word stands. A span is 12 bytes, since a large file has a million of them.

use std::ops::Range;

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
    texts: Vec<Text>,
}

#[derive(Clone, Debug)]
struct Text {
    name: String,
    text: String,
}

/// A place as editors and people count: lines and columns from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Sources {
    /// Keep a text; files beyond 2^32 - 1 bytes are refused by the loader before they come here.
    pub fn add(&mut self, name: String, text: String) -> SourceId {
        let id = SourceId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(Text { name, text });
        id
    }

    pub fn name(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |text| &text.name)
    }

    pub fn text(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |text| &text.text)
    }

    /// Where a byte of a source stands.
    pub fn place(&self, id: SourceId, offset: u32) -> Place {
        let before = self.text(id).get(..usize::try_from(offset).unwrap_or(usize::MAX)).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place { line, column }
    }

    /// The span as bytes of its source.
    pub fn range(span: Span) -> Range<usize> {
        let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
        at(span.start)..at(span.end)
    }

    fn get(&self, id: SourceId) -> Option<&Text> {
        self.texts.get(usize::try_from(id.0).ok()?)
    }
}
