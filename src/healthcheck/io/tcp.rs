//! `TCP_CHECK`: connect and close. It sends nothing and reads nothing.
//!
//! A fault of our own (no descriptor, cannot bind) is an outcome apart from what the server did.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::Endpoint;

/// One run; it ends within `connect_timeout`.
pub async fn check(endpoint: &Endpoint) -> Outcome {
    match connect(endpoint).await {
        Ok(_) => Outcome::Connected,
        Err(failure) => failure,
    }
}

/// A connection to the endpoint.
///
/// # Errors
/// The outcome of the run, where there is none.
pub async fn connect(endpoint: &Endpoint) -> Result<TcpStream, Outcome> {
    let socket = socket(endpoint).map_err(Outcome::Local)?;
    match timeout(endpoint.connect_timeout, socket.connect(endpoint.addr)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(connect_failure(&error)),
        Err(_) => Err(Outcome::Timeout { waiting_for: Stage::Connect, after: endpoint.connect_timeout }),
    }
}

fn socket(endpoint: &Endpoint) -> Result<TcpSocket, LocalFault> {
    let errno = |error: &io::Error| error.raw_os_error().unwrap_or(0);
    let socket = Socket::new(Domain::for_address(endpoint.addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))
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
        choose_port(&socket, endpoint.bind_port)
            .and_then(|()| socket.bind(&from.into()))
            .map_err(|error| LocalFault::Bind { errno: errno(&error) })?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// A fixed port must be free for the next run: it ends by a reset, since `TIME_WAIT` would hold it for a minute.
/// Without one the kernel picks it at `connect(2)`, when it knows the server, so that ports last for many servers.
fn choose_port(socket: &Socket, bind_port: Option<u16>) -> io::Result<()> {
    if bind_port.is_some() {
        socket.set_reuse_address(true)?;
        socket.set_linger(Some(Duration::ZERO))
    } else {
        setsockopt(socket, sockopt::IpBindAddressNoPort, &true).map_err(io::Error::from)
    }
}

/// What an error of `connect(2)` says: ours, the network's, or the server's doing.
fn connect_failure(error: &io::Error) -> Outcome {
    let errno = error.raw_os_error().unwrap_or(0);
    match errno {
        libc::EACCES
        | libc::EADDRNOTAVAIL
        | libc::EADDRINUSE
        | libc::EAFNOSUPPORT
        | libc::EAGAIN
        | libc::EINVAL
        | libc::ENOBUFS
        | libc::ENOMEM
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
