//! What an HTTP answer must look like: its status, the MD5 of its body, and a pattern. All must hold.
//!
//! It reads nothing from a socket; `io/http.rs` feeds it the status and the bytes.

use std::fmt;
use std::str::FromStr;

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use crate::base::AnswerPattern;

/// Status codes from `low` to `high`, both included, 100..=599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange {
    low: u16,
    high: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    #[error("status_code {got} is not within 100 to 599")]
    Range { got: u16 },
    #[error("status_code {low}-{high} has its ends the wrong way round")]
    Reversed { low: u16, high: u16 },
    #[error("`{got}` is not a status code or a range of them")]
    Text { got: String },
    #[error("status_code names no code")]
    Empty,
}

impl StatusRange {
    /// # Errors
    /// [`StatusError`] for codes outside 100..=599 and where `low` is above `high`.
    pub fn new(low: u16, high: u16) -> Result<Self, StatusError> {
        for got in [low, high] {
            if !(100..=599).contains(&got) {
                return Err(StatusError::Range { got });
            }
        }
        if low > high { Err(StatusError::Reversed { low, high }) } else { Ok(Self { low, high }) }
    }

    pub const fn holds(self, status: u16) -> bool {
        self.low <= status && status <= self.high
    }
}

impl FromStr for StatusRange {
    type Err = StatusError;
    /// `INT` or `INT-INT`.
    fn from_str(text: &str) -> Result<Self, StatusError> {
        let number = |part: &str| part.parse().map_err(|_| StatusError::Text { got: text.to_owned() });
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        Self::new(number(low)?, number(high)?)
    }
}

impl TryFrom<String> for StatusRange {
    type Error = StatusError;
    fn try_from(text: String) -> Result<Self, StatusError> {
        text.parse()
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high { write!(f, "{}", self.low) } else { write!(f, "{}-{}", self.low, self.high) }
    }
}

/// The status codes that an answer may have; at least one range.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<StatusRange>", into = "Vec<StatusRange>")]
pub struct StatusRanges(Vec<StatusRange>);

impl StatusRanges {
    /// # Errors
    /// [`StatusError::Empty`] without a range.
    pub fn new(ranges: Vec<StatusRange>) -> Result<Self, StatusError> {
        if ranges.is_empty() { Err(StatusError::Empty) } else { Ok(Self(ranges)) }
    }

    pub fn hold(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.holds(status))
    }
}

impl Default for StatusRanges {
    /// 200-299, as in keepalived.
    fn default() -> Self {
        Self(vec![StatusRange { low: 200, high: 299 }])
    }
}

impl TryFrom<Vec<StatusRange>> for StatusRanges {
    type Error = StatusError;
    fn try_from(ranges: Vec<StatusRange>) -> Result<Self, StatusError> {
        Self::new(ranges)
    }
}

impl From<StatusRanges> for Vec<StatusRange> {
    fn from(ranges: StatusRanges) -> Self {
        ranges.0
    }
}

impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            write!(f, "{}{range}", if at == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// MD5 of a body, as `digest` and `genhash` write it: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(u128);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not a digest: 32 hexadecimal digits")]
pub struct DigestError {
    pub got: String,
}

impl Digest {
    pub fn of(body: &[u8]) -> Self {
        let mut running = RunningDigest::default();
        running.feed(body);
        running.finish()
    }

    /// The 16 bytes that the hexadecimal digits stand for.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = if hex { u128::from_str_radix(text, 16).ok() } else { None };
        value.map(Self).ok_or_else(|| DigestError { got: text.to_owned() })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The digest of a body that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct RunningDigest(Md5);

impl RunningDigest {
    pub fn feed(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn finish(self) -> Digest {
        Digest(u128::from_be_bytes(self.0.finalize().into()))
    }
}

/// What the answer of one url must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Expect {
    pub status: StatusRanges,
    pub digest: Option<Digest>,
    pub pattern: Option<AnswerPattern>,
}

impl Expect {
    /// The failure of a whole answer, status first; `None` where all hold. `answer` is its head and body, and is not
    /// looked at without a pattern.
    pub fn failure(&self, status: u16, body: Digest, answer: &[u8]) -> Option<Outcome> {
        if !self.status.hold(status) {
            return Some(Outcome::Status { got: status, wanted: self.status.clone() });
        }
        match self.digest {
            Some(wanted) if wanted != body => return Some(Outcome::Digest { got: body, wanted }),
            Some(_) | None => {}
        }
        let pattern = self.pattern.as_ref().filter(|pattern| !pattern.holds(answer))?;
        Some(Outcome::Pattern { matched: pattern.is_negated() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_range_is_read_as_keepalived_writes_it() {
        let rows: [(&str, Result<&str, StatusError>); 8] = [
            ("200", Ok("200")),
            ("200-299", Ok("200-299")),
            ("100-599", Ok("100-599")),
            ("99", Err(StatusError::Range { got: 99 })),
            ("200-600", Err(StatusError::Range { got: 600 })),
            ("299-200", Err(StatusError::Reversed { low: 299, high: 200 })),
            ("2xx", Err(StatusError::Text { got: "2xx".to_owned() })),
            ("", Err(StatusError::Text { got: String::new() })),
        ];
        for (text, wanted) in rows {
            let got = text.parse::<StatusRange>().map(|range| range.to_string());
            assert_eq!(got, wanted.map(str::to_owned), "{text}");
        }
        assert_eq!(StatusRanges::new(vec![]), Err(StatusError::Empty));
    }

    type Row<'a> = (&'a str, StatusRanges, Option<Digest>, u16, &'a [u8], Option<&'a str>);

    #[test]
    fn status_and_digest_must_both_hold() {
        let digest = Digest::of(b"ok\n");
        let ranges =
            |texts: &[&str]| StatusRanges::new(texts.iter().map(|text| text.parse().unwrap()).collect()).unwrap();
        let rows: [Row; 8] = [
            ("default, lowest", StatusRanges::default(), None, 200, b"", None),
            ("default, highest", StatusRanges::default(), None, 299, b"", None),
            ("default, below", StatusRanges::default(), None, 199, b"", Some("status 199, wanted 200-299")),
            ("default, above", StatusRanges::default(), None, 503, b"", Some("status 503, wanted 200-299")),
            ("the second range", ranges(&["200", "301-302"]), None, 302, b"", None),
            ("between the ranges", ranges(&["200", "301-302"]), None, 300, b"", Some("status 300, wanted 200 301-302")),
            (
                "right digest, wrong status",
                StatusRanges::default(),
                Some(digest),
                404,
                b"ok\n",
                Some("status 404, wanted 200-299"),
            ),
            (
                "right status, wrong digest",
                StatusRanges::default(),
                Some(digest),
                200,
                b"no\n",
                Some("digest e4ac654ba9b61686c2dc854a1128a323, wanted eff5bc1ef8ec9d03e640fc4370f5eacd"),
            ),
        ];
        for (name, status, digest, got, body, wanted) in rows {
            let failure = Expect { status, digest, pattern: None }.failure(got, Digest::of(body), body);
            assert_eq!(failure.map(|failure| failure.to_string()).as_deref(), wanted, "{name}");
        }
    }

    #[test]
    fn a_digest_is_32_hexadecimal_digits() {
        assert_eq!(Digest::of(b"").to_string(), "d41d8cd98f00b204e9800998ecf8427e"); // RFC 1321, A.5
        assert_eq!("D41D8CD98F00B204E9800998ECF8427E".parse(), Ok(Digest::of(b"")));
        for text in ["", "d41d8cd9", "+41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e0"] {
            assert_eq!(text.parse::<Digest>(), Err(DigestError { got: text.to_owned() }));
        }
    }
}
