//! What an include line does: find the files, judge what is missing, and put them on top of what is read.

use super::include::{ALTERNATIVES_MAX, alternatives, has_wildcard};
use super::{Expander, FILES_MAX, FileFault, Frame, Globbed, SOURCE_BYTES_MAX, Strictness};
use crate::config::problem::{Problem, Severity};
use crate::config::source::{SourceId, Span};
use std::path::{Path, PathBuf};

/// A file that an include line names.
#[derive(Clone, Debug)]
pub(super) struct Included {
    path: PathBuf,
    /// How strict an include is to which a missing file is an error.
    missing: Strictness,
}

const BYTE_ORDER_MARK: char = '\u{feff}';

impl Expander<'_> {
    /// The file that the configuration begins with.
    pub(super) fn open_main(&mut self, main: &Path) {
        if let Err(fault) = self.open(main, Span::default()) {
            let message = format!("the configuration {} cannot be read: {fault}", main.display());
            self.problems.push(Problem::general("config-unreadable", Severity::Fatal, message));
        }
    }

    /// The directory of the file that is read.
    pub(super) fn dir(&self) -> PathBuf {
        let dirs = self.frames.iter().rev();
        let mut dirs =
            dirs.filter_map(|frame| if let Frame::File { dir, .. } = frame { Some(dir.clone()) } else { None });
        dirs.next().unwrap_or_default()
    }

    /// An include line at `at`, which is as strict as its keyword or as `include_check`.
    pub(super) fn include(&mut self, own: Strictness, pattern: &str, at: Span) {
        if pattern.matches('"').count() % 2 == 1 {
            let problem = Problem::new("unclosed-quote", Severity::Error, at, "the double quote is not closed");
            self.problems.push(problem.label("a part of the name").help("file names are written without quotes"));
        }
        let strictness = self.strictness.and(own);
        let Some(patterns) = alternatives(pattern) else {
            let message = format!("the braces stand for more than {ALTERNATIVES_MAX} patterns");
            self.problems.push(Problem::new("too-many-alternatives", Severity::Error, at, message));
            return;
        };
        let missing = if patterns.len() > 1 { Strictness::BRACE } else { Strictness::MATCH };
        let dir = self.dir();
        let mut found = vec![];
        for pattern in patterns.iter().filter(|pattern| !pattern.is_empty()) {
            let path = dir.join(pattern);
            if !has_wildcard(pattern) {
                found.push(Included { path, missing });
                continue;
            }
            match self.outside.glob(&path) {
                Globbed::Found(paths) if paths.is_empty() => {
                    self.include_fault(strictness.has(Strictness::WILDCARD), pattern, "no file matches", at);
                }
                Globbed::Found(paths) => {
                    let missing = Strictness::READ;
                    found.extend(paths.into_iter().map(|path| Included { path, missing }));
                }
                Globbed::NoDirectory => {
                    self.include_fault(strictness.has(missing), pattern, "its directory is missing", at);
                }
                Globbed::BadPattern(why) => {
                    self.include_fault(strictness.has(Strictness::READ), pattern, &why, at);
                }
            }
        }
        self.push_frame(Frame::Include { files: found.into_iter(), strictness, at }, at);
    }

    /// One file of those that an include line names.
    pub(super) fn open_included(&mut self, file: &Included, strictness: Strictness, at: Span) {
        let Err(fault) = self.open(&file.path, at) else { return };
        let strict = strictness.has(if fault == FileFault::Missing { file.missing } else { Strictness::READ });
        self.include_fault(strict, &file.path.display().to_string(), &fault.to_string(), at);
    }

    fn include_fault(&mut self, strict: bool, name: &str, why: &str, at: Span) {
        let severity = if strict { Severity::Fatal } else { Severity::Warning };
        let message = format!("`{name}` is not included: {why}");
        let problem = Problem::new("include-failed", severity, at, message);
        self.problems.push(problem.help(if name.contains('"') {
            "file names are written without quotes"
        } else if strict {
            "this include is strict: by its keyword, or by `include_check`"
        } else {
            "the rest is read without it; `includea` makes that an error"
        }));
    }

    /// Put a file on top of what is read. Limits and loops are told here; a file that cannot be read, by the caller.
    fn open(&mut self, path: &Path, at: Span) -> Result<(), FileFault> {
        if self.stopped {
            return Ok(());
        }
        self.files += 1;
        if self.files > FILES_MAX {
            self.stop("too-many-files", at, format!("more than {FILES_MAX} files are included"));
            return Ok(());
        }
        let file = self.outside.read(path)?;
        let same = |frame: &Frame| matches!(frame, Frame::File { identity, .. } if *identity == file.identity);
        if self.frames.iter().any(same) {
            let message = format!("{} includes itself", path.display());
            let problem = Problem::new("include-loop", Severity::Error, at, message);
            self.problems.push(problem.label("this include is not done"));
            return Ok(());
        }
        self.source_bytes += file.text.len();
        if self.source_bytes > SOURCE_BYTES_MAX {
            self.stop("too-long", at, format!("the files have more than {SOURCE_BYTES_MAX} bytes together"));
            return Ok(());
        }
        let marked = file.text.starts_with(BYTE_ORDER_MARK);
        let source = self.sources.add(path.display().to_string(), file.text);
        let start = if marked { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        if marked {
            let span = Span { source, start: 0, end: super::output::offset(start) };
            let message =
                "the file begins with a byte order mark, and keepalived takes it for a part of the first word";
            let problem = Problem::new("byte-order-mark", Severity::Error, span, message);
            self.problems.push(problem.help("save the file as UTF-8 without a byte order mark"));
        }
        self.carriage_returns(source);
        if let Some((first, count)) = file.replaced {
            self.not_utf8(source, first, count);
        }
        let (dir, identity, strictness) = (file.dir, file.identity, self.strictness);
        self.push_frame(Frame::File { source, at: start, dir, identity, strictness }, at);
        Ok(())
    }

    /// A file of an old Mac, or one that was converted wrongly, is one line: its first statement takes it all.
    fn carriage_returns(&mut self, source: SourceId) {
        let text = self.sources.text(source);
        if text.contains('\n') {
            return;
        }
        let Some(first) = text.trim_end_matches('\r').find('\r') else { return };
        let span = Span { source, start: super::output::offset(first), end: super::output::offset(first + 1) };
        let message = "the lines end in carriage returns without line feeds, so the whole file is one line";
        let problem = Problem::new("no-line-feeds", Severity::Warning, span, message).label("the first of them");
        self.problems.push(problem.help("tr '\\r' '\\n' < FILE > NEW"));
    }

    fn not_utf8(&mut self, source: SourceId, first: usize, count: usize) {
        let start = super::output::offset(first);
        let end = super::output::offset(first + char::REPLACEMENT_CHARACTER.len_utf8());
        let message = match count {
            1 => "bytes that are not UTF-8 were replaced".to_owned(),
            _ => format!("bytes that are not UTF-8 were replaced in {count} places"),
        };
        let span = Span { source, start, end };
        self.problems.push(Problem::new("not-utf8", Severity::Warning, span, message).label("the first is here"));
    }
}
