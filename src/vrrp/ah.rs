//! The Authentication Header that VRRPv2 knew as authentication type 2 (RFC 2338 section 5.3.6.2): RFC 2402 with
//! HMAC-MD5-96 (RFC 2403), as keepalived speaks it.
//!
//! The check value covers the IP header without what routers change, the header with the value as zeros, and the message.

use std::net::{IpAddr, Ipv4Addr};

use md5::{Digest as _, Md5};

use super::ip;
use super::packet::Envelope;
use super::receive::Discard;

/// IP protocol number of the header (IANA).
pub const PROTOCOL: u8 = 51;
/// The header: fixed part and 96 bits of check value.
pub const LEN: usize = 24;

/// What the header says comes after it: an advert.
pub const VRRP: u8 = 112;
/// Internetwork control (RFC 2474); routers may change it.
const TRAFFIC_CLASS: u8 = 0xc0;
const ICV_AT: usize = 12;
const ICV_LEN: usize = 12;
/// `LEN` in words of 32 bits, less 2 (RFC 2402 section 2.2).
const LENGTH_WORDS: u8 = 4;
const IP_HEADER_MIN: usize = 20;
const BLOCK: usize = 64;

/// What the header of a valid packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    pub sequence: u32,
    /// The bytes after the header.
    pub message: &'a [u8],
}

