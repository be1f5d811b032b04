//! Every behaviour of the conformance server against every kind of check: the outcome, and the reason that people read.
//!
//! `VIPD_KEEPALIVED=1` runs keepalived against the same servers in its place (`scripts/conformance-vm`).
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail, and it is the world that the checks touch"
)]

mod bytes;
mod identities;
mod keepalived;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use vipd::base::HeloName;
use vipd::daemon::checkers;
use vipd::healthcheck::expect::{Digest, Expect};
use vipd::healthcheck::hex::ReplyExpect;
use vipd::healthcheck::outcome::{Outcome, Verdict};
use vipd::healthcheck::probe::{
    AgentProbe, DnsProbe, Endpoint, GrpcProbe, HttpProbe, HttpVersion, HttpsProbe, Probe, SmtpProbe, Sni, TlsClient,
    TlsFiles, UdpProbe, Url,
};
use vipd::lab::conformance::{self, Behaviour, Running};

use identities::Authority;

/// The time limit of every step: whole answers come at once, and what is to run into it does. A VM without hardware
/// behind it takes its time.
fn limit() -> Duration {
    Duration::from_secs(if std::env::var_os("VIPD_KEEPALIVED").is_some() { 10 } else { 3 })
}

/// A name, and the probe of an address.
type Kind = (&'static str, Box<dyn Fn(SocketAddr) -> Probe + Send + Sync>);

fn url(expect: Expect) -> Url {
    Url { path: "/".to_owned(), host: None, expect, tls_compliant: false, headers: vec![] }
}

fn http(addr: SocketAddr, version: HttpVersion, expect: Expect) -> HttpProbe {
    HttpProbe {
        endpoint: Endpoint::new(addr, limit()),
        version,
        first: url(expect),
        more: vec![],
        fast_recovery: false,
        deadline: HttpProbe::default_deadline(limit()),
    }
}

fn stream_kinds(authority: &Authority) -> Vec<Kind> {
    let trusting = TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() };
    let https = |addr, version, sni: Sni, files: TlsFiles| {
        Probe::Https(HttpsProbe {
            http: http(addr, version, Expect::default()),
            tls: TlsClient { sni, files, reuse: false },
        })
    };
    let page = || Expect { digest: Some(Digest::of(b"ok\n")), ..Expect::default() };
    let named = || Sni::Name("www.example.org".to_owned());
    vec![
        ("TCP_CHECK", Box::new(|addr| Probe::Tcp(Endpoint::new(addr, limit())))),
        ("HTTP_GET", Box::new(|addr| Probe::Http(http(addr, HttpVersion::Http10, Expect::default())))),
        ("HTTP_GET 1.1 digest", Box::new(move |addr| Probe::Http(http(addr, HttpVersion::Http11, page())))),
        ("SSL_GET", Box::new(move |addr| https(addr, HttpVersion::Http10, Sni::Off, TlsFiles::default()))),
        ("SSL_GET sni ca", Box::new(move |addr| https(addr, HttpVersion::Http10, named(), trusting.clone()))),
        (
            "SMTP_CHECK",
            Box::new(|addr| {
                Probe::Smtp(SmtpProbe { endpoint: Endpoint::new(addr, limit()), helo: HeloName::default() })
            }),
        ),
        ("HTTP_GET 2", Box::new(|addr| Probe::Http(http(addr, HttpVersion::Http2, Expect::default())))),
        ("SSL_GET 2", Box::new(move |addr| https(addr, HttpVersion::Http2, Sni::Off, TlsFiles::default()))),
        ("GRPC_CHECK", Box::new(|addr| grpc(addr, None))),
        ("GRPC_CHECK tls", Box::new(|addr| grpc(addr, Some(TlsClient::default())))),
        (
            "AGENT_CHECK",
            Box::new(|addr| Probe::Agent(AgentProbe { endpoint: Endpoint::new(addr, limit()), send: vec![] })),
        ),
    ]
}

