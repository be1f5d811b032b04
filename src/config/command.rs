//! Commands as keepalived splits them: no shell, two steps, and arguments only inside the first word.
//! Who runs them, and whether the file exists, is not known here.

use std::str::Chars;

/// A command line with what follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitCommand {
    /// The program and its arguments. Empty where nothing was written, or an empty word.
    pub argv: Vec<String>,
    /// The words after it: USER and GROUP for notify-like keywords.
    pub trailing: Vec<String>,
}

/// Why a command could not be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the quote {quote} is not closed")]
    OpenQuote { quote: char },
    #[error("a backslash ends the command, with nothing after it")]
    TrailingBackslash,
}

/// Split what follows a keyword: first into words, where `'` and `"` group, may open in mid-word, and join; then the
/// first word once more. Both steps read the escapes `\a \b \E \f \n \r \t \v \xHH \ooo \cX` (a backslash before another
/// character stands for that character, in quotes too), so what the second step is to see needs two backslashes.
///
/// # Errors
/// [`CommandError`] where a quote is open at the end of the line or of the first word, or a backslash is the last.
pub fn split_command(rest: &str) -> Result<SplitCommand, CommandError> {
    let mut words = split_escaped(rest)?.into_iter();
    let Some(command) = words.next() else { return Ok(SplitCommand::default()) };
    Ok(SplitCommand { argv: split_escaped(&command)?, trailing: words.collect() })
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c' | '\x0b' | '\r' | '\n')
}

/// One step of [`split_command`]; `regex` has only this one.
///
/// # Errors
/// The same. A `'` that is open where the text ends behind it, or behind an escape, is closed there, as keepalived has
/// it.
pub fn split_escaped(text: &str) -> Result<Vec<String>, CommandError> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    // Whether plain text stands behind the last quote or escape.
    let mut plain = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if is_blank(c) => words.extend(word.take()),
            None if matches!(c, '"' | '\'') => {
                quote = Some(c);
                plain = false;
                word.get_or_insert_default();
            }
            Some(open) if open == c => quote = None,
            None | Some(_) => {
                plain = c != '\\';
                let c = if plain { c } else { escaped(&mut chars)? };
                word.get_or_insert_default().push(c);
            }
        }
    }
    if let Some(quote) = quote.filter(|quote| plain || *quote == '"') {
        return Err(CommandError::OpenQuote { quote });
    }
    words.extend(word);
    Ok(words)
}

/// What the text after a backslash stands for; takes it from `chars`.
fn escaped(chars: &mut Chars) -> Result<char, CommandError> {
    let c = chars.next().ok_or(CommandError::TrailingBackslash)?;
    Ok(match c {
        'a' => '\x07',
        'b' => '\x08',
        'E' => '\x1b',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'x' => number(chars, 16, usize::MAX, 0).unwrap_or('x'),
        '0'..='7' => number(chars, 8, 2, c.to_digit(8).unwrap_or(0)).unwrap_or(c),
        'c' => {
            let control = chars.next().ok_or(CommandError::TrailingBackslash)?;
            char::from_u32(u32::from(control) & 0x1f).unwrap_or(control)
        }
        other => other,
    })
}

