//! A TCP connection to a real server, for the kinds of check that then talk over it.
//!
//! `TCP_CHECK`, which does not, is `connector.rs`.

use std::io;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::Endpoint;

use super::socket;

/// A connection to the endpoint, within `connect_timeout`.
///
/// # Errors
/// The outcome of the run, where there is none.
pub async fn connect(endpoint: &Endpoint) -> Result<TcpStream, Outcome> {
    let unwatched = |error: io::Error| LocalFault::Socket { errno: error.raw_os_error().unwrap_or(0) };
    let stream = TcpStream::from_std(socket::connecting(endpoint)?.into());
    let stream = stream.map_err(|error| Outcome::Local(unwatched(error)))?;
    match timeout(endpoint.connect_timeout, stream.ready(Interest::WRITABLE)).await {
        Ok(Ok(ready)) if !ready.is_write_closed() => Ok(stream),
        Ok(Ok(_)) => match stream.take_error() {
            Ok(None) => Ok(stream),
            Ok(Some(error)) | Err(error) => Err(socket::connect_failure(&error)),
        },
        Ok(Err(error)) => Err(Outcome::Local(unwatched(error))),
        Err(_) => Err(Outcome::Timeout { waiting_for: Stage::Connect, after: endpoint.connect_timeout }),
    }
}
