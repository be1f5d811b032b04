//! Processes as `/proc` shows them, and the kernel's word that one began or ended.
#![expect(clippy::disallowed_methods, reason = "it reads /proc")]

use std::fs;
use std::io;

use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};

use crate::vrrp::track::connector::{self, ProcessEvent};
use crate::vrrp::track::process::Running;

/// `NETLINK_CONNECTOR` (`linux/netlink.h`).
const CONNECTOR: isize = 11;
/// The group of process events: `CN_IDX_PROC` as a mask.
const GROUP: u32 = 1;

/// All process ids.
///
/// # Errors
/// Where there is no `/proc`.
pub fn all() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// One process; `None`: it has ended, or is not for us to see. A zombie does not run.
pub fn read(process: u32, with_command_line: bool) -> Option<Running> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    // `PID (NAME) STATE ...`: the name may hold anything (proc(5)).
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(open + 1..close)?.to_vec();
    if matches!(stat.get(close + 2), Some(b'Z' | b'X')) {
        return None;
    }
    let argv = if with_command_line { fs::read(format!("/proc/{process}/cmdline")).ok()? } else { vec![] };
    let argv = argv.strip_suffix(&[0]).unwrap_or(&argv);
    let argv = if argv.is_empty() { vec![] } else { argv.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect() };
    Some(Running { name, argv })
}

/// The kernel's process connector.
pub struct Events(TokioSocket);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

/// What comes from [`Events`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Event(ProcessEvent),
    /// Something of no interest.
    Nothing,
    /// There was more than the socket could hold: look at all.
    Overrun,
}

impl Events {
    /// # Errors
    /// Without `CAP_NET_ADMIN`, in a network namespace of its own, in a kernel without `CONFIG_PROC_EVENTS`.
    pub fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(CONNECTOR)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUP))?;
        socket.socket_ref().send_to(&connector::listen(), &SocketAddr::new(0, 0), 0)?;
        Ok(Self(socket))
    }

    /// Wait for the next one.
    ///
    /// # Errors
    /// Of the socket.
    pub async fn next(&mut self) -> io::Result<Told> {
        match self.0.recv_from_full().await {
            Ok((datagram, _)) => Ok(connector::event(&datagram).map_or(Told::Nothing, Told::Event)),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Told::Overrun),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_with_its_command_line() {
        let own = std::process::id();
        assert!(all().unwrap().contains(&own));
        let seen = read(own, true).unwrap();
        let expected: Vec<Vec<u8>> =
            std::env::args_os().map(|word| std::os::unix::ffi::OsStrExt::as_bytes(word.as_os_str()).to_vec()).collect();
        assert_eq!(seen.argv, expected);
        assert!(!seen.name.is_empty());
        assert_eq!(read(own, false).map(|seen| seen.argv), Some(vec![]));
        assert_eq!(read(u32::MAX, true), None);
    }
}
