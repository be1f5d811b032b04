//! What the interface of a virtual router hears from its own hardware address: the adverts of another router that uses
//! the same. The kernel gives them to that interface alone, and to no other socket of this host (`macvlan_handle_frame`,
//! `drivers/net/macvlan.c`).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{LinkAddr, SockaddrStorage, bind, recvfrom};
use pnet_packet::ethernet::EtherTypes;
use socket2::{Domain, SockFilter, Type};

use super::neighbour::link_address;
use crate::base::Family;
use crate::vrrp::{ah, packet};

// Classic BPF (`linux/bpf_common.h`): a byte by its place; jump where equal; the answer.
const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const ALL: u32 = 0xffff;

/// A packet socket on one interface, for packets of VRRP.
#[derive(Debug)]
pub struct Tap {
    socket: socket2::Socket,
    index: u32,
    mac: [u8; 6],
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Tap {
    /// # Errors
    /// Without `CAP_NET_RAW`, or where the interface is gone.
    pub fn open(index: u32, family: Family, mac: [u8; 6]) -> io::Result<Self> {
        // Without a protocol it hears nothing before it is bound.
        let socket = socket2::Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
        let op = |code, yes, no, value| SockFilter::new(code, yes, no, value);
        let vrrp = u32::from(packet::PROTOCOL);
        let (kind, filter) = match family {
            Family::V4 => (
                EtherTypes::Ipv4,
                vec![
                    op(LOAD_BYTE, 0, 0, 9),
                    op(JUMP_EQUAL, 1, 0, vrrp),
                    op(JUMP_EQUAL, 0, 1, u32::from(ah::PROTOCOL)),
                    op(RETURN, 0, 0, ALL),
                    op(RETURN, 0, 0, 0),
                ],
            ),
            Family::V6 => (
                EtherTypes::Ipv6,
                vec![op(LOAD_BYTE, 0, 0, 6), op(JUMP_EQUAL, 0, 1, vrrp), op(RETURN, 0, 0, ALL), op(RETURN, 0, 0, 0)],
            ),
        };
        socket.attach_filter(&filter)?;
        bind(socket.as_raw_fd(), &link_address(index, kind.0.to_be())?)?;
        Ok(Self { socket, index, mac })
    }

    /// The index of its interface; another one now means another interface of that name.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// The next IP packet from that hardware address, whole; `None`: no more.
    ///
    /// # Errors
    /// Of the kernel. `ENETDOWN` is told once, and reading can go on.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        loop {
            let (length, from) = match recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), buffer) {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            let from = from.as_ref().and_then(SockaddrStorage::as_link_addr).and_then(LinkAddr::addr);
            if from == Some(self.mac) {
                return Ok(buffer.get(..length));
            }
        }
    }
}
