//! The client: asks the services all the time, from many source addresses, and writes everything into the journal.
//!
//! A UDP probe each 2 ms, a new TCP connection with a GET each 5 ms, and a few long-lived connections that ask
//! each 20 ms. UDP has a thread of its own, so that connections that hang do not delay a probe.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::error::LabError;
use super::host::Host;
use super::journal::Journal;
use super::records::Flow;
use super::wait::Stop;

/// Between two probes, all flows together.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(2);
/// A probe without an answer for so long is lost.
pub const LOST_AFTER: Duration = Duration::from_millis(500);
/// Below the second after which the kernel sends a SYN again: a lost SYN is a failed connection.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(900);
/// Long-lived connections; each keeps its flow.
pub const LONG_LIVED: u8 = 4;

const REQUEST_INTERVAL: Duration = Duration::from_millis(5);
const LINE_INTERVAL: Duration = Duration::from_millis(20);
/// Longer than any failover of a drill: TCP sends again in the meantime.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// Above `REQUEST_TIMEOUT / REQUEST_INTERVAL`; with so many waiting no new one starts.
const REQUESTS_MAX: usize = 256;
const DATAGRAM_MAX: usize = 512;
const BODY_MAX: usize = 512;

/// Whom to ask, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub vip: Ipv4Addr,
    pub tcp_port: u16,
    pub udp_port: u16,
    /// One flow each.
    pub sources: Vec<Ipv4Addr>,
}

/// Asks until dropped.
#[derive(Debug)]
pub struct Client {
    stop: Stop,
    /// Counts the orders to make the long-lived connections anew.
    renewals: watch::Sender<u64>,
    /// Long-lived connections that have had an answer since the last such order.
    fresh: Arc<AtomicU8>,
    threads: Vec<JoinHandle<Result<(), LabError>>>,
}

impl Client {
    pub fn start(host: &Host, target: &Target, journal: &Arc<Journal>) -> Result<Self, LabError> {
        let failed = |what: &str| {
            let (host, what) = (host.role().to_owned(), what.to_owned());
            move |source| LabError::Socket { host, what, source }
        };
        let sockets = host.inside(|| udp_sockets(target))?.map_err(failed("UDP socket"))?;
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed("runtime"));
        let (renewals, renewed) = watch::channel(0);
        let mut client = Self { stop: Stop::default(), renewals, fresh: Arc::default(), threads: vec![] };
        let (udp, tcp) = (runtime()?, runtime()?);
        let (stop, book) = (client.stop.clone(), Arc::clone(journal));
        client.threads.push(host.thread("probes", move || {
            if let Err(error) = udp.block_on(probe(sockets, &book, &stop)) {
                tracing::warn!(%error, "the drill's UDP client stopped");
            }
        })?);
        let (stop, book, target) = (client.stop.clone(), Arc::clone(journal), target.clone());
        let long = Long { renewed, fresh: Arc::clone(&client.fresh) };
        client.threads.push(host.thread("requests", move || tcp.block_on(request(&target, &book, &stop, &long)))?);
        Ok(client)
    }

    /// Make the long-lived connections anew, so that the next fault meets connections of now.
    pub fn renew(&self) {
        self.fresh.store(0, Ordering::SeqCst);
        self.renewals.send_modify(|count| *count += 1);
    }

    /// All long-lived connections have had an answer since [`Client::renew`].
    pub fn is_renewed(&self) -> bool {
        self.fresh.load(Ordering::SeqCst) >= LONG_LIVED
    }
}

/// What a long-lived connection is told, and tells.
#[derive(Clone, Debug)]
struct Long {
    renewed: watch::Receiver<u64>,
    fresh: Arc<AtomicU8>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn udp_sockets(target: &Target) -> io::Result<Vec<Socket>> {
    let open = |&source: &Ipv4Addr| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        socket.connect(&SocketAddr::new(IpAddr::V4(target.vip), target.udp_port).into())?;
        Ok(socket)
    };
    target.sources.iter().map(open).collect()
}

