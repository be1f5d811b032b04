//! `payload` and `require_reply` of `UDP_CHECK`: bytes in hexadecimal, and half bytes that do not matter.
//!
//! It sends and receives nothing: `io/udp.rs` does.

use std::str::FromStr;

use super::outcome::Outcome;

/// The longest pattern: what one UDP datagram over IPv4 can carry.
pub const PATTERN_MAX_BYTES: usize = 65_507;

/// Bytes of a reply that are read even where fewer would do to judge it, so that its length can be told.
pub const REPLY_TOLD_BYTES: usize = 2048;

/// Bytes, of which some half bytes may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The value of each byte, and the mask of the bits that count.
    bytes: Vec<(u8, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    #[error("`{got}` is not a hexadecimal digit")]
    Digit { got: char },
    #[error("the hexadecimal string is empty")]
    Empty,
    #[error("the hexadecimal string exceeds {PATTERN_MAX_BYTES} bytes")]
    TooLong,
    #[error("a payload has no digit that may be anything")]
    Wildcard,
}

impl FromStr for Pattern {
    type Err = HexError;
    /// Words of hexadecimal digits, `x` for any; two digits are a byte, and so is the odd one at the end of a word.
    fn from_str(text: &str) -> Result<Self, HexError> {
        let mut bytes = vec![];
        for word in text.split_ascii_whitespace() {
            let digits = word.chars().map(half).collect::<Result<Vec<_>, _>>()?;
            for pair in digits.chunks(2) {
                bytes.push(match *pair {
                    [(high, high_mask), (low, low_mask)] => (high << 4 | low, high_mask << 4 | low_mask),
                    // A single digit is the low half, and the high half is 0.
                    [(low, low_mask)] => (low, 0xf0 | low_mask),
                    _ => continue,
                });
            }
        }
        match bytes.len() {
            0 => Err(HexError::Empty),
            1..=PATTERN_MAX_BYTES => Ok(Self { bytes }),
            _ => Err(HexError::TooLong),
        }
    }
}

/// The value of a digit, and the mask of the bits that count.
fn half(digit: char) -> Result<(u8, u8), HexError> {
    match digit {
        'x' | 'X' => Ok((0, 0)),
        _ => {
            let value = digit.to_digit(16).and_then(|value| u8::try_from(value).ok());
            value.map(|value| (value, 0xf)).ok_or(HexError::Digit { got: digit })
        }
    }
}

impl Pattern {
    /// The bytes to send.
    ///
    /// # Errors
    /// [`HexError::Wildcard`] where some may be anything.
    pub fn payload(&self) -> Result<Vec<u8>, HexError> {
        let whole = |(value, mask): &(u8, u8)| if *mask == 0xff { Ok(*value) } else { Err(HexError::Wildcard) };
        self.bytes.iter().map(whole).collect()
    }

    /// The first byte that differs, counted from 0, as far as both reach.
    fn difference(&self, reply: &[u8]) -> Option<usize> {
        self.bytes.iter().zip(reply).position(|((value, mask), got)| (value ^ got) & mask != 0)
    }
}

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
        let pattern = self.pattern.as_ref().map_or(0, |pattern| pattern.bytes.len());
        let longest = if self.max_bytes == u16::MAX { 0 } else { usize::from(self.max_bytes) + 1 };
        pattern.max(longest).max(self.min_bytes.into()).max(REPLY_TOLD_BYTES)
    }

    /// What a reply comes to.
    pub fn judge(&self, reply: &[u8]) -> Outcome {
        let got_bytes = reply.len();
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

    #[test]
    fn a_hexadecimal_string_is_read_as_by_keepalived() {
        let rows: [(&str, Result<&[u8], HexError>); 6] = [
            // The example of keepalived.conf(5).
            ("Ab12f 3 456 546443123", Ok(&[0xab, 0x12, 0x0f, 0x03, 0x45, 0x06, 0x54, 0x64, 0x43, 0x12, 0x03])),
            ("00", Ok(&[0])),
            ("", Err(HexError::Empty)),
            ("  ", Err(HexError::Empty)),
            ("0g", Err(HexError::Digit { got: 'g' })),
            ("1x", Err(HexError::Wildcard)),
        ];
        for (text, wanted) in rows {
            let got = text.parse::<Pattern>().and_then(|pattern| pattern.payload());
            assert_eq!(got, wanted.map(<[u8]>::to_vec), "{text}");
        }
        let long = "00".repeat(PATTERN_MAX_BYTES);
        assert!(long.parse::<Pattern>().is_ok());
        assert_eq!((long + "00").parse::<Pattern>(), Err(HexError::TooLong));
    }

    /// A name, the pattern, the most bytes, the reply, the outcome.
    type Row<'a> = (&'a str, Option<&'a str>, u16, &'a [u8], &'a str);

    #[test]
    fn a_reply_is_compared_as_far_as_both_reach() {
        let rows: [Row; 9] = [
            ("the same", Some("61 62"), 255, b"ab", "answered with 2 bytes"),
            ("more than the pattern", Some("61 62"), 255, b"abc", "answered with 3 bytes"),
            ("less than the pattern", Some("61 62"), 255, b"a", "answered with 1 bytes"),
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
            assert_eq!(expect.judge(reply).to_string(), wanted, "{name}");
        }
        assert_eq!(ReplyExpect::any().judge(b""), Outcome::Replied { bytes: 0 });
    }
}
