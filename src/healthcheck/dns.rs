//! The query of `DNS_CHECK`, and what its answer says (RFC 1035 section 4).
//!
//! Records are not read: a server that answers without an error works. `io/dns.rs` has the socket.

use std::fmt;

use super::outcome::Outcome;
use crate::base::{DnsName, RecordType};

/// One question for `name`, class IN, recursion desired.
pub fn query(id: u16, name: &DnsName, record: RecordType) -> Vec<u8> {
    const RECURSION_DESIRED: u16 = 0x0100;
    const CLASS_IN: u16 = 1;
    let header = [id, RECURSION_DESIRED, 1, 0, 0, 0];
    let mut wire: Vec<u8> = header.into_iter().flat_map(u16::to_be_bytes).collect();
    wire.extend(name.wire());
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
    fn a_query_has_the_bytes_of_the_rfc() {
        let name = "example.org".parse().unwrap();
        let wire = query(0xbeef, &name, "aaaa".parse().unwrap());
        assert_eq!(wire, b"\xbe\xef\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x1c\0\x01");
        for (record, word) in RecordType::ALL {
            assert_eq!(word.to_lowercase().parse(), Ok(record));
        }
        assert!("PTR".parse::<RecordType>().is_err());
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
    }
}
