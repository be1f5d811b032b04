//! Listening for virtual routers on one interface, for `vipd scan`. It joins the groups and sends nothing.
#![expect(clippy::disallowed_methods, reason = "it waits for packets")]

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use crate::base::{Family, IfName};
use crate::daemon::clock;
use crate::vrrp::io::socket::{PACKET_MAX, Socket, is_permission};
use crate::vrrp::scan::Scan;
use crate::vrrp::settings::{GROUP_V4, GROUP_V6};

/// How often the sockets are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("there is no interface {interface}")]
    NoInterface { interface: IfName },
    #[error("listening on {interface} needs CAP_NET_RAW (try sudo)")]
    Permission { interface: IfName },
    #[error("listening on {interface}: {source}")]
    System { interface: IfName, source: io::Error },
}

/// Listen for this long, to the groups of VRRP and to these.
///
/// # Errors
/// [`ScanError`] where neither family can be listened to.
pub fn listen(interface: &IfName, groups: &[IpAddr], how_long: Duration) -> Result<Scan, ScanError> {
    let no_interface = |_| ScanError::NoInterface { interface: interface.clone() };
    let index = if_nametoindex(interface.as_str()).map_err(no_interface)?;
    let open = |family, group| {
        let others = groups.iter().copied().filter(|group| Family::of(*group) == family);
        Socket::open(interface, index, family, &others.chain([group]).collect())
    };
    let opened = open(Family::V4, GROUP_V4.into()).and_then(|mut socket| {
        socket.open_sealed(interface)?;
        Ok(socket)
    });
    let v4 = opened.map_err(|source| {
        let interface = interface.clone();
        if is_permission(&source) {
            ScanError::Permission { interface }
        } else {
            ScanError::System { interface, source }
        }
    })?;
    // A host without IPv6 has nothing to hear there.
    let sockets: Vec<Socket> = std::iter::once(v4).chain(open(Family::V6, GROUP_V6.into()).ok()).collect();
    let mut scan = Scan::default();
    let until = clock::now() + how_long;
    let mut buffer = [0; PACKET_MAX];
    while clock::now() < until {
        for socket in &sockets {
            // An error is told once by the kernel (ENETDOWN); listening goes on.
            while let Ok(Some((envelope, bytes))) = socket.receive(&mut buffer) {
                scan.packet(clock::now(), &envelope, bytes);
                if clock::now() >= until {
                    break;
                }
            }
            while let Ok(Some(packet)) = socket.receive_sealed(&mut buffer) {
                scan.sealed_packet(clock::now(), packet);
                if clock::now() >= until {
                    break;
                }
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(scan)
}
