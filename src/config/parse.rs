//! Phase 2: the expanded text to a tree of statements and blocks. Which keywords there are is not known here.
//!
//! It walks without recursion, and blocks are dropped by recursion of at most [`BLOCK_DEPTH_MAX`].

use super::collect::Problems;
use super::command::split_escaped;
use super::expand::{Expanded, Places};
use super::lex::{Lexer, Token};
use super::problem::{Problem, Severity};
use super::source::Span;
use super::tree::{Block, Statement, Word};

/// Blocks inside one another, at most; keepalived's grammar has five.
pub const BLOCK_DEPTH_MAX: usize = 32;

/// The places that a problem about unclosed blocks names, at most.
const RELATED_MAX: usize = 4;

/// Build the tree. Reading never fails: what is wrong is in `problems`, and the tree is what the rest says.
pub fn parse<'a>(expanded: &'a Expanded, problems: &mut Problems) -> Block<'a> {
    let text = expanded.text.as_str();
    let mut parser = Parser {
        text,
        lexer: Lexer::new(text),
        places: expanded.places(),
        problems,
        open: vec![],
        done: vec![],
        args: vec![],
        line: None,
        too_deep: 0,
        told_depth: false,
    };
    parser.run();
    Block { statements: parser.done }
}

/// A block that is open.
struct Open<'a> {
    /// Where its statements begin among those that are done.
    from: usize,
    kind: OpenKind<'a>,
    brace: Span,
}

enum OpenKind<'a> {
    Of(Statement<'a>),
    /// Without a keyword: its statements are read as if they stood in the block around.
    Stray,
}

/// A statement of which the line is not at its end.
struct Line<'a> {
    keyword: Word<'a>,
    rest_start: usize,
    unclosed: Option<Span>,
}

struct Parser<'a, 'p> {
    text: &'a str,
    lexer: Lexer<'a>,
    places: Places<'a>,
    problems: &'p mut Problems,
    open: Vec<Open<'a>>,
    /// The statements of all open blocks so far, the innermost last: a block is allocated once, when it closes.
    done: Vec<Statement<'a>>,
    /// The arguments of the line so far: a statement's are allocated once, at its end.
    args: Vec<Word<'a>>,
    line: Option<Line<'a>>,
    /// Open blocks beyond the limit: they are only counted, and what stands in them is not used.
    too_deep: usize,
    told_depth: bool,
}

impl<'a> Parser<'a, '_> {
    fn run(&mut self) {
        // Only a statement with nothing but line ends behind it takes a block.
        let mut may_open = false;
        while let Some((token, start, end)) = self.lexer.token() {
            match token {
                Token::Word(text) => {
                    let at = self.places.span(start, end);
                    self.word(Word { text, quoted: false, at });
                }
                Token::Quoted(text) => {
                    let at = self.places.span(start, end);
                    self.word(Word { text, quoted: true, at });
                    self.after_quote();
                }
                Token::Unclosed(text) => {
                    let at = self.places.span(start.saturating_sub(1), end);
                    self.word(Word { text: text.trim_end(), quoted: true, at });
                    self.after_quote();
                    if let Some(line) = &mut self.line {
                        line.unclosed = Some(at);
                    }
                }
                Token::LineEnd => may_open |= self.end_statement(start),
                Token::Open => {
                    may_open |= self.end_statement(start);
                    let brace = self.places.span(start, end);
                    self.open_block(brace, may_open);
                    may_open = false;
                }
                Token::Close => {
                    self.end_statement(start);
                    let brace = self.places.span(start, end);
                    self.close_block(brace);
                    may_open = false;
                }
            }
        }
        self.end_statement(self.text.len());
        self.missing_braces();
        self.too_deep = 0;
        while !self.open.is_empty() {
            self.close_block(Span::default());
        }
    }

    fn word(&mut self, word: Word<'a>) {
        if self.line.is_some() {
            self.args.push(word);
        } else {
            self.line = Some(Line { keyword: word, rest_start: self.lexer.at(), unclosed: None });
        }
    }

    /// What follows a keyword in quotes begins behind the closing quote.
    fn after_quote(&mut self) {
        if let Some(line) = &mut self.line
            && self.args.is_empty()
        {
            line.rest_start = self.lexer.at();
        }
    }

    /// The line, or what stood before a brace, is at its end. Whether that was a statement.
    fn end_statement(&mut self, end: usize) -> bool {
        let Some(line) = self.line.take() else { return false };
        let rest = self.text.get(line.rest_start..end).unwrap_or_default().trim_ascii();
        if let Some(at) = line.unclosed
            && !(is_command(line.keyword.text) && split_escaped(rest).is_ok())
        {
            let problem = Problem::new("unclosed-quote", Severity::Error, at, "the double quote is not closed");
            self.problems.push(problem.label("opened here").help("a quoted word ends on the line where it begins"));
        }
        if self.too_deep > 0 {
            self.args.clear();
            return false;
        }
        let args = self.args.as_slice().to_vec();
        self.args.clear();
        self.done.push(Statement { keyword: line.keyword, args, rest, block: None });
        true
    }

    fn open_block(&mut self, brace: Span, may_open: bool) {
        if self.too_deep > 0 || self.open.len() >= BLOCK_DEPTH_MAX {
            if !std::mem::replace(&mut self.told_depth, true) {
                let message = format!("blocks are nested more than {BLOCK_DEPTH_MAX} deep");
                let problem = Problem::new("nested-too-deep", Severity::Error, brace, message);
                self.problems.push(problem.label("this block is not used"));
            }
            self.too_deep += 1;
            return;
        }
        let kind = if let Some(statement) = if may_open { self.done.pop() } else { None } {
            OpenKind::Of(statement)
        } else {
            let problem = Problem::new("stray-brace", Severity::Error, brace, "this `{` follows no keyword");
            self.problems.push(problem.help("write the keyword of the block before it, or take it away"));
            OpenKind::Stray
        };
        self.open.push(Open { from: self.done.len(), kind, brace });
    }

    fn close_block(&mut self, brace: Span) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        let Some(open) = self.open.pop() else {
            let problem = Problem::new("surplus-brace", Severity::Error, brace, "this `}` closes nothing");
            self.problems.push(problem.help("take it away, or look for a missing `{` above"));
            return;
        };
        match open.kind {
            OpenKind::Of(mut statement) => {
                statement.block = Some(Block { statements: self.done.split_off(open.from) });
                self.done.push(statement);
            }
            OpenKind::Stray => {}
        }
    }

    /// The end of the text came before the end of blocks.
    fn missing_braces(&mut self) {
        let Some(innermost) = self.open.last() else { return };
        let count = self.open.len() + self.too_deep;
        let message = match count {
            1 => "a `}` is missing at the end".to_owned(),
            _ => format!("{count} `}}` are missing at the end"),
        };
        let mut problem = Problem::new("missing-brace", Severity::Error, innermost.brace, message)
            .label("this block is not closed")
            .help("the block that was meant to end may be one further inside, before a keyword that it does not know");
        for around in self.open.iter().rev().skip(1).take(RELATED_MAX) {
            problem = problem.related(around.brace, "and neither is this one");
        }
        self.problems.push(problem);
    }
}

/// Keywords whose arguments are split by the rules of commands, where a double quote may stand alone.
fn is_command(keyword: &str) -> bool {
    matches!(keyword, "regex" | "script" | "misc_path")
        || keyword.starts_with("notify")
        || keyword.starts_with("quorum_")
        || keyword.ends_with("_script")
}

#[cfg(test)]
mod tests;
