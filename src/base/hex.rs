//! Bytes in hexadecimal, and half bytes that do not matter: `payload` and `require_reply` of `UDP_CHECK`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The longest pattern: what one UDP datagram over IPv4 can carry.
pub const PATTERN_MAX_BYTES: usize = 65_507;

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

    /// Bytes of it, those that may be anything too.
    pub const fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The first byte that differs, counted from 0, as far as both reach.
    pub fn difference(&self, reply: &[u8]) -> Option<usize> {
        self.bytes.iter().zip(reply).position(|((value, mask), got)| (value ^ got) & mask != 0)
    }
}

impl fmt::Display for Pattern {
    /// Two digits a byte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (value, mask) in &self.bytes {
            for (value, mask) in [(value >> 4, mask >> 4), (value & 0xf, mask & 0xf)] {
                if mask == 0 { f.write_str("x")? } else { write!(f, "{value:x}")? }
            }
        }
        Ok(())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_written_as_it_is_read() {
        for (text, shown) in [("Ab1 x2 3x f", "ab01x23x0f"), ("x", "0x"), ("00", "00")] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), shown);
            assert_eq!(shown.parse(), Ok(pattern), "{text}");
        }
    }

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
}
