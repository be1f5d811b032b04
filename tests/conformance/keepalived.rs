//! keepalived's verdict on the same servers. It needs a kernel with IPVS, and so a VM: `scripts/conformance-vm`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use vipd::lab::conformance::{self, Behaviour};

use super::{Authority, Kind, Recorded, cells, datagram_kinds, started, stream_kinds};

/// The time limit of keepalived's steps: a VM without hardware behind it takes its time.
const LIMIT: Duration = Duration::from_secs(10);
/// Every verdict comes within four times the time limit of a step.
const WINDOW: Duration = Duration::from_secs(50);

/// What keepalived calls a kind; the time limit is put in by the caller.
fn block(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "TCP_CHECK" => ("TCP_CHECK", ""),
        "HTTP_GET" => ("HTTP_GET", "url {\n path /\n }"),
        "HTTP_GET 1.1 digest" => {
            ("HTTP_GET", "http_protocol 1.1\n url {\n path /\n digest eff5bc1ef8ec9d03e640fc4370f5eacd\n }")
        }
        "SSL_GET" => ("SSL_GET", "url {\n path /\n }"),
        "SMTP_CHECK" => ("SMTP_CHECK", ""),
        "DNS_CHECK" => ("DNS_CHECK", "type A\n name example.org"),
        "UDP_CHECK" => ("UDP_CHECK", ""),
        "UDP_CHECK require_reply" => ("UDP_CHECK", "require_reply"),
        _ => return None,
    })
}

/// A service for each kind, named by its mark: one more than the kind's index.
fn config(kinds: &[Kind], servers: &[SocketAddr], fifo: &Path, limit: Duration) -> String {
    let mut text = format!("global_defs {{\n lvs_notify_fifo {}\n}}\n", fifo.display());
    for (mark, (kind, _)) in (1..).zip(kinds) {
        let Some((keyword, inner)) = block(kind) else { continue };
        writeln!(text, "virtual_server fwmark {mark} {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n alpha").unwrap();
        for server in servers {
            writeln!(
                text,
                " real_server {} {} {{\n {keyword} {{\n {inner}\n connect_timeout {}\n retry 0\n delay_before_retry 1\n \
                 delay_loop 2\n warmup 0\n }}\n }}",
                server.ip(),
                server.port(),
                limit.as_secs()
            )
            .unwrap();
        }
        text.push_str("}\n");
    }
    text
}

struct Keepalived(Child);

impl Keepalived {
    fn start(dir: &Path, config: &str) -> Self {
        let file = dir.join("keepalived.conf");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut command = Command::new("keepalived");
        command.args(["-n", "-l", "-D", "-C", "-f"]).arg(file).stdin(Stdio::null());
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id().cast_signed()), nix::sys::signal::SIGTERM).ok();
        self.0.wait().ok();
    }
}

/// The servers that are up, by mark and port: `RS [127.0.0.1]:tcp:8080 FWM 1 UP`. All begin down (`alpha`), and one that
/// fails at once, or that never ends to answer, stays so without a line.
async fn verdicts(fifo: &Path) -> BTreeSet<(usize, u16)> {
    let mut lines = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(fifo).unwrap();
    let (mut text, mut found) = (String::new(), BTreeSet::new());
    let until = Instant::now() + WINDOW;
    while Instant::now() < until {
        let mut piece = [0; 4096];
        // Nobody writes at the moment, or nobody has opened it yet.
        let length = lines.read(&mut piece).unwrap_or(0);
        text.extend(piece.iter().take(length).filter(|byte| **byte != 0).map(|byte| char::from(*byte)));
        while let Some((line, rest)) = text.split_once('\n').map(|(line, rest)| (line.to_owned(), rest.to_owned())) {
            text = rest;
            let words: Vec<&str> = line.split(' ').collect();
            if let ["RS", server, "FWM", mark, "UP"] = words.as_slice() {
                let port = server.rsplit(':').next().unwrap().parse().unwrap();
                found.insert((mark.parse().unwrap(), port));
            }
        }
        if length == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    found
}

/// A line for each behaviour and kind on which the two differ, and the number of those on which they do not.
async fn differences(table: &str, behaviours: Vec<Behaviour>, kinds: Vec<Kind>, authority: &Authority) -> String {
    let servers = started(&behaviours, authority).await;
    let addrs: Vec<SocketAddr> = servers.iter().map(|server| server.addr).collect();
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let asked = kinds.iter().filter(|(kind, _)| block(kind).is_some()).count() * addrs.len();
    let keepalived = Keepalived::start(dir.path(), &config(&kinds, &addrs, &fifo, LIMIT));
    let theirs = verdicts(&fifo).await;
    drop(keepalived);
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(theirs.len() > asked / 10, "keepalived found {} of {asked} up:\n{log}", theirs.len());

    let ours = cells(&behaviours, &servers, &kinds, &Recorded::of(table)).await;
    let (mut text, mut agreed) = (String::new(), 0);
    for ((behaviour, server), cells) in behaviours.iter().zip(&addrs).zip(&ours) {
        for ((mark, (kind, _)), cell) in (1..).zip(&kinds).zip(cells) {
            if block(kind).is_none() {
                continue;
            }
            let word = if theirs.contains(&(mark, server.port())) { "up" } else { "down" };
            if cell.starts_with(&format!("{word:5}")) {
                agreed += 1;
            } else {
                writeln!(text, "{} / {kind}: keepalived: {word}; vipd: {cell}", behaviour.name).unwrap();
            }
        }
    }
    format!("{text}the same verdict: {agreed} of {asked}\n")
}

#[tokio::test]
#[ignore = "it needs a kernel with IPVS: scripts/conformance-vm runs it, and so does tests/lvs_vm.rs"]
async fn keepalived_says_the_same_but_for_what_is_listed() {
    let authority = Authority::new();
    let streams = differences("streams", conformance::streams(), stream_kinds(&authority), &authority).await;
    let datagrams = differences("datagrams", conformance::datagrams(), datagram_kinds(), &authority).await;
    insta::assert_snapshot!("keepalived", format!("{streams}\n{datagrams}"));
}
