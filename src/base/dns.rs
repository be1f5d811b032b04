//! Names and record types of DNS (RFC 1035), as a check asks for them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A name to ask for, in the form that goes on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsName(Vec<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsNameError {
    #[error("a label of the name is empty")]
    EmptyLabel,
    #[error("a label of the name has {got} bytes, and 63 are the limit")]
    LongLabel { got: usize },
    #[error("the name has {got} bytes on the wire, and 255 are the limit")]
    Long { got: usize },
}

impl DnsName {
    /// Length and bytes of each label, and the empty one at the end; at most 255 bytes.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }
}

impl Default for DnsName {
    /// The root.
    fn default() -> Self {
        Self(vec![0])
    }
}

impl FromStr for DnsName {
    type Err = DnsNameError;
    /// Labels between dots, a dot at the end or not; `.` or nothing is the root.
    fn from_str(text: &str) -> Result<Self, DnsNameError> {
        let mut wire = vec![];
        let labels = text.strip_suffix('.').unwrap_or(text);
        for label in labels.split('.').filter(|_| !labels.is_empty()) {
            let long = DnsNameError::LongLabel { got: label.len() };
            match u8::try_from(label.len()) {
                Ok(0) => return Err(DnsNameError::EmptyLabel),
                Ok(length @ 1..=63) => wire.push(length),
                Ok(_) | Err(_) => return Err(long),
            }
            wire.extend(label.as_bytes());
        }
        wire.push(0);
        if wire.len() > 255 { Err(DnsNameError::Long { got: wire.len() }) } else { Ok(Self(wire)) }
    }
}

impl fmt::Display for DnsName {
    /// As a file writes it: without a dot at the end, but for the root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut first = true;
        while let Some((length, after)) = rest.split_first() {
            let Some((label, more)) = after.split_at_checked(usize::from(*length)).filter(|_| *length > 0) else {
                break;
            };
            write!(f, "{}{}", if first { "" } else { "." }, String::from_utf8_lossy(label))?;
            (rest, first) = (more, false);
        }
        if first { f.write_str(".") } else { Ok(()) }
    }
}

impl Serialize for DnsName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// The record types that keepalived knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordType {
    A,
    Ns,
    Cname,
    #[default]
    Soa,
    Mx,
    Txt,
    Aaaa,
    Rrsig,
    Dnskey,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not a record type: A, NS, CNAME, SOA, MX, TXT, AAAA, RRSIG or DNSKEY")]
pub struct RecordTypeError {
    pub got: String,
}

impl RecordType {
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::A, "A"),
        (Self::Ns, "NS"),
        (Self::Cname, "CNAME"),
        (Self::Soa, "SOA"),
        (Self::Mx, "MX"),
        (Self::Txt, "TXT"),
        (Self::Aaaa, "AAAA"),
        (Self::Rrsig, "RRSIG"),
        (Self::Dnskey, "DNSKEY"),
    ];

    /// The number on the wire (IANA, DNS parameters).
    pub const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Soa => 6,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Rrsig => 46,
            Self::Dnskey => 48,
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(record, _)| record == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl Serialize for RecordType {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl FromStr for RecordType {
    type Err = RecordTypeError;
    /// In any case.
    fn from_str(text: &str) -> Result<Self, RecordTypeError> {
        let found = Self::ALL.into_iter().find(|(_, word)| word.eq_ignore_ascii_case(text));
        found.map(|(record, _)| record).ok_or_else(|| RecordTypeError { got: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_goes_on_the_wire_in_labels() {
        let long = "a".repeat(64);
        let most = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        let rows: [(&str, Result<usize, DnsNameError>); 8] = [
            (".", Ok(1)),
            ("", Ok(1)),
            ("example.org", Ok(13)),
            ("example.org.", Ok(13)),
            ("a..b", Err(DnsNameError::EmptyLabel)),
            (&long, Err(DnsNameError::LongLabel { got: 64 })),
            (&most, Ok(255)),
            (&format!("{most}d"), Err(DnsNameError::Long { got: 256 })),
        ];
        for (text, wanted) in rows {
            assert_eq!(text.parse::<DnsName>().map(|name| name.0.len()), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_within_the_limits_or_none(text in "[a-z.]{0,300}") {
            if let Ok(name) = text.parse::<DnsName>() {
                prop_assert!(name.0.len() <= 255 && name.0.ends_with(&[0]));
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
    }
}
