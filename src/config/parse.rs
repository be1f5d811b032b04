//! Phase 2: the expanded text to statements and their blocks. Of keywords only that is known here which of them open a
//! block: a `{` too many is passed over, and one too few is put in, as keepalived does both. What else they mean is told
//! by `schema.rs`.
//!
//! It walks without recursion, and blocks are dropped by recursion of at most [`BLOCK_DEPTH_MAX`].

mod braces;

use super::collect::Problems;
use super::expand::{Expanded, Places};
use super::keyword::Context;
use super::lex::{Lexer, Token};
use super::problem::{Problem, Severity};
use super::source::{Sources, Span};
use super::tree::{Args, Block, Statement, Word};

/// Blocks inside one another, at most; keepalived's grammar has five.
pub const BLOCK_DEPTH_MAX: usize = 32;

/// Words of one statement of the top level and all that stands in it, at most: a virtual server with ten thousand real
/// servers may have some hundred thousand.
pub const WORDS_MAX: usize = 400_000;

/// The places that a problem about unclosed blocks names, at most.
const RELATED_MAX: usize = 4;

/// Hand the statements of the top level to `take`, one by one: the tree of a whole file would be large. Reading never
/// fails: what is wrong is in `problems`, and the statements are what the rest says. `sources` are those that were
/// expanded. Whether the text ended inside a block.
pub fn parse<'a>(
    expanded: &'a Expanded,
    sources: &'a Sources,
    problems: &mut Problems,
    take: &mut dyn FnMut(Statement<'a>),
) -> bool {
    let mut parser = Parser {
        take,
        problems,
        open: vec![],
        done: vec![],
        args: vec![],
        line: None,
        may_open: false,
        held: 0,
        told_length: false,
        too_deep: 0,
        told_depth: false,
    };
    for (text, places) in expanded.parts(sources) {
        parser.part(text, places);
    }
    parser.finish()
}

/// A block that is open.
struct Open<'a> {
    /// Where its statements begin among those that are done.
    from: usize,
    statement: Statement<'a>,
    /// What it holds; `None`: its keyword is not known, and everything in it may open a block.
    holds: Option<Context>,
    /// `None`: it has none, and was read as if it had.
    brace: Option<Span>,
}

/// A statement of which the line is not at its end.
struct Line<'a> {
    keyword: Word<'a>,
    rest_start: usize,
    unclosed: Option<Span>,
}

struct Parser<'a, 'p> {
    take: &'p mut dyn FnMut(Statement<'a>),
    problems: &'p mut Problems,
    open: Vec<Open<'a>>,
    /// The statements of all open blocks so far, the innermost last: a block is allocated once, when it closes.
    done: Vec<Statement<'a>>,
    /// The arguments of the line so far: a statement's are allocated once, at its end.
    args: Vec<Word<'a>>,
    line: Option<Line<'a>>,
    /// Only a statement with nothing but line ends behind it takes a block.
    may_open: bool,
    /// Words of the top-level statement that is not at its end.
    held: usize,
    told_length: bool,
    /// Open blocks beyond the limit: they are only counted, and what stands in them is not used.
    too_deep: usize,
    told_depth: bool,
}

