//! Problems as people and editors read them. What is wrong is decided elsewhere.

use super::problem::{Problem, Severity};
use super::source::{LspPosition, Place, SourceId, Sources, Span};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};
use std::fmt;

/// Columns that a shown problem takes.
const WIDTH: usize = 110;

/// A problem for programs: lines and columns count from 1, columns in characters, the end is exclusive.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ProblemView {
    /// Empty, with lines and columns 0, for the configuration as a whole.
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
    /// The same as editors want it; nothing for the configuration as a whole.
    pub range: Option<LspRange>,
    pub code: &'static str,
    pub severity: &'static str,
    pub message: String,
    pub help: Option<String>,
}

/// `Range` of the Language Server Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LspRange {
    pub start: LspPosition,
    /// Exclusive.
    pub end: LspPosition,
}

impl Problem {
    /// With the place, the line underlined, and the way out; it ends in a line feed.
    pub fn render(&self, sources: &Sources, colour: bool) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(WIDTH);
        let shown = Shown { problem: self, source: self.at.map(|at| Excerpt { sources, id: at.source }), sources };
        let mut text = String::new();
        match handler.render_report(&mut text, &shown) {
            Ok(()) => text,
            // A place that miette cannot show is not a reason to show nothing.
            Err(fmt::Error) => format!("{}[{}]: {}\n", self.severity.word(), self.code, self.message),
        }
    }

    pub fn view(&self, sources: &Sources) -> ProblemView {
        let nowhere = Place { line: 0, column: 0 };
        let place = |at: Option<Span>, end: bool| {
            at.map_or(nowhere, |at| sources.place(at.source, if end { at.end } else { at.start }))
        };
        let (from, to) = (place(self.at, false), place(self.at, true));
        ProblemView {
            file: self.at.map_or_else(String::new, |at| sources.name(at.source).to_owned()),
            line: from.line,
            column: from.column,
            end_line: to.line,
            end_column: to.column,
            range: self.at.map(|at| LspRange {
                start: sources.lsp_position(at.source, at.start),
                end: sources.lsp_position(at.source, at.end),
            }),
            code: self.code,
            severity: self.severity.word(),
            message: self.message.clone(),
            help: self.help.clone(),
        }
    }
}

/// A problem in miette's words.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: Option<Excerpt<'a>>,
    sources: &'a Sources,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(format!("{}[{}]", self.problem.severity.word(), self.problem.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Fatal | Severity::Error | Severity::ScriptSecurity => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    /// The way out; and places in other files, which miette's one excerpt cannot hold.
    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let here = self.problem.at.map(|at| at.source);
        let others = self.problem.related.iter().filter(|(at, _)| Some(at.source) != here).map(|(at, words)| {
            let place = self.sources.place(at.source, at.start);
            format!("{}:{}:{}: {words}", self.sources.name(at.source), place.line, place.column)
        });
        let lines: Vec<String> = self.problem.help.iter().cloned().chain(others).collect();
        if lines.is_empty() {
            return None;
        }
        Some(Box::new(lines.join("\n")))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match &self.source {
            Some(source) => Some(source),
            None => None,
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let at = self.problem.at?;
        let label = (!self.problem.label.is_empty()).then(|| self.problem.label.clone());
        let first = LabeledSpan::new_primary_with_span(label, Sources::range(at));
        let related = self.problem.related.iter().filter(move |(other, _)| other.source == at.source);
        let related = related.map(|(at, words)| LabeledSpan::new_with_span(Some(words.clone()), Sources::range(*at)));
        Some(Box::new(std::iter::once(first).chain(related)))
    }
}

/// A source of which miette is given only the lines that it shows.
#[derive(Clone, Copy, Debug)]
struct Excerpt<'a> {
    sources: &'a Sources,
    id: SourceId,
}

impl SourceCode for Excerpt<'_> {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let text = self.sources.shown_text(self.id);
        let end = span.offset() + span.len();
        if end > text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let line = |offset: usize| self.sources.place(self.id, u32::try_from(offset).unwrap_or(u32::MAX)).line;
        // With no lines around it miette wants to know where the span itself begins.
        if before == 0 {
            let at = self.sources.place(self.id, u32::try_from(span.offset()).unwrap_or(u32::MAX));
            let data = text.get(span.offset()..end).unwrap_or("");
            let name = self.sources.name(self.id).to_owned();
            let lines = line(end) - at.line + 1;
            return Ok(Box::new(MietteSpanContents::new_named(
                name,
                data.as_bytes(),
                *span,
                at.line - 1,
                at.column - 1,
                lines,
            )));
        }
        let first = line(span.offset()).saturating_sub(before).max(1);
        let last = line(end) + after;
        let range = self.sources.lines(self.id, first, last);
        let data = text.get(range.clone()).unwrap_or("").trim_end_matches('\n');
        let shown = SourceSpan::from(range.start..range.start + data.len());
        let name = self.sources.name(self.id).to_owned();
        Ok(Box::new(MietteSpanContents::new_named(name, data.as_bytes(), shown, first - 1, 0, last - first + 1)))
    }
}

#[cfg(test)]
mod tests;
