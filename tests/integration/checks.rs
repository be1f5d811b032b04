//! Every kind of check by the real daemon: one virtual server whose real servers are each checked in another way.
//! `vipd status` shows them up, then each is broken and is shown down with its reason.
//!
//! Needs root: the daemon and the servers live in a network namespace.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use vipd::lab::{Daemon, Director, Host, Switch, until};

/// Far more than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// The servers of the test: sockets of the namespace, served by threads outside.
struct Servers {
    runtime: Runtime,
    broken: Arc<AtomicBool>,
    /// Where each kind is asked, in the order of the file.
    at: Vec<(&'static str, SocketAddr)>,
}

impl Servers {
    fn start(host: &Host) -> Self {
        let mut servers =
            Self { runtime: Runtime::new().unwrap(), broken: Arc::new(AtomicBool::new(false)), at: vec![] };
        let acceptor = acceptor();
        for kind in ["TCP_CHECK", "HTTP_GET", "SSL_GET", "SMTP_CHECK"] {
            let listener = host.inside(|| std::net::TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
            listener.set_nonblocking(true).unwrap();
            servers.at.push((kind, listener.local_addr().unwrap()));
            let (broken, acceptor) = (Arc::clone(&servers.broken), acceptor.clone());
            servers.runtime.spawn(streams(kind, listener, broken, acceptor));
        }
        for kind in ["DNS_CHECK", "UDP_CHECK"] {
            let socket = host.inside(|| std::net::UdpSocket::bind("127.0.0.1:0")).unwrap().unwrap();
            socket.set_nonblocking(true).unwrap();
            servers.at.push((kind, socket.local_addr().unwrap()));
            servers.runtime.spawn(datagrams(kind, socket, Arc::clone(&servers.broken)));
        }
        servers
    }
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap()))
}

/// Serve each client in turn; once broken, the listener of `TCP_CHECK` is closed and the others say something else.
async fn streams(kind: &'static str, listener: std::net::TcpListener, broken: Arc<AtomicBool>, tls: TlsAcceptor) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let broken = broken.load(Ordering::SeqCst);
        if kind == "TCP_CHECK" && broken {
            return;
        }
        let tls = tls.clone();
        tokio::spawn(async move {
            match kind {
                "HTTP_GET" => http(client, broken).await,
                "SSL_GET" if broken => {
                    let mut client = client;
                    client.write_all(b"HTTP/1.0 400 No\r\n\r\n").await.ok();
                    client.shutdown().await.ok();
                    // Not closed with the hello unread: that would be a reset.
                    while client.read_u8().await.is_ok() {}
                }
                "SSL_GET" => {
                    if let Ok(mut client) = tls.accept(client).await {
                        answer(&mut client, "200 OK").await;
                    }
                }
                "SMTP_CHECK" => smtp(client, broken).await,
                _ => {}
            }
        });
    }
}

async fn http(mut client: TcpStream, broken: bool) {
    answer(&mut client, if broken { "503 No" } else { "200 OK" }).await;
}

async fn answer(client: &mut (impl AsyncRead + AsyncWrite + Unpin), status: &str) {
    let mut request = vec![];
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        request.push(byte);
    }
    client.write_all(format!("HTTP/1.0 {status}\r\nContent-Length: 3\r\n\r\nok\n").as_bytes()).await.ok();
    client.shutdown().await.ok();
}

async fn smtp(client: TcpStream, broken: bool) {
    let mut client = BufReader::new(client);
    let replies: &[&str] = if broken { &["421 later\r\n"] } else { &["220 a\r\n", "250 b\r\n", "221 c\r\n"] };
    for reply in replies {
        client.write_all(reply.as_bytes()).await.ok();
        client.read_line(&mut String::new()).await.ok();
    }
}

async fn datagrams(kind: &'static str, socket: std::net::UdpSocket, broken: Arc<AtomicBool>) {
    let socket = UdpSocket::from_std(socket).unwrap();
    let mut room = [0; 512];
    loop {
        let (length, client) = socket.recv_from(&mut room).await.unwrap();
        let broken = broken.load(Ordering::SeqCst);
        let reply = if kind == "DNS_CHECK" {
            let mut reply = room[..length].to_vec();
            reply[2] |= 0x80;
            reply[3] = if broken { 2 } else { 0 };
            reply
        } else if broken {
            b"down".to_vec()
        } else {
            b"up".to_vec()
        };
        socket.send_to(&reply, client).await.unwrap();
    }
}

