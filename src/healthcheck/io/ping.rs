//! `PING_CHECK`: one ICMP echo request.
//!
//! It uses an unprivileged socket where `net.ipv4.ping_group_range` allows one and a raw one elsewhere; the sysctl
//! stays as it is.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;

use socket2::{Protocol, Type};
use tokio::net::UdpSocket;

use crate::healthcheck::icmp::{Echo, Framing, IcmpVersion};
use crate::healthcheck::outcome::{LocalFault, Outcome};
use crate::healthcheck::probe::Endpoint;

use super::socket;

/// A header of IPv4 with all options, and our packet.
const PACKET_MAX_BYTES: usize = 128;

/// One run; it ends within `connect_timeout`. The port of the endpoint means nothing.
pub async fn check(endpoint: &Endpoint) -> Outcome {
    let mut endpoint = endpoint.clone();
    endpoint.addr.set_port(0);
    endpoint.bind_port = None;
    let (socket, version, framing) = match open(&endpoint) {
        Ok(opened) => opened,
        Err(failure) => return failure,
    };
    let mut token = [0; 16];
    let (low, high) = token.split_at_mut(8);
    low.copy_from_slice(&RandomState::new().hash_one(0_u8).to_be_bytes());
    high.copy_from_slice(&RandomState::new().hash_one(1_u8).to_be_bytes());
    let echo = Echo::new(version, token);
    let mut room = [0; PACKET_MAX_BYTES];
    let judge = |packet: &[u8], _| echo.judge(framing, packet);
    socket::exchange(&endpoint, &socket, &echo.request(), &mut room, judge).await
}

fn open(endpoint: &Endpoint) -> Result<(UdpSocket, IcmpVersion, Framing), Outcome> {
    let (version, protocol, raw_framing) = match endpoint.addr {
        SocketAddr::V4(_) => (IcmpVersion::V4, Protocol::ICMPV4, Framing::Ipv4),
        SocketAddr::V6(_) => (IcmpVersion::V6, Protocol::ICMPV6, Framing::Bare),
    };
    match socket::datagram(endpoint, Type::DGRAM, protocol) {
        Ok(socket) => Ok((socket, version, Framing::Bare)),
        Err(Outcome::Local(LocalFault::Socket { errno: libc::EACCES })) => {
            socket::datagram(endpoint, Type::RAW, protocol).map(|socket| (socket, version, raw_framing))
        }
        Err(failure) => Err(failure),
    }
}
