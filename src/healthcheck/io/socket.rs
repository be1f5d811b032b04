//! Sockets with the source that the configuration asks for, and what their errors say.
//!
//! It sends nothing; each kind of check has a file of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::Endpoint;

/// A socket of this kind with the source that the endpoint asks for; it is not connected.
pub(super) fn bound(endpoint: &Endpoint, kind: Type, protocol: Protocol) -> Result<Socket, LocalFault> {
    let errno = |error: &io::Error| error.raw_os_error().unwrap_or(0);
    let socket = Socket::new(Domain::for_address(endpoint.addr), kind.nonblocking(), Some(protocol))
        .map_err(|error| LocalFault::Socket { errno: errno(&error) })?;
    if let Some(mark) = endpoint.mark {
        socket.set_mark(mark).map_err(|error| LocalFault::Mark { errno: errno(&error) })?;
    }
    if let Some(interface) = &endpoint.bind_interface {
        socket
            .bind_device(Some(interface.as_str().as_bytes()))
            .map_err(|error| LocalFault::Interface { errno: errno(&error) })?;
    }
    if endpoint.bind_addr.is_some() || endpoint.bind_port.is_some() {
        let any = match endpoint.addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let from = SocketAddr::new(endpoint.bind_addr.unwrap_or(any), endpoint.bind_port.unwrap_or(0));
        choose_port(&socket, kind, endpoint.bind_port)
            .and_then(|()| socket.bind(&from.into()))
            .map_err(|error| LocalFault::Bind { errno: errno(&error) })?;
    }
    Ok(socket)
}

/// A stream that begins to connect to the endpoint: it becomes writable when that has come to something.
///
/// # Errors
/// The outcome of the run, where it could not even begin.
pub(super) fn connecting(endpoint: &Endpoint) -> Result<Socket, Outcome> {
    let socket = bound(endpoint, Type::STREAM, Protocol::TCP).map_err(Outcome::Local)?;
    match socket.connect(&endpoint.addr.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(connect_failure(&error)),
        Ok(()) | Err(_) => Ok(socket),
    }
}

/// A fixed port must be free for the next run: a stream ends by a reset, since `TIME_WAIT` would hold it for a minute.
/// Without one the kernel picks it at `connect(2)`, when it knows the server, so that ports last for many servers.
fn choose_port(socket: &Socket, kind: Type, bind_port: Option<u16>) -> io::Result<()> {
    match (kind, bind_port) {
        (Type::STREAM, Some(_)) => {
            socket.set_reuse_address(true)?;
            socket.set_linger(Some(Duration::ZERO))
        }
        (Type::STREAM, None) => setsockopt(socket, sockopt::IpBindAddressNoPort, &true).map_err(io::Error::from),
        _ => Ok(()),
    }
}

/// What an error of `connect(2)` says: ours, the network's, or the server's doing.
pub(super) fn connect_failure(error: &io::Error) -> Outcome {
    let errno = error.raw_os_error().unwrap_or(0);
    match errno {
        libc::EACCES
        | libc::EADDRNOTAVAIL
        | libc::EADDRINUSE
        | libc::EAFNOSUPPORT
        | libc::EAGAIN
        | libc::EINVAL
        | libc::EMFILE
        | libc::ENFILE
        | libc::ENOBUFS
        | libc::ENOMEM
        | libc::ENOSPC
        | libc::EPERM => Outcome::Local(LocalFault::Connect { errno }),
        _ => stream_failure(error),
    }
}

/// What an error of a connected or connecting stream says about the server.
pub(super) fn stream_failure(error: &io::Error) -> Outcome {
    let errno = error.raw_os_error().unwrap_or(0);
    match errno {
        libc::ECONNREFUSED => Outcome::Refused,
        libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED => Outcome::Reset,
        libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN => Outcome::Unreachable,
        _ => Outcome::System { errno },
    }
}

/// A datagram socket that is connected to the endpoint, so that it gets the ICMP errors of its datagrams.
pub(super) fn datagram(endpoint: &Endpoint, kind: Type, protocol: Protocol) -> Result<UdpSocket, Outcome> {
    let socket = bound(endpoint, kind, protocol).map_err(Outcome::Local)?;
    socket.connect(&endpoint.addr.into()).map_err(|error| connect_failure(&error))?;
    let errno = |error: io::Error| LocalFault::Socket { errno: error.raw_os_error().unwrap_or(0) };
    UdpSocket::from_std(socket.into()).map_err(|error| Outcome::Local(errno(error)))
}

/// Send one datagram and take answers until `judge` has an outcome, for `connect_timeout` at most. An answer is cut
/// at the size of `room`; its whole length is told beside it.
pub(super) async fn exchange(
    endpoint: &Endpoint,
    socket: &UdpSocket,
    request: &[u8],
    room: &mut [u8],
    mut judge: impl FnMut(&[u8], usize) -> Option<Outcome>,
) -> Outcome {
    let after = endpoint.connect_timeout;
    let answered = async {
        socket.send(request).await?;
        loop {
            let receive = || recv(socket.as_raw_fd(), room, MsgFlags::MSG_TRUNC).map_err(io::Error::from);
            // An ICMP error makes the socket not readable: it is told apart.
            let length = socket.async_io(Interest::READABLE | Interest::ERROR, receive).await?;
            if let Some(outcome) = judge(room.get(..length).unwrap_or(room), length) {
                return Ok(outcome);
            }
        }
    };
    match timeout(after, answered).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => datagram_failure(&error),
        Err(_) => Outcome::Timeout { waiting_for: Stage::Reply, after },
    }
}

/// What an error of a connected datagram socket says: mostly the ICMP error that it stands for.
fn datagram_failure(error: &io::Error) -> Outcome {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Outcome::PortUnreachable,
        _ => connect_failure(error),
    }
}
