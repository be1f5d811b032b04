//! Every keyword of keepalived.conf: where it may stand, what follows it, what it means, and what vipd does with it.
//!
//! Rows are data, one file per family of blocks. Nothing here reads a tree (that is `schema.rs`), and no value is
//! converted (that is `read/`). keepalived 2.2.7 is the reference for what is refused and what is passed over.

mod check;
mod context;
mod global;
mod instance;
mod line;
mod server;
mod tables;
mod track;

use std::sync::LazyLock;

pub use context::{Context, Holds};

use super::problem::Severity;

/// One keyword in the blocks where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyword {
    pub contexts: &'static [Context],
    pub word: &'static str,
    pub form: Form,
    pub tier: Tier,
    /// What holds where it is not written, in words; `-`: nothing.
    pub default: &'static str,
    pub note: &'static str,
    pub service: Service,
    pub standing: Standing,
    /// How bad it is to write it without its arguments: keepalived stops at once for some and complains for others.
    pub missing: Severity,
    /// How bad a word too many is: most are passed over in silence, a few make keepalived drop the statement.
    pub surplus: Severity,
}

/// What follows a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing; what follows is not looked at.
    Flag,
    /// Nothing, or one of true, on, yes, false, off, no.
    Bool,
    /// A decimal integer and its unit, which may be empty. [`MIN`] and [`MAX`]: no limit of its own.
    Int(i64, i64, &'static str),
    /// Decimal seconds, at most 6 decimals: the least and the greatest; empty: no limit of its own.
    Seconds(&'static str, &'static str),
    /// One word, named for what it is; `<=N` in the name: of at most N bytes.
    Word(&'static str),
    /// An IPv4 or IPv6 address.
    Address,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Nothing, or one of these.
    Maybe(&'static [&'static str]),
    /// Decimal integers: the least and the greatest.
    Ints(i64, i64),
    /// Several words: how they are written, how many are needed, how many are taken ([`ANY`]: all).
    Words(&'static str, usize, usize),
    /// A command in one (quoted) word; true: a user and a group may follow.
    Command(bool),
    /// A block after words as in `Words`; empty: none. What stands in it is of this context.
    Block(&'static str, usize, usize, Context),
}

/// An integer without a lower limit of its own.
pub const MIN: i64 = i64::MIN;
/// An integer without an upper limit of its own.
pub const MAX: i64 = i64::MAX;
/// As many words as are written.
pub const ANY: usize = usize::MAX;

/// How common it is: A in most configurations, B in many, C in few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    A,
    B,
    C,
}

/// What vipd does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Served,
    /// Accepted; the words say why there is nothing to do.
    NoEffect(&'static str),
    /// Accepted and without effect as long as vipd does not know how.
    NotYet,
}

/// Its place in history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Current,
    /// Later than keepalived 2.2.7, for which it is an unknown word.
    New,
    /// An old name that keepalived takes in silence; the name of today.
    OldName(&'static str),
    /// keepalived complains and obeys; what to write today.
    Deprecated(&'static str),
    /// keepalived does not know it any more, or never did; what to write today.
    Removed(&'static str),
    /// A keyword of vipd alone.
    Ours,
    /// A keyword of DPVS's keepalived.
    Dpvs,
}

impl Form {
    /// How many words are needed, and how many are taken.
    pub const fn count(self) -> (usize, usize) {
        match self {
            Self::Flag => (0, 0),
            Self::Bool | Self::Maybe(_) => (0, 1),
            Self::Ints(..) => (1, ANY),
            Self::Int(..)
            | Self::Seconds(..)
            | Self::Word(_)
            | Self::Address
            | Self::OneOf(_)
            | Self::Command(false) => (1, 1),
            Self::Words(_, least, most) | Self::Block(_, least, most, _) => (least, most),
            Self::Command(true) => (1, 3),
        }
    }

    /// What its block holds; `None`: it opens none.
    pub const fn block(self) -> Option<Context> {
        match self {
            Self::Block(_, _, _, context) => Some(context),
            Self::Flag
            | Self::Bool
            | Self::Int(..)
            | Self::Seconds(..)
            | Self::Word(_)
            | Self::Address
            | Self::OneOf(_)
            | Self::Maybe(_)
            | Self::Ints(..)
            | Self::Words(..)
            | Self::Command(_) => None,
        }
    }

    /// What follows the keyword, as manuals write it: `INT 1..255`, `[BOOL]`, `NAME { }`.
    pub fn words(self) -> String {
        match self {
            Self::Flag => String::new(),
            Self::Bool => "[BOOL]".to_owned(),
            Self::Int(least, most, unit) => {
                let least = if least == MIN { String::new() } else { least.to_string() };
                let most = if most == MAX { String::new() } else { most.to_string() };
                let range =
                    if least.is_empty() && most.is_empty() { String::new() } else { format!(" {least}..{most}") };
                let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
                format!("INT{range}{unit}")
            }
            Self::Seconds("", "") => "SECONDS".to_owned(),
            Self::Seconds(least, most) => format!("SECONDS {least}..{most}"),
            Self::Word(name) => name.to_owned(),
            Self::Address => "ADDRESS".to_owned(),
            Self::OneOf(words) => words.join(" | "),
            Self::Maybe(words) => format!("[{}]", words.join(" | ")),
            Self::Ints(least, most) => format!("INT {least}..{most} ..."),
            Self::Words(form, ..) => form.to_owned(),
            Self::Command(true) => "COMMAND [USER [GROUP]]".to_owned(),
            Self::Command(false) => "COMMAND".to_owned(),
            Self::Block("", ..) => "{ }".to_owned(),
            Self::Block(form, ..) => format!("{form} {{ }}"),
        }
    }
}

/// A row of the table.
const fn row(
    contexts: &'static [Context],
    word: &'static str,
    form: Form,
    tier: Tier,
    default: &'static str,
    note: &'static str,
    service: Service,
) -> Keyword {
    Keyword {
        contexts,
        word,
        form,
        tier,
        default,
        note,
        service,
        standing: Standing::Current,
        missing: Severity::Fatal,
        surplus: Severity::Warning,
    }
}

impl Keyword {
    /// keepalived complains about it without arguments, and goes on.
    const fn complains(self) -> Self {
        Self { missing: Severity::Error, ..self }
    }

    /// keepalived drops the statement for a word too many.
    const fn strict(self) -> Self {
        Self { surplus: Severity::Error, ..self }
    }

    const fn standing(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }
}

/// All rows, family by family.
const FAMILIES: [&[Keyword]; 6] = [global::ROWS, instance::ROWS, track::ROWS, server::ROWS, check::ROWS, line::ROWS];

static INDEX: LazyLock<tables::Index> = LazyLock::new(|| tables::Index::new(&all()));

/// Every keyword, each once, whatever the number of its blocks.
pub fn all() -> impl Iterator<Item = &'static Keyword> + Clone {
    FAMILIES.into_iter().flatten()
}

/// The keyword `word` of `context`.
pub fn find(context: Context, word: &str) -> Option<&'static Keyword> {
    INDEX.find(context, word)
}

/// The keywords of a block, in the order of the alphabet.
pub fn of(context: Context) -> impl Iterator<Item = &'static Keyword> {
    INDEX.of(context)
}

/// The blocks where `word` may stand; removed words stand nowhere.
pub fn homes(word: &str) -> &'static [Context] {
    INDEX.homes(word)
}

#[cfg(test)]
mod tests;
