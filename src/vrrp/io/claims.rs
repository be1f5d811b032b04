//! What neighbours say of addresses: ARP packets, and Neighbour Advertisements (RFC 4861 section 4.4) to all nodes.
//!
//! One socket each for all interfaces. Nothing here waits; what is malformed is told as such, so that it is counted.

use std::io;
use std::mem::size_of_val;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, SockaddrIn6, SockaddrStorage, recvfrom, recvmsg, setsockopt, sockopt,
};
use pnet_packet::FromPacket as _;
use pnet_packet::arp::{ArpHardwareTypes, ArpPacket};
use pnet_packet::ethernet::EtherTypes;
use pnet_packet::icmpv6::ndp::{NdpOptionTypes, NeighborAdvertPacket};

/// `ICMPV6_FILTER` (`linux/icmpv6.h`).
const ICMP6_FILTER: libc::c_int = 1;
/// Longest that is looked at: an advert with a few options.
const FRAME_MAX: usize = 256;

/// Somebody says: this address is at this hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The interface that it came in on.
    pub index: u32,
    pub address: IpAddr,
    pub mac: [u8; 6],
}

/// What cannot be read, or may not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What came in.
pub type Said = Result<Claim, Malformed>;

/// Every ARP packet that this host hears.
#[derive(Debug)]
pub struct ArpListener(OwnedFd);

/// Every Neighbour Advertisement that this host hears.
#[derive(Debug)]
pub struct NdListener(OwnedFd);

impl AsRawFd for ArpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsRawFd for NdListener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl ArpListener {
    /// # Errors
    /// Without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let protocol = libc::c_int::from(EtherTypes::Arp.0.to_be());
        open(libc::AF_PACKET, libc::SOCK_DGRAM, protocol).map(Self)
    }

    /// The next claim, or malformed packet; `None`: no more for now. What is no claim is passed over.
    ///
    /// # Errors
    /// Of the kernel; listening can go on.
    pub fn next(&self) -> io::Result<Option<Said>> {
        let mut buffer = [0; FRAME_MAX];
        loop {
            let (length, from) = match recvfrom::<SockaddrStorage>(self.0.as_raw_fd(), &mut buffer) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            let index = from.as_ref().and_then(SockaddrStorage::as_link_addr).map(LinkAddr::ifindex);
            let bytes = buffer.get(..length).unwrap_or_default();
            let Some(index) = index.and_then(|index| index.try_into().ok()) else { continue };
            match arp(bytes) {
                Ok(Some((address, mac))) => return Ok(Some(Ok(Claim { index, address: address.into(), mac }))),
                Ok(None) => {}
                Err(malformed) => return Ok(Some(Err(malformed))),
            }
        }
    }
}

