//! A host that harms its network: it floods it with VRRP packets that nobody should take (real adverts, each spoilt in
//! one way, from its own address and from those of others), or claims an address for the hardware address of another.
#![expect(clippy::disallowed_methods, reason = "the lab's floods wait between packets")]

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::net::if_::if_nametoindex;

use super::error::LabError;
use super::host::Host;
use super::wait::Clock;
use crate::base::Family;
use crate::vrrp::Discard;
use crate::vrrp::io::neighbour::Announcer;
use crate::vrrp::io::socket::{PACKET_MAX, Socket};
use crate::vrrp::ip;
use crate::vrrp::settings::GROUP_V4;

const ETHERNET: usize = 14;
/// Place of the checksum in an advert (RFC 9568 section 5.1).
const CHECKSUM: usize = 6;

/// How an advert is spoilt, and as what it is dropped: each by another check, but for those of its length.
type Spoil = (Discard, fn(&mut Vec<u8>));
const SPOILS: [Spoil; 7] = [
    (Discard::Checksum, |bytes| flip(bytes, 6)),
    (Discard::Version, |bytes| flip(bytes, 0)),
    // Of no virtual router here, most likely.
    (Discard::Vrid, |bytes| sound(bytes, 0, |word| word ^ 0x0050)),
    (Discard::Type, |bytes| sound(bytes, 0, |word| word ^ 0x0300)),
    (Discard::Interval, |bytes| sound(bytes, 4, |_| 0)),
    // Than its count of addresses says.
    (Discard::Length, |bytes| bytes.truncate(9)),
    // Than its header.
    (Discard::Length, |bytes| bytes.truncate(3)),
];

/// As what the packets of a flood are dropped.
pub fn kinds() -> BTreeSet<Discard> {
    SPOILS.iter().map(|(kind, _)| *kind).chain([Discard::Ttl]).collect()
}

/// Another 16-bit word, and a checksum that fits it (RFC 1624): whoever drops the packet has looked at the word.
fn sound(bytes: &mut [u8], at: usize, change: impl Fn(u16) -> u16) {
    let read = |bytes: &[u8], at| bytes.get(at..).and_then(<[u8]>::first_chunk).map(|word| u16::from_be_bytes(*word));
    let (Some(old), Some(sum)) = (read(bytes, at), read(bytes, CHECKSUM)) else { return };
    let new = change(old);
    let total = u32::from(!sum) + u32::from(!old) + u32::from(new);
    let folded = (total & 0xffff) + (total >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let sum = !u16::try_from(folded).unwrap_or(u16::MAX);
    for (at, word) in [(at, new), (CHECKSUM, sum)] {
        bytes.iter_mut().skip(at).zip(word.to_be_bytes()).for_each(|(byte, wanted)| *byte = wanted);
    }
}

fn flip(bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 0x50;
    }
}

/// The packet of this number, from `sources` in turn: spoilt in each way, at last with the TTL of one that a router
/// passed on.
fn spoilt(number: usize, mac: [u8; 6], sources: &[Ipv4Addr], advert: &[u8]) -> Option<Vec<u8>> {
    let ways = SPOILS.len() + 1;
    let source = sources.iter().cycle().nth((number / ways) % sources.len().max(1))?;
    let (source, group) = (IpAddr::V4(*source), IpAddr::V4(GROUP_V4));
    let mut bytes = advert.to_vec();
    let Some((_, spoil)) = SPOILS.get(number % ways) else {
        let frame = ip::frame(mac, source, group, &bytes)?;
        let mut packet = frame.get(ETHERNET..)?.to_vec();
        *packet.get_mut(ip::TTL)? = 1;
        // Filled in again.
        packet.get_mut(ip::TTL + 2..ip::TTL + 4)?.fill(0);
        return Some(ip::frame_of(mac, group, packet));
    };
    spoil(&mut bytes);
    ip::frame(mac, source, group, &bytes)
}

