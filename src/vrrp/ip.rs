//! VRRP packets with their IP header, and frames from a virtual router's own hardware address.
//!
//! A socket of the kernel's needs none of it: this is for the virtual MAC of `use_vmac`, whose frames leave by the
//! interface itself and come in by a packet socket. No byte makes it panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{self, Envelope, PROTOCOL};
use crate::base::{Family, Vrid};

/// Internetwork control (RFC 2474): routers forward it first.
const TRAFFIC_CLASS: u8 = 0xc0;
const ETHERTYPE_V4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_V6: [u8; 2] = [0x86, 0xdd];
const HEADER_V4: usize = 20;
const HEADER_V6: usize = 40;
/// Where an IPv4 header has its TTL (RFC 791 section 3.1).
pub const TTL: usize = 8;
/// More Fragments, or an offset (RFC 791 section 3.1).
const FRAGMENT: u16 = 0x3fff;

/// The virtual router's MAC address (RFC 9568 section 7.3).
pub const fn virtual_mac(family: Family, vrid: Vrid) -> [u8; 6] {
    let family = match family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    [0, 0, 0x5e, 0, family, vrid.get()]
}

/// A packet as it came off the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub envelope: Envelope,
    pub protocol: u8,
    /// All of it, without what Ethernet filled it up with.
    pub whole: &'a [u8],
    /// Behind the IP header.
    pub payload: &'a [u8],
}

/// Read an IP packet; `None`: it is none, is cut off, a fragment, or its header's checksum is wrong.
pub fn read(bytes: &[u8]) -> Option<Packet<'_>> {
    match bytes.first()? >> 4 {
        4 => read_v4(bytes),
        6 => read_v6(bytes),
        _ => None,
    }
}

fn read_v4(bytes: &[u8]) -> Option<Packet<'_>> {
    let header: &[u8; HEADER_V4] = bytes.first_chunk()?;
    let &[first, _, long, short, _, _, flags, offset, ttl, protocol, _, _, ref addresses @ ..] = header;
    let (source, destination) = addresses.split_first_chunk::<4>()?;
    let (source, destination) = (Ipv4Addr::from(*source), Ipv4Addr::from(*destination.first_chunk::<4>()?));
    let length = usize::from(first & 0x0f) * 4;
    let whole = bytes.get(..usize::from(u16::from_be_bytes([long, short])))?;
    let (header, payload) = whole.split_at_checked(length)?;
    let is_fragment = u16::from_be_bytes([flags, offset]) & FRAGMENT != 0;
    if length < HEADER_V4 || is_fragment || packet::checksum(header, 0) != 0 {
        return None;
    }
    let envelope = Envelope { source: source.into(), destination: destination.into(), ttl: Some(ttl) };
    Some(Packet { envelope, protocol, whole, payload })
}

/// Extension headers have no place in an advert.
fn read_v6(bytes: &[u8]) -> Option<Packet<'_>> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_V6>()?;
    let &[_, _, _, _, long, short, protocol, hops, ref addresses @ ..] = header;
    let length = usize::from(u16::from_be_bytes([long, short]));
    let (source, destination) = addresses.split_first_chunk::<16>()?;
    let destination: [u8; 16] = destination.try_into().ok()?;
    let envelope = Envelope {
        source: Ipv6Addr::from(*source).into(),
        destination: Ipv6Addr::from(destination).into(),
        ttl: Some(hops),
    };
    let whole = bytes.get(..HEADER_V6 + length)?;
    Some(Packet { envelope, protocol, whole, payload: rest.get(..length)? })
}

