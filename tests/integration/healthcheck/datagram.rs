//! `UDP_CHECK`, `DNS_CHECK` and `PING_CHECK`: answers, silence, and ICMP errors.

use std::net::SocketAddr;

use tokio::net::UdpSocket;
use vipd::healthcheck::hex::ReplyExpect;
use vipd::healthcheck::io::{dns, ping, udp};
use vipd::healthcheck::outcome::Outcome;
use vipd::healthcheck::probe::{DnsProbe, Endpoint, UdpProbe};

use super::{PATIENCE, SHORT, alone, ip, set};

/// A server that gives each datagram to `answer` and sends back what that returns.
async fn server(addr: &str, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind(addr).await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut room = vec![0; 70_000];
        loop {
            let (length, client) = socket.recv_from(&mut room).await.unwrap();
            for reply in answer(&room[..length]) {
                socket.send_to(&reply, client).await.unwrap();
            }
        }
    });
    addr
}

/// A port where nobody is.
async fn closed() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_datagram_is_answered_refused_or_lost() {
    let wanted = |pattern: &str, max_bytes| ReplyExpect { min_bytes: 2, max_bytes, pattern: pattern.parse().ok() };
    let (any, none) = (Some(ReplyExpect::any()), None);
    let rows: [(&str, &str, Option<ReplyExpect>, &str); 11] = [
        ("an answer, though none is needed", "echo", none.clone(), "answered with 3 bytes"),
        ("silence, and that will do", "mute", none.clone(), "no ICMP error within 500ms"),
        ("silence, and that will not do", "mute", any.clone(), "no answer within 500ms"),
        ("a closed port", "closed", none, "port unreachable"),
        ("a closed port, answer needed", "closed", any.clone(), "port unreachable"),
        ("any answer", "echo", any.clone(), "answered with 3 bytes"),
        ("an empty answer", "empty", any, "answered with 0 bytes"),
        ("the wanted answer", "echo", Some(wanted("61x2", 255)), "answered with 3 bytes"),
        ("another answer", "echo", Some(wanted("62", 255)), "the answer differs from the wanted one at byte 0"),
        ("a short answer", "empty", Some(wanted("61", 255)), "the answer has 0 bytes, wanted 2 to 255"),
        ("a long answer", "long", Some(wanted("61", 2)), "the answer has 300 bytes, wanted 2 to 2"),
    ];
    for (name, server_kind, reply, wanted) in rows {
        let addr = match server_kind {
            "echo" => server("127.0.0.1:0", |datagram| vec![datagram.to_vec()]).await,
            "mute" => server("127.0.0.1:0", |_| vec![]).await,
            "empty" => server("127.0.0.1:0", |_| vec![vec![]]).await,
            "long" => server("127.0.0.1:0", |_| vec![vec![b'a'; 300]]).await,
            _ => closed().await,
        };
        let patience = if server_kind == "mute" { SHORT } else { PATIENCE };
        let probe = UdpProbe { endpoint: Endpoint::new(addr, patience), payload: b"abc".to_vec(), reply };
        assert_eq!(udp::check(&probe).await.to_string(), wanted, "{name}");
    }
}

#[tokio::test]
async fn udp_goes_over_ipv6_and_from_the_configured_source() {
    let addr = server("[::1]:0", |datagram| vec![datagram.to_vec()]).await;
    let payload = UdpProbe::DEFAULT_PAYLOAD.to_vec();
    let mut endpoint = Endpoint::new(addr, PATIENCE);
    endpoint.bind_addr = Some("::1".parse().unwrap());
    let probe = UdpProbe { endpoint, payload, reply: Some(ReplyExpect::any()) };
    assert_eq!(udp::check(&probe).await, Outcome::Replied { bytes: 32 });
}

type Answer = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send>;

#[tokio::test]
async fn a_dns_server_must_answer_this_query_without_an_error() {
    let with_flags = |query: &[u8], flags: [u8; 2]| {
        let mut answer = query.to_vec();
        answer[2..4].copy_from_slice(&flags);
        answer
    };
    let stranger = move |query: &[u8]| {
        let mut answer = with_flags(query, [0x81, 0x82]);
        answer[0] ^= 1;
        answer
    };
    let rows: [(&str, Answer, bool, &str); 6] = [
        ("NOERROR", Box::new(move |query| vec![with_flags(query, [0x81, 0x80])]), false, "answered without an error"),
        (
            "REFUSED",
            Box::new(move |query| vec![with_flags(query, [0x81, 0x85])]),
            false,
            "the DNS server answers REFUSED",
        ),
        (
            "a stranger's, a cut one, its own, then the answer",
            Box::new(move |query| {
                vec![stranger(query), vec![0; 5], query.to_vec(), vec![], with_flags(query, [0x81, 0x80])]
            }),
            false,
            "answered without an error",
        ),
        ("only a stranger's", Box::new(move |query| vec![stranger(query)]), true, "no answer within 500ms"),
        ("silence", Box::new(|_| vec![]), true, "no answer within 500ms"),
        (
            "a long answer",
            Box::new(move |query| vec![[with_flags(query, [0x81, 0x80]), vec![0; 4000]].concat()]),
            false,
            "answered without an error",
        ),
    ];
    for (name, answer, in_vain, wanted) in rows {
        let addr = server("127.0.0.1:0", answer).await;
        let endpoint = Endpoint::new(addr, if in_vain { SHORT } else { PATIENCE });
        let probe = DnsProbe { endpoint, name: "example.org".parse().unwrap(), record: "MX".parse().unwrap() };
        assert_eq!(dns::check(&probe).await.to_string(), wanted, "{name}");
    }
    let endpoint = Endpoint::new(closed().await, PATIENCE);
    let probe = DnsProbe { endpoint, name: ".".parse().unwrap(), record: "SOA".parse().unwrap() };
    assert_eq!(dns::check(&probe).await.to_string(), "port unreachable");
}

async fn ping(addr: &str, patience: std::time::Duration) -> String {
    ping::check(&Endpoint::new(SocketAddr::new(addr.parse().unwrap(), 80), patience)).await.to_string()
}

#[test]
fn a_host_answers_pings_by_either_kind_of_socket() {
    alone("ping", async || {
        for (kind, groups) in [("raw", "1 0"), ("unprivileged", "0 2147483647")] {
            set("ipv4/ping_group_range", groups);
            for addr in ["127.0.0.1", "::1"] {
                assert_eq!(ping(addr, PATIENCE).await, "answers pings", "{kind} {addr}");
            }
            ip("route add unreachable 192.0.2.0/24");
            assert_eq!(ping("192.0.2.1", PATIENCE).await, "no route to the server", "{kind}");
            ip("route del unreachable 192.0.2.0/24");
            set("ipv4/icmp_echo_ignore_all", "1");
            set("ipv6/icmp/echo_ignore_all", "1");
            for addr in ["127.0.0.1", "::1"] {
                assert_eq!(ping(addr, SHORT).await, "no answer within 500ms", "{kind} {addr}");
            }
            set("ipv4/icmp_echo_ignore_all", "0");
            set("ipv6/icmp/echo_ignore_all", "0");
        }
    });
}
