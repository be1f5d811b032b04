//! `$NAME=TEXT` and its uses. What a use is replaced by where it is predefined is asked from outside.

use std::collections::HashMap;
use std::rc::Rc;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// One, or those of a multi-line definition.
    pub(super) lines: Rc<Vec<String>>,
    /// Ended in backslashes: it is expanded at the end of a line only.
    pub(super) multiline: bool,
}

impl Definition {
    pub(super) fn plain(text: String) -> Self {
        Self { lines: Rc::new(vec![text]), multiline: false }
    }

    pub(super) fn first(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }
}

/// All names; a later definition replaces an earlier one.
pub(super) type Definitions = HashMap<String, Definition>;

/// A use in a line: from the `$`, so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use<'a> {
    pub(super) name: &'a str,
    /// What follows the name in the braces.
    pub(super) parameters: Option<&'a str>,
    pub(super) length: usize,
}

/// Bytes of the name that `text` begins with.
fn name_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// `$NAME=TEXT`: the name, and the text without the blanks before it.
pub(super) fn definition(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix('$')?;
    let (name, rest) = rest.split_at(name_length(rest));
    let text = rest.strip_prefix('=')?;
    (!name.is_empty()).then(|| (name, text.trim_start_matches([' ', '\t'])))
}

/// The use that stands at the beginning of `text`: `${NAME}`, `${NAME PARAMETERS}`, or `$NAME` before a blank, `,`,
/// `)` or the end.
pub(super) fn a_use(text: &str) -> Option<Use<'_>> {
    let rest = text.strip_prefix('$')?;
    if let Some(rest) = rest.strip_prefix('{') {
        let (name, after) = rest.split_at(name_length(rest));
        let inner = after.find('}').and_then(|end| after.get(..end))?;
        let parameters = inner.trim_matches(' ');
        let spaced = inner.is_empty() || inner.starts_with(' ');
        return (!name.is_empty() && spaced).then_some(Use {
            name,
            parameters: (!parameters.is_empty()).then_some(parameters),
            length: name.len() + inner.len() + 3,
        });
    }
    let (name, after) = rest.split_at(name_length(rest));
    let ends = after.is_empty() || after.starts_with([' ', '\t', ',', ')']);
    (!name.is_empty() && ends).then_some(Use { name, parameters: None, length: name.len() + 1 })
}

/// A multi-line definition of which not all lines were read.
#[derive(Clone, Debug)]
pub(super) struct Defining {
    pub(super) name: String,
    lines: Vec<String>,
}

impl Defining {
    /// Where the first line of a definition ends in a backslash.
    pub(super) fn begins(name: &str, text: &str) -> Option<Self> {
        let mut defining = Self { name: name.to_owned(), lines: vec![] };
        defining.line(text).then_some(defining)
    }

    /// One more line; whether further ones follow.
    pub(super) fn line(&mut self, text: &str) -> bool {
        let before = text.strip_suffix('\\');
        let text = before.unwrap_or(text).trim_matches([' ', '\t']);
        if !text.is_empty() {
            self.lines.push(text.to_owned());
        }
        before.is_some()
    }

    pub(super) fn finish(self) -> (String, Definition) {
        let multiline = !self.lines.is_empty();
        (self.name, Definition { lines: Rc::new(self.lines), multiline })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_begins_the_line_and_has_no_blank_before_the_sign() {
        let rows = [
            ("$A=b c", Some(("A", "b c"))),
            ("$_A1=  b", Some(("_A1", "b"))),
            ("$A=", Some(("A", ""))),
            ("$A =b", None),
            ("$1A=b", None),
            ("$=b", None),
            ("$A", None),
            ("${A}=b", None),
            ("A=b", None),
        ];
        for (line, expected) in rows {
            assert_eq!(definition(line), expected, "{line}");
        }
    }

    #[test]
    fn a_use_has_braces_or_an_end() {
        let rows = [
            ("${A}b", Some(("A", None, 4))),
            ("$A", Some(("A", None, 2))),
            ("$A b", Some(("A", None, 2))),
            ("$A,b", Some(("A", None, 2))),
            ("$A)b", Some(("A", None, 2))),
            ("$A/24", None),
            ("$A.b", None),
            ("${A", None),
            ("${}", None),
            ("${1}", None),
            ("${A-b}", None),
            ("${_RANDOM 1 6}x", Some(("_RANDOM", Some("1 6"), 14))),
            ("${_ENV HOME}", Some(("_ENV", Some("HOME"), 12))),
            ("$", None),
            ("$é", None),
        ];
        for (text, expected) in rows {
            let found = a_use(text).map(|found| (found.name, found.parameters, found.length));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_multiline_definition_takes_lines_until_one_has_no_backslash() {
        assert!(Defining::begins("A", "b").is_none());
        let mut defining = Defining::begins("A", "\\").unwrap();
        assert!(defining.line("b c \\"));
        assert!(defining.line("\\"));
        assert!(!defining.line("d"));
        let (name, definition) = defining.finish();
        assert_eq!((name.as_str(), definition.multiline), ("A", true));
        assert_eq!(*definition.lines, ["b c", "d"]);
    }
}
