//! Phase 1: files to one expanded text, line by line, as keepalived does before it looks at keywords.
//!
//! Includes, conditions, definitions, repetitions and comments end here. No file is opened here: [`Outside`] does it.
//! What a statement means is not known, but for `include_check` and `random_seed`, which change the expansion itself.

mod definitions;
mod files;
mod include;
mod line;
mod output;
mod scan;
mod sequence;
mod substitute;
#[cfg(test)]
pub(in crate::config) mod tests;

use super::collect::Problems;
use super::problem::{Problem, Severity};
use super::source::{SourceId, Sources, Span};
use definitions::{Defining, Definitions};
use files::Included;
use line::Line;
use sequence::{Sequence, SequenceError, SequenceKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use include::{ALTERNATIVES_MAX, Strictness};
pub use output::{EXPANDED_BYTES_MAX, Expanded, Places, REPEATED_BYTES_MAX, REPEATED_LINES_MAX};
pub use scan::LINE_BYTES_MAX;

/// Files, repetitions and multi-line definitions inside one another, at most.
pub const DEPTH_MAX: usize = 256;
/// Files that are read, at most; each include of one file counts.
pub const FILES_MAX: usize = 10_000;
/// Bytes of all files, at most.
pub const SOURCE_BYTES_MAX: usize = 128 << 20;
/// Substitutions in one line, at most.
pub const SUBSTITUTIONS_MAX: usize = 512;
/// Turns of all `~SEQ` and `~LST`, at most.
pub const TURNS_MAX: usize = 1 << 16;
/// Bytes of lines that substitution and repetition may handle, at most: it bounds the time.
pub const WORK_MAX: usize = 256 << 20;
/// What handling a line costs beside its bytes.
const WORK_STEP: usize = 64;

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    pub text: String,
    /// Equal for the same file whatever name was used: an include loop is seen by it.
    pub identity: PathBuf,
    /// Where relative names in it begin; absolute.
    pub dir: PathBuf,
    /// The first place where bytes were not UTF-8 and were replaced, and how many such places there are.
    pub replaced: Option<(usize, usize)>,
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    #[error("no such file")]
    Missing,
    #[error("it is a directory")]
    Directory,
    #[error("it is not a regular file")]
    NotRegular,
    #[error("it may be executed, and keepalived does not read such files")]
    Executable,
    #[error("it has more than {} bytes", SOURCE_BYTES_MAX)]
    TooLarge,
    #[error("{0}")]
    Unreadable(String),
}

/// What a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Globbed {
    /// In the order of glob(3).
    Found(Vec<PathBuf>),
    /// The directory that the wildcards stand in is missing.
    NoDirectory,
    /// It is not a pattern, and why.
    BadPattern(String),
}

/// What the expansion needs to know of the world.
pub trait Outside {
    fn read(&mut self, path: &Path) -> Result<FileText, FileFault>;
    fn glob(&mut self, pattern: &Path) -> Globbed;
    /// An environment variable.
    fn variable(&mut self, name: &str) -> Option<String>;
}

/// What is given from the command line and the clock.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// What `@ID` lines compare with.
    pub config_id: &'a str,
    /// Where `${_RANDOM}` begins.
    pub seed: u64,
    /// How strict plain includes are.
    pub strictness: Strictness,
}

/// Read `main` and all that it includes. Reading never fails: what is wrong is in `problems`.
pub fn expand(
    main: &Path,
    settings: &Settings<'_>,
    outside: &mut dyn Outside,
    sources: &mut Sources,
    problems: &mut Problems,
) -> Expanded {
    let mut expander = Expander {
        settings,
        outside,
        sources,
        problems,
        out: Expanded::default(),
        frames: vec![],
        definitions: Definitions::new(),
        defining: None,
        strictness: settings.strictness,
        random: settings.seed,
        files: 0,
        source_bytes: 0,
        turns: 0,
        work: 0,
        stopped: false,
    };
    expander.open_main(main);
    expander.run();
    expander.out
}

