//! How exactly and how cheaply many checks are made: 5,000 TCP checks a second, and 1,000 TLS checks a second with and
//! without `tls_session_reuse`, of which it tells how many took up a session; all over loopback in this process's own
//! network namespace.
//!
//! `cargo bench --bench checks`, as root. Another process plays the servers and tells when each connection came, so that the
//! CPU time is the checkers' alone.
//! keepalived is not beside it: its checkers start only on a kernel with IPVS (`scripts/vm`), where time is emulated.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a measurement fails loudly and prints"
)]

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::ServerSessionMemoryCache;
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};
use vipd::daemon::checkers::{Checkers, Sessions};
use vipd::healthcheck::expect::Expect;
use vipd::healthcheck::judge::OnLocalError;
use vipd::healthcheck::outcome::Verdict;
use vipd::healthcheck::probe::{Endpoint, HttpProbe, HttpVersion, HttpsProbe, Probe, TlsClient, Url};
use vipd::healthcheck::settings::{CheckId, CheckSettings, CheckView, TargetId};

const PERIOD: Duration = Duration::from_secs(1);
/// After the first second, in which everything begins.
const MEASURED: Duration = Duration::from_secs(20);

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => runtime().block_on(serve()),
        _ => measure(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Servers on every loopback address: one port closes at once, the other answers within TLS. Tells its ports, and who
/// connects to the third one what came since that was last asked.
async fn serve() {
    let made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    // It stands for a thousand servers, each of which keeps its own.
    config.session_storage = ServerSessionMemoryCache::new(65_536);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listen = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("0.0.0.0:0".parse().unwrap()).unwrap();
        // A SYN for which there is no room would be sent again after a second, which is no lateness of the checkers.
        socket.listen(4096).unwrap()
    };
    let (tcp, tls) = (listen(), listen());
    let asked = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [tcp_port, tls_port, asked_port] = [&tcp, &tls, &asked].map(|at| at.local_addr().unwrap().port());
    println!("{tcp_port} {tls_port} {asked_port}");
    let resumed = Arc::new(AtomicUsize::new(0));
    let mut arrivals: HashMap<SocketAddr, Vec<Instant>> = HashMap::new();
    let arrived = |arrivals: &mut HashMap<SocketAddr, Vec<Instant>>, client: &TcpStream| {
        arrivals.entry(client.local_addr().unwrap()).or_default().push(Instant::now());
    };
    loop {
        tokio::select! {
            accepted = tcp.accept() => arrived(&mut arrivals, &accepted.unwrap().0),
            accepted = tls.accept() => {
                let (client, _) = accepted.unwrap();
                arrived(&mut arrivals, &client);
                let (acceptor, resumed) = (acceptor.clone(), Arc::clone(&resumed));
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    if client.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                        resumed.fetch_add(1, Ordering::Relaxed);
                    }
                    let mut request = [0; 1024];
                    let _length = client.read(&mut request).await?;
                    client.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n").await?;
                    client.shutdown().await
                });
            }
            accepted = asked.accept() => {
                let (mut client, _) = accepted.unwrap();
                let mut late: Vec<Duration> = arrivals.values().flat_map(|at| lateness(at)).collect();
                arrivals.clear();
                late.sort_unstable();
                let at = |part: usize| late.get(late.len() * part / 1000).or(late.last()).map_or(0, Duration::as_micros);
                let resumed = resumed.swap(0, Ordering::Relaxed);
                let line = format!("{} {resumed} {} {} {}", late.len(), at(500), at(990), at(1000));
                client.write_all(line.as_bytes()).await.unwrap();
            }
        }
    }
}

/// How late each connection came, against the grid of the one that was least late.
fn lateness(arrivals: &[Instant]) -> Vec<Duration> {
    let Some(first) = arrivals.first() else { return vec![] };
    let offsets: Vec<i128> = (0..)
        .zip(arrivals)
        .map(|(n, at)| (*at - *first).as_nanos().cast_signed() - n * PERIOD.as_nanos().cast_signed())
        .collect();
    let least = offsets.iter().min().copied().unwrap_or(0);
    offsets.into_iter().map(|offset| Duration::from_nanos_u128((offset - least).unsigned_abs())).collect()
}

struct Servers {
    process: Child,
    tcp: u16,
    tls: u16,
    asked: u16,
}

