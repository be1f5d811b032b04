//! keepalived's verdict on the same servers, beside ours. It needs a kernel with IPVS, and so a VM: `scripts/conformance-vm`
//! asks Debian's keepalived 2.2.7 and writes `keepalived.tsv`; here that table is held against our own outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use vipd::lab::conformance::{self, Behaviour};

use super::{Authority, Kind, Recorded, datagram_kinds, started, stream_kinds};

const HEAD: &str = "behaviour\tkind\tvipd\tkeepalived\n";
/// Of each step, in seconds: an emulated processor takes its time for TLS.
const LIMIT: u64 = 6;
/// Every verdict comes within the spread of the first checks and four steps.
const WINDOW: Duration = Duration::from_secs(70);

const KEPT_OPEN: &str = "the page is whole and the connection stays open: keepalived waits for its end";
const CUT: &str = "the page is cut off: keepalived takes what came";

/// Where the two differ, by behaviour and kind (`*`: every kind that differs), and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("200 with its length", "*", KEPT_OPEN),
    ("chunked", "*", KEPT_OPEN),
    ("chunked with trailers", "*", KEPT_OPEN),
    ("the answer byte by byte", "*", KEPT_OPEN),
    ("another body", "*", KEPT_OPEN),
    ("204 without a body", "*", KEPT_OPEN),
    ("100 before the answer", "*", KEPT_OPEN),
    ("103 before the answer", "*", KEPT_OPEN),
    ("no reason phrase, bare LF", "*", KEPT_OPEN),
    ("a field that is none", "*", KEPT_OPEN),
    ("more than the length", "*", KEPT_OPEN),
    ("answers before it is asked", "*", KEPT_OPEN),
    ("body shorter than its length", "*", CUT),
    ("closes in a chunk", "*", CUT),
    ("no last chunk", "*", CUT),
    ("TLS, cut in the body", "*", CUT),
    ("negative length", "*", "keepalived does not look what the length says"),
    ("length and chunks", "HTTP_GET 1.1 digest", "keepalived's digest is over the chunks as sent"),
    ("body of 5 MiB", "*", "a check of ours has a bound, 4 MiB"),
    ("HTTP/9.9", "*", "keepalived does not look at the version"),
    ("SMTP greeting of three lines", "*", "keepalived reads one line (RFC 5321 section 4.2 has several)"),
];

/// What keepalived calls a kind, where it has it; the time limit is put in by the caller.
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
fn config(kinds: &[Kind], servers: &[SocketAddr], fifo: &Path) -> String {
    let mut text = format!("global_defs {{\n lvs_notify_fifo {}\n}}\n", fifo.display());
    for (mark, (kind, _)) in (1..).zip(kinds) {
        let Some((keyword, inner)) = block(kind) else { continue };
        writeln!(text, "virtual_server fwmark {mark} {{\n lb_algo rr\n lb_kind NAT\n protocol TCP\n alpha").unwrap();
        for server in servers {
            let (ip, port) = (server.ip(), server.port());
            writeln!(text, " real_server {ip} {port} {{\n {keyword} {{\n {inner}\n connect_timeout {LIMIT}").unwrap();
            writeln!(text, " retry 0\n delay_before_retry 1\n delay_loop 12\n warmup 12\n }}\n }}").unwrap();
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
        command.args(["-n", "-l", "-G", "-D", "-C", "-f"]).arg(file).stdin(Stdio::null());
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

/// A row for each behaviour and each kind that keepalived has.
async fn rows(table: &str, behaviours: Vec<Behaviour>, kinds: Vec<Kind>, authority: &Authority) -> String {
    let servers = started(&behaviours, authority).await;
    let addrs: Vec<SocketAddr> = servers.iter().map(|server| server.addr).collect();
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let keepalived = Keepalived::start(dir.path(), &config(&kinds, &addrs, &fifo));
    let up = verdicts(&fifo).await;
    drop(keepalived);
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(up.len() > addrs.len() / 2, "keepalived found {} up:\n{log}", up.len());
    let ours = Recorded::of(table);
    let mut text = String::new();
    for (behaviour, server) in behaviours.iter().zip(&addrs) {
        for (mark, (kind, _)) in (1..).zip(&kinds).filter(|(_, (kind, _))| block(kind).is_some()) {
            let theirs = if up.contains(&(mark, server.port())) { "up" } else { "down" };
            writeln!(text, "{}\t{kind}\t{}\t{theirs}", behaviour.name, standing(&ours, behaviour.name, kind)).unwrap();
        }
    }
    text
}

/// What our check makes of it: up or down.
fn standing(ours: &Recorded, behaviour: &str, kind: &str) -> String {
    let cell = ours.get(behaviour, kind).unwrap_or_default();
    cell.split(' ').next().unwrap_or_default().to_owned()
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/keepalived.tsv")
}

#[tokio::test]
#[ignore = "it needs a kernel with IPVS: scripts/conformance-vm runs it"]
async fn write_keepalived_s_verdicts() {
    let authority = Authority::new();
    let streams = rows("streams", conformance::streams(), stream_kinds(&authority), &authority).await;
    let datagrams = rows("datagrams", conformance::datagrams(), datagram_kinds(), &authority).await;
    std::fs::write(file(), format!("{HEAD}{streams}{datagrams}")).unwrap();
}

#[test]
fn keepalived_says_the_same_but_for_what_is_listed_with_its_reason() {
    let authority = Authority::new();
    let mut wanted = BTreeMap::new();
    let tables = [
        ("streams", conformance::streams(), stream_kinds(&authority)),
        ("datagrams", conformance::datagrams(), datagram_kinds()),
    ];
    for (table, behaviours, kinds) in tables {
        let ours = Recorded::of(table);
        for behaviour in &behaviours {
            for (kind, _) in kinds.iter().filter(|(kind, _)| block(kind).is_some()) {
                wanted.insert((behaviour.name.to_owned(), (*kind).to_owned()), standing(&ours, behaviour.name, kind));
            }
        }
    }
    let (mut recorded, mut used, mut complaints) = (BTreeMap::new(), BTreeSet::new(), String::new());
    for line in std::fs::read_to_string(file()).unwrap().lines().skip(1) {
        let [behaviour, kind, ours, theirs] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        recorded.insert((behaviour.to_owned(), kind.to_owned()), ours.to_owned());
        let fits = |(of, which, _): &&(&str, &str, &str)| *of == behaviour && (*which == "*" || *which == kind);
        match DIFFERENCES.iter().find(fits) {
            Some((of, which, _)) if ours != theirs => drop(used.insert((*of, *which))),
            None if ours != theirs => writeln!(complaints, "no reason is given: {line}").unwrap(),
            Some(_) | None => {}
        }
    }
    for (of, which, why) in DIFFERENCES.iter().filter(|(of, which, _)| !used.contains(&(*of, *which))) {
        writeln!(complaints, "they do not differ: {of} / {which} ({why})").unwrap();
    }
    assert_eq!(
        recorded, wanted,
        "the table is of other behaviours, or we say otherwise now: run scripts/conformance-vm"
    );
    assert_eq!(complaints, "");
}
