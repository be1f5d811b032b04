//! `~SEQ`, `~SEQx` and `~LST`: what they repeat over. The repeated text is not known here.

/// Why a repetition cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SequenceError {
    #[error("`~SEQ` wants `(VAR, [START, [STEP,]] END)`")]
    SeqForm,
    #[error("the step of `~SEQ` never comes to its end")]
    Step,
    #[error("`~SEQx` counts from 0 upwards only: a hexadecimal number has no sign")]
    Negative,
    #[error("`~LST` wants `(VAR, value, ...)` or `({{VAR, ...}}, {{value, ...}}, ...)`")]
    LstForm,
    #[error("a set of `~LST` has {got} values for {want} variables")]
    TooManyValues { got: usize, want: usize },
}

/// Variables and the values that they take, turn by turn.
#[derive(Clone, Debug)]
pub(super) enum Sequence {
    Numbers { name: String, next: Option<i64>, step: i64, end: i64, hex: bool },
    Lists { names: Vec<String>, sets: std::vec::IntoIter<Vec<String>> },
}

/// What stands before the parenthesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceKind {
    Decimal,
    Hex,
    List,
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn skip(text: &str) -> &str {
    text.trim_start_matches(is_blank)
}

/// Whether a line begins a repetition; with what stands between the parentheses, and where the text begins that is
/// repeated. `None` for the inner part where there is no parenthesis, or it is not closed.
pub(super) fn recognise(line: &str) -> Option<(SequenceKind, Option<(&str, usize)>)> {
    let (kind, rest) = if let Some(rest) = line.strip_prefix("~SEQ") {
        rest.strip_prefix('x').map_or((SequenceKind::Decimal, rest), |rest| (SequenceKind::Hex, rest))
    } else {
        (SequenceKind::List, line.strip_prefix("~LST")?)
    };
    let parts = skip(rest).strip_prefix('(').and_then(|rest| rest.split_once(')'));
    Some((kind, parts.map(|(inner, text)| (inner, line.len() - skip(text).len()))))
}

/// An integer as C reads it: decimal, `0x` or octal, with a sign.
fn number(text: &str) -> Option<i64> {
    let text = text.trim_matches(is_blank);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        i64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    value.ok().filter(|value| *value >= 0).map(|value| if negative { -value } else { value })
}

/// The parts of `~SEQ`'s parenthesis: the name, and the numbers as they are written.
pub(super) fn seq_parts(inner: &str) -> Result<(&str, &str), SequenceError> {
    let (name, numbers) = inner.split_once(',').ok_or(SequenceError::SeqForm)?;
    let name = name.trim_matches(is_blank);
    if name.is_empty() || name.contains(is_blank) {
        return Err(SequenceError::SeqForm);
    }
    Ok((name, numbers))
}

impl Sequence {
    /// Numbers for `name`, of `[START, [STEP,]] END` after substitution.
    pub(super) fn numbers(name: &str, numbers: &str, hex: bool) -> Result<Self, SequenceError> {
        let values: Option<Vec<i64>> = numbers.split(',').map(number).collect();
        let (start, step, end) = match values.as_deref() {
            Some(&[end]) => (if end < 0 { -1 } else { 1 }, if end < 1 { -1 } else { 1 }, end),
            Some(&[start, end]) => (start, if start <= end { 1 } else { -1 }, end),
            Some(&[start, step, end]) => (start, step, end),
            _ => return Err(SequenceError::SeqForm),
        };
        if step == 0 || (start < end && step < 0) || (start > end && step > 0) {
            return Err(SequenceError::Step);
        }
        if hex && (start < 0 || end < 0) {
            return Err(SequenceError::Negative);
        }
        Ok(Self::Numbers { name: name.to_owned(), next: Some(start), step, end, hex })
    }

    /// Values for the variables of `~LST`'s parenthesis.
    pub(super) fn lists(inner: &str) -> Result<Self, SequenceError> {
        let (names, mut rest) = set(inner)?;
        if names.iter().any(|name| name.is_empty() || name.contains(is_blank)) {
            return Err(SequenceError::LstForm);
        }
        let mut sets = vec![];
        while let Some(more) = skip(rest).strip_prefix(',') {
            let (mut values, after) = set(more)?;
            if values.len() > names.len() {
                return Err(SequenceError::TooManyValues { got: values.len(), want: names.len() });
            }
            values.resize(names.len(), "");
            sets.push(values.into_iter().map(str::to_owned).collect());
            rest = after;
        }
        if sets.is_empty() || !skip(rest).is_empty() {
            return Err(SequenceError::LstForm);
        }
        Ok(Self::Lists { names: names.into_iter().map(str::to_owned).collect(), sets: sets.into_iter() })
    }

