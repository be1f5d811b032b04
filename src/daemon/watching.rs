//! Which interfaces packets may come in on, which addresses are here, and a wake-up when that may have changed.
//!
//! Level-triggered: a message of the kernel only says "look again".
#![expect(clippy::disallowed_methods, reason = "a task of the daemon waits")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use tokio::sync::mpsc;

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR` (`linux/rtnetlink.h`).
const GROUPS: u32 = 1 | 0x10 | 0x100;
/// Messages that come within this time of one another cost one look.
const SETTLE: Duration = Duration::from_millis(50);

/// Names of all interfaces but the loopback ones, sorted.
///
/// # Errors
/// Of `getifaddrs(3)`.
pub fn interfaces() -> Result<Vec<String>, nix::Error> {
    let mut names: Vec<String> = getifaddrs()?
        .filter(|interface| !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK))
        // A label stands in the place of the name.
        .filter_map(|interface| interface.interface_name.split(':').next().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// All addresses of this host.
///
/// # Errors
/// Of `getifaddrs(3)`.
pub fn addresses() -> Result<BTreeSet<IpAddr>, nix::Error> {
    let address = |address: SockaddrStorage| match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
        (None, Some(v6)) => Some(IpAddr::V6(v6.ip())),
        (None, None) => None,
    };
    Ok(getifaddrs()?.filter_map(|interface| address(interface.address?)).collect())
}

/// Get a wake-up each time that links or addresses may have changed; ends when nobody reads any more.
///
/// # Errors
/// Where the kernel gives no netlink socket.
pub fn watch() -> std::io::Result<mpsc::Receiver<()>> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
    let (wake, woken) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            // A queue that ran over (ENOBUFS) means the same as a message.
            if let Err(error) = socket.recv_from_full().await
                && error.raw_os_error() != Some(libc::ENOBUFS)
            {
                tracing::warn!(%error, "links are no longer watched");
                return;
            }
            tokio::time::sleep(SETTLE).await;
            if wake.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(woken)
}
