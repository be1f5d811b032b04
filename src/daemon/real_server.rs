//! `vipd real-server list|drain|enable|disable|weight`: an operator's wishes, carried to the running daemon.
#![expect(clippy::disallowed_methods, reason = "a drain is waited for")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::control::api::{RealServerStatus, Status};
use crate::control::io::client::{CallError, call};
use crate::daemon::lvs::WishAsked;
use crate::daemon::rundir::control_socket;

/// Between two looks at the connections that are left.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum RealServerError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the daemon's answer makes no sense ({0}); is it of another version?")]
    Answer(#[from] serde_json::Error),
}

/// The running daemon.
#[derive(Debug)]
pub struct Running {
    socket: PathBuf,
}

/// How a wait for the last connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    Empty,
    /// The deadline passed with so many connections.
    Left(u64),
}

impl Running {
    pub fn new(run_dir: &Path) -> Self {
        Self { socket: control_socket(run_dir) }
    }

    /// # Errors
    /// [`RealServerError`]: no daemon, or none of our version.
    pub async fn status(&self) -> Result<Status, RealServerError> {
        Ok(serde_json::from_str(&call(&self.socket, "GET", "/status", vec![]).await?)?)
    }

    /// Make the wish known; the answer is the virtual servers that it concerns.
    ///
    /// # Errors
    /// As [`Running::status`], and the daemon's refusal where nobody has such a real server.
    pub async fn wish(&self, asked: &WishAsked) -> Result<Vec<String>, RealServerError> {
        let answer = call(&self.socket, "POST", "/real-server", serde_json::to_vec(asked)?).await?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Wait until the real server has no connection, or until the time is up.
    ///
    /// TCP and SCTP connections that are closing count as gone: they wait for nothing but their timeout.
    ///
    /// # Errors
    /// As [`Running::status`].
    pub async fn drained(&self, asked: &WishAsked, wait: Duration) -> Result<Drained, RealServerError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = connections(&self.status().await?, asked);
            if left == 0 {
                return Ok(Drained::Empty);
            }
            if Instant::now() >= deadline {
                return Ok(Drained::Left(left));
            }
            sleep(LOOK).await;
        }
    }
}

/// The real servers of a status, each with its virtual server.
pub fn real_servers<'a>(
    status: &'a Status,
    service: Option<&'a str>,
) -> impl Iterator<Item = (&'a str, &'a RealServerStatus)> {
    let meant = move |name: &str| {
        service.is_none_or(|asked| name == asked || name.split_once(' ').is_some_and(|(_, address)| address == asked))
    };
    let servers = status.virtual_servers.iter().filter(move |server| meant(&server.service));
    servers.flat_map(|server| server.real_servers.iter().map(|real| (server.service.as_str(), real)))
}

fn connections(status: &Status, asked: &WishAsked) -> u64 {
    let address = asked.real_server.to_string();
    // A group's name is no service's: then all of them are looked at.
    let known = real_servers(status, asked.service.as_deref()).next().is_some();
    let service = asked.service.as_deref().filter(|_| known);
    let meant = real_servers(status, service).filter(|(_, real)| real.address == address);
    let open = meant.map(|(service, real)| {
        let closing = if service.starts_with("UDP") { real.inactive } else { 0 };
        u64::from(real.active) + u64::from(closing)
    });
    open.sum()
}
