//! A host that floods its network with VRRP packets that nobody should take: real adverts, each spoilt in one way.
#![expect(clippy::disallowed_methods, reason = "the lab's floods wait between packets")]

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Type};

use super::error::LabError;
use super::host::Host;
use super::wait::Clock;
use crate::base::Family;
use crate::vrrp::io::socket::{PACKET_MAX, Socket};
use crate::vrrp::settings::GROUP_V4;

/// IANA's protocol number of VRRP.
const VRRP: i32 = 112;

/// How an advert is spoilt; each is dropped by another check.
const SPOILS: [fn(&mut Vec<u8>); 5] = [
    // The checksum.
    |bytes| flip(bytes, 6),
    // The version.
    |bytes| flip(bytes, 0),
    // The VRID: of nobody, most likely.
    |bytes| flip(bytes, 1),
    // Shorter than its count of addresses says.
    |bytes| bytes.truncate(9),
    // Shorter than its header.
    |bytes| bytes.truncate(3),
];

fn flip(bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 0x50;
    }
}

/// Flood from `host` for `how_long`, one packet each `every`. The first advert that is heard is the model.
///
/// # Errors
/// Where the thread cannot start. What the sockets refuse ends the flood, and is logged.
pub fn flood(host: &Host, every: Duration, how_long: Duration) -> Result<JoinHandle<Result<(), LabError>>, LabError> {
    let interface = host.interface().clone();
    host.thread("flood", move || {
        let index = if_nametoindex(interface.as_str()).map_err(io::Error::from);
        let heard = index.and_then(|index| {
            let listener = Socket::open(&interface, index, Family::V4, &BTreeSet::from([IpAddr::V4(GROUP_V4)]))?;
            attack(&listener, interface.as_str(), every, how_long)
        });
        if let Err(error) = heard {
            tracing::warn!(%error, "the flood stopped");
        }
    })
}

fn attack(listener: &Socket, interface: &str, every: Duration, how_long: Duration) -> io::Result<()> {
    let clock = Clock::start();
    let group = SocketAddr::new(GROUP_V4.into(), 0).into();
    let open = |ttl| -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(VRRP)))?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_multicast_ttl_v4(ttl)?;
        Ok(socket)
    };
    let (near, far) = (open(255)?, open(1)?);
    let mut buffer = [0; PACKET_MAX];
    let mut model = None;
    let mut number = 0_usize;
    while clock.now().since_start() < how_long {
        if let Some((_, bytes)) = listener.receive(&mut buffer)? {
            // What it sends itself does not come back.
            model = Some(bytes.to_vec());
        }
        let Some(mut bytes) = model.clone() else {
            std::thread::sleep(every);
            continue;
        };
        let spoil = SPOILS.get(number % (SPOILS.len() + 1));
        match spoil {
            Some(spoil) => {
                spoil(&mut bytes);
                near.send_to(&bytes, &group)?;
            }
            // As it is, but with the TTL of a packet that a router passed on.
            None => _ = far.send_to(&bytes, &group)?,
        }
        number = number.wrapping_add(1);
        std::thread::sleep(every);
    }
    Ok(())
}
