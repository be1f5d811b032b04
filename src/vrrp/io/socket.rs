//! Raw sockets of protocol 112, one per interface and family. Nothing here waits.

use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Type};

use crate::base::{Family, IfName};
use crate::vrrp::ah;
use crate::vrrp::packet::Envelope;

/// IANA's protocol number of VRRP (RFC 9568 section 5.1.1.4).
const VRRP: i32 = 112;
/// Queued packets: a flood of them must not push out the one that counts.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Longest packet: an IP header with options, 255 IPv6 addresses.
pub const PACKET_MAX: usize = 4608;
/// Internetwork control (RFC 2474): routers forward it first.
const TRAFFIC_CLASS: u32 = 0xc0;

/// A socket bound to one interface.
#[derive(Debug)]
pub struct Socket {
    inner: socket2::Socket,
    family: Family,
    index: u32,
    groups: BTreeSet<IpAddr>,
    /// For packets with an Authentication Header: it takes and gives them whole.
    sealed: Option<socket2::Socket>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl Socket {
    /// Open it for packets that come in on `interface`, and to the groups.
    ///
    /// # Errors
    /// Of the kernel: no permission (`CAP_NET_RAW`), no such interface.
    pub fn open(interface: &IfName, index: u32, family: Family, groups: &BTreeSet<IpAddr>) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = socket2::Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(VRRP)))?;
        socket.bind_device(Some(interface.as_str().as_bytes()))?;
        // Beyond the system's limit where we may; else as much as there is.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        match family {
            Family::V4 => {
                // An address that was just removed still has to resign.
                socket.set_freebind_v4(true)?;
                socket.set_multicast_loop_v4(false)?;
                socket.set_multicast_all_v4(false)?;
                socket.set_multicast_ttl_v4(255)?;
                socket.set_ttl_v4(255)?;
                socket.set_tos_v4(TRAFFIC_CLASS)?;
            }
            Family::V6 => {
                socket.set_freebind_v6(true)?;
                socket.set_multicast_loop_v6(false)?;
                socket.set_multicast_all_v6(false)?;
                socket.set_multicast_hops_v6(255)?;
                socket.set_unicast_hops_v6(255)?;
                socket.set_multicast_if_v6(index)?;
                socket.set_tclass_v6(TRAFFIC_CLASS)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            }
        }
        let mut opened = Self { inner: socket, family, index, groups: BTreeSet::new(), sealed: None };
        opened.join(groups)?;
        Ok(opened)
    }

    /// Take packets with an Authentication Header too (IPv4); the descriptor to wait for, where it is new.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn open_sealed(&mut self, interface: &IfName) -> io::Result<Option<BorrowedFd<'_>>> {
        if self.sealed.is_some() {
            return Ok(None);
        }
        let socket = socket2::Socket::new(
            Domain::IPV4,
            Type::RAW.nonblocking().cloexec(),
            Some(Protocol::from(i32::from(ah::PROTOCOL))),
        )?;
        socket.bind_device(Some(interface.as_str().as_bytes()))?;
        socket.set_header_included_v4(true)?;
        socket.set_freebind_v4(true)?;
        socket.set_multicast_loop_v4(false)?;
        // The groups are joined by the other socket; this one hears those of the whole interface.
        socket.set_multicast_all_v4(true)?;
        let opened: &socket2::Socket = self.sealed.insert(socket);
        Ok(Some(opened.as_fd()))
    }

    /// The next packet of protocol 51, whole; `None`: no more.
    ///
    /// # Errors
    /// As of [`Socket::receive`].
    pub fn receive_sealed<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        let Some(socket) = &self.sealed else { return Ok(None) };
        match nix::sys::socket::recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(buffer.get(..length)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Send a whole packet. It never waits: a full queue is an error.
    ///
    /// # Errors
    /// Of the kernel: the interface is down.
    pub fn send_sealed(&self, destination: IpAddr, packet: &[u8]) -> io::Result<()> {
        let socket = self.sealed.as_ref().ok_or(Errno::ENOTCONN)?;
        socket.send_to(packet, &std::net::SocketAddr::new(destination, 0).into()).map(drop)
    }

    /// The index of its interface; another one now means another interface of that name.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Be in these groups too. One that nobody needs any more stays joined until the socket closes: its packets
    /// are dropped by the checks.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn join(&mut self, groups: &BTreeSet<IpAddr>) -> io::Result<()> {
        for group in groups {
            if self.groups.contains(group) {
                continue;
            }
            match group {
                IpAddr::V4(group) => {
                    self.inner.join_multicast_v4_n(group, &InterfaceIndexOrAddress::Index(self.index))?;
                }
                IpAddr::V6(group) => self.inner.join_multicast_v6(group, self.index)?,
            }
            self.groups.insert(*group);
        }
        Ok(())
    }

    /// Send one packet from this source address, with this TTL or hop limit. It never waits: a full queue is an error.
    ///
    /// # Errors
    /// Of the kernel: the source is no address of ours, the interface is down.
    pub fn send(&self, source: IpAddr, destination: IpAddr, ttl: u8, bytes: &[u8]) -> io::Result<()> {
        let iov = [io::IoSlice::new(bytes)];
        let (fd, flags) = (self.inner.as_raw_fd(), MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        let (index, ttl) = (self.index, libc::c_int::from(ttl));
        let sent = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(to)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: i32::try_from(index).unwrap_or(0),
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
                sendmsg(
                    fd,
                    &iov,
                    &[ControlMessage::Ipv4PacketInfo(&info), ControlMessage::Ipv4Ttl(&ttl)],
                    flags,
                    Some(&to),
                )
            }
            (IpAddr::V6(source), IpAddr::V6(to)) => {
                let info =
                    libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: source.octets() }, ipi6_ifindex: index };
                let to = SockaddrIn6::from(std::net::SocketAddrV6::new(to, 0, 0, index));
                sendmsg(
                    fd,
                    &iov,
                    &[ControlMessage::Ipv6PacketInfo(&info), ControlMessage::Ipv6HopLimit(&ttl)],
                    flags,
                    Some(&to),
                )
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(Errno::EAFNOSUPPORT),
        };
        sent.map(drop).map_err(io::Error::from)
    }

    /// Take the next packet into `buffer`: where it came from and went to, and the VRRP message. `None`: no more.
    ///
    /// # Errors
    /// Of the kernel. `ENETDOWN` and the like are told once, and reading can go on.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<(Envelope, &'a [u8])>> {
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let (mut destination, mut ttl, mut source) = (None, None, None);
        let length = {
            let mut iov = [IoSliceMut::new(buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = match recvmsg::<SockaddrStorage>(self.inner.as_raw_fd(), &mut iov, Some(&mut control), flags)
            {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            if let Some(from) = received.address.as_ref().and_then(SockaddrStorage::as_sockaddr_in6) {
                source = Some(IpAddr::V6(from.ip()));
            }
            for message in received.cmsgs()? {
                // The kernel may send other kinds too; these two are the ones asked for.
                if let ControlMessageOwned::Ipv6PacketInfo(info) = message {
                    destination = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                } else if let ControlMessageOwned::Ipv6HopLimit(hops) = message {
                    ttl = u8::try_from(hops).ok();
                }
            }
            received.bytes
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        Ok(Some(match self.family {
            Family::V4 => from_ipv4(bytes),
            Family::V6 => {
                let unknown = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
                let (source, destination) = (source.unwrap_or(unknown), destination.unwrap_or(unknown));
                (Envelope { source, destination, ttl }, bytes)
            }
        }))
    }
}

/// A raw IPv4 socket delivers the header too (raw(7)); the kernel has checked its length and checksum.
fn from_ipv4(packet: &[u8]) -> (Envelope, &[u8]) {
    let address = |at: usize| -> IpAddr {
        let bytes = packet.get(at..).and_then(<[u8]>::first_chunk::<4>).copied();
        bytes.map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from).into()
    };
    let header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    let envelope = Envelope { source: address(12), destination: address(16), ttl: packet.get(8).copied() };
    (envelope, packet.get(header..).unwrap_or_default())
}

/// Whether an error means that the process lacks a capability.
pub fn is_permission(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_packet_is_split_at_its_header_length() {
        let mut packet = vec![0_u8; 24];
        packet[0] = 0x46; // with one word of options
        packet[8] = 255;
        packet[12..16].copy_from_slice(&[192, 0, 2, 1]);
        packet[16..20].copy_from_slice(&[224, 0, 0, 18]);
        packet.extend([0x31, 7]);
        let (envelope, message) = from_ipv4(&packet);
        assert_eq!(envelope.source.to_string(), "192.0.2.1");
        assert_eq!(envelope.destination.to_string(), "224.0.0.18");
        assert_eq!((envelope.ttl, message), (Some(255), &[0x31, 7][..]));
        for length in 0..24 {
            from_ipv4(&packet[..length]);
        }
    }
}
