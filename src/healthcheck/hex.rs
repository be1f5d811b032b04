//! What must come back for a `UDP_CHECK`: its length, and its bytes by a pattern.
//!
//! It sends and receives nothing: `io/udp.rs` does.

use super::outcome::Outcome;
use crate::base::Pattern;

/// What a reply must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplyExpect {
    /// Both included. keepalived looks at the length only where it has a pattern; then by default 0 to 255.
    pub min_bytes: u16,
    pub max_bytes: u16,
    pub pattern: Option<Pattern>,
}

impl ReplyExpect {
    /// Any reply will do: `require_reply` without a value.
    pub const fn any() -> Self {
        Self { min_bytes: 0, max_bytes: u16::MAX, pattern: None }
    }

    /// Bytes of a reply that must be read to judge it; further ones may be cut.
    pub fn room_bytes(&self) -> usize {
        self.pattern.as_ref().map_or(0, Pattern::len_bytes)
    }

    /// What a reply of this length comes to, which begins with these bytes.
    pub fn judge(&self, reply: &[u8], got_bytes: usize) -> Outcome {
        if got_bytes < usize::from(self.min_bytes) || got_bytes > usize::from(self.max_bytes) {
            return Outcome::ReplyLength { got_bytes, min_bytes: self.min_bytes, max_bytes: self.max_bytes };
        }
        match self.pattern.as_ref().and_then(|pattern| pattern.difference(reply)) {
            Some(offset) => Outcome::ReplyDiffers { offset },
            None => Outcome::Replied { bytes: got_bytes },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, the pattern, the most bytes, the reply, the outcome.
    type Row<'a> = (&'a str, Option<&'a str>, u16, &'a [u8], &'a str);

    #[test]
    fn a_reply_is_compared_as_far_as_both_reach() {
        let rows: [Row; 9] = [
            ("the same", Some("61 62"), 255, b"ab", "answered with 2 bytes"),
            ("more than the pattern", Some("61 62"), 255, b"abc", "answered with 3 bytes"),
            ("less than the pattern", Some("61 62"), 255, b"a", "answered with 1 byte"),
            ("another byte", Some("61 62"), 255, b"ax", "the answer differs from the wanted one at byte 1"),
            ("any half", Some("6x x2"), 255, b"kr", "answered with 2 bytes"),
            ("the other half", Some("6x x2"), 255, b"Kr", "the answer differs from the wanted one at byte 0"),
            ("a lone x has a high half of 0", Some("x"), 255, b"a", "the answer differs from the wanted one at byte 0"),
            ("too long", None, 1, b"ab", "the answer has 2 bytes, wanted 1 to 1"),
            ("too short", None, 255, b"", "the answer has 0 bytes, wanted 1 to 255"),
        ];
        for (name, pattern, max_bytes, reply, wanted) in rows {
            let pattern = pattern.map(|pattern| pattern.parse().unwrap());
            let expect = ReplyExpect { min_bytes: 1, max_bytes, pattern };
            assert_eq!(expect.judge(reply, reply.len()).to_string(), wanted, "{name}");
        }
        assert_eq!(ReplyExpect::any().judge(b"", 60_000), Outcome::Replied { bytes: 60_000 });
    }
}