/// Flood from `host` for `how_long`, one packet each `every`, from its address and those in `forged`. The first advert
/// that is heard is the model.
///
/// # Errors
/// Where the thread cannot start. What the sockets refuse ends the flood, and is logged.
pub fn flood(
    host: &Host,
    forged: Vec<Ipv4Addr>,
    every: Duration,
    how_long: Duration,
) -> Result<JoinHandle<Result<(), LabError>>, LabError> {
    let (interface, mac) = (host.interface().clone(), host.mac()?.unwrap_or_default());
    host.thread("flood", move || {
        let attack = || -> io::Result<()> {
            let index = if_nametoindex(interface.as_str())?;
            let listener = Socket::open(&interface, index, Family::V4, &BTreeSet::from([IpAddr::V4(GROUP_V4)]))?;
            let speaker = Announcer::open()?;
            let (clock, mut buffer, mut model, mut number) = (Clock::start(), [0; PACKET_MAX], None, 0_usize);
            while clock.now().since_start() < how_long {
                if let Some((_, bytes)) = listener.receive(&mut buffer)? {
                    // What it sends itself does not come back.
                    model = Some(bytes.to_vec());
                }
                if let Some(frame) = model.as_ref().and_then(|advert| spoilt(number, mac, &forged, advert)) {
                    speaker.send(index, &frame)?;
                    number = number.wrapping_add(1);
                }
                std::thread::sleep(every);
            }
            Ok(())
        };
        if let Err(error) = attack() {
            tracing::warn!(%error, "the flood stopped");
        }
    })
}

/// Say from `host` so many times, one each `every`, that `address` is at `mac`.
///
/// # Errors
/// As [`flood`].
pub fn claim(
    host: &Host,
    mac: [u8; 6],
    address: Ipv4Addr,
    every: Duration,
    times: u32,
) -> Result<JoinHandle<Result<(), LabError>>, LabError> {
    let interface = host.interface().clone();
    host.thread("claims", move || {
        let claim = || -> io::Result<()> {
            let (index, speaker) = (if_nametoindex(interface.as_str())?, Announcer::open()?);
            for _ in 0..times {
                speaker.announce(index, mac, address.into(), false)?;
                std::thread::sleep(every);
            }
            Ok(())
        };
        if let Err(error) = claim() {
            tracing::warn!(%error, "the claims stopped");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AdvertInterval, Vrid};
    use crate::vrrp::packet::{Advert, Auth, Body, ChecksumForm, Envelope, PROTOCOL};

    #[test]
    fn each_source_sends_each_spoilt_packet_with_a_header_that_passes() {
        let sources = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
        let (own, group) = (IpAddr::V4(sources[0]), IpAddr::V4(GROUP_V4));
        let envelope = Envelope { source: own, destination: group, ttl: Some(255) };
        for body in [Body::V2(Auth::None), Body::V3 { checksum: ChecksumForm::PseudoHeader }] {
            let interval = AdvertInterval::from_centis(100).unwrap();
            let (vrid, addresses) = (Vrid::new(77).unwrap(), vec![[10, 0, 0, 100].into()]);
            let advert = Advert { vrid, priority: 150, interval, addresses, body }.emit(own, group);
            let mut seen = BTreeSet::new();
            let read = |bytes: &[u8]| match Advert::parse(bytes, &envelope) {
                Ok(advert) if advert.vrid.get() == 77 => None,
                Ok(_) => Some(Discard::Vrid),
                Err(discard) => Some(discard),
            };
            assert_eq!(read(&advert), None);
            for number in 0..16 {
                let frame = spoilt(number, [2, 0, 0, 0, 0, 9], &sources, &advert).unwrap();
                let packet = ip::read(&frame[ETHERNET..]).unwrap();
                let of_a_router = number % 8 == 7;
                assert_eq!(packet.protocol, PROTOCOL);
                assert_eq!(packet.envelope.ttl, Some(if of_a_router { 1 } else { 255 }), "{number}");
                assert_eq!(packet.payload == advert, of_a_router, "{number}");
                // The checksum of version 3 counts the source.
                if packet.envelope.source == own && !of_a_router {
                    assert_eq!(read(packet.payload), Some(SPOILS[number % 8].0), "{number}");
                }
                seen.insert((packet.envelope.source, packet.payload.to_vec(), packet.envelope.ttl));
            }
            assert_eq!(seen.len(), 16);
        }
        assert_eq!(spoilt(0, [0; 6], &[], &[]), None);
    }
}
