//! Servers that say who they are, and clients that ask them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use vipd::lab::LabError;

use crate::lab::{Host, PATIENCE, VIP};

/// Requests a second of the load, so that a gap of a few milliseconds is met; `VIPD_LOAD` is another number
/// (`scripts/serve-under-load`).
const PER_SECOND: u32 = 200;
/// What one thread asks at most.
const PER_THREAD: u32 = 250;

/// Serve TCP (over IPv6 too) and UDP on these ports: the answer to a line, or to a datagram, is the server's number. UDP is served on
/// the server's own address and on the VIP, whether or not the host has it yet.
pub fn serve(host: &Host, number: u8, own: Ipv4Addr, tcp: &[u16], udp: &[u16]) {
    for port in tcp {
        let listener = host.inside(|| TcpListener::bind(("::", *port)).expect("binding a server"));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(&stream, number));
            }
        });
    }
    for (port, address) in udp.iter().flat_map(|port| [(*port, own), (*port, VIP)]) {
        let socket = host.inside(|| bind_udp(SocketAddr::new(address.into(), port))).expect("binding a server");
        thread::spawn(move || {
            let mut block = [0; 2048];
            loop {
                // An error is an ICMP message about an earlier answer.
                let Ok((size, from)) = socket.recv_from(&mut block) else { continue };
                let mut answer = block[..size].to_vec();
                answer.push(number);
                // DNS: the QR bit makes an answer of the question (RFC 1035 section 4.1.1).
                if port == 53 && size > 2 {
                    answer[2] |= 0x80;
                }
                let _ = socket.send_to(&answer, from);
            }
        });
    }
}

fn bind_udp(at: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_freebind_v4(true)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

fn answer(stream: &TcpStream, number: u8) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(Ok(_)) = lines.next() {
        let mut to = stream;
        writeln!(to, "{number}")?;
    }
    Ok(())
}

/// A client's connection that stays.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// To the VIP.
    pub fn open(host: &Host, port: u16) -> std::io::Result<Self> {
        host.inside(|| connect(Ipv4Addr::UNSPECIFIED, port))
    }

    /// Who serves it, asked now.
    pub fn who(&mut self) -> std::io::Result<u8> {
        who(&mut self.0)
    }
}

fn connect(from: Ipv4Addr, port: u16) -> std::io::Result<Connection> {
    connect_to(SocketAddr::new(from.into(), 0), SocketAddr::new(VIP.into(), port))
}

fn connect_to(from: SocketAddr, to: SocketAddr) -> std::io::Result<Connection> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(Connection(BufReader::new(stream)))
}

fn who(stream: &mut BufReader<TcpStream>) -> std::io::Result<u8> {
    stream.get_mut().write_all(b"who\n")?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    line.trim().parse().map_err(|_| std::io::Error::other(format!("the answer is {line:?}")))
}

/// One connection per request: how many each server got.
pub fn shares(host: &Host, port: u16, requests: usize) -> BTreeMap<u8, usize> {
    shares_from(host, Ipv4Addr::UNSPECIFIED, port, requests)
}

/// As [`shares`], from this address of the host.
pub fn shares_from(host: &Host, from: Ipv4Addr, port: u16, requests: usize) -> BTreeMap<u8, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let server = host
            .inside(|| connect(from, port)?.who())
            .unwrap_or_else(|error| panic!("a request from {from} failed: {error}"));
        *shares.entry(server).or_default() += 1;
    }
    shares
}

/// As [`shares`], over IPv6.
pub fn shares_v6(host: &Host, to: Ipv6Addr, port: u16, requests: usize) -> BTreeMap<u8, usize> {
    let mut shares = BTreeMap::new();
    let (from, to) = (SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0), SocketAddr::new(to.into(), port));
    for _ in 0..requests {
        let server = host.inside(|| connect_to(from, to)?.who());
        *shares.entry(server.unwrap_or_else(|error| panic!("a request to {to} failed: {error}"))).or_default() += 1;
    }
    shares
}

/// Datagrams from one port to the VIP.
#[derive(Debug)]
pub struct Question(UdpSocket);

impl Question {
    pub fn open(host: &Host, port: u16) -> std::io::Result<Self> {
        host.inside(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect((VIP, port))?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            Ok(Self(socket))
        })
    }

    /// Who answers.
    pub fn ask(&self, question: &[u8]) -> std::io::Result<u8> {
        self.0.send(question)?;
        let mut answer = [0; 2048];
        let size = self.0.recv(&mut answer)?;
        Ok(answer[size - 1])
    }
}

/// A datagram from a port of its own to the VIP; who answered.
pub fn ask_udp(host: &Host, port: u16, question: &[u8]) -> std::io::Result<u8> {
    Question::open(host, port)?.ask(question)
}

/// Requests at a steady rate, each with a connection of its own, until it is ended.
#[derive(Debug)]
pub struct Load {
    started: Instant,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    threads: Vec<JoinHandle<Result<(), LabError>>>,
}

#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub answered: BTreeMap<u8, u64>,
    pub failed: Vec<String>,
}

impl Load {
    pub fn start(host: &Host, port: u16) -> Self {
        let per_second = std::env::var("VIPD_LOAD").map_or(PER_SECOND, |number| number.parse().expect("a number"));
        let count = per_second.div_ceil(PER_THREAD);
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Tally::default())));
        let started = Instant::now();
        let thread = |number: u32| {
            let (stop, tally) = (Arc::clone(&stop), Arc::clone(&tally));
            let first = started + Duration::from_secs(1) * number / per_second;
            let work = move || ask_each(first, Duration::from_secs(1) * count / per_second, port, &stop, &tally);
            host.namespace.thread("load", work).expect("a thread")
        };
        let threads = (0..count).map(thread).collect();
        Self { started, stop, tally, threads }
    }

    #[expect(clippy::print_stderr, reason = "scripts/serve-under-load shows how many it were")]
    pub fn end(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("the load").expect("the namespace");
        }
        let tally = self.tally.lock().unwrap().clone();
        let (answered, took) = (tally.answered.values().sum::<u64>(), self.started.elapsed());
        eprintln!("load: {answered} requests were answered in {took:.1?}, {} failed", tally.failed.len());
        tally
    }
}

/// One request after the other, each as long after the one before; those that are late follow at once.
fn ask_each(first: Instant, every: Duration, port: u16, stop: &AtomicBool, tally: &Mutex<Tally>) {
    let mut due = first;
    while !stop.load(Ordering::SeqCst) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due += every;
        let answer = connect(Ipv4Addr::UNSPECIFIED, port).and_then(|mut connection| connection.who());
        let mut tally = tally.lock().unwrap();
        match answer {
            Ok(server) => *tally.answered.entry(server).or_default() += 1,
            Err(error) => tally.failed.push(error.to_string()),
        }
    }
}
