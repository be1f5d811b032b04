//! A tree held against the keyword table: what stands where it may not, what lacks its words or its block, what is
//! dropped in silence, and what vipd does not carry out. Of values only those of the last are looked at: all others are
//! read by `read/`.
//!
//! keepalived reads the contents of an unknown block as if they stood one level up, and answers with a shower of
//! messages. Here the block is named once, and what is in it is passed over.

mod known;
mod stranger;
mod unserved;

use std::collections::HashMap;

pub use unserved::umask;

use super::collect::Problems;
use super::keyword::{self, Context, Holds, Keyword, Service};
use super::problem::{Problem, Severity};
use super::source::Span;
use super::tree::{Statement, Word};

/// Statements in a row that nobody knows are held until one is known, but no more than these.
const STRANGERS_MAX: usize = 1 << 16;

/// The shape of a whole configuration, statement by statement.
#[derive(Debug, Default)]
pub struct Schema<'a> {
    checker: Checker,
    /// Statements in a row that the top level does not know: together they tell what went wrong.
    strangers: Vec<Statement<'a>>,
}

impl<'a> Schema<'a> {
    /// Look at the next statement of the top level. One that is a stranger there is given back by
    /// [`Self::strangers`] or [`Self::finish`].
    pub fn take(&mut self, statement: Statement<'a>) -> Option<Statement<'a>> {
        if let Some(keyword) = keyword::find(Context::Top, statement.keyword.text) {
            self.settle();
            self.checker.known(Context::Top, keyword, &statement, false);
            return Some(statement);
        }
        self.strangers.push(statement);
        if self.strangers.len() >= STRANGERS_MAX {
            self.settle();
        }
        None
    }

    fn settle(&mut self) {
        if !self.strangers.is_empty() {
            self.checker.block(Context::Top, &std::mem::take(&mut self.strangers), false);
        }
    }

    /// All that was wrong.
    pub fn finish(mut self) -> Vec<Problem> {
        self.settle();
        let Checker { mut problems, unserved, meant: _ } = self.checker;
        problems.extend(unserved.into_iter().map(Unserved::into_problem));
        problems.finish()
    }
}

#[derive(Debug, Default)]
struct Checker {
    problems: Problems,
    /// Bounded by the table.
    unserved: Vec<Unserved>,
    /// What was meant by words that their block does not know: a search takes far longer than all the rest, and a file
    /// that a program wrote has one mistake many times. At most [`stranger::MEANT_MAX`].
    meant: HashMap<Context, HashMap<String, Option<String>>>,
}

/// A keyword that vipd accepts and does not carry out, told once for the whole file.
#[derive(Debug)]
struct Unserved {
    keyword: &'static Keyword,
    first: Span,
    times: usize,
}

impl Checker {
    /// `quiet`: the block around it is not carried out, and said so.
    fn block(&mut self, context: Context, statements: &[Statement<'_>], quiet: bool) {
        let mut rest = statements;
        while let Some((statement, after)) = rest.split_first() {
            rest = match keyword::find(context, statement.keyword.text) {
                Some(keyword) => {
                    self.known(context, keyword, statement, quiet);
                    after
                }
                None => self.stranger(context, statement, after),
            };
        }
    }

    fn count_unserved(&mut self, keyword: &'static Keyword, at: Span) {
        match self.unserved.iter_mut().find(|known| known.keyword.word == keyword.word) {
            Some(known) => known.times = known.times.saturating_add(1),
            None => self.unserved.push(Unserved { keyword, first: at, times: 1 }),
        }
    }

    fn tell(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: Span,
        message: String,
        more: impl FnOnce(Problem) -> Problem,
    ) {
        self.problems.push(more(Problem::new(code, severity, at, message)));
    }
}

impl Unserved {
    fn into_problem(self) -> Problem {
        let word = self.keyword.word;
        let times = if self.times == 1 { String::new() } else { format!(" ({} times in all)", self.times) };
        match self.keyword.service {
            Service::NoEffect(why) => {
                Problem::new("no-effect", Severity::Note, self.first, format!("`{word}` has no effect{times}: {why}"))
                    .label("accepted, and nothing is done")
            }
            Service::Served | Service::NotYet => {
                let message = format!("`{word}` is not carried out yet{times}: {}", self.keyword.note);
                Problem::new("not-served-yet", Severity::Note, self.first, message)
                    .label("accepted, and nothing is done")
            }
        }
    }
}

/// From the first of these words to the last, as far as they stand in one text.
fn span(words: &[Word<'_>]) -> Option<Span> {
    let (first, last) = (words.first()?.at, words.last()?.at);
    Some(if first.source == last.source && last.end >= first.end { Span { end: last.end, ..first } } else { first })
}

fn join(words: &[Word<'_>]) -> String {
    words.iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(in crate::config) mod tests;
