//! The query of `DNS_CHECK`, and what its answer says (RFC 1035 section 4).
//!
//! Records are not read: a server that answers without an error works. `io/dns.rs` has the socket.

use std::fmt;
use std::str::FromStr;

use super::outcome::Outcome;

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
    const ALL: [(Self, &'static str); 9] = [
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
    const fn number(self) -> u16 {
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

impl FromStr for RecordType {
    type Err = RecordTypeError;
    /// In any case.
    fn from_str(text: &str) -> Result<Self, RecordTypeError> {
        let found = Self::ALL.into_iter().find(|(_, word)| word.eq_ignore_ascii_case(text));
        found.map(|(record, _)| record).ok_or_else(|| RecordTypeError { got: text.to_owned() })
    }
}

/// One question for `name`, class IN, recursion desired.
pub fn query(id: u16, name: &DnsName, record: RecordType) -> Vec<u8> {
    const RECURSION_DESIRED: u16 = 0x0100;
    const CLASS_IN: u16 = 1;
    let header = [id, RECURSION_DESIRED, 1, 0, 0, 0];
    let mut wire: Vec<u8> = header.into_iter().flat_map(u16::to_be_bytes).collect();
    wire.extend(&name.0);
    wire.extend([record.number(), CLASS_IN].into_iter().flat_map(u16::to_be_bytes));
    wire
}

/// What a datagram comes to; `None` where it is no answer to the query with this id, and another may follow.
pub fn judge(id: u16, datagram: &[u8]) -> Option<Outcome> {
    const IS_ANSWER: u8 = 0x80;
    let [id_high, id_low, flags, code, _, _, _, _, _, _, _, _, ..] = *datagram else { return None };
    if u16::from_be_bytes([id_high, id_low]) != id || flags & IS_ANSWER == 0 {
        return None;
    }
    Some(match code & 0x0f {
        0 => Outcome::DnsAnswered,
        code => Outcome::DnsError { code: AnswerCode(code) },
    })
}

/// RCODE, 0..=15 (RFC 1035 section 4.1.1, RFC 2136 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AnswerCode(u8);

impl fmt::Display for AnswerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.0 {
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            other => return write!(f, "code {other}"),
        };
        f.write_str(word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
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

    #[test]
    fn a_query_has_the_bytes_of_the_rfc() {
        let name = "example.org".parse().unwrap();
        let wire = query(0xbeef, &name, "aaaa".parse().unwrap());
        assert_eq!(wire, b"\xbe\xef\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x1c\0\x01");
        for (record, word) in RecordType::ALL {
            assert_eq!(word.to_lowercase().parse(), Ok(record));
        }
        assert_eq!("PTR".parse::<RecordType>(), Err(RecordTypeError { got: "PTR".to_owned() }));
    }

    #[test]
    fn only_an_answer_to_this_query_counts() {
        let rows: [(&str, &[u8], Option<&str>); 6] = [
            ("no error", b"\x12\x34\x81\x80\0\0\0\0\0\0\0\0", Some("answered without an error")),
            ("truncated, yet an answer", b"\x12\x34\x83\x80\0\0\0\0\0\0\0\0", Some("answered without an error")),
            ("SERVFAIL", b"\x12\x34\x81\x82\0\0\0\0\0\0\0\0", Some("the DNS server answers SERVFAIL")),
            ("another id", b"\x12\x35\x81\x80\0\0\0\0\0\0\0\0", None),
            ("a query", b"\x12\x34\x01\0\0\0\0\0\0\0\0\0", None),
            ("too short", b"\x12\x34\x81\x80\0\0\0\0\0\0\0", None),
        ];
        for (name, datagram, wanted) in rows {
            let got = judge(0x1234, datagram).map(|outcome| outcome.to_string());
            assert_eq!(got.as_deref(), wanted, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(id: u16, bytes in vec(any::<u8>(), 0..40)) {
            judge(id, &bytes);
        }

        #[test]
        fn any_text_is_a_name_within_the_limits_or_none(text in "[a-z.]{0,300}") {
            if let Ok(name) = text.parse::<DnsName>() {
                prop_assert!(name.0.len() <= 255 && name.0.ends_with(&[0]));
            }
        }
    }
}
