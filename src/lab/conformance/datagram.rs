//! How servers of datagrams answer, those of DNS among them.

use super::{Behaviour, Reply, Serve};

pub(super) fn behaviours() -> Vec<Behaviour> {
    let with = |name, reply| Behaviour { name, serve: Serve::Datagram(Reply::With(reply)) };
    vec![
        with("UDP echo", |asked| vec![asked.to_vec()]),
        with("UDP silence", |_| vec![]),
        with("UDP, an empty answer", |_| vec![vec![]]),
        with("UDP, 60 kB", |_| vec![vec![b'a'; 60_000]]),
        Behaviour { name: "UDP, from another port", serve: Serve::Datagram(Reply::FromElsewhere) },
        with("DNS without an error", |asked| vec![dns(asked, 0x81, 0x80)]),
        with("DNS, twice", |asked| vec![dns(asked, 0x81, 0x80), dns(asked, 0x81, 0x80)]),
        with("DNS, truncated", |asked| vec![dns(asked, 0x83, 0x80)]),
        with("DNS, not authoritative, no recursion", |asked| vec![dns(asked, 0x81, 0x00)]),
        with("DNS SERVFAIL", |asked| vec![dns(asked, 0x81, 0x82)]),
        with("DNS NXDOMAIN", |asked| vec![dns(asked, 0x81, 0x83)]),
        with("DNS REFUSED", |asked| vec![dns(asked, 0x81, 0x85)]),
        with("DNS, wrong id", |asked| vec![stranger(asked)]),
        with("DNS, wrong id and then the answer", |asked| vec![stranger(asked), dns(asked, 0x81, 0x80)]),
        with("DNS, the query itself", |asked| vec![asked.to_vec()]),
        with("DNS, half a header", |asked| vec![dns(asked, 0x81, 0x80).into_iter().take(6).collect()]),
        with("DNS, a header alone", |asked| vec![dns(asked, 0x81, 0x80).into_iter().take(12).collect()]),
        with("DNS, 4 kB", |asked| vec![[dns(asked, 0x81, 0x80), vec![0; 4000]].concat()]),
    ]
}

/// The query as an answer with these flags (RFC 1035 section 4.1.1).
fn dns(asked: &[u8], high: u8, low: u8) -> Vec<u8> {
    let mut answer = asked.to_vec();
    if let Some(flags) = answer.get_mut(2..4) {
        flags.copy_from_slice(&[high, low]);
    }
    answer
}

fn stranger(asked: &[u8]) -> Vec<u8> {
    let mut answer = dns(asked, 0x81, 0x80);
    if let Some(id) = answer.first_mut() {
        *id ^= 1;
    }
    answer
}