/// Up to `digits` digits after `first`; nothing where there are none and the base is 16. It is one byte: the
/// surplus bits of `\777` or `\x141` are dropped, and a byte from 0x80 becomes the Latin-1 character.
fn number(chars: &mut Chars, base: u32, digits: usize, first: u32) -> Option<char> {
    let mut value = first;
    let mut taken = 0;
    while taken < digits {
        let Some(digit) = chars.clone().next().and_then(|c| c.to_digit(base)) else { break };
        value = (value * base + digit) & 0xff;
        chars.next();
        taken += 1;
    }
    if taken == 0 && base == 16 {
        return None;
    }
    char::from_u32(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(rest: &str) -> (Vec<String>, Vec<String>) {
        let SplitCommand { argv, trailing } = split_command(rest).unwrap();
        (argv, trailing)
    }

    #[test]
    fn the_first_word_is_the_command_and_the_rest_is_the_user() {
        let rows: [(&str, &[&str], &[&str]); 10] = [
            (r#""/opt/chk.sh 'a b' c""#, &["/opt/chk.sh", "a b", "c"], &[]),
            ("/opt/chk.sh -v", &["/opt/chk.sh"], &["-v"]),
            (r#""/opt/n.sh up" nobody nogroup"#, &["/opt/n.sh", "up"], &["nobody", "nogroup"]),
            ("'/bin/sh -c \"exit 1\"'", &["/bin/sh", "-c", "exit 1"], &[]),
            (r#"/bin/a" b"' c'"#, &["/bin/a", "b", "c"], &[]),
            ("", &[], &[]),
            (r#""" nobody"#, &[], &["nobody"]),
            ("  /bin/true\t", &["/bin/true"], &[]),
            (r#""/bin/a ''""#, &["/bin/a", ""], &[]),
            ("\"/bin/é ü\"", &["/bin/é", "ü"], &[]),
        ];
        for (rest, argv, trailing) in rows {
            let (found, after) = split(rest);
            assert_eq!(found, argv, "{rest}");
            assert_eq!(after, trailing, "{rest}");
        }
    }

    #[test]
    fn escapes_are_read_in_both_steps() {
        let rows: [(&str, &[&str]); 17] = [
            (r#""a \\a\\b\\E\\f\\n\\r\\t\\v""#, &["a", "\x07\x08\x1b\x0c\n\r\t\x0b"]),
            (r#""a \x41\x4a\x7""#, &["a", "AJ\x07"]),
            (r#""a \101\60\7""#, &["a", "A0\x07"]),
            (r#""a \cA\c[""#, &["a", "\x01\x1b"]),
            (r#""a b\\ c""#, &["a", "b c"]),
            (r#""a b\ c""#, &["a", "b", "c"]),
            (r#""a \"b c\"""#, &["a", "b c"]),
            (r#""a \\\"q""#, &["a", "\"q"]),
            (r#""a \x27x c'""#, &["a", "x c"]),
            (r#""a q\'""#, &["a", "q"]),
            (r"'a \'", &["a", ""]),
            (r#""a \\\\n \\q""#, &["a", r"\n", "q"]),
            (r"/bin/a\\\ b", &["/bin/a b"]),
            (r#""a '\\'' b""#, &["a", "'", "b"]),
            (r#""a \xzz""#, &["a", "xzz"]),
            (r#""a \0018""#, &["a", "\x018"]),
            (r#""a \x141g""#, &["a", "Ag"]),
        ];
        for (rest, argv) in rows {
            assert_eq!(split(rest).0, argv, "{rest}");
        }
        assert_eq!(split_escaped(r#""a\tb" c\n"#).unwrap(), ["a\tb", "c\n"]);
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        let rows = [
            ("\"/bin/a", CommandError::OpenQuote { quote: '"' }),
            ("/bin/a'b", CommandError::OpenQuote { quote: '\'' }),
            ("\"/bin/a 'b\"", CommandError::OpenQuote { quote: '\'' }),
            ("'a \\", CommandError::TrailingBackslash),
            (r#""a \\c""#, CommandError::TrailingBackslash),
            (r#""a \"q""#, CommandError::OpenQuote { quote: '"' }),
            (r#""a 'b' c\x41 \"q""#, CommandError::OpenQuote { quote: '"' }),
            (r"'a b\'c'", CommandError::OpenQuote { quote: '\'' }),
            (r#""a b\\""#, CommandError::TrailingBackslash),
            (r#""a b\""#, CommandError::OpenQuote { quote: '"' }),
            ("a \\", CommandError::TrailingBackslash),
        ];
        for (rest, error) in rows {
            assert_eq!(split_command(rest), Err(error), "{rest}");
        }
    }
}