async fn probe(sockets: Vec<Socket>, journal: &Arc<Journal>, stop: &Stop) -> io::Result<()> {
    let mut receivers = JoinSet::new();
    let mut flows: Vec<(Flow, Arc<UdpSocket>)> = vec![];
    for (flow, socket) in (0..).zip(sockets) {
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        receivers.spawn(receive(Arc::clone(&socket), Arc::clone(journal)));
        flows.push((flow, socket));
    }
    let mut tick = interval(PROBE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for (flow, socket) in flows.iter().cycle() {
        tick.tick().await;
        if stop.is_set() {
            break;
        }
        let Some(number) = journal.probe(*flow) else { break };
        let text = format!("vipd {number}");
        // The first error may be that of an earlier probe (an ICMP message); the second one is a lost probe.
        if socket.send(text.as_bytes()).await.is_err() {
            socket.send(text.as_bytes()).await.ok();
        }
    }
    Ok(())
}

/// Note the answers: `vipd NUMBER NAME`.
async fn receive(socket: Arc<UdpSocket>, journal: Arc<Journal>) {
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        let Ok(length) = socket.recv(&mut buffer).await else { continue };
        let Some(Ok(text)) = buffer.get(..length).map(str::from_utf8) else { continue };
        let mut words = text.split(' ').skip(1);
        if let (Some(Ok(number)), Some(name)) = (words.next().map(str::parse), words.next()) {
            journal.answer(number, name);
        }
    }
}

async fn request(target: &Target, journal: &Arc<Journal>, stop: &Stop, long: &Long) {
    let mut tasks = JoinSet::new();
    for &source in target.sources.iter().take(LONG_LIVED.into()) {
        tasks.spawn(keep_asking(source, target.clone(), Arc::clone(journal), long.clone()));
    }
    let mut tick = interval(REQUEST_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let flows: Vec<(Flow, Ipv4Addr)> = (0..).zip(target.sources.iter().copied()).collect();
    for &(flow, source) in flows.iter().cycle() {
        tick.tick().await;
        if stop.is_set() {
            break;
        }
        // Ended ones leave the set.
        while tasks.try_join_next().is_some() {}
        if tasks.len() < REQUESTS_MAX {
            tasks.spawn(ask_once(flow, source, target.clone(), Arc::clone(journal)));
        }
    }
}

async fn ask_once(flow: Flow, source: Ipv4Addr, target: Target, journal: Arc<Journal>) {
    let started = journal.now();
    let ask = async {
        let mut stream = connect(source, &target).await?;
        exchange(&mut stream, "close").await
    };
    let result = match timeout(REQUEST_TIMEOUT, ask).await {
        Ok(Ok(name)) => Ok(name),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    };
    journal.request(flow, started, result);
}

/// A long-lived connection; one that breaks is noted and made anew, and so is each on order.
async fn keep_asking(source: Ipv4Addr, target: Target, journal: Arc<Journal>, mut long: Long) {
    let mut tick = interval(LINE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // That it cannot be made is the failure of a new connection, and those are counted elsewhere.
        let Ok(Ok(mut stream)) = timeout(REQUEST_TIMEOUT, connect(source, &target)).await else { continue };
        long.renewed.mark_unchanged();
        let mut answered = false;
        let error = loop {
            tick.tick().await;
            // The order ends with the client, and so does this task.
            if long.renewed.has_changed().unwrap_or(true) {
                break None;
            }
            match timeout(LINE_TIMEOUT, exchange(&mut stream, "keep-alive")).await {
                Ok(Ok(_)) if answered => {}
                Ok(Ok(_)) => {
                    answered = true;
                    long.fresh.fetch_add(1, Ordering::SeqCst);
                }
                Ok(Err(error)) => break Some(error.to_string()),
                Err(_) => break Some("no answer".to_owned()),
            }
        };
        if let Some(error) = error {
            journal.broken(error);
        }
    }
}

async fn connect(source: Ipv4Addr, target: &Target) -> io::Result<BufStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
    let stream = socket.connect(SocketAddr::new(IpAddr::V4(target.vip), target.tcp_port)).await?;
    stream.set_nodelay(true)?;
    Ok(BufStream::new(stream))
}

/// One GET; gives the body without its last blank: the name of the server.
async fn exchange(stream: &mut BufStream<TcpStream>, connection: &str) -> io::Result<String> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let text = format!("GET / HTTP/1.1\r\nHost: lab\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(|_| invalid("content-length"))?;
            }
            None if line.trim_end().is_empty() => break,
            Some(_) | None => {}
        }
    }
    if length > BODY_MAX {
        return Err(invalid("the body is too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8_lossy(&body).trim_end().to_owned())
}
