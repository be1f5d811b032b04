//! Telling neighbours that an address is here now: gratuitous ARP (RFC 5227 section 3) and unsolicited Neighbour
//! Advertisements (RFC 4861 section 7.2.6).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _, sendto, socket,
};
use pnet_base::MacAddr;
use pnet_packet::MutablePacket as _;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::{MutableNdpOptionPacket, MutableNeighborAdvertPacket, NdpOptionTypes};
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Types, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::MutableIpv6Packet;

const ETHERNET: usize = 14;
const ARP: usize = 28;
const IPV6: usize = 40;
/// The fixed part, and one option with the link-layer address.
const ADVERT: usize = 24 + 8;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Override; Router where the host forwards (RFC 4861 section 4.4).
const OVERRIDE: u8 = 0b0010_0000;
const ROUTER: u8 = 0b1000_0000;

/// Where announcements leave from: one packet socket for all interfaces.
#[derive(Debug)]
pub struct Announcer {
    socket: std::os::fd::OwnedFd,
}

impl Announcer {
    /// # Errors
    /// Without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        // Protocol 0: it sends and never receives (packet(7)).
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None::<SockProtocol>)?;
        Ok(Self { socket })
    }

    /// Announce that `address` is at `mac`, on the link with this index. It never waits.
    ///
    /// # Errors
    /// Of the kernel: the link is down or gone, its queue is full.
    pub fn announce(&self, index: u32, mac: [u8; 6], address: IpAddr, router: bool) -> io::Result<()> {
        match address {
            IpAddr::V4(address) => self.send(index, &arp(mac, address)),
            IpAddr::V6(address) => self.send(index, &neighbour_advert(mac, address, router)),
        }
    }

    /// Send a whole Ethernet frame. It never waits.
    ///
    /// # Errors
    /// As of [`Announcer::announce`].
    pub fn send(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        let kind = frame.get(12..).and_then(<[u8]>::first_chunk::<2>).copied().unwrap_or_default();
        let to = link_address(index, u16::from_ne_bytes(kind))?;
        let sent = sendto(self.socket.as_raw_fd(), frame, &to, MsgFlags::MSG_DONTWAIT)?;
        if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// `sockaddr_ll` with the interface, and the protocol in network order.
#[expect(unsafe_code, reason = "nix builds a LinkAddr only from a raw sockaddr")]
pub(super) fn link_address(index: u32, protocol: u16) -> io::Result<LinkAddr> {
    let raw = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: protocol,
        sll_ifindex: i32::try_from(index).unwrap_or_default(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&raw)).ok();
    // SAFETY: `raw` is a whole `sockaddr_ll` and `length` its size.
    unsafe { LinkAddr::from_raw((&raw const raw).cast(), length) }.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// A broadcast ARP request from and for the address itself, as keepalived sends it: more hosts heed it than replies.
fn arp(mac: [u8; 6], address: Ipv4Addr) -> [u8; ETHERNET + ARP] {
    let mut frame = [0; ETHERNET + ARP];
    let mac = MacAddr::from(mac);
    if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) {
        ethernet.set_destination(MacAddr::broadcast());
        ethernet.set_source(mac);
        ethernet.set_ethertype(EtherTypes::Arp);
        if let Some(mut packet) = MutableArpPacket::new(ethernet.payload_mut()) {
            packet.set_hardware_type(ArpHardwareTypes::Ethernet);
            packet.set_protocol_type(EtherTypes::Ipv4);
            packet.set_hw_addr_len(6);
            packet.set_proto_addr_len(4);
            packet.set_operation(ArpOperations::Request);
            packet.set_sender_hw_addr(mac);
            packet.set_sender_proto_addr(address);
            packet.set_target_hw_addr(MacAddr::broadcast());
            packet.set_target_proto_addr(address);
        }
    }
    frame
}

fn neighbour_advert(mac: [u8; 6], address: Ipv6Addr, router: bool) -> [u8; ETHERNET + IPV6 + ADVERT] {
    let mut frame = [0; ETHERNET + IPV6 + ADVERT];
    let mac = MacAddr::from(mac);
    if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) {
        ethernet.set_destination(MacAddr::new(0x33, 0x33, 0, 0, 0, 1)); // RFC 2464 section 7
        ethernet.set_source(mac);
        ethernet.set_ethertype(EtherTypes::Ipv6);
        if let Some(mut packet) = MutableIpv6Packet::new(ethernet.payload_mut()) {
            packet.set_version(6);
            packet.set_payload_length(u16::try_from(ADVERT).unwrap_or_default());
            packet.set_next_header(IpNextHeaderProtocols::Icmpv6);
            packet.set_hop_limit(255);
            packet.set_source(address);
            packet.set_destination(ALL_NODES);
            advert(packet.payload_mut(), mac, address, router);
        }
    }
    frame
}

fn advert(bytes: &mut [u8], mac: MacAddr, address: Ipv6Addr, router: bool) {
    if let Some(mut packet) = MutableNeighborAdvertPacket::new(bytes) {
        packet.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        packet.set_flags(if router { OVERRIDE | ROUTER } else { OVERRIDE });
        packet.set_target_addr(address);
    }
    if let Some(mut option) = bytes.get_mut(24..).and_then(MutableNdpOptionPacket::new) {
        option.set_option_type(NdpOptionTypes::TargetLLAddr);
        option.set_length(1);
        option.set_data(&[mac.0, mac.1, mac.2, mac.3, mac.4, mac.5]);
    }
    let sum = Icmpv6Packet::new(bytes).map_or(0, |packet| checksum(&packet, &address, &ALL_NODES));
    if let Some(field) = bytes.get_mut(2..4) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    #[test]
    fn a_gratuitous_arp_asks_for_the_address_that_it_gives() {
        let frame = hex(&arp(MAC, Ipv4Addr::new(192, 0, 2, 1)));
        let wanted = "ffffffffffff0200000000090806".to_owned()
            + "0001080006040001"
            + "020000000009c0000201"
            + "ffffffffffffc0000201";
        assert_eq!(frame, wanted);
    }

    #[test]
    fn an_unsolicited_advert_overrides_and_has_a_right_checksum() {
        let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
        for (router, flags) in [(true, 0xa0), (false, 0x20)] {
            let frame = neighbour_advert(MAC, address, router);
            assert_eq!(hex(&frame[..14]), "33330000000102000000000986dd");
            let icmp = &frame[54..];
            assert_eq!((icmp[0], icmp[1], icmp[4], icmp.len()), (136, 0, flags, 32));
            assert_eq!(hex(&icmp[8..]), "20010db80000000000000000000000010201020000000009");
            let packet = Icmpv6Packet::new(icmp).unwrap();
            assert_eq!(checksum(&packet, &address, &ALL_NODES), packet.get_checksum());
        }
    }
}
