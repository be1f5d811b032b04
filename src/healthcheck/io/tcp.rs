//! `TCP_CHECK`: connect and close. It sends nothing and reads nothing.
//!
//! A fault of our own (no descriptor, cannot bind) is an outcome apart from what the server did.

use socket2::{Protocol, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::healthcheck::outcome::{Outcome, Stage};
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
    let socket = TcpSocket::from_std_stream(socket.into());
    match timeout(endpoint.connect_timeout, socket.connect(endpoint.addr)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(socket::connect_failure(&error)),
        Err(_) => Err(Outcome::Timeout { waiting_for: Stage::Connect, after: endpoint.connect_timeout }),
    }
}
