//! `TCP_CHECK`: each way in which a connection comes about, or does not.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use vipd::base::{IfName, MonoTime};
use vipd::healthcheck::board::RunId;
use vipd::healthcheck::io::connector::Connector;
use vipd::healthcheck::outcome::{LocalFault, Outcome};
use vipd::healthcheck::probe::Endpoint;

use super::{PATIENCE, SHORT, alone, set};

/// These runs by one connector; what each came to, in their order.
fn check_all(endpoints: &[Endpoint]) -> Vec<Outcome> {
    let started = Instant::now();
    let now = || MonoTime::from_start(started.elapsed());
    let mut connector = Connector::new().unwrap();
    let (mut outcomes, mut ended) = (BTreeMap::new(), VecDeque::new());
    for (run, endpoint) in (0_u64..).map(RunId::from).zip(endpoints) {
        if let Err(outcome) = connector.begin(now(), run, endpoint) {
            outcomes.insert(run, outcome);
        }
    }
    while outcomes.len() < endpoints.len() {
        connector.wait(connector.deadline().map(|deadline| deadline.since(now()))).unwrap();
        connector.ended(now(), &mut ended);
        for ended in ended.drain(..) {
            assert_eq!(outcomes.insert(ended.run, ended.outcome), None, "a run ends once");
        }
    }
    assert_eq!(connector.deadline(), None);
    outcomes.into_values().collect()
}

fn check(endpoint: &Endpoint) -> Outcome {
    check_all(std::slice::from_ref(endpoint)).remove(0)
}

async fn listener(addr: &str) -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, Endpoint::new(addr, PATIENCE))
}

/// A loopback port where nobody listens, as long as the socket lives.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

#[tokio::test]
async fn a_listening_port_is_up_and_gets_not_a_byte() {
    for addr in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, endpoint) = listener(addr).await;
        assert_eq!(check(&endpoint), Outcome::Connected, "{addr}");
        let (mut client, _) = listener.accept().await.unwrap();
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "{addr}: closed without a word");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let (_held, addr) = refusing();
    let outcome = check(&Endpoint::new(addr, PATIENCE));
    assert_eq!(outcome.to_string(), "connection refused");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_connect_timeout() {
    let (_full, _waiting, addr) = silent().await;
    let outcome = check(&Endpoint::new(addr, SHORT));
    assert_eq!(outcome.to_string(), "no connection within 500ms");
}

/// A listener whose queue is full, which answers no SYN any more.
async fn silent() -> (Socket, Vec<TcpStream>, SocketAddr) {
    let (full, addr) = refusing();
    full.listen(0).unwrap();
    // The queue of a listener takes one connection more than its backlog.
    let mut waiting = vec![];
    while let Ok(client) = timeout(SHORT, TcpStream::connect(addr)).await {
        waiting.push(client.unwrap());
        assert!(waiting.len() < 64, "the queue never fills");
    }
    (full, waiting, addr)
}

#[tokio::test]
async fn runs_at_the_same_time_end_each_by_itself() {
    let (_full, _waiting, mute) = silent().await;
    let (_held, closed) = refusing();
    let open = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    open.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    open.listen(1024).unwrap();
    let open = open.local_addr().unwrap().as_socket().unwrap();
    let not_ours = Endpoint { bind_addr: "192.0.2.1".parse().ok(), ..Endpoint::new(open, PATIENCE) };
    let four = [Endpoint::new(open, PATIENCE), Endpoint::new(closed, PATIENCE), Endpoint::new(mute, SHORT), not_ours];
    let wanted = [
        "connected",
        "connection refused",
        "no connection within 500ms",
        "cannot bind to the source address or port: Cannot assign requested address (os error 99)",
    ];
    // More of them than are told of by one call.
    let endpoints: Vec<Endpoint> = four.iter().cycle().take(1200).cloned().collect();
    let outcomes = check_all(&endpoints);
    for (outcome, wanted) in outcomes.iter().zip(wanted.iter().cycle()) {
        assert_eq!(outcome.to_string(), *wanted);
    }
}

#[tokio::test]
async fn a_run_that_is_aborted_is_never_told_of() {
    let (_listener, endpoint) = listener("127.0.0.1:0").await;
    let mut connector = Connector::new().unwrap();
    let (aborted, other) = (RunId::from(1), RunId::from(2));
    for run in [aborted, other] {
        assert_eq!(connector.begin(MonoTime::ZERO, run, &endpoint), Ok(()));
    }
    assert!(connector.abort(aborted));
    assert!(!connector.abort(aborted), "it is not there any more");
    let mut ended = VecDeque::new();
    while ended.is_empty() {
        connector.wait(None).unwrap();
        connector.ended(MonoTime::ZERO, &mut ended);
    }
    let told: Vec<(RunId, Outcome)> = ended.into_iter().map(|ended| (ended.run, ended.outcome)).collect();
    assert_eq!(told, [(other, Outcome::Connected)]);
}

#[tokio::test]
async fn the_source_is_as_configured() {
    for (addr, source) in [("127.0.0.1:0", "127.0.0.9"), ("[::1]:0", "::1")] {
        let (listener, mut endpoint) = listener(addr).await;
        let source: IpAddr = source.parse().unwrap();
        endpoint.bind_addr = Some(source);
        assert_eq!(check(&endpoint), Outcome::Connected);
        assert_eq!(listener.accept().await.unwrap().1.ip(), source, "bindto");

        let (_held, free) = refusing();
        endpoint.bind_port = Some(free.port());
        for run in 0..3 {
            assert_eq!(check(&endpoint), Outcome::Connected, "bind_port, run {run}");
            assert_eq!(listener.accept().await.unwrap().1, SocketAddr::new(source, free.port()));
        }
        endpoint = Endpoint { bind_interface: "lo".parse().ok(), mark: Some(7), ..endpoint };
        assert_eq!(check(&endpoint), Outcome::Connected, "bind_if and fwmark");
    }
}

#[tokio::test]
async fn what_this_host_cannot_do_is_no_fault_of_the_server() {
    let (_listener, endpoint) = listener("127.0.0.1:0").await;
    let bind_addr = |addr: &str| Endpoint { bind_addr: Some(addr.parse().unwrap()), ..endpoint.clone() };
    let no_interface: IfName = "none-such".parse().unwrap();
    let rows = [
        ("an address that is not ours", bind_addr("192.0.2.1"), LocalFault::Bind { errno: libc::EADDRNOTAVAIL }),
        ("an address of the other family", bind_addr("::1"), LocalFault::Bind { errno: libc::EAFNOSUPPORT }),
        (
            "no such interface",
            Endpoint { bind_interface: Some(no_interface), ..endpoint.clone() },
            LocalFault::Interface { errno: libc::ENODEV },
        ),
    ];
    for (name, endpoint, fault) in rows {
        assert_eq!(check(&endpoint), Outcome::Local(fault), "{name}");
    }
}

#[test]
fn a_fixed_source_port_is_free_again_for_the_next_run() {
    alone("bind_port", async || {
        // With timestamps the kernel may take a port out of TIME_WAIT; not every server has them.
        set("ipv4/tcp_timestamps", "0");
        let (listener, mut endpoint) = listener("127.0.0.1:0").await;
        endpoint.bind_port = Some(if endpoint.addr.port() == 40_000 { 40_001 } else { 40_000 });
        for run in 0..3 {
            assert_eq!(check(&endpoint), Outcome::Connected, "run {run}");
            drop(listener.accept().await.unwrap());
        }
    });
}