/// What stands in the block of a kind.
fn block(kind: &str, script: &Path) -> String {
    match kind {
        "HTTP_GET" | "SSL_GET" => "url {\n path /\n}\nvirtualhost www.example.org\nenable_sni".to_owned(),
        "DNS_CHECK" => "name example.org\ntype A".to_owned(),
        "UDP_CHECK" => "payload 68 69\nrequire_reply 75 70".to_owned(),
        "MISC_CHECK" => format!("misc_path {}\nmisc_timeout 5", script.display()),
        _ => String::new(),
    }
}

fn config(servers: &[(&'static str, SocketAddr)], script: &Path) -> String {
    let real_servers: Vec<String> = servers
        .iter()
        .map(|(kind, addr)| {
            let timeout = if *kind == "MISC_CHECK" { "" } else { "connect_timeout 2" };
            let block = block(kind, script);
            let (ip, port) = (addr.ip(), addr.port());
            format!("real_server {ip} {port} {{\n{kind} {{\nretry 0\ndelay_loop 0.2\n{timeout}\n{block}\n}}\n}}\n")
        })
        .collect();
    let real_servers = real_servers.concat();
    format!(
        "global_defs {{\nscript_user root\nenable_script_security\n}}
virtual_server 192.0.2.100 80 {{\nprotocol TCP\nlb_algo rr\nlb_kind NAT\nwarmup 0\nalpha\n{real_servers}}}\n"
    )
}

fn status(director: &Director) -> Option<serde_json::Value> {
    let run_dir = director.run_dir();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipd"));
    let output = command.args(["status", "--json", "--run-dir"]).arg(run_dir).output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

/// Address, state and last result of each real server, by address.
fn standings(director: &Director) -> Vec<(String, String, String)> {
    let status = status(director).unwrap_or_default();
    let servers = status["virtual_servers"][0]["real_servers"].as_array().cloned().unwrap_or_default();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let last = |server: &serde_json::Value| word(&server["checks"][0]["last"]);
    let mut all: Vec<_> =
        servers.iter().map(|server| (word(&server["address"]), word(&server["state"]), last(server))).collect();
    all.sort();
    all
}

#[test]
fn each_kind_of_check_finds_its_server_up_and_says_why_it_is_down() {
    let switch = Switch::new().expect("needs root and iproute2");
    let host = Host::on(&switch, "director", &"eth0".parse().unwrap()).unwrap();
    host.ip("address add 192.0.2.2/24 dev eth0").unwrap();
    host.ip("address add 192.0.2.100/24 dev eth0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (script, flag) = (dir.path().join("check.sh"), dir.path().join("broken"));
    fs::write(&script, format!("#!/bin/sh\ntest ! -e {}\n", flag.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();

    let mut servers = Servers::start(&host);
    servers.at.push(("PING_CHECK", "127.0.0.2:80".parse().unwrap()));
    servers.at.push(("MISC_CHECK", "127.0.0.3:80".parse().unwrap()));
    let daemon = Daemon::Vipd { binary: env!("CARGO_BIN_EXE_vipd").into() };
    let mut director = Director::new(host, daemon, &config(&servers.at, &script), dir.path().join("director")).unwrap();
    director.start().unwrap();

    let mut seen = vec![];
    until("every real server is up", PATIENCE, || {
        seen = standings(&director);
        seen.len() == servers.at.len() && seen.iter().all(|(_, state, _)| state == "up")
    })
    .unwrap_or_else(|error| panic!("{error}: {seen:#?}\n{}", director.log_tail().join("\n")));

    servers.broken.store(true, Ordering::SeqCst);
    fs::write(&flag, "").unwrap();
    director.host().sysctl("net/ipv4/icmp_echo_ignore_all", "1").unwrap();
    let reasons = [
        ("TCP_CHECK", "connection refused"),
        ("HTTP_GET", "status 503, wanted 200-299"),
        ("SSL_GET", "the answer is not TLS"),
        ("SMTP_CHECK", "code 421 in the greeting, wanted 220"),
        ("DNS_CHECK", "the DNS server answers SERVFAIL"),
        ("UDP_CHECK", "the answer differs from the wanted one at byte 0"),
        ("PING_CHECK", "no answer within 2s"),
        ("MISC_CHECK", "script ended with 1"),
    ];
    let mut wanted: Vec<_> = servers
        .at
        .iter()
        .zip(reasons)
        .map(|((kind, addr), (of, reason))| {
            assert_eq!(*kind, of);
            (addr.to_string(), "down".to_owned(), reason.to_owned())
        })
        .collect();
    wanted.sort();
    until("every real server is down for its own reason", PATIENCE, || {
        seen = standings(&director);
        seen == wanted
    })
    .unwrap_or_else(|error| panic!("{error}: {seen:#?}\n{}", director.log_tail().join("\n")));
    director.terminate().unwrap();
    director.wait_for_end(PATIENCE).unwrap();
}
