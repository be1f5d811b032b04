//! `TCP_CHECK`: connect and close. It sends nothing and reads nothing.
//!
//! A fault of our own (no descriptor, cannot bind) is an outcome apart from what the server did.

use std::io;

use socket2::{Protocol, Type};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::Endpoint;

use super::socket;

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
    let socket = socket::bound(endpoint, Type::STREAM, Protocol::TCP).map_err(Outcome::Local)?;
    match socket.connect(&endpoint.addr.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        done => done.map_err(|error| socket::connect_failure(&error))?,
    }
    let unwatched = |error: io::Error| LocalFault::Socket { errno: error.raw_os_error().unwrap_or(0) };
    let stream = TcpStream::from_std(socket.into()).map_err(|error| Outcome::Local(unwatched(error)))?;
    match timeout(endpoint.connect_timeout, stream.ready(Interest::WRITABLE)).await {
        Ok(Ok(ready)) if !ready.is_write_closed() => Ok(stream),
        // Only now is there an error to ask for: there may be thousands of checks a second, and each call counts.
        Ok(Ok(_)) => match stream.take_error() {
            Ok(None) => Ok(stream),
            Ok(Some(error)) | Err(error) => Err(socket::connect_failure(&error)),
        },
        Ok(Err(error)) => Err(Outcome::Local(unwatched(error))),
        Err(_) => Err(Outcome::Timeout { waiting_for: Stage::Connect, after: endpoint.connect_timeout }),
    }
}
