//! Carrying a behaviour out, on a loopback port of the kernel's choice, for any number of clients.
#![expect(clippy::disallowed_methods, reason = "the lab waits and spawns")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::{Act, Behaviour, Identities, Reply, Serve, http2};

/// Between two bytes of [`Act::Drip`].
const DRIP_EVERY: Duration = Duration::from_millis(50);
/// A client that has seen the end goes within this time.
const LINGER: Duration = Duration::from_secs(30);
/// Of one request that is read; more ends the reading.
const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// Of the runtime, before a reset: what the client does about the bytes before it takes a few dozen.
const BREATH_TURNS: usize = 4096;
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    InOrder,
    /// By a reset, whatever is under way.
    ByReset,
}

/// A server that behaves; it ends when it is dropped.
#[derive(Debug)]
pub struct Running {
    pub addr: SocketAddr,
    task: Option<JoinHandle<()>>,
    /// What keeps a queue full, or a port shut.
    _held: Vec<Socket>,
}

impl Running {
    /// Start it; it answers as soon as this returns.
    ///
    /// # Errors
    /// Of the sockets.
    pub async fn start(behaviour: &Behaviour, identities: &Identities) -> io::Result<Self> {
        match &behaviour.serve {
            Serve::Closed => {
                // Bound by both protocols and not listening: nobody else gets the port.
                let (tcp, addr) = unheard(LOOPBACK)?;
                let udp = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
                // One that is connected elsewhere takes no datagram of a client.
                udp.bind(&addr.into())?;
                udp.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, 9)).into())?;
                Ok(Self { addr, task: None, _held: vec![tcp, udp] })
            }
            Serve::HalfOpen => half_open(),
            Serve::Stream { tls, acts } => {
                let (tls, acts) = (tls.map(identities.as_ref()), acts.clone());
                Self::listening(move |client| act(client, tls.clone(), acts.clone())).await
            }
            Serve::Http2 { tls, answer } => {
                let (tls, answer) = (tls.map(identities.as_ref()), *answer);
                Self::listening(move |client| http2::serve(client, tls.clone(), answer)).await
            }
            Serve::Datagram(reply) => {
                let socket = UdpSocket::bind(LOOPBACK).await?;
                let other = UdpSocket::bind(LOOPBACK).await?;
                let addr = socket.local_addr()?;
                let task = tokio::spawn(datagrams(socket, other, *reply));
                Ok(Self { addr, task: Some(task), _held: vec![] })
            }
        }
    }

    async fn listening<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> io::Result<Self>
    where
        F: Future<Output = io::Result<Goes>> + Send + 'static,
    {
        let listener = TcpListener::bind(LOOPBACK).await?;
        let addr = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(end) = client.as_fd().try_clone_to_owned() else { continue };
                let serving = serve(client);
                tokio::spawn(async move {
                    // A client that goes is no fault of the server.
                    match serving.await.unwrap_or(Goes::InOrder) {
                        Goes::InOrder => part(end).await,
                        Goes::ByReset => SockRef::from(&end).set_linger(Some(Duration::ZERO)),
                    }
                    .ok();
                });
            }
        });
        Ok(Self { addr, task: Some(task), _held: vec![] })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A bound stream socket that does not listen.
fn unheard(addr: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&addr.into())?;
    let bound = socket.local_addr()?.as_socket().unwrap_or(addr);
    Ok((socket, bound))
}

/// A queue of one, which we fill ourselves.
fn half_open() -> io::Result<Running> {
    let (listener, addr) = unheard(LOOPBACK)?;
    listener.listen(0)?;
    let mut held = vec![listener];
    for _ in 0..4 {
        let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        client.set_nonblocking(true)?;
        // It is under way; the ones that find the queue full stay so.
        client.connect(&addr.into()).ok();
        held.push(client);
    }
    Ok(Running { addr, task: None, _held: held })
}

async fn act(
    client: TcpStream,
    tls: Option<Arc<tokio_rustls::rustls::ServerConfig>>,
    acts: Vec<Act>,
) -> io::Result<Goes> {
    client.set_nodelay(true)?;
    match tls {
        None => perform(client, acts).await,
        Some(config) => perform(TlsAcceptor::from(config).accept(client).await?, acts).await,
    }
}

/// Time for the client to see what came so far: in turns of the runtime, since a busy machine would eat a span of time.
async fn breathe() {
    for _ in 0..BREATH_TURNS {
        yield_now().await;
    }
}

/// The end of a connection in order: bytes that nobody has read would make a reset of it, and what the client sees would be
/// a matter of luck.
async fn part(client: OwnedFd) -> io::Result<()> {
    let mut client = TcpStream::from_std(std::net::TcpStream::from(client))?;
    client.shutdown().await?;
    let drain = async { while client.read(&mut [0; 4096]).await.is_ok_and(|length| length > 0) {} };
    timeout(LINGER, drain).await.ok();
    Ok(())
}

async fn perform(mut client: impl AsyncRead + AsyncWrite + Unpin, acts: Vec<Act>) -> io::Result<Goes> {
    for act in acts {
        match act {
            Act::Request => read_until(&mut client, true).await?,
            Act::Line => read_until(&mut client, false).await?,
            Act::Some => {
                let _some = client.read(&mut [0; 4096]).await?;
            }
            Act::Say(bytes) => client.write_all(&bytes).await?,
            Act::Bytewise(bytes) => {
                for byte in bytes {
                    client.write_all(&[byte]).await?;
                    client.flush().await?;
                }
            }
            Act::Drip => loop {
                client.write_all(b"x").await?;
                client.flush().await?;
                sleep(DRIP_EVERY).await;
            },
            Act::Hold => {
                client.flush().await?;
                while client.read(&mut [0; 4096]).await? > 0 {}
            }
            Act::Reset => {
                client.flush().await?;
                breathe().await;
                return Ok(Goes::ByReset);
            }
            Act::Drop => {
                client.flush().await?;
                return Ok(Goes::InOrder);
            }
        }
    }
    client.shutdown().await?;
    Ok(Goes::InOrder)
}

/// Up to an empty line, or to the end of a line.
async fn read_until(client: &mut (impl AsyncRead + Unpin), request: bool) -> io::Result<()> {
    let mut read = vec![];
    let mut piece = [0; 4096];
    while read.len() < REQUEST_MAX_BYTES {
        let length = client.read(&mut piece).await?;
        read.extend(piece.iter().take(length));
        let whole = if request { read.ends_with(b"\r\n\r\n") } else { read.ends_with(b"\n") };
        let is_http = read.first().is_some_and(u8::is_ascii_uppercase);
        if length == 0 || whole || (request && !is_http) {
            break;
        }
    }
    Ok(())
}

async fn datagrams(socket: UdpSocket, other: UdpSocket, reply: Reply) {
    let mut room = vec![0; 65_536];
    loop {
        // An error is an ICMP message about an earlier answer.
        let Ok((length, client)) = socket.recv_from(&mut room).await else { continue };
        let asked = room.get(..length).unwrap_or_default();
        match reply {
            Reply::With(answers) => {
                for answer in answers(asked) {
                    socket.send_to(&answer, client).await.ok();
                }
            }
            Reply::FromElsewhere => {
                other.send_to(asked, client).await.ok();
            }
        }
    }
}