/// A frame with a VRRP message, from this hardware address to a multicast group. `None`: the families differ, or the
/// message is longer than a packet.
pub fn frame(mac: [u8; 6], source: IpAddr, destination: IpAddr, message: &[u8]) -> Option<Vec<u8>> {
    let packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(HEADER_V4 + message.len()).ok()?;
            let mut packet = vec![0x45, TRAFFIC_CLASS];
            packet.extend(total.to_be_bytes());
            // Never fragmented, so that it needs no identification (RFC 6864 section 4.1).
            packet.extend([0, 0, 0x40, 0, u8::MAX, PROTOCOL, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            packet.extend(message);
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(message.len()).ok()?;
            let mut packet = vec![0x60 | TRAFFIC_CLASS >> 4, TRAFFIC_CLASS << 4, 0, 0];
            packet.extend(length.to_be_bytes());
            packet.extend([PROTOCOL, u8::MAX]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            packet.extend(message);
            packet
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    Some(frame_of(mac, destination, packet))
}

/// A frame with this IP packet; the checksum of an IPv4 header is filled in.
pub fn frame_of(mac: [u8; 6], destination: IpAddr, mut packet: Vec<u8>) -> Vec<u8> {
    let (to, kind) = match destination {
        IpAddr::V4(group) => {
            // RFC 1112 section 6.4: the low 23 bits.
            let [_, a, b, c] = group.octets();
            ([0x01, 0x00, 0x5e, a & 0x7f, b, c], ETHERTYPE_V4)
        }
        IpAddr::V6(group) => {
            // RFC 2464 section 7: the low 32 bits.
            let [.., a, b, c, d] = group.octets();
            ([0x33, 0x33, a, b, c, d], ETHERTYPE_V6)
        }
    };
    if destination.is_ipv4() {
        if let Some(field) = packet.get_mut(10..12) {
            field.fill(0);
        }
        let sum = packet.get(..HEADER_V4).map_or(0, |header| packet::checksum(header, 0));
        if let Some(field) = packet.get_mut(10..12) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }
    let mut frame = Vec::with_capacity(14 + packet.len());
    frame.extend(to);
    frame.extend(mac);
    frame.extend(kind);
    frame.extend(packet);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 7];

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_frame_is_read_back_without_what_ethernet_adds() {
        let rows = [
            ("192.0.2.1", "224.0.0.18", "01005e00001200005e0001070800"),
            ("fe80::1", "ff02::12", "33330000001200005e00010786dd"),
            ("192.0.2.1", "239.255.3.4", "01005e7f030400005e0001070800"),
        ];
        for (source, group, header) in rows {
            let mut frame = frame(MAC, addr(source), addr(group), b"message").unwrap();
            frame.extend([0; 18]);
            let text = frame[..14].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
            assert_eq!(text, header, "{group}");
            let packet = read(&frame[14..]).unwrap();
            let envelope = Envelope { source: addr(source), destination: addr(group), ttl: Some(255) };
            assert_eq!((packet.envelope, packet.protocol, packet.payload), (envelope, 112, b"message".as_slice()));
            assert_eq!(packet.whole.len(), frame.len() - 14 - 18);
            let shortest = frame.len() - 18;
            for end in 14..shortest {
                assert_eq!(read(&frame[14..end]), None, "{group} {end}");
            }
        }
        assert_eq!(frame(MAC, addr("192.0.2.1"), addr("ff02::12"), b""), None);
    }

    #[test]
    fn what_the_kernel_would_drop_is_dropped() {
        let good = frame(MAC, addr("192.0.2.1"), addr("224.0.0.18"), b"message").unwrap()[14..].to_vec();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            frame_of(MAC, addr("224.0.0.18"), bytes)[14..].to_vec()
        };
        assert!(read(&with(1, 0)).is_some());
        for (name, at, byte) in [
            ("more fragments", 6, 0x20),
            ("an offset", 7, 1),
            ("a short header", 0, 0x44),
            ("a header beyond the end", 0, 0x4f),
            ("no such version", 0, 0x55),
            ("shorter than its header", 3, 19),
        ] {
            assert_eq!(read(&with(at, byte)), None, "{name}");
        }
        let mut wrong = good.clone();
        wrong[10] ^= 1;
        assert_eq!(read(&wrong), None, "checksum");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(packet) = read(&bytes) {
                prop_assert!(packet.payload.len() < packet.whole.len());
            }
        }
    }
}
