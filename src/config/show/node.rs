//! A statement of the canonical text: its keyword, what follows it, its block. How words are quoted is decided here.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::time::Duration;

use crate::config::model::{Command, ScriptUser};

/// Most are words of the grammar; what a list holds stands in the same place.
pub type Keyword = Cow<'static, str>;

/// One statement. The texts are as they stand in the file: quoted where they have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub keyword: Keyword,
    /// What follows the keyword; empty: nothing.
    pub value: String,
    pub block: Option<Vec<Node>>,
}

impl Node {
    pub fn flag(keyword: impl Into<Keyword>) -> Self {
        Self { keyword: keyword.into(), value: String::new(), block: None }
    }

    /// A keyword and a value that needs no quotes.
    pub fn plain(keyword: impl Into<Keyword>, value: impl Display) -> Self {
        Self { value: value.to_string(), ..Self::flag(keyword) }
    }

    /// A keyword and one word.
    pub fn word(keyword: impl Into<Keyword>, value: &str) -> Self {
        Self { value: word(value), ..Self::flag(keyword) }
    }

    pub fn block(keyword: impl Into<Keyword>, value: String, block: Vec<Self>) -> Self {
        Self { keyword: keyword.into(), value, block: Some(block) }
    }

    /// A line of a block that lists something.
    pub fn item(text: &str) -> Self {
        Self::flag(word(text))
    }

    /// Keyword and value, without the block.
    pub fn head(&self) -> String {
        if self.value.is_empty() {
            self.keyword.clone().into_owned()
        } else {
            format!("{} {}", self.keyword, self.value)
        }
    }
}

/// Collects statements; what is not there leaves nothing.
#[derive(Debug, Default)]
pub(super) struct Nodes(pub(super) Vec<Node>);

impl Nodes {
    pub(super) fn put(&mut self, node: Node) {
        self.0.push(node);
    }

    pub(super) fn flag(&mut self, keyword: impl Into<Keyword>, on: bool) {
        if on {
            self.put(Node::flag(keyword));
        }
    }

    pub(super) fn plain(&mut self, keyword: impl Into<Keyword>, value: Option<impl Display>) {
        self.0.extend(value.map(|value| Node::plain(keyword, value)));
    }

    pub(super) fn word(&mut self, keyword: impl Into<Keyword>, value: Option<&String>) {
        self.0.extend(value.map(|value| Node::word(keyword, value)));
    }

    pub(super) fn time(&mut self, keyword: impl Into<Keyword>, value: Option<Duration>) {
        self.plain(keyword, value.map(seconds));
    }

    pub(super) fn user(&mut self, keyword: impl Into<Keyword>, value: Option<&ScriptUser>) {
        self.plain(keyword, value.map(user));
    }

    /// A command, with the account that it runs as behind it.
    pub(super) fn command(&mut self, keyword: impl Into<Keyword>, value: Option<&Command>) {
        let Some(Command { argv, user: account, at: _ }) = value else { return };
        let account = account.as_ref().map_or_else(String::new, |account| format!(" {}", user(account)));
        self.put(Node::plain(keyword, format!("{}{account}", command(argv))));
    }

    /// A block, where there is something in it.
    pub(super) fn list(&mut self, keyword: impl Into<Keyword>, items: Vec<Node>) {
        if !items.is_empty() {
            self.put(Node::block(keyword, String::new(), items));
        }
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        indented(self, 0, f)
    }
}

fn indented(node: &Node, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let blank = "    ".repeat(depth);
    write!(f, "{blank}{}{}{}", node.keyword, if node.value.is_empty() { "" } else { " " }, node.value)?;
    let Some(block) = &node.block else { return writeln!(f) };
    writeln!(f, " {{")?;
    for inner in block {
        indented(inner, depth + 1, f)?;
    }
    writeln!(f, "{blank}}}")
}

/// A time in seconds with the decimals that it needs, six at most.
pub(super) fn seconds(time: Duration) -> String {
    let (whole, micros) = (time.as_secs(), time.subsec_micros());
    if micros == 0 {
        return whole.to_string();
    }
    format!("{whole}.{micros:06}").trim_end_matches('0').to_owned()
}

/// A time in milliseconds with the decimals that it needs, three at most.
pub(super) fn millis(time: Duration) -> String {
    seconds(time.saturating_mul(1000))
}

pub(super) const fn boolean(on: bool) -> &'static str {
    if on { "true" } else { "false" }
}

pub(super) fn user(account: &ScriptUser) -> String {
    let ScriptUser { user, group } = account;
    group.as_ref().map_or_else(|| word(user), |group| format!("{} {}", word(user), word(group)))
}

/// In double quotes where it could be read as something else: a comment, a brace, a definition, an include.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | ',' | '+' | '%' | '=');
    let bare = !text.is_empty() && text.chars().all(plain) && !text.starts_with("include");
    if bare { text.to_owned() } else { format!("\"{text}\"") }
}

/// One word that `split_command` splits into these again.
fn command(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|argument| quoted(argument)).collect();
    // The line is split twice, and each time a backslash is read.
    format!("\"{}\"", words.join(" ").replace('\\', r"\\"))
}

/// One word that `split_escaped` reads as this again.
pub(super) fn escaped_word(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// An argument inside the double quotes of its command. What the expansion or the quotes would take is an escape.
fn quoted(argument: &str) -> String {
    let text = escaped(argument);
    if text.is_empty() || text.contains(' ') { format!("'{text}'") } else { text }
}

fn escaped(argument: &str) -> String {
    let mut text = String::new();
    let mut chars = argument.chars().peekable();
    while let Some(c) = chars.next() {
        let named =
            |next: Option<&char>| next.is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, '_' | '{'));
        match c {
            '"' | '\'' | '\\' | '\x7f' | '\x00'..='\x1f' => text.push_str(&format!("\\{:03o}", u32::from(c))),
            '$' if named(chars.peek()) => text.push_str("\\044"),
            _ => text.push(c),
        }
    }
    text
}
