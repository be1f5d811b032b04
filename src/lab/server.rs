//! A real server: HTTP and UDP echo, both answer with the server's name. Threads of ours, on a host of the lab.
//!
//! Stopping one is the death of its processes: the sockets are closed, its kernel answers with resets.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::error::LabError;
use super::host::Host;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 256;
/// The largest probe; longer ones are cut.
const DATAGRAM_MAX: usize = 512;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub tcp_port: u16,
    pub udp_port: u16,
    /// Addresses that answer UDP: an answer carries the address that was asked. TCP answers on all.
    pub udp_addresses: Vec<Ipv4Addr>,
}

#[derive(Debug)]
pub struct Server {
    name: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Start on `host`; answers as soon as this returns.
    ///
    /// # Errors
    /// [`LabError::Socket`] where a port is taken.
    pub fn start(host: &Host, name: &str, listen: &Listen) -> Result<Self, LabError> {
        let failed = |source| LabError::Socket { host: host.role().to_owned(), what: "listen".to_owned(), source };
        // A socket stays in the namespace of the thread that made it, whoever uses it.
        let (tcp, udp) = host.inside(|| sockets(listen))?.map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let answer = name.to_owned();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if let Err(error) = serve(tcp, udp, &answer, stopped).await {
                        tracing::warn!(server = answer, %error, "a real server of the lab stopped");
                    }
                });
            })
            .map_err(|source| LabError::Thread { name: name.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), stop: Some(stop), thread: Some(thread) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either way the thread ends: it hears the word, or it ended before.
        self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn sockets(listen: &Listen) -> std::io::Result<(Socket, Vec<Socket>)> {
    let bound = |kind, protocol, addr: Ipv4Addr, port| {
        let socket = Socket::new(Domain::IPV4, kind, Some(protocol))?;
        socket.set_reuse_address(true)?;
        // The VIP comes and goes on a director.
        socket.set_freebind_v4(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(IpAddr::V4(addr), port).into())?;
        Ok::<Socket, std::io::Error>(socket)
    };
    let tcp = bound(Type::STREAM, Protocol::TCP, Ipv4Addr::UNSPECIFIED, listen.tcp_port)?;
    tcp.listen(BACKLOG)?;
    let udp = listen.udp_addresses.iter().map(|&addr| bound(Type::DGRAM, Protocol::UDP, addr, listen.udp_port));
    Ok((tcp, udp.collect::<Result<_, _>>()?))
}

/// Serve until told to stop; then every task ends with the [`JoinSet`].
async fn serve(tcp: Socket, udp: Vec<Socket>, name: &str, mut stopped: oneshot::Receiver<()>) -> std::io::Result<()> {
    let mut tasks = JoinSet::new();
    for socket in udp {
        let socket = tokio::net::UdpSocket::from_std(socket.into())?;
        tasks.spawn(echo(socket, name.to_owned()));
    }
    let listener = tokio::net::TcpListener::from_std(tcp.into())?;
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(()),
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tasks.spawn(http(stream, name.to_owned()));
            }
            // Ended connections leave the set.
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn http(stream: tokio::net::TcpStream, name: String) {
    let body = Bytes::from(format!("{name}\n"));
    let answer = service_fn(|_: Request<Incoming>| {
        let body = body.clone();
        async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
    });
    // The client sees a broken connection; the server has nobody to tell.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.ok();
}

/// Send every datagram back with ` NAME` behind it.
async fn echo(socket: tokio::net::UdpSocket, name: String) {
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        // An error is an ICMP message about an earlier answer.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let mut answer = buffer.iter().take(length).copied().collect::<Vec<u8>>();
        answer.push(b' ');
        answer.extend_from_slice(name.as_bytes());
        socket.send_to(&answer, from).await.ok();
    }
}