fn grpc(addr: SocketAddr, tls: Option<TlsClient>) -> Probe {
    Probe::Grpc(GrpcProbe { endpoint: Endpoint::new(addr, limit()), service: "a.B".to_owned(), host: None, tls })
}

fn datagram_kinds() -> Vec<Kind> {
    let udp = |addr, reply| {
        let payload = UdpProbe::DEFAULT_PAYLOAD.to_vec();
        Probe::Udp(UdpProbe { endpoint: Endpoint::new(addr, limit()), payload, reply })
    };
    let dns = |addr| {
        let endpoint = Endpoint::new(addr, limit());
        Probe::Dns(DnsProbe { endpoint, name: "example.org".parse().unwrap(), record: "A".parse().unwrap() })
    };
    vec![
        ("DNS_CHECK", Box::new(dns)),
        ("UDP_CHECK", Box::new(move |addr| udp(addr, None))),
        ("UDP_CHECK require_reply", Box::new(move |addr| udp(addr, Some(ReplyExpect::any())))),
    ]
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome.verdict() {
        Verdict::Pass => "up",
        Verdict::Partial => "part",
        Verdict::Fail => "down",
        Verdict::Local => "local",
    }
}

/// All of them at the same time: a row for each server, a cell for each kind.
async fn cells(servers: &[SocketAddr], kinds: &[Kind]) -> Vec<Vec<String>> {
    let mut runs = JoinSet::new();
    let mut cells = vec![vec![String::new(); kinds.len()]; servers.len()];
    for (row, server) in servers.iter().enumerate() {
        for (column, (_, probe)) in kinds.iter().enumerate() {
            let probe = probe(*server);
            runs.spawn(async move { (row, column, checkers::run(&probe, 0).await) });
        }
    }
    while let Some(ended) = runs.join_next().await {
        let (row, column, outcome) = ended.unwrap();
        let text = format!("{:5} {}", word(&outcome), ageless(&outcome.to_string()));
        *cells.get_mut(row).and_then(|row| row.get_mut(column)).unwrap() = text;
    }
    cells
}

/// A certificate gets older by the day.
fn ageless(text: &str) -> String {
    if text.contains("expired") { text.replace(|letter: char| letter.is_ascii_digit(), "") } else { text.to_owned() }
}

/// A paragraph for each behaviour, a line for each kind.
async fn table(behaviours: Vec<Behaviour>, kinds: Vec<Kind>, authority: &Authority) -> String {
    let identities = authority.identities();
    let mut servers = vec![];
    for behaviour in &behaviours {
        servers.push(Running::start(behaviour, &identities).await.unwrap());
    }
    let addrs: Vec<SocketAddr> = servers.iter().map(|server| server.addr).collect();
    let mut text = String::new();
    for (behaviour, cells) in behaviours.iter().zip(cells(&addrs, &kinds).await) {
        writeln!(text, "{}", behaviour.name).unwrap();
        for ((kind, _), cell) in kinds.iter().zip(cells) {
            writeln!(text, "    {kind:23} {cell}").unwrap();
        }
    }
    text
}

fn names_differ(behaviours: &[Behaviour]) {
    let names: std::collections::BTreeSet<_> = behaviours.iter().map(|behaviour| behaviour.name).collect();
    assert_eq!(names.len(), behaviours.len(), "two behaviours have one name");
}

#[tokio::test]
async fn every_way_of_a_stream_server_has_its_outcome_and_reason() {
    let authority = Authority::new();
    let behaviours = conformance::streams();
    names_differ(&behaviours);
    assert!(behaviours.len() >= 40, "{}", behaviours.len());
    let kinds = stream_kinds(&authority);
    insta::assert_snapshot!("streams", table(behaviours, kinds, &authority).await);
}

#[tokio::test]
async fn every_way_of_a_datagram_server_has_its_outcome_and_reason() {
    let authority = Authority::new();
    let behaviours = conformance::datagrams();
    names_differ(&behaviours);
    insta::assert_snapshot!("datagrams", table(behaviours, datagram_kinds(), &authority).await);
}
