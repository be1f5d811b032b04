//! Braces that do not fit the keyword before them.
//!
//! A `{` where none belongs is passed over, as keepalived does it: the next `}` then closes the block around. A block
//! without its `{` is read all the same. keepalived reads on until the next `}`, and loses what stands between; here
//! such a block also ends before a line that only a block around knows.

use super::{Open, Parser};
use crate::config::keyword::{self, Context, Holds, Keyword, Standing};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

impl<'a> Parser<'a, '_> {
    /// What the block holds in which statements stand now.
    fn here(&self) -> Option<Context> {
        self.open.last().map_or(Some(Context::Top), |open| open.holds)
    }

    /// What the block of this statement holds; `None`: its keyword is not known here.
    pub(super) fn holds_of(&self, statement: &Statement<'a>) -> Option<Context> {
        known(self.here()?, statement.keyword.text)?.form.block()
    }

    /// Before a statement that begins with `word`: blocks without braces end, or the one before it begins.
    pub(super) fn begin_statement(&mut self, word: Word<'a>) {
        if self.too_deep > 0 {
            return;
        }
        self.end_unbraced(word.text);
        let from = self.open.last().map_or(0, |open| open.from);
        let opens = |this: &Self| {
            let last = this.done.get(from..)?.last().filter(|last| last.block.is_none())?;
            let inner = this.holds_of(last)?;
            let around = this.here().is_some_and(|here| knows(here, word.text));
            (knows(inner, word.text) || !around).then_some(inner)
        };
        if let Some(inner) = opens(self)
            && let Some(statement) = self.done.pop()
        {
            self.open.push(Open { from: self.done.len(), statement, holds: Some(inner), brace: None });
        }
    }

    /// Close the innermost blocks without braces where one around them knows the word, and they do not.
    fn end_unbraced(&mut self, word: &str) {
        let unbraced = self.open.iter().rev().take_while(|open| open.brace.is_none());
        if unbraced.clone().next().is_none() {
            return;
        }
        let around = self.open.iter().rev().map(|open| open.holds).chain([Some(Context::Top)]);
        let knowing = around.take(unbraced.count() + 1).position(|holds| holds.is_some_and(|here| knows(here, word)));
        for _ in 0..knowing.unwrap_or(0) {
            self.close_innermost();
        }
    }

    /// The statement whose block this brace opens; `None`: it opens none, and is passed over.
    pub(super) fn opener(&mut self, brace: Span) -> Option<Statement<'a>> {
        if !self.may_open {
            let problem = Problem::new("stray-brace", Severity::Error, brace, "this `{` follows no keyword");
            let problem = problem.label("passed over: the next `}` closes the block around");
            self.problems.push(problem.help("write the keyword of the block before it, or take it away"));
            return None;
        }
        let here = self.here();
        let takes_none = |statement: &Statement<'_>| match here {
            None => false,
            Some(here) if matches!(here.holds(), Holds::Lines(_)) => true,
            Some(here) => known(here, statement.keyword.text).is_some_and(|keyword| keyword.form.block().is_none()),
        };
        if !self.done.last().is_some_and(takes_none) {
            return self.done.pop();
        }
        self.unexpected(brace);
        None
    }

    fn unexpected(&mut self, brace: Span) {
        let lines = self.open.last().filter(|open| matches!(open.holds.map(Context::holds), Some(Holds::Lines(_))));
        let (message, help) = if let Some(open) = lines {
            let opener = open.statement.keyword.text;
            (
                format!("a line of `{opener}` opens no block"),
                format!("is the `}}` of `{opener}` missing above this line?"),
            )
        } else {
            let keyword = self.done.last().map_or("", |statement| statement.keyword.text);
            (format!("`{keyword}` takes no block"), "take the `{` away, or write before it what it opens".to_owned())
        };
        let problem = Problem::new("unexpected-block", Severity::Error, brace, message);
        self.problems.push(problem.label("passed over: the next `}` closes the block around").help(help));
    }
}

/// Whether the word is a keyword of this block. In a list of plain lines none is.
fn knows(here: Context, word: &str) -> bool {
    matches!(here.holds(), Holds::Keywords) && known(here, word).is_some()
}

/// The keyword, unless it is one of the past: those may have opened blocks.
fn known(here: Context, word: &str) -> Option<&'static Keyword> {
    keyword::find(here, word).filter(|keyword| !matches!(keyword.standing, Standing::Removed(_)))
}

#[cfg(test)]
mod tests;
