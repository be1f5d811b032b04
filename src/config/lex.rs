//! Words, braces and line ends of the expanded text. Which word is a keyword is not known here.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::character::complete::char;
use nom::combinator::{map, recognize};
use nom::error::Error;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// A part of the expanded text; where it stands is the lexer's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A word without a quote or a brace in it.
    Word(&'a str),
    /// What stood between double quotes.
    Quoted(&'a str),
    /// A double quote that is not closed on its line, with what follows it.
    Unclosed(&'a str),
    Open,
    Close,
    LineEnd,
}

/// What ends a word: blanks, `"`, braces and the line's end.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    ends[0x09] = true;
    ends[0x0a] = true;
    ends[0x0b] = true;
    ends[0x0c] = true;
    ends[0x0d] = true;
    ends[0x20] = true;
    ends[0x22] = true;
    ends[0x7b] = true;
    ends[0x7d] = true;
    ends
};

fn split(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn skip_blanks(text: &str) -> &str {
    let blanks = text.bytes().position(|byte| !matches!(byte, b' ' | b'\t' | b'\x0b' | b'\x0c' | b'\r'));
    split(text, blanks.unwrap_or(text.len())).1
}

/// `${NAME}` that nothing defines: its braces belong to the word.
fn undefined_use(input: &str) -> IResult<&str, &str> {
    let name = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ' '));
    recognize(delimited(tag("${"), take_till(name), char('}'))).parse(input)
}

fn plain(input: &str) -> IResult<&str, Token<'_>> {
    let mut length = 0;
    loop {
        let (_, rest) = split(input, length);
        let ends = |byte: u8| ENDS.get(usize::from(byte)).copied().unwrap_or(false);
        length += rest.bytes().position(ends).unwrap_or(rest.len());
        let before = split(input, length).0;
        let Some(dollar) = before.strip_suffix('$') else { break };
        let Ok((_, found)) = undefined_use(split(input, dollar.len()).1) else { break };
        length = dollar.len() + found.len();
    }
    if length == 0 {
        return Err(nom::Err::Error(Error::new(input, nom::error::ErrorKind::TakeTill1)));
    }
    let (word, rest) = split(input, length);
    Ok((rest, Token::Word(word)))
}

fn quoted(input: &str) -> IResult<&str, Token<'_>> {
    let inside = |c: char| c == '"' || c == '\n';
    alt((
        map(delimited(char('"'), take_till(inside), char('"')), Token::Quoted),
        map(preceded(char('"'), take_till(|c: char| c == '\n')), Token::Unclosed),
    ))
    .parse(input)
}

/// Goes over the text token by token.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub const fn new(text: &'a str) -> Self {
        Self { text, rest: text }
    }

    /// Where the next byte stands.
    pub const fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// The next token, with its bytes; a quoted word's are without the quotes.
    pub fn token(&mut self) -> Option<(Token<'a>, usize, usize)> {
        let input = skip_blanks(self.rest);
        self.rest = input;
        let start = self.at();
        let sign = |token| (split(input, 1).1, token);
        let (rest, token) = match input.as_bytes().first()? {
            b'\n' => sign(Token::LineEnd),
            b'{' => sign(Token::Open),
            b'}' => sign(Token::Close),
            b'"' => quoted(input).ok()?,
            _ => plain(input).ok()?,
        };
        self.rest = rest;
        Some(match token {
            Token::Quoted(text) | Token::Unclosed(text) => (token, start + 1, start + 1 + text.len()),
            Token::Word(_) | Token::Open | Token::Close | Token::LineEnd => (token, start, self.at()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        let found = std::iter::from_fn(|| lexer.token().map(|(token, _, _)| token)).collect();
        assert_eq!(lexer.at(), text.len(), "{text}");
        found
    }

    #[test]
    fn words_quotes_and_braces() {
        use Token::{Close, LineEnd, Open, Quoted, Unclosed, Word};
        let rows: [(&str, &[Token]); 16] = [
            ("priority 100\r\n", &[Word("priority"), Word("100"), LineEnd]),
            ("a\tb\x0bc\x0cd\re", &[Word("a"), Word("b"), Word("c"), Word("d"), Word("e")]),
            ("vrrp_instance A{", &[Word("vrrp_instance"), Word("A"), Open]),
            ("/bin/x{1,2}", &[Word("/bin/x"), Open, Word("1,2"), Close]),
            ("192.0.2.1/24 }", &[Word("192.0.2.1/24"), Close]),
            ("i \"A B\" {", &[Word("i"), Quoted("A B"), Open]),
            ("state MAS\"TER\"x", &[Word("state"), Word("MAS"), Quoted("TER"), Word("x")]),
            ("a 'b c'", &[Word("a"), Word("'b"), Word("c'")]),
            ("a \"{ # }\"", &[Word("a"), Quoted("{ # }")]),
            ("a \"\"", &[Word("a"), Quoted("")]),
            ("a \"b {\nc", &[Word("a"), Unclosed("b {"), LineEnd, Word("c")]),
            ("a \"b\\\"", &[Word("a"), Quoted("b\\")]),
            ("a ${X}/24 b${Y Z}", &[Word("a"), Word("${X}/24"), Word("b${Y Z}")]),
            ("a ${X", &[Word("a"), Word("$"), Open, Word("X")]),
            ("é ü{ß", &[Word("é"), Word("ü"), Open, Word("ß")]),
            ("", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }
}
