//! What is wrong with a configuration: data, with the place and the way out. `print.rs` shows it to people.

use super::source::Span;

/// How bad it is. The order is that of the exit status: the first that occurs decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The daemon would not run with this file: exit status 4.
    Fatal,
    /// It would run without what is wrong: exit status 5.
    Error,
    /// Scripts that others may change would run as root: exit status 6.
    ScriptSecurity,
    /// Likely not what was meant; no effect on the exit status.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::ScriptSecurity => "script-security",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable, kebab-case, for `vipd check --explain CODE`.
    pub code: &'static str,
    pub severity: Severity,
    /// Without a capital and without a full stop.
    pub message: String,
    /// `None`: the configuration as a whole.
    pub at: Option<Span>,
    /// What stands under the underlined place; empty: nothing.
    pub label: String,
    pub help: Option<String>,
    /// Other places that matter, each with its words.
    pub related: Vec<(Span, String)>,
}

impl Problem {
    pub fn new(code: &'static str, severity: Severity, at: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            at: Some(at),
            label: String::new(),
            help: None,
            related: vec![],
        }
    }

    /// A problem of the whole configuration.
    pub fn general(code: &'static str, severity: Severity, message: impl Into<String>) -> Self {
        Self { at: None, ..Self::new(code, severity, Span::default(), message) }
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn related(mut self, at: Span, words: impl Into<String>) -> Self {
        self.related.push((at, words.into()));
        self
    }
}

/// What makes a file suspicious that could run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Problems that are errors, and not fatal.
    pub errors: usize,
    /// It ends inside a block.
    pub unclosed: bool,
}

/// The exit status of `vipd check` for these.
pub fn exit_code(problems: &[Problem]) -> u8 {
    match problems.iter().map(|problem| problem.severity).min() {
        Some(Severity::Fatal) => 4,
        Some(Severity::Error) => 5,
        Some(Severity::ScriptSecurity) => 6,
        Some(Severity::Warning | Severity::Note) | None => 0,
    }
}
