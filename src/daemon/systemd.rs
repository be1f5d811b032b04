//! Telling systemd what state we are in (`sd_notify(3)`). Without `NOTIFY_SOCKET` nothing happens.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Ready,
    Reloading { monotonic_us: u128 },
    Stopping,
}

/// Tell it; a service manager that does not listen is logged and otherwise ignored.
pub fn tell(what: Told) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text = match what {
        Told::Ready => "READY=1\n".to_owned(),
        Told::Reloading { monotonic_us } => format!("RELOADING=1\nMONOTONIC_USEC={monotonic_us}\n"),
        Told::Stopping => "STOPPING=1\n".to_owned(),
    };
    let send = || -> std::io::Result<usize> {
        let name = socket.to_string_lossy();
        let to = match name.strip_prefix('@') {
            Some(hidden) => SocketAddr::from_abstract_name(hidden)?,
            None => SocketAddr::from_pathname(name.as_ref())?,
        };
        UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &to)
    };
    if let Err(error) = send() {
        tracing::warn!(%error, "the service manager was not told");
    }
}
