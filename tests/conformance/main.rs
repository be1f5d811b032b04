//! Every behaviour of the conformance server against every kind of check: the outcome, and the reason that people read.
//!
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail, and it is the world that the checks touch"
)]

mod bytes;
mod identities;
mod keepalived;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vipd::base::HeloName;
use vipd::daemon::checkers::{self, Sessions};
use vipd::healthcheck::expect::{Digest, Expect};
use vipd::healthcheck::hex::ReplyExpect;
use vipd::healthcheck::outcome::{Outcome, Verdict};
use vipd::healthcheck::probe::{
    AgentProbe, DnsProbe, Endpoint, GrpcProbe, HttpProbe, HttpVersion, HttpsProbe, Probe, SmtpProbe, Sni, TlsClient,
    TlsFiles, UdpProbe, Url,
};
use vipd::lab::conformance::{self, Behaviour, Running};
use vipd::lab::drill::detection;

use identities::Authority;

/// The time limits of every step, one try after the other: what is to run into its limit does so in the first one, and
/// what answers has the last one. A busy machine makes it slow, and not different.
const LIMITS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(12), Duration::from_secs(72)];
/// Checks at the same time.
const AT_ONCE: usize = 64;
const INDENT: &str = "    ";
const KIND_WIDTH: usize = 23;

/// A name, and the probe of an address with a time limit of each step.
type Kind = (&'static str, Box<dyn Fn(SocketAddr, Duration) -> Probe + Send + Sync>);

fn url(expect: Expect) -> Url {
    Url { path: "/".to_owned(), host: None, expect, tls_compliant: false, headers: vec![] }
}

fn http(addr: SocketAddr, limit: Duration, version: HttpVersion, expect: Expect) -> HttpProbe {
    HttpProbe {
        endpoint: Endpoint::new(addr, limit),
        version,
        first: url(expect),
        more: vec![],
        fast_recovery: false,
        deadline: HttpProbe::default_deadline(limit),
    }
}

fn stream_kinds(authority: &Authority) -> Vec<Kind> {
    let trusting = TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() };
    let https = |addr, limit, version, sni: Sni, files: TlsFiles| {
        Probe::Https(HttpsProbe {
            http: http(addr, limit, version, Expect::default()),
            tls: TlsClient { sni, files, reuse: false },
        })
    };
    let page = || Expect { digest: Some(Digest::of(b"ok\n")), ..Expect::default() };
    let named = || Sni::Name("www.example.org".to_owned());
    vec![
        ("TCP_CHECK", Box::new(|addr, limit| Probe::Tcp(Endpoint::new(addr, limit)))),
        ("HTTP_GET", Box::new(|addr, limit| Probe::Http(http(addr, limit, HttpVersion::Http10, Expect::default())))),
        (
            "HTTP_GET 1.1 digest",
            Box::new(move |addr, limit| Probe::Http(http(addr, limit, HttpVersion::Http11, page()))),
        ),
        (
            "SSL_GET",
            Box::new(move |addr, limit| https(addr, limit, HttpVersion::Http10, Sni::Off, TlsFiles::default())),
        ),
        (
            "SSL_GET sni ca",
            Box::new(move |addr, limit| https(addr, limit, HttpVersion::Http10, named(), trusting.clone())),
        ),
        (
            "SMTP_CHECK",
            Box::new(|addr, limit| {
                Probe::Smtp(SmtpProbe { endpoint: Endpoint::new(addr, limit), helo: HeloName::default() })
            }),
        ),
        ("HTTP_GET 2", Box::new(|addr, limit| Probe::Http(http(addr, limit, HttpVersion::Http2, Expect::default())))),
        (
            "SSL_GET 2",
            Box::new(move |addr, limit| https(addr, limit, HttpVersion::Http2, Sni::Off, TlsFiles::default())),
        ),
        ("GRPC_CHECK", Box::new(|addr, limit| grpc(addr, limit, None))),
        ("GRPC_CHECK tls", Box::new(|addr, limit| grpc(addr, limit, Some(TlsClient::default())))),
        (
            "AGENT_CHECK",
            Box::new(|addr, limit| Probe::Agent(AgentProbe { endpoint: Endpoint::new(addr, limit), send: vec![] })),
        ),
    ]
}

fn grpc(addr: SocketAddr, limit: Duration, tls: Option<TlsClient>) -> Probe {
    Probe::Grpc(GrpcProbe { endpoint: Endpoint::new(addr, limit), service: "a.B".to_owned(), host: None, tls })
}

