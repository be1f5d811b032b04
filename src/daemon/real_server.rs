//! `vipd real-server list|drain|enable|disable|weight`: an operator's wishes, carried to the running daemon.
#![expect(clippy::disallowed_methods, reason = "a drain is waited for")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::control::api::{RealServerStatus, Status, VirtualServerStatus};
use crate::control::io::client::{CallError, call};
use crate::daemon::lvs::WishAsked;
use crate::daemon::rundir::control_socket;
use crate::lvs::table::DestinationKey;

/// Between two looks at the connections that are left.
const LOOK: Duration = Duration::from_millis(200);
/// A SYN that was given its server just before the drain may be counted just after it.
const QUIET: Duration = Duration::from_secs(1);

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

    /// Wait until the real server has no connection of these virtual servers, or until the time is up.
    ///
    /// What counts is what `ipvsadm -L` calls `ActiveConn`: TCP that begins or is established, SCTP that is established. Of a
    /// service by mark UDP does not count: what is inactive there may as well be TCP that has ended. From its first FIN on a
    /// connection is inactive (`tcp_state_active_table`, `ip_vs_proto_tcp.c`) and counts as gone, though its other half
    /// may still carry data: IPVS does not tell it from those that wait for nothing but their timeout. It must look empty for
    /// [`QUIET`].
    ///
    /// # Errors
    /// As [`Running::status`].
    pub async fn drained(
        &self,
        real_server: DestinationKey,
        of: &[String],
        wait: Duration,
    ) -> Result<Drained, RealServerError> {
        let deadline = Instant::now() + wait;
        let mut busy_at = Instant::now();
        loop {
            let left = connections(&self.status().await?, real_server, of);
            let now = Instant::now();
            if left > 0 {
                busy_at = now;
            } else if now >= busy_at + QUIET {
                return Ok(Drained::Empty);
            }
            if now >= deadline {
                return Ok(if left == 0 { Drained::Empty } else { Drained::Left(left) });
            }
            sleep(LOOK).await;
        }
    }
}

/// The real servers of a status, each with its virtual server.
pub fn real_servers(status: &Status) -> impl Iterator<Item = (&VirtualServerStatus, &RealServerStatus)> {
    status.virtual_servers.iter().flat_map(|server| server.real_servers.iter().map(move |real| (server, real)))
}

fn connections(status: &Status, real_server: DestinationKey, of: &[String]) -> u64 {
    let address = real_server.to_string();
    let meant = real_servers(status)
        .filter(|(server, real)| {
            real.address == address && real.state != "sorry" && of.contains(&server.virtual_server)
        })
        .map(|(server, real)| {
            // UDP has no end: every flow counts until its timeout.
            let datagrams = if server.service.starts_with("UDP") { real.inactive } else { 0 };
            u64::from(real.active) + u64::from(datagrams)
        });
    meant.sum()
}
