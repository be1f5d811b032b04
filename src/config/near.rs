//! The known word that a misspelt one most likely means. What words are known is the caller's business.

/// A word longer than this is not a slip of the fingers.
const WORD_MAX: usize = 64;

/// The known word that is nearest to `word`: the same but for case, or few slips away (a slip is a missing, surplus
/// or wrong character, or two characters that changed places). One slip is allowed from 2 characters, two from 5,
/// three from 9. Of equally near ones the first wins. A word that is known itself is its own nearest.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(WORD_MAX + 1).flat_map(char::to_lowercase).collect();
    if word.len() < 2 || word.len() > WORD_MAX {
        return None;
    }
    let allowed = match word.len() {
        ..5 => 1,
        5..9 => 2,
        9.. => 3,
    };
    let letters_of_word = letters(&word);
    let mut best: Option<(usize, &str)> = None;
    let mut lower: Vec<char> = vec![];
    for candidate in known {
        // A nearer one than the best so far is all that counts.
        let Some(limit) = best.map_or(Some(allowed), |(least, _)| least.checked_sub(1)) else { break };
        // Cheap bounds first: a character is one to four bytes.
        if candidate.len() + limit < word.len() || candidate.len() > (word.len() + limit) * char::MAX.len_utf8() {
            continue;
        }
        lower.clear();
        if candidate.is_ascii() {
            lower.extend(candidate.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
        } else {
            lower.extend(candidate.chars().flat_map(char::to_lowercase));
        }
        if strangers(letters_of_word, letters(&lower)) > limit {
            continue;
        }
        if let Some(slips) = distance(&word, &lower, limit).filter(|slips| *slips < lower.len()) {
            best = Some((slips, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Which characters a word has: a bit for each, shared by those that are alike in their last six bits.
fn letters(word: &[char]) -> u64 {
    word.iter().fold(0, |set, &letter| set | 1 << (u32::from(letter) % u64::BITS))
}

/// At least so many slips are between words of these letters: one slip adds a letter at most, and takes away one at most.
fn strangers(a: u64, b: u64) -> usize {
    let only = |a: u64, b: u64| usize::try_from((a & !b).count_ones()).unwrap_or(usize::MAX);
    only(a, b).max(only(b, a))
}

/// Slips between two words (optimal string alignment) where there are at most `limit`, row by row: a row is the distance
/// of a beginning of `a` to every beginning of `b`.
fn distance(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = vec![];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut row: Vec<usize> = Vec::with_capacity(b.len() + 1);
    for (index, &in_a) in a.iter().enumerate() {
        row.clear();
        row.push(index + 1);
        for (at, &in_b) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut least = cell(&above, at) + usize::from(in_a != in_b);
            least = least.min(cell(&above, at + 1) + 1).min(cell(&row, at) + 1);
            let swapped = index > 0 && at > 0 && a.get(index - 1) == Some(&in_b) && b.get(at - 1) == Some(&in_a);
            if swapped {
                least = least.min(cell(&before, at - 1) + 1);
            }
            row.push(least);
        }
        // What comes is at least the least of two rows that follow each other.
        let least = row.iter().chain(&above).min();
        if least.is_some_and(|least| *least > limit) {
            return None;
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
    }
    above.last().copied().filter(|slips| *slips <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 7] =
        ["priority", "interface", "virtual_ipaddress", "virtual_router_id", "state", "TCP_CHECK", "vrrp_instance"];

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        let rows = [
            ("prioritty", Some("priority")),
            ("pirority", Some("priority")),
            ("VRRP_INSTANCE", Some("vrrp_instance")),
            ("tcp_check", Some("TCP_CHECK")),
            ("virtual_ipaddres", Some("virtual_ipaddress")),
            ("vitual_ruoter_id", Some("virtual_router_id")),
            ("satte", Some("state")),
            ("priority", Some("priority")),
            ("zebra", None),
            ("s", None),
            ("", None),
            ("interval", None),
        ];
        for (word, expected) in rows {
            assert_eq!(nearest(word, KNOWN), expected, "{word}");
        }
    }

    #[test]
    fn two_characters_that_changed_places_are_one_slip() {
        let rows =
            [("ab", "ba", 1), ("abc", "abc", 0), ("abc", "abd", 1), ("abc", "", 3), ("", "ab", 2), ("ca", "abc", 3)];
        for (a, b, slips) in rows {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(distance(&a, &b, 3), Some(slips), "{a:?} {b:?}");
            assert_eq!(distance(&b, &a, slips), Some(slips), "{b:?} {a:?}");
            assert_eq!(slips.checked_sub(1).and_then(|limit| distance(&a, &b, limit)), None, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_word_without_end_costs_nothing() {
        assert_eq!(nearest(&"x".repeat(1_000_000), KNOWN), None);
    }
}