fn datagram_kinds() -> Vec<Kind> {
    let udp = |addr, limit, reply| {
        let payload = UdpProbe::DEFAULT_PAYLOAD.to_vec();
        Probe::Udp(UdpProbe { endpoint: Endpoint::new(addr, limit), payload, reply })
    };
    let dns = |addr, limit| {
        let endpoint = Endpoint::new(addr, limit);
        Probe::Dns(DnsProbe { endpoint, name: "example.org".parse().unwrap(), record: "A".parse().unwrap() })
    };
    vec![
        ("DNS_CHECK", Box::new(dns)),
        ("UDP_CHECK", Box::new(move |addr, limit| udp(addr, limit, None))),
        ("UDP_CHECK require_reply", Box::new(move |addr, limit| udp(addr, limit, Some(ReplyExpect::any())))),
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

/// What is recorded of each behaviour and kind.
#[derive(Default)]
struct Recorded(BTreeMap<(String, String), String>);

impl Recorded {
    /// None of it where there is no such table yet.
    fn of(table: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/conformance/snapshots/conformance__{table}.snap"));
        let (mut name, mut cells) = (String::new(), BTreeMap::new());
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            match line.strip_prefix(INDENT).and_then(|cell| cell.split_at_checked(KIND_WIDTH)) {
                Some((kind, cell)) => {
                    drop(cells.insert((name.clone(), kind.trim().to_owned()), cell.trim().to_owned()));
                }
                None => line.clone_into(&mut name),
            }
        }
        Self(cells)
    }

    fn get(&self, behaviour: &str, kind: &str) -> Option<String> {
        self.0.get(&(behaviour.to_owned(), kind.to_owned())).cloned()
    }
}

/// The servers that behave so, for as long as they are held.
async fn started(behaviours: &[Behaviour], authority: &Authority) -> Vec<Running> {
    let identities = authority.identities();
    let mut servers = vec![];
    for behaviour in behaviours {
        servers.push(Running::start(behaviour, &identities).await.unwrap());
    }
    servers
}

/// A row for each behaviour, a cell for each kind.
async fn cells(behaviours: &[Behaviour], servers: &[Running], kinds: &[Kind], recorded: &Recorded) -> Vec<Vec<String>> {
    let mut cells = vec![vec![String::new(); kinds.len()]; servers.len()];
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for (row, (behaviour, server)) in behaviours.iter().zip(servers).enumerate() {
        for (column, (kind, probe)) in kinds.iter().enumerate() {
            let probes = LIMITS.map(|limit| (limit, probe(server.addr, limit)));
            let (places, recorded) = (Arc::clone(&places), recorded.get(behaviour.name, kind));
            runs.spawn(async move {
                let _place = places.acquire().await.unwrap();
                (row, column, cell(&probes, recorded).await)
            });
        }
    }
    while let Some(ended) = runs.join_next().await {
        let (row, column, text) = ended.unwrap();
        *cells.get_mut(row).and_then(|row| row.get_mut(column)).unwrap() = text;
    }
    cells
}

/// A check that runs out of time has another try with more of it, unless that is what is recorded.
async fn cell(probes: &[(Duration, Probe)], recorded: Option<String>) -> String {
    let mut text = String::new();
    for (limit, probe) in probes {
        let outcome = checkers::run(probe, 0, &Sessions::default()).await;
        text = format!("{:5} {}", word(&outcome), lasting(&outcome.to_string(), *limit));
        if !text.contains("within") || recorded.as_ref() == Some(&text) {
            break;
        }
    }
    text
}

/// A certificate gets older by the day, and limits differ from try to try.
fn lasting(text: &str, limit: Duration) -> String {
    let text = text.replace(&format!("within {limit:?}"), "within the limit");
    let text = text.replace(&format!("within {:?}", HttpProbe::default_deadline(limit)), "within three limits");
    if text.contains("expired") { text.replace(|letter: char| letter.is_ascii_digit(), "") } else { text }
}

/// A paragraph for each behaviour, a line for each kind.
async fn table(name: &str, behaviours: Vec<Behaviour>, kinds: Vec<Kind>, authority: &Authority) -> String {
    let servers = started(&behaviours, authority).await;
    let mut text = String::new();
    let cells = cells(&behaviours, &servers, &kinds, &Recorded::of(name)).await;
    for (behaviour, cells) in behaviours.iter().zip(cells) {
        writeln!(text, "{}", behaviour.name).unwrap();
        for ((kind, _), cell) in kinds.iter().zip(cells) {
            writeln!(text, "{INDENT}{kind:KIND_WIDTH$} {cell}").unwrap();
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
    insta::assert_snapshot!("streams", table("streams", behaviours, kinds, &authority).await);
}

#[tokio::test]
async fn every_way_of_a_datagram_server_has_its_outcome_and_reason() {
    let authority = Authority::new();
    let behaviours = conformance::datagrams();
    names_differ(&behaviours);
    insta::assert_snapshot!("datagrams", table("datagrams", behaviours, datagram_kinds(), &authority).await);
}

/// It needs root: a host of its own is to fall silent.
#[test]
fn every_kind_of_check_finds_that_its_server_is_gone() {
    let measured = detection::measure(checkers::alone::start);
    // How soon is for `vipd drill` to say, on a machine that has time.
    for verdict in measured.unwrap() {
        assert!(verdict.measured.is_some(), "{verdict}");
    }
}