    /// The definitions of the next turn; `None` after the last.
    pub(super) fn turn(&mut self) -> Option<Vec<(String, String)>> {
        match self {
            Self::Numbers { name, next, step, end, hex } => {
                let value = (*next)?;
                *next = value.checked_add(*step).filter(|next| if *step > 0 { next <= end } else { next >= end });
                let value = if *hex { format!("{value:x}") } else { value.to_string() };
                Some(vec![(name.clone(), value)])
            }
            Self::Lists { names, sets } => sets.next().map(|set| names.iter().cloned().zip(set).collect()),
        }
    }
}

/// One value, or `{a, b}`; and what follows it.
fn set(text: &str) -> Result<(Vec<&str>, &str), SequenceError> {
    let text = skip(text);
    if let Some(inner) = text.strip_prefix('{') {
        let (inner, rest) = inner.split_once('}').ok_or(SequenceError::LstForm)?;
        Ok((inner.split(',').map(|value| value.trim_matches(is_blank)).collect(), rest))
    } else {
        let (value, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
        let value = value.trim_matches(is_blank);
        if value.contains(['{', '}', ' ', '\t']) {
            return Err(SequenceError::LstForm);
        }
        Ok((vec![value], rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(sequence: Sequence) -> Vec<String> {
        let mut sequence = sequence;
        std::iter::from_fn(|| sequence.turn())
            .take(20)
            .map(|set| set.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join("/"))
            .collect()
    }

    #[test]
    fn numbers_count_as_they_are_told() {
        type Values<'a> = Result<&'a [&'a str], SequenceError>;
        let rows: [(&str, bool, Values); 18] = [
            ("3", false, Ok(&["1", "2", "3"])),
            ("-2", false, Ok(&["-1", "-2"])),
            ("0", false, Ok(&["1", "0"])),
            ("2, 4", false, Ok(&["2", "3", "4"])),
            ("4,2", false, Ok(&["4", "3", "2"])),
            ("1, 3, 8", false, Ok(&["1", "4", "7"])),
            ("8, -3, 1", false, Ok(&["8", "5", "2"])),
            ("0x8, 012", false, Ok(&["8", "9", "10"])),
            ("8, 11", true, Ok(&["8", "9", "a", "b"])),
            ("5, 5", false, Ok(&["5"])),
            ("9223372036854775806, 5, 9223372036854775807", false, Ok(&["9223372036854775806"])),
            ("1 3", false, Err(SequenceError::SeqForm)),
            ("", false, Err(SequenceError::SeqForm)),
            ("1,2,3,4", false, Err(SequenceError::SeqForm)),
            ("1, 0, 3", false, Err(SequenceError::Step)),
            ("1, -1, 3", false, Err(SequenceError::Step)),
            ("3, 1, 1", false, Err(SequenceError::Step)),
            ("-1, 3", true, Err(SequenceError::Negative)),
        ];
        for (numbers, hex, expected) in rows {
            let found = Sequence::numbers("N", numbers, hex).map(values);
            assert_eq!(found, expected.map(|values| values.iter().map(|&v| v.to_owned()).collect()), "{numbers}");
        }
    }

    #[test]
    fn lists_give_sets() {
        let rows: [(&str, Result<&[&str], SequenceError>); 9] = [
            ("B, 7, 9", Ok(&["7", "9"])),
            ("{A, B}, {a1,b1}, { a2 , b2 }", Ok(&["a1/b1", "a2/b2"])),
            ("{A, B}, {a1}, x", Ok(&["a1/", "x/"])),
            ("B, , x", Ok(&["", "x"])),
            ("{A, B}, {a, b, c}", Err(SequenceError::TooManyValues { got: 3, want: 2 })),
            ("B", Err(SequenceError::LstForm)),
            ("B, a b", Err(SequenceError::LstForm)),
            ("{A, B, {a", Err(SequenceError::LstForm)),
            ("{A}, {a} b", Err(SequenceError::LstForm)),
        ];
        for (inner, expected) in rows {
            let found = Sequence::lists(inner).map(values);
            assert_eq!(found, expected.map(|values| values.iter().map(|&v| v.to_owned()).collect()), "{inner}");
        }
    }

    #[test]
    fn the_text_follows_the_parenthesis() {
        let line = "~SEQx (N, 2)  ip ${N}";
        let (kind, parts) = recognise(line).unwrap();
        let (inner, at) = parts.unwrap();
        assert_eq!((kind, inner, line.get(at..)), (SequenceKind::Hex, "N, 2", Some("ip ${N}")));
        assert_eq!(recognise("~LST(N, 2"), Some((SequenceKind::List, None)));
        assert_eq!(recognise("~FOO(N, 2)"), None);
        assert_eq!(seq_parts(" N , 1, 2"), Ok(("N", " 1, 2")));
        assert_eq!(seq_parts("N"), Err(SequenceError::SeqForm));
    }
}