/// Where the next line comes from.
enum Frame {
    File {
        source: SourceId,
        at: usize,
        dir: PathBuf,
        identity: PathBuf,
        strictness: Strictness,
    },
    /// Files that one include line names, and are not read yet.
    Include {
        files: std::vec::IntoIter<Included>,
        strictness: Strictness,
        at: Span,
    },
    Definition {
        lines: Rc<Vec<String>>,
        next: usize,
        at: Span,
    },
    Repeat {
        sequence: Sequence,
        text: Line,
    },
    /// What stood behind a brace.
    Rest(Line),
}

impl Frame {
    /// It counts towards [`DEPTH_MAX`]; the others stand between two that do.
    const fn is_a_level(&self) -> bool {
        match self {
            Self::File { .. } | Self::Repeat { .. } | Self::Definition { .. } => true,
            Self::Include { .. } | Self::Rest(_) => false,
        }
    }

    /// It may make any number of lines of one that was written.
    const fn repeats(&self) -> bool {
        match self {
            Self::Repeat { .. } | Self::Definition { .. } => true,
            Self::File { .. } | Self::Include { .. } | Self::Rest(_) => false,
        }
    }
}

struct Expander<'a> {
    settings: &'a Settings<'a>,
    outside: &'a mut dyn Outside,
    sources: &'a mut Sources,
    problems: &'a mut Problems,
    out: Expanded,
    /// The last is read first.
    frames: Vec<Frame>,
    definitions: Definitions,
    defining: Option<Defining>,
    strictness: Strictness,
    random: u64,
    files: usize,
    source_bytes: usize,
    turns: usize,
    work: usize,
    /// A limit of the whole was passed: nothing more is read.
    stopped: bool,
}