impl NdListener {
    /// # Errors
    /// Without `CAP_NET_RAW`, or in a kernel without IPv6.
    pub fn open() -> io::Result<Self> {
        let socket = open(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        only_neighbour_adverts(&socket)?;
        Ok(Self(socket))
    }

    /// The next claim, or malformed packet; `None`: no more for now. What is no claim is passed over.
    ///
    /// # Errors
    /// Of the kernel; listening can go on.
    pub fn next(&self) -> io::Result<Option<Said>> {
        let mut buffer = [0; FRAME_MAX];
        loop {
            let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
            let (mut index, mut hops) = (None, None);
            let length = {
                let mut iov = [io::IoSliceMut::new(&mut buffer)];
                let flags = MsgFlags::MSG_DONTWAIT;
                let received = match recvmsg::<SockaddrIn6>(self.0.as_raw_fd(), &mut iov, Some(&mut control), flags) {
                    Ok(received) => received,
                    Err(Errno::EAGAIN) => return Ok(None),
                    Err(errno) => return Err(errno.into()),
                };
                for message in received.cmsgs()? {
                    if let ControlMessageOwned::Ipv6PacketInfo(info) = message {
                        index = Some(info.ipi6_ifindex);
                    } else if let ControlMessageOwned::Ipv6HopLimit(limit) = message {
                        hops = Some(limit);
                    }
                }
                received.bytes
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            let Some(index) = index else { continue };
            // Less than 255 came over a router, which no neighbour does (RFC 4861 section 7.1.2).
            match advert(bytes).and_then(|claim| if hops == Some(255) { Ok(claim) } else { Err(Malformed) }) {
                Ok(Some((address, mac))) => return Ok(Some(Ok(Claim { index, address: address.into(), mac }))),
                Ok(None) => {}
                Err(malformed) => return Ok(Some(Err(malformed))),
            }
        }
    }
}

#[expect(unsafe_code, reason = "nix knows neither a packet socket's protocol by number nor ICMPv6")]
fn open(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is open and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Type 136 passes (RFC 3542 section 3.2; Linux sets a bit for what it blocks).
#[expect(unsafe_code, reason = "nix has no such option")]
fn only_neighbour_adverts(socket: &OwnedFd) -> io::Result<()> {
    let mut blocked = [u32::MAX; 8];
    if let Some(word) = blocked.get_mut(136 / 32) {
        *word &= !(1 << (136 % 32));
    }
    let length = libc::socklen_t::try_from(size_of_val(&blocked)).unwrap_or_default();
    let option = (&raw const blocked).cast();
    // SAFETY: `option` points to `length` bytes that live through the call.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_ICMPV6, ICMP6_FILTER, option, length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Who says to be where: request or reply, gratuitous or not. A probe (RFC 5227) claims nothing, nor does what is not
/// about IPv4 on Ethernet.
///
/// # Errors
/// [`Malformed`] where it is cut off, or its addresses have other lengths.
pub fn arp(bytes: &[u8]) -> Result<Option<(Ipv4Addr, [u8; 6])>, Malformed> {
    let packet = ArpPacket::new(bytes).ok_or(Malformed)?.from_packet();
    if packet.hardware_type != ArpHardwareTypes::Ethernet || packet.protocol_type != EtherTypes::Ipv4 {
        return Ok(None);
    }
    if (packet.hw_addr_len, packet.proto_addr_len) != (6, 4) {
        return Err(Malformed);
    }
    let address = packet.sender_proto_addr;
    Ok((!address.is_unspecified()).then(|| (address, packet.sender_hw_addr.octets())))
}

/// An advert without its sender's link-layer address claims nothing that could be told from our own.
///
/// # Errors
/// [`Malformed`] where it or an option is cut off, or an option has no length (RFC 4861 section 7.1.2).
pub fn advert(bytes: &[u8]) -> Result<Option<(Ipv6Addr, [u8; 6])>, Malformed> {
    let packet = NeighborAdvertPacket::new(bytes).ok_or(Malformed)?;
    let mut rest = bytes.get(NeighborAdvertPacket::minimum_packet_size()..).ok_or(Malformed)?;
    // Type, length in units of 8 bytes, then the address (RFC 4861 section 4.6.1).
    while let Some(([kind, units], _)) = rest.split_first_chunk::<2>() {
        let length = usize::from(*units) * 8;
        let option = rest.get(..length).filter(|option| !option.is_empty()).ok_or(Malformed)?;
        if *kind == NdpOptionTypes::TargetLLAddr.0 {
            let mac = option.get(2..).and_then(<[u8]>::first_chunk::<6>).copied().ok_or(Malformed)?;
            return Ok(Some((packet.get_target_addr(), mac)));
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(None) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_who_is_where() {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 192, 0, 2, 1];
        bytes.extend([0xff; 6].iter().chain(&[192, 0, 2, 1]));
        assert_eq!(arp(&bytes), Ok(Some((Ipv4Addr::new(192, 0, 2, 1), [2, 0, 0, 0, 0, 9]))));
        for length in 0..bytes.len() {
            assert_eq!(arp(&bytes[..length]), Err(Malformed), "{length}");
        }
        let with = |at: usize, byte: u8| -> Vec<u8> {
            bytes.iter().enumerate().map(|(place, old)| if place == at { byte } else { *old }).collect()
        };
        assert_eq!(arp(&with(4, 8)), Err(Malformed), "another length");
        assert_eq!(arp(&with(1, 6)), Ok(None), "another kind of network");
        let probe: Vec<u8> =
            bytes.iter().enumerate().map(|(at, byte)| if (14..18).contains(&at) { 0 } else { *byte }).collect();
        assert_eq!(arp(&probe), Ok(None), "a probe");
    }

    #[test]
    fn an_advert_claims_by_its_option() {
        let target: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let mut bytes = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
        bytes.extend(target.octets());
        assert_eq!(advert(&bytes), Ok(None), "no option");
        let bare = bytes.clone();
        bytes.extend([14, 1, 0, 0, 0, 0, 0, 0]); // a nonce first
        bytes.extend([2, 1, 2, 0, 0, 0, 0, 9]);
        assert_eq!(advert(&bytes), Ok(Some((target, [2, 0, 0, 0, 0, 9]))));
        for length in 0..bytes.len() {
            // Whole options: none, or the nonce alone.
            let expected = if [24, 32].contains(&length) { Ok(None) } else { Err(Malformed) };
            assert_eq!(advert(&bytes[..length]), expected, "{length}");
        }
        for endless in [[14, 0], [2, 0]] {
            let bytes = [bare.clone(), endless.to_vec()].concat();
            assert_eq!(advert(&bytes), Err(Malformed), "an option of no length, or cut off");
        }
    }
}