impl Servers {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut process = command.arg("serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut ports = line.split_whitespace().map(|port| port.parse().unwrap());
        let [tcp, tls, asked] = [(); 3].map(|()| ports.next().unwrap());
        Self { process, tcp, tls, asked }
    }

    /// Since the last call: connections, how many of them took up a session, and how late the median, 99 % and the last of
    /// them were, in milliseconds.
    fn seen(&self) -> ([usize; 2], [f64; 3]) {
        let line = io::read_to_string(std::net::TcpStream::connect(("127.0.0.1", self.asked)).unwrap()).unwrap();
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().unwrap());
        let counts = [(); 2].map(|()| usize::try_from(numbers.next().unwrap()).unwrap());
        (counts, [(); 3].map(|()| f64::from(numbers.next().unwrap()) / 1e3))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn measure() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    // What a run leaves behind for a minute must not be in the next one's way.
    std::fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "4096").unwrap();
    let servers = Servers::start();
    let endpoint = |n: u32, port| {
        let addr = Ipv4Addr::from(0x7f01_0001 + n);
        Endpoint::new(SocketAddr::from((addr, port)), Duration::from_secs(5))
    };
    let (tcp, tls) = (servers.tcp, servers.tls);
    let https = |n, reuse| {
        let first =
            Url { path: "/".to_owned(), host: None, expect: Expect::default(), tls_compliant: false, headers: vec![] };
        let http = HttpProbe {
            endpoint: endpoint(n, tls),
            version: HttpVersion::Http11,
            first,
            more: vec![],
            fast_recovery: false,
            deadline: Duration::from_secs(5),
        };
        Probe::Https(HttpsProbe { http, tls: TlsClient { reuse, ..TlsClient::default() } })
    };
    println!(
        "{:36} {:>8} {:>9} {:>9} {:>9} {:>7} {:>11} {:>9}",
        "", "runs", "late p50", "late p99", "late max", "CPU", "us/check", "resumed"
    );
    report("5000 TCP_CHECK a second", &servers, 5000, |n| Probe::Tcp(endpoint(n, tcp)));
    let full = report("1000 SSL_GET a second", &servers, 1000, |n| https(n, false));
    let again = report("1000 SSL_GET, tls_session_reuse", &servers, 1000, |n| https(n, true));
    println!("CPU of a check with a session used again: {:.2} of one with a full handshake", again / full);
}

/// Run so many for a while and print a line; gives the CPU time of one, in microseconds.
fn report(name: &str, servers: &Servers, count: u32, probe: impl Fn(u32) -> Probe) -> f64 {
    let checks: Vec<CheckSettings> = (0..count)
        .map(|n| CheckSettings {
            id: CheckId { target: TargetId { service: "bench".to_owned(), destination: n.to_string() }, index: 0 },
            probe: probe(n),
            delay_loop: PERIOD,
            retry: 1,
            delay_before_retry: PERIOD,
            warmup: PERIOD,
            alpha: false,
            on_local_error: OnLocalError::Keep,
            tell_first: false,
            log_all_failures: false,
        })
        .collect();
    let (used, passed, views) = runtime().block_on(async {
        let (handle, mut events, _task) = Checkers::start(Sessions::default()).unwrap();
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        handle.configure(checks).await.unwrap();
        tokio::time::sleep(PERIOD * 3).await;
        servers.seen();
        let (before, at) = (cpu(), Instant::now());
        tokio::time::sleep(MEASURED).await;
        (cpu().saturating_sub(before), at.elapsed(), handle.views().await.unwrap())
    });
    let ([count, resumed], [p50, p99, worst]) = servers.seen();
    let failed = |view: &CheckView| view.last.as_ref().filter(|last| last.outcome.verdict() != Verdict::Pass).cloned();
    if let Some(last) = views.iter().find_map(failed) {
        println!("some failed; one of them: {}", last.text);
    }
    let each = used.as_secs_f64() * 1e6 / count.max(1) as f64;
    let part = used.as_secs_f64() / passed.as_secs_f64() * 100.0;
    let resumed = resumed as f64 / count.max(1) as f64 * 100.0;
    println!(
        "{name:36} {count:>8} {p50:>6.1} ms {p99:>6.1} ms {worst:>6.1} ms {part:>6.1}% {each:>11.0} {resumed:>8.1}%"
    );
    each
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_micros(value.tv_sec().unsigned_abs() * 1_000_000 + value.tv_usec().unsigned_abs())
    };
    time(usage.user_time()) + time(usage.system_time())
}