impl<'a> Parser<'a, '_> {
    /// Whole lines.
    fn part(&mut self, text: &'a str, mut places: Places<'_>) {
        let mut lexer = Lexer::new(text);
        while let Some((token, start, end)) = lexer.token() {
            match token {
                Token::Word(word) => {
                    let at = places.span(start, end);
                    self.word(Word { text: word, quoted: false, at }, lexer.at());
                }
                Token::Quoted(word) => {
                    let at = places.span(start, end);
                    self.word(Word { text: word, quoted: true, at }, lexer.at());
                }
                Token::Unclosed(word) => {
                    let at = places.span(start.saturating_sub(1), end);
                    // Elsewhere keepalived drops the word.
                    if self.line.as_ref().is_none_or(|line| is_command(line.keyword.text)) {
                        self.word(Word { text: word.trim_end(), quoted: true, at }, lexer.at());
                    }
                    if let Some(line) = &mut self.line {
                        line.unclosed = Some(at);
                    }
                }
                Token::LineEnd => self.may_open |= self.end_statement(text, start),
                Token::Open => {
                    self.may_open |= self.end_statement(text, start);
                    self.open_block(places.span(start, end));
                    self.may_open = false;
                }
                Token::Close => {
                    self.end_statement(text, start);
                    self.close_block(places.span(start, end));
                    self.may_open = false;
                }
            }
        }
        self.may_open |= self.end_statement(text, text.len());
    }

    /// Whether blocks are open.
    fn finish(&mut self) -> bool {
        let unclosed = self.missing_braces();
        self.too_deep = 0;
        while !self.open.is_empty() {
            self.close_block(Span::default());
        }
        self.hand_out();
        unclosed
    }

    /// The statements of the top level that nothing can be added to.
    fn hand_out(&mut self) {
        if self.open.is_empty() {
            self.done.drain(..).for_each(&mut *self.take);
            (self.held, self.told_length) = (0, false);
        }
    }

    /// `end`: where the text goes on.
    fn word(&mut self, word: Word<'a>, end: usize) {
        if self.line.is_some() {
            self.held += 1;
            if self.has_room(word.at) {
                self.args.push(word);
            }
        } else {
            self.begin_statement(word);
            self.hand_out();
            self.held += 1;
            self.line = Some(Line { keyword: word, rest_start: end, unclosed: None });
        }
    }

    /// The line, or what stood before a brace, is at its end. Whether that was a statement.
    fn end_statement(&mut self, text: &'a str, end: usize) -> bool {
        let Some(line) = self.line.take() else { return false };
        let rest = text.get(line.rest_start..end).unwrap_or_default().trim_ascii();
        if let Some(at) = line.unclosed {
            let problem = Problem::new("unclosed-quote", Severity::Error, at, "the double quote is not closed");
            self.problems.push(problem.label("opened here").help("a quoted word ends on the line where it begins"));
        }
        if self.too_deep > 0 || !self.has_room(line.keyword.at) {
            self.args.clear();
            return false;
        }
        let args = Args::new(&self.args);
        self.args.clear();
        self.done.push(Statement { keyword: line.keyword, args, rest, block: None });
        true
    }

    /// Whether what is held may grow; told once for each statement of the top level.
    fn has_room(&mut self, at: Span) -> bool {
        if self.held <= WORDS_MAX {
            return true;
        }
        if !std::mem::replace(&mut self.told_length, true) {
            let message = format!("a block has more than {WORDS_MAX} words");
            let problem = Problem::new("block-too-long", Severity::Fatal, at, message);
            self.problems.push(problem.label("what follows in it is not read"));
        }
        false
    }

    fn open_block(&mut self, brace: Span) {
        if self.too_deep > 0 || self.open.len() >= BLOCK_DEPTH_MAX {
            if !std::mem::replace(&mut self.told_depth, true) {
                let message = format!("blocks are nested more than {BLOCK_DEPTH_MAX} deep");
                let problem = Problem::new("nested-too-deep", Severity::Error, brace, message);
                self.problems.push(problem.label("this block is not used"));
            }
            self.too_deep += 1;
            return;
        }
        let Some(statement) = self.opener(brace) else { return };
        let holds = self.holds_of(&statement);
        self.open.push(Open { from: self.done.len(), statement, holds, brace: Some(brace) });
    }

    fn close_block(&mut self, brace: Span) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        if !self.close_innermost() {
            let problem = Problem::new("surplus-brace", Severity::Error, brace, "this `}` closes nothing");
            self.problems.push(problem.help("take it away, or look for a missing `{` above"));
        }
    }

    /// Whether a block was open.
    fn close_innermost(&mut self) -> bool {
        let Some(Open { from, mut statement, brace, .. }) = self.open.pop() else { return false };
        statement.block = Some(Block { statements: self.done.split_off(from), unbraced: brace.is_none() });
        self.done.push(statement);
        true
    }

    /// The end of the text came before the end of blocks.
    fn missing_braces(&mut self) -> bool {
        let mut braces = self.open.iter().rev().filter_map(|open| open.brace);
        let count = braces.clone().count() + self.too_deep;
        let Some(innermost) = braces.next() else { return false };
        let message = match count {
            1 => "a `}` is missing at the end".to_owned(),
            _ => format!("{count} `}}` are missing at the end"),
        };
        let mut problem = Problem::new("missing-brace", Severity::Error, innermost, message)
            .label("this block is not closed")
            .help("the block that was meant to end may be one further inside, before a keyword that it does not know");
        for around in braces.take(RELATED_MAX) {
            problem = problem.related(around, "and neither is this one");
        }
        self.problems.push(problem);
        true
    }
}

/// Keywords whose arguments are split by the rules of commands, by which the line may still be one.
fn is_command(keyword: &str) -> bool {
    matches!(keyword, "regex" | "script" | "misc_path")
        || keyword.starts_with("notify")
        || keyword.starts_with("quorum_")
        || keyword.ends_with("_script")
}

#[cfg(test)]
pub(in crate::config) mod tests;
