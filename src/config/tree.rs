//! Statements and blocks, as they stand after expansion. What a word means is not known here.
//!
//! Words borrow from the expanded text; spans point into the files that people wrote.

use std::ops::Deref;

use super::source::Span;

/// A word of a statement: without its quotes, with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    pub text: &'a str,
    pub quoted: bool,
    /// For a word that came out of a substitution: the use.
    pub at: Span,
}

/// One line, and the block that it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The keyword and its arguments.
    pub keyword: Word<'a>,
    pub args: Args<'a>,
    /// What follows the keyword on the line, as it was written: commands are split by rules of their own.
    pub rest: &'a str,
    pub block: Option<Block<'a>>,
}

/// The arguments of a statement: a slice of words. Most statements have one at most, and need no memory of their own.
#[derive(Clone, Debug, Default)]
pub enum Args<'a> {
    #[default]
    None,
    One(Word<'a>),
    Many(Box<[Word<'a>]>),
}

impl<'a> Args<'a> {
    pub fn new(words: &[Word<'a>]) -> Self {
        match words {
            [] => Self::None,
            [word] => Self::One(*word),
            _ => Self::Many(words.into()),
        }
    }
}

impl<'a> Deref for Args<'a> {
    type Target = [Word<'a>];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::None => &[],
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}

impl PartialEq for Args<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Args<'_> {}

/// What stands between `{` and `}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block<'a> {
    pub statements: Vec<Statement<'a>>,
    /// It was read without its `{`, which is missing.
    pub unbraced: bool,
}

impl<'a> Statement<'a> {
    /// Argument `at`, from 0.
    pub fn arg(&self, at: usize) -> Option<Word<'a>> {
        self.args.get(at).copied()
    }

    /// The statements of its block; none where it opens none.
    pub fn statements(&self) -> &[Self] {
        self.block.as_ref().map_or(&[], |block| &block.statements)
    }

    /// From the keyword to the last argument.
    pub fn at(&self) -> Span {
        let last = self.args.last().map_or(self.keyword.at, |word| word.at);
        if last.source == self.keyword.at.source && last.end >= self.keyword.at.end {
            Span { end: last.end, ..self.keyword.at }
        } else {
            self.keyword.at
        }
    }
}
