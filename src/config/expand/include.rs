//! The include family: its keywords, how strict each is, and brace alternatives. Files are not known here.

/// What is an error when files are included; the bits are those of `include_check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strictness(u8);

impl Strictness {
    /// A directory, an executable, an unreadable file.
    pub const READ: Self = Self(1);
    /// A plain name that is missing.
    pub const MATCH: Self = Self(2);
    /// A wildcard without a match.
    pub const WILDCARD: Self = Self(4);
    /// A brace alternative that is missing.
    pub const BRACE: Self = Self(8);
    pub const ALL: Self = Self(15);

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// One word of `include_check`, whatever its sign.
    pub fn of_word(word: &str) -> Option<Self> {
        match word.trim_start_matches(['+', '-']) {
            "read" => Some(Self::READ),
            "match" => Some(Self::MATCH),
            "wildcard_match" => Some(Self::WILDCARD),
            "brace_match" => Some(Self::BRACE),
            _ => None,
        }
    }

    /// The words of `include_check`: a plain first word sets, `+` adds, `-` takes away; none at all is everything.
    /// Words that are not known change nothing.
    #[must_use]
    pub fn checked(self, words: &str) -> Self {
        let mut level = self;
        let mut words = words.split_ascii_whitespace().peekable();
        if words.peek().is_none() {
            return Self::ALL;
        }
        for (index, word) in words.enumerate() {
            let Some(bit) = Self::of_word(word) else { continue };
            level = match word.as_bytes().first() {
                Some(b'+') => level.and(bit),
                Some(b'-') => level.without(bit),
                _ if index == 0 => Self::READ.and(bit),
                _ => level,
            };
        }
        level
    }
}

/// An include line: how strict by its own keyword, and the pattern.
pub(super) fn include(line: &str) -> Option<(Strictness, &str)> {
    const READ_MATCH: Strictness = Strictness::READ.and(Strictness::MATCH);
    let rest = line.strip_prefix("include")?;
    let (keyword, pattern) = rest.split_at(rest.find(|c: char| c.is_ascii_whitespace())?);
    let strictness = match keyword {
        "" => Strictness::default(),
        "r" => Strictness::READ,
        "m" => READ_MATCH,
        "w" => READ_MATCH.and(Strictness::WILDCARD),
        "b" => Strictness::READ.and(Strictness::BRACE),
        "a" => Strictness::ALL,
        _ => return None,
    };
    Some((strictness, pattern.trim()))
}

/// Brace alternatives of one pattern, at most.
pub const ALTERNATIVES_MAX: usize = 256;

/// The patterns that `{a,b}` stands for, in order, also nested ones; one pattern where there are none.
/// `None`: more than [`ALTERNATIVES_MAX`].
pub(super) fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let mut done = vec![];
    let mut waiting = vec![pattern.to_owned()];
    while let Some(pattern) = waiting.pop() {
        match parts(&pattern) {
            Some((before, middles, after)) => {
                waiting.extend(middles.iter().rev().map(|middle| format!("{before}{middle}{after}")));
            }
            None => done.push(pattern),
        }
        if done.len() + waiting.len() > ALTERNATIVES_MAX {
            return None;
        }
    }
    Some(done)
}

/// The first brace group of a pattern, split at its own commas. `{}` and a brace without its partner are no groups.
fn parts(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let (mut depth, mut open) = (0_usize, 0);
    let mut commas = vec![];
    let mut escaped = false;
    for (at, byte) in pattern.bytes().enumerate() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            b'{' => {
                if depth == 0 {
                    open = at;
                }
                depth += 1;
            }
            b',' if depth == 1 => commas.push(at),
            b'}' if depth == 1 => {
                if at == open + 1 {
                    depth = 0;
                    continue;
                }
                commas.push(at);
                let mut middles = vec![];
                let mut from = open + 1;
                for comma in commas {
                    middles.push(pattern.get(from..comma)?);
                    from = comma + 1;
                }
                return Some((pattern.get(..open)?, middles, pattern.get(at + 1..)?));
            }
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Whether a name is a pattern.
pub(super) fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found<'a> = Option<([bool; 4], &'a str)>;

    #[test]
    fn each_keyword_has_its_strictness() {
        let all = [Strictness::READ, Strictness::MATCH, Strictness::WILDCARD, Strictness::BRACE];
        let rows: [(&str, Found); 11] = [
            ("include a b", Some(([false; 4], "a b"))),
            ("includer a", Some(([true, false, false, false], "a"))),
            ("includem\ta", Some(([true, true, false, false], "a"))),
            ("includew a", Some(([true, true, true, false], "a"))),
            ("includeb a", Some(([true, false, false, true], "a"))),
            ("includea a", Some(([true; 4], "a"))),
            ("include", None),
            ("includex a", None),
            ("include_check all", None),
            ("included a", None),
            ("xinclude a", None),
        ];
        for (line, expected) in rows {
            let found = include(line).map(|(level, pattern)| (all.map(|bit| level.has(bit)), pattern));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn include_check_sets_adds_and_takes_away() {
        let read = Strictness::READ;
        let rows = [
            ("", Strictness::ALL),
            ("read", read),
            ("match", read.and(Strictness::MATCH)),
            ("brace_match +wildcard_match", read.and(Strictness::BRACE).and(Strictness::WILDCARD)),
            ("+match", Strictness::WILDCARD.and(Strictness::MATCH)),
            ("-wildcard_match", Strictness::default()),
            ("nonsense", Strictness::WILDCARD),
        ];
        for (words, expected) in rows {
            assert_eq!(Strictness::WILDCARD.checked(words), expected, "{words}");
        }
    }

    #[test]
    fn braces_are_alternatives_in_order() {
        let rows: [(&str, &[&str]); 8] = [
            ("a/*.conf", &["a/*.conf"]),
            ("a/{n,s}.conf", &["a/n.conf", "a/s.conf"]),
            ("{a,b}{1,2}", &["a1", "a2", "b1", "b2"]),
            ("{a,b{1,2},}x", &["ax", "b1x", "b2x", "x"]),
            ("a{b", &["a{b"]),
            ("a}b", &["a}b"]),
            ("a{}b", &["a{}b"]),
            (r"a\{b,c}", &[r"a\{b,c}"]),
        ];
        for (pattern, expected) in rows {
            assert_eq!(alternatives(pattern).unwrap(), expected, "{pattern}");
        }
        assert_eq!(alternatives(&"{a,b}".repeat(20)), None);
    }
}