impl Expander<'_> {
    fn run(&mut self) {
        while let Some(line) = self.next_line() {
            self.line(line);
        }
        self.finish_definition();
    }

    /// A limit of the whole configuration: it is told once, and reading ends.
    fn stop(&mut self, code: &'static str, at: Span, message: String) {
        if !self.stopped {
            self.stopped = true;
            self.problems.push(Problem::new(code, Severity::Fatal, at, message).label("reading stops here"));
        }
    }

    fn push_frame(&mut self, frame: Frame, at: Span) {
        let deep = self.frames.iter().filter(|frame| frame.is_a_level()).count();
        if frame.is_a_level() && deep >= DEPTH_MAX {
            let message = format!("includes, repetitions and definitions are nested more than {DEPTH_MAX} deep");
            self.stop("nested-too-deep", at, message);
        } else {
            self.frames.push(frame);
        }
    }

    /// The next line that needs work; plain ones are copied on the way.
    fn next_line(&mut self) -> Option<Line> {
        loop {
            if self.stopped {
                return None;
            }
            match self.frames.last_mut()? {
                Frame::File { source, at, .. } => {
                    let (source, from) = (*source, *at);
                    let text = self.sources.text(source);
                    // The lines of a definition are all taken by it.
                    let run = if self.defining.is_some() { scan::one(text, from) } else { scan::run(text, from) };
                    *at = run.line_end;
                    if self.out.is_full(run.plain_end - from + 1) {
                        self.full(Span { source, ..Span::default() });
                        return None;
                    }
                    self.out.push_verbatim(source, from..run.plain_end);
                    if run.line_end > run.plain_end {
                        let line = text.get(run.plain_end..run.line_end).unwrap_or_default().to_owned();
                        if let Some(line) = self.checked_line(source, run.plain_end, &line) {
                            return Some(line);
                        }
                        continue;
                    }
                    if let Some(Frame::File { strictness, .. }) = self.frames.pop() {
                        self.strictness = strictness;
                    }
                }
                Frame::Include { files, strictness, at } => {
                    let (strictness, at) = (*strictness, *at);
                    match files.next() {
                        Some(file) => self.open_included(&file, strictness, at),
                        None => drop(self.frames.pop()),
                    }
                }
                Frame::Definition { lines, next, at } => {
                    *next += 1;
                    if let Some(text) = lines.get(*next - 1) {
                        return Some(Line::substituted(*at, text));
                    }
                    self.frames.pop();
                }
                Frame::Repeat { sequence, text } => {
                    let Some(values) = sequence.turn() else {
                        self.frames.pop();
                        continue;
                    };
                    let line = text.clone();
                    for (name, value) in values {
                        self.definitions.insert(name, definitions::Definition::plain(value));
                    }
                    self.turns += 1;
                    if self.turns > TURNS_MAX {
                        let message = format!("repetitions take more than {TURNS_MAX} turns");
                        self.stop("too-many-turns", line.whole(), message);
                        return None;
                    }
                    return Some(line);
                }
                Frame::Rest(_) => {
                    if let Some(Frame::Rest(line)) = self.frames.pop() {
                        return Some(line);
                    }
                }
            }
        }
    }

    fn full(&mut self, at: Span) {
        let message = format!(
            "the configuration has more than {} MiB after expansion, or more than {REPEATED_LINES_MAX} lines or {} MiB \
             that repetitions and definitions made",
            EXPANDED_BYTES_MAX >> 20,
            REPEATED_BYTES_MAX >> 20
        );
        self.stop("too-long", at, message);
    }

    /// A line of a file, where it is one that keepalived would take.
    fn checked_line(&mut self, source: SourceId, at: usize, text: &str) -> Option<Line> {
        let text = text.trim_end_matches(['\n', '\r']);
        let span = || Span { source, start: output::offset(at), end: output::offset(at + text.len()) };
        if text.contains('\0') {
            let problem = Problem::new("nul-in-line", Severity::Error, span(), "the line has a NUL byte");
            self.problems.push(problem.label("the line is not used"));
            return None;
        }
        if text.len() > LINE_BYTES_MAX {
            let message = format!("the line has {} bytes, and {LINE_BYTES_MAX} is the limit", text.len());
            let problem = Problem::new("line-too-long", Severity::Error, span(), message);
            self.problems
                .push(problem.label("the line is not used").help("split it, or put its parts into definitions"));
            return None;
        }
        if self.defining.is_some() && text.is_empty() {
            self.finish_definition();
            return None;
        }
        Some(Line::verbatim(source, at, text))
    }

    fn finish_definition(&mut self) {
        if let Some(defining) = self.defining.take() {
            let (name, definition) = defining.finish();
            self.definitions.insert(name, definition);
        }
    }

    /// One line: what it says to the expansion is done; what it says to the reader goes out.
    fn line(&mut self, mut line: Line) {
        line.tidy();
        self.work += line.text().len() + WORK_STEP;
        if self.work > WORK_MAX {
            self.stop("too-much-expansion", line.whole(), "definitions and repetitions grow without end".into());
            return;
        }
        if let Some(defining) = &mut self.defining {
            // A line that is only a comment neither belongs to the definition nor ends it.
            if !line.text().is_empty() && !defining.line(line.text()) {
                self.finish_definition();
            }
            return;
        }
        let mut substitutions = 0;
        loop {
            match condition(line.text(), self.settings.config_id) {
                Condition::None => {}
                Condition::Drop => return,
                Condition::Keep(at) => line.cut_front(at),
            }
            if self.define(&line) || self.repeat(&mut line) {
                return;
            }
            match self.substitute(&mut line, &mut substitutions) {
                substitute::Outcome::Changed => line.tidy(),
                substitute::Outcome::Same => break,
                substitute::Outcome::Refused => return,
            }
        }
        self.statement(line);
    }

    /// `$NAME=TEXT`: whether it was that.
    fn define(&mut self, line: &Line) -> bool {
        let Some((name, text)) = definitions::definition(line.text()) else { return false };
        if name.starts_with('_') {
            let message = format!("`{name}` begins with `_`, and such names are reserved");
            self.problems.push(Problem::new("reserved-name", Severity::Warning, line.span(0..name.len() + 1), message));
        }
        self.defining = Defining::begins(name, text);
        if self.defining.is_none() {
            self.definitions.insert(name.to_owned(), definitions::Definition::plain(text.to_owned()));
        }
        true
    }

    /// `~SEQ` or `~LST`: whether it was that.
    fn repeat(&mut self, line: &mut Line) -> bool {
        let Some((kind, parts)) = sequence::recognise(line.text()) else { return false };
        let parts = parts.map(|(inner, at)| (inner.to_owned(), at));
        let form = if kind == SequenceKind::List { SequenceError::LstForm } else { SequenceError::SeqForm };
        let sequence = match (&parts, kind) {
            (None, _) => Err(form),
            (Some((inner, _)), SequenceKind::List) => Sequence::lists(inner),
            (Some((inner, _)), SequenceKind::Decimal | SequenceKind::Hex) => {
                sequence::seq_parts(inner).and_then(|(name, numbers)| {
                    let mut numbers = Line::substituted(line.whole(), numbers.trim());
                    self.substitute(&mut numbers, &mut 0);
                    Sequence::numbers(name, numbers.text(), kind == SequenceKind::Hex)
                })
            }
        };
        match (sequence, parts) {
            (Ok(sequence), Some((_, at))) => {
                let span = line.whole();
                let text = line.split_off(at);
                self.push_frame(Frame::Repeat { sequence, text }, span);
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                let problem = Problem::new("bad-repetition", Severity::Error, line.whole(), error.to_string());
                self.problems.push(problem.label("the line is not used"));
            }
        }
        true
    }

    /// A line that is done: an include, or a statement that goes out.
    fn statement(&mut self, mut line: Line) {
        if line.text().is_empty() {
            return;
        }
        if let Some((own, pattern)) = include::include(line.text()) {
            let pattern = pattern.to_owned();
            self.include(own, &pattern, line.whole());
            return;
        }
        if let Some(at) = rest_at(line.text()) {
            let rest = line.split_off(at);
            let span = rest.whole();
            self.push_frame(Frame::Rest(rest), span);
        }
        if let Some(words) = line.text().strip_prefix("include_check").filter(|rest| !rest.starts_with('_')) {
            self.strictness = self.strictness.checked(words.split(['{', '}']).next().unwrap_or_default());
        }
        if let Some(seed) = line.text().strip_prefix("random_seed ").and_then(|words| words.trim().parse().ok()) {
            self.random = seed;
        }
        self.undefined_uses(&line);
        for at in line.unescape() {
            let problem = Problem::new("escaped-comment", Severity::Warning, at, "keepalived takes this for a comment");
            self.problems.push(problem.help("put the word into double quotes: then both read it the same"));
        }
        let repeated = self.frames.iter().any(Frame::repeats);
        if self.out.is_full_for(&line, repeated) {
            self.full(line.whole());
        } else {
            self.out.push_line(&line, repeated);
        }
    }
}

enum Condition {
    None,
    Drop,
    /// The statement begins at this byte.
    Keep(usize),
}

/// `@ID statement` and `@^ID statement`.
fn condition(line: &str, config_id: &str) -> Condition {
    let Some(rest) = line.strip_prefix('@') else { return Condition::None };
    let (negated, rest) = rest.strip_prefix('^').map_or((false, rest), |rest| (true, rest));
    let Some((id, statement)) = rest.split_once([' ', '\t']) else { return Condition::Drop };
    if (id == config_id) == negated {
        return Condition::Drop;
    }
    Condition::Keep(line.len() - statement.trim_start_matches([' ', '\t']).len())
}

/// Where, behind a brace, something stands that is expanded only at the beginning of a line.
fn rest_at(line: &str) -> Option<usize> {
    let (mut at, mut quoted) = (0, false);
    let bytes = line.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => quoted = !quoted,
            b'{' | b'}' if !quoted => {
                let rest = line.get(at..)?;
                let text = rest.trim_start_matches([' ', '\t']);
                if text.starts_with(['@', '~', '$']) || text.starts_with("include") || text.starts_with("random_seed") {
                    return Some(line.len() - text.len());
                }
            }
            _ => {}
        }
    }
    None
}