/// HMAC (RFC 2104) with MD5 over parts that stand one after the other. The key is at most one block long.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK];
        for (to, from) in block.iter_mut().zip(key) {
            *to ^= from;
        }
        block
    };
    let mut inner = Md5::new();
    inner.update(pad(0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Md5::new();
    outer.update(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// The IP header as the check value covers it: what a router may change is zero (RFC 2402 section 3.3.3.1.1.1). Of a multicast
/// packet, which passes no router, keepalived leaves the time to live in. `None`: it is too short, or has options, which nobody
/// sends here.
fn immutable(ip: &[u8]) -> Option<[u8; IP_HEADER_MIN]> {
    let mut header: [u8; IP_HEADER_MIN] = *ip.first_chunk()?;
    if header.first()? & 0x0f != 5 {
        return None;
    }
    // Type of service; flags and fragment offset; checksum.
    for at in [1, 6, 7, 10, 11] {
        *header.get_mut(at)? = 0;
    }
    let destination: [u8; 4] = *header.get(16..)?.first_chunk()?;
    if !Ipv4Addr::from(destination).is_multicast() {
        *header.get_mut(ip::TTL)? = 0;
    }
    Some(header)
}

fn check_value(key: [u8; 8], ip: &[u8; IP_HEADER_MIN], header: &[u8], message: &[u8]) -> [u8; ICV_LEN] {
    let (before, after) = header.split_at_checked(ICV_AT).unwrap_or((header, &[]));
    let rest = after.get(ICV_LEN..).unwrap_or(&[]);
    let digest = hmac(&key, &[ip, before, &[0; ICV_LEN], rest, message]);
    let mut value = [0; ICV_LEN];
    for (to, from) in value.iter_mut().zip(digest) {
        *to = from;
    }
    value
}

/// The header and the message behind it, for a packet with this IP header (its length filled in, the rest as sent).
/// keepalived takes the source address as the security parameters index; `None` where the IP header is none.
pub fn seal(key: [u8; 8], ip: &[u8], sequence: u32, message: &[u8]) -> Option<Vec<u8>> {
    let ip = immutable(ip)?;
    let source: [u8; 4] = *ip.get(12..)?.first_chunk()?;
    let mut header = vec![VRRP, LENGTH_WORDS, 0, 0];
    header.extend(source);
    header.extend(sequence.to_be_bytes());
    header.extend([0; ICV_LEN]);
    let value = check_value(key, &ip, &header, message);
    header.truncate(ICV_AT);
    header.extend(value);
    header.extend(message);
    Some(header)
}

/// A whole packet with this time to live, for a socket that takes the IP header from us; the kernel fills in its checksum.
/// `None`: IPv6.
pub fn packet(
    key: [u8; 8],
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    sequence: u32,
    message: &[u8],
) -> Option<Vec<u8>> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else { return None };
    let total = u16::try_from(IP_HEADER_MIN + LEN + message.len()).ok()?;
    // A 0 the kernel would replace, and the seal would not fit.
    let identification = u16::try_from(sequence % 0xffff + 1).ok()?;
    let mut ip = vec![0x45, TRAFFIC_CLASS];
    ip.extend(total.to_be_bytes());
    ip.extend(identification.to_be_bytes());
    ip.extend([0, 0, ttl, PROTOCOL, 0, 0]);
    ip.extend(source.octets());
    ip.extend(destination.octets());
    let sealed = seal(key, &ip, sequence, message)?;
    ip.extend(sealed);
    Some(ip)
}

/// What a raw IPv4 socket delivers: where it came from, the IP header, and what follows.
///
/// # Errors
/// [`Discard::Version`] for another protocol than IPv4, [`Discard::Length`] where it is too short.
pub fn split(packet: &[u8]) -> Result<(Envelope, &[u8], &[u8]), Discard> {
    let first = packet.first().ok_or(Discard::Length)?;
    if first >> 4 != 4 {
        return Err(Discard::Version);
    }
    let (ip, payload) = packet.split_at_checked(usize::from(first & 0x0f) * 4).ok_or(Discard::Length)?;
    let addr = |at: usize| Some(IpAddr::from(*ip.get(at..)?.first_chunk::<4>()?));
    let (source, destination) = addr(12).zip(addr(16)).ok_or(Discard::Length)?;
    Ok((Envelope { source, destination, ttl: ip.get(8).copied() }, ip, payload))
}

/// Check what follows the IP header of a packet of protocol 51.
///
/// # Errors
/// [`Discard::Length`] and [`Discard::AuthType`] where it is no such header, [`Discard::AuthData`] where the value is
/// wrong.
pub fn verify<'a>(key: [u8; 8], ip: &[u8], payload: &'a [u8]) -> Result<Verified<'a>, Discard> {
    let (header, message) = payload.split_at_checked(LEN).ok_or(Discard::Length)?;
    let ip = immutable(ip).ok_or(Discard::Length)?;
    let (Some(&[next, length, _, _]), Some(sequence)) =
        (header.first_chunk(), header.get(8..).and_then(<[u8]>::first_chunk))
    else {
        return Err(Discard::Length);
    };
    if next != VRRP || length != LENGTH_WORDS {
        return Err(Discard::AuthType);
    }
    let given = header.get(ICV_AT..).unwrap_or_default();
    let wanted = check_value(key, &ip, header, message);
    // In constant time: how many bytes are right is nobody's business.
    let different = given.iter().zip(wanted).fold(given.len() ^ ICV_LEN, |all, (a, b)| all | usize::from(a ^ b));
    if different != 0 {
        return Err(Discard::AuthData);
    }
    Ok(Verified { sequence: u32::from_be_bytes(*sequence), message })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IP: [u8; 20] = [0x45, 0xc0, 0, 64, 1, 2, 0, 0, 255, 51, 9, 9, 10, 0, 0, 1, 224, 0, 0, 18];

    #[test]
    fn the_hash_is_that_of_the_rfc() {
        // RFC 2202 section 2, tests 1 and 2.
        let number = |bytes: [u8; 16]| u128::from_be_bytes(bytes);
        let first = number(hmac(&[0x0b; 16], &[b"Hi ", b"There"]));
        assert_eq!(first, 0x9294_727a_3638_bb1c_13f4_8ef8_158b_fc9d);
        let second = number(hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]));
        assert_eq!(second, 0x750c_783e_6ab0_b503_eaa8_6e31_0a5d_b738);
    }

    #[test]
    fn what_routers_change_does_not_count_and_all_else_does() {
        let key = *b"secret\0\0";
        let sealed = seal(key, &IP, 7, b"message!").unwrap();
        assert_eq!(sealed.len(), LEN + 8);
        assert_eq!(sealed[4..8], [10, 0, 0, 1]);
        assert_eq!(verify(key, &IP, &sealed), Ok(Verified { sequence: 7, message: b"message!" }));
        let mut routed = IP;
        for at in [1, 6, 10] {
            routed[at] ^= 0x10;
        }
        assert!(verify(key, &routed, &sealed).is_ok());
        for at in [2, 4, 8, 9, 12, 16] {
            let mut forged = IP;
            forged[at] ^= 1;
            assert_eq!(verify(key, &forged, &sealed), Err(Discard::AuthData), "{at}");
        }
        assert_eq!(verify(*b"another\0", &IP, &sealed), Err(Discard::AuthData));
        assert_eq!(verify(key, &IP, &sealed[..23]), Err(Discard::Length));
        assert_eq!(verify(key, &IP[..19], &sealed), Err(Discard::Length));
    }

    /// keepalived 2.2.7 with `auth_pass secret` and `unicast_ttl 64`, as it left its interface.
    #[test]
    fn a_packet_of_keepalived_to_a_peer_is_verified_whatever_became_of_its_time_to_live() {
        let mut packet = [
            0x45, 0xc0, 0x00, 0x40, 0x00, 0x01, 0x00, 0x00, 0x40, 0x33, 0xf5, 0xc6, 0xc0, 0x00, 0x02, 0x02, 0xc0, 0x00,
            0x02, 0x01, 0x70, 0x04, 0x00, 0x00, 0xc0, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x01, 0xc8, 0x5e, 0xfe, 0x7f,
            0xd6, 0x5b, 0x8f, 0x55, 0xb4, 0xe8, 0xd0, 0x58, 0x21, 0x07, 0xc8, 0x01, 0x02, 0x01, 0x52, 0x91, 0xc0, 0x00,
            0x02, 0x64, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        ];
        for ttl in [64, 63, 255] {
            packet[ip::TTL] = ttl;
            let (_, ip, payload) = split(&packet).unwrap();
            assert_eq!(verify(*b"secret\0\0", ip, payload).map(|verified| verified.sequence), Ok(1), "{ttl}");
        }
    }

    #[test]
    fn a_packet_of_keepalived_is_verified() {
        // keepalived 2.2.7 with `auth_pass secret`, as it left its interface.
        const PACKET: [u8; 64] = [
            0x45, 0xc0, 0x00, 0x40, 0x00, 0x01, 0x00, 0x00, 0xff, 0x33, 0x18, 0xb5, 0xc0, 0x00, 0x02, 0x02, 0xe0, 0x00,
            0x00, 0x12, 0x70, 0x04, 0x00, 0x00, 0xc0, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x01, 0x90, 0x48, 0x12, 0x29,
            0xdc, 0xd5, 0x15, 0x4f, 0x3f, 0x27, 0xcd, 0x60, 0x21, 0x07, 0xc8, 0x01, 0x02, 0x01, 0x52, 0x91, 0xc0, 0x00,
            0x02, 0x64, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        ];
        let (_, ip, payload) = split(&PACKET).unwrap();
        let verified = verify(*b"secret\0\0", ip, payload).unwrap();
        assert_eq!((verified.sequence, verified.message.len()), (1, 20));
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        let ours = packet(*b"secret\0\0", addr("192.0.2.2"), addr("224.0.0.18"), 255, 1, verified.message).unwrap();
        assert_eq!(ours.len(), PACKET.len());
    }

    #[test]
    fn a_whole_packet_is_read_back() {
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        let whole = packet([7; 8], addr("10.0.0.1"), addr("224.0.0.18"), 64, 65_535, b"12345678").unwrap();
        let (envelope, ip, payload) = split(&whole).unwrap();
        assert_eq!(
            (envelope.source, envelope.destination, envelope.ttl),
            (addr("10.0.0.1"), addr("224.0.0.18"), Some(64))
        );
        assert_eq!(verify([7; 8], ip, payload), Ok(Verified { sequence: 65_535, message: b"12345678" }));
        assert_eq!(packet([7; 8], addr("fe80::1"), addr("ff02::12"), 255, 1, b""), None);
        for end in 0..20 {
            assert_eq!(split(&whole[..end]), Err(Discard::Length));
        }
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_noticed(at in 0usize..32, bit in 0u8..8, message: [u8; 8]) {
            let mut sealed = seal([1; 8], &IP, 9, &message).unwrap();
            sealed[at] ^= 1 << bit;
            // Two bytes are reserved, and covered as well.
            prop_assert!(verify([1; 8], &IP, &sealed).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(ip in proptest::collection::vec(any::<u8>(), 0..40),
                                  payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = verify([0; 8], &ip, &payload);
            let _ = seal([0; 8], &ip, 1, &payload);
        }
    }
}
