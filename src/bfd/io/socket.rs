//! The UDP sockets of BFD: one to receive per family and port, one to send per session. Nothing here waits.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::Family;
use crate::bfd::fleet::Envelope;
use crate::bfd::session::Settings;

/// RFC 5881 section 4, RFC 5883 section 5.
const SINGLE_HOP: u16 = 3784;
const MULTIHOP: u16 = 4784;
/// Source ports (RFC 5881 section 4).
const SOURCE_PORTS: u32 = 16_384;
const SOURCE_PORT_LEAST: u32 = 49_152;
/// Ports that are tried for a session.
const TRIES: u32 = 64;
/// Longer than any control packet with authentication.
pub const PACKET_MAX: usize = 128;
/// Internetwork control (RFC 2474).
const TRAFFIC_CLASS: u32 = 0xc0;

const fn port(multihop: bool) -> u16 {
    if multihop { MULTIHOP } else { SINGLE_HOP }
}

const fn domain(family: Family) -> Domain {
    match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    }
}

/// A number that nobody outside can guess.
pub fn random() -> NonZeroU32 {
    let number = RandomState::new().hash_one(0_u8);
    let [a, b, c, d, ..] = number.to_ne_bytes();
    NonZeroU32::new(u32::from_ne_bytes([a, b, c, d])).unwrap_or(NonZeroU32::MIN)
}

/// Takes the packets of all sessions of one family and one port.
#[derive(Debug)]
pub struct Receiver {
    socket: Socket,
    multihop: bool,
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Receiver {
    /// # Errors
    /// Of the kernel: another BFD daemon has the port.
    pub fn open(family: Family, multihop: bool) -> io::Result<Self> {
        let socket = Socket::new(domain(family), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        let any: IpAddr = match family {
            Family::V4 => {
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
                Ipv4Addr::UNSPECIFIED.into()
            }
            Family::V6 => {
                socket.set_only_v6(true)?;
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
                Ipv6Addr::UNSPECIFIED.into()
            }
        };
        socket.bind(&SocketAddr::new(any, port(multihop)).into())?;
        Ok(Self { socket, multihop })
    }

    /// The next packet; `None`: no more waits.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn receive<'a>(&self, buffer: &'a mut [u8; PACKET_MAX]) -> io::Result<Option<(Envelope, &'a [u8])>> {
        let mut control = nix::cmsg_space!(libc::c_int);
        let (source, ttl, length) = {
            let mut iov = [IoSliceMut::new(buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = match recvmsg::<SockaddrStorage>(self.as_raw_fd(), &mut iov, Some(&mut control), flags) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            let v4 = || Some(IpAddr::V4(received.address.as_ref()?.as_sockaddr_in()?.ip()));
            let v6 = || Some(IpAddr::V6(received.address.as_ref()?.as_sockaddr_in6()?.ip()));
            let mut ttl = None;
            for message in received.cmsgs()? {
                // The kernel may send other kinds too; these two are the ones asked for.
                if let ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) = message {
                    ttl = u8::try_from(hops).ok();
                }
            }
            (v4().or_else(v6).unwrap_or(Ipv4Addr::UNSPECIFIED.into()), ttl, received.bytes)
        };
        let envelope = Envelope { source, ttl, multihop: self.multihop };
        Ok(Some((envelope, buffer.get(..length).unwrap_or_default())))
    }
}

/// Sends the packets of one session, always from the same port.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    to: SocketAddr,
}

impl Sender {
    /// # Errors
    /// Of the kernel: the source is no address of this host, all ports are taken.
    pub fn open(settings: &Settings) -> io::Result<Self> {
        let family = Family::of(settings.neighbor);
        let socket = Socket::new(domain(family), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        let any: IpAddr = match family {
            Family::V4 => {
                socket.set_ttl_v4(settings.ttl.into())?;
                socket.set_tos_v4(TRAFFIC_CLASS)?;
                Ipv4Addr::UNSPECIFIED.into()
            }
            Family::V6 => {
                socket.set_only_v6(true)?;
                socket.set_unicast_hops_v6(settings.ttl.into())?;
                socket.set_tclass_v6(TRAFFIC_CLASS)?;
                Ipv6Addr::UNSPECIFIED.into()
            }
        };
        let source = settings.source.unwrap_or(any);
        let first = random().get() % SOURCE_PORTS;
        let mut bound = Err(io::Error::from(io::ErrorKind::AddrInUse));
        for offset in 0..TRIES {
            let number = SOURCE_PORT_LEAST + (first + offset) % SOURCE_PORTS;
            let Ok(number) = u16::try_from(number) else { continue };
            bound = socket.bind(&SocketAddr::new(source, number).into());
            match &bound {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Ok(()) | Err(_) => break,
            }
        }
        bound?;
        Ok(Self { socket, to: SocketAddr::new(settings.neighbor, port(settings.multihop)) })
    }

    /// Send one. It never waits: a full queue is an error.
    ///
    /// # Errors
    /// Of the kernel: no route, and what an earlier packet ran into (a port that nobody listens on).
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, &self.to.into()).map(|_| ())
    }
}
