//! Asks each director for the VIP at its own hardware address, whoever neighbours believe has it: an ICMP echo each few
//! milliseconds, which the kernel answers that has the address. Who answers is written down by [`super::ear`].
#![expect(clippy::disallowed_methods, reason = "the lab waits between questions")]

use std::io;
use std::net::Ipv4Addr;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use pnet_base::MacAddr;
use pnet_packet::MutablePacket as _;
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpPacket, IcmpTypes, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, MutableIpv4Packet};

use super::error::LabError;
use super::pair::{Lab, Seat};
use super::wait::Stop;
use crate::vrrp::io::neighbour::Announcer;

/// The identifier of our questions, by which their answers are known.
pub const IDENTIFIER: u16 = 0x7669;
/// Between two questions to one director.
const EVERY: Duration = Duration::from_millis(5);

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const ECHO: usize = 8;
const FRAME: usize = ETHERNET + IPV4 + ECHO;

/// Asks until dropped.
#[derive(Debug)]
pub struct Questions {
    stop: Stop,
    thread: Option<JoinHandle<Result<(), LabError>>>,
}

impl Questions {
    pub fn start(lab: &Lab) -> Result<Self, LabError> {
        let client = lab.client();
        let own = client.mac()?.unwrap_or_default();
        let source = lab.sources().first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut frames = vec![];
        for seat in Seat::BOTH {
            // Without hardware addresses nobody is asked, and a promise about the answers is not kept.
            let to = lab.director(seat).host().mac()?;
            frames.extend(to.map(|to| question(own, to, source, lab.facts().vip)));
        }
        let interface = client.interface().as_str().to_owned();
        let open = move || -> io::Result<(Announcer, u32)> { Ok((Announcer::open()?, if_nametoindex(&*interface)?)) };
        let (socket, index) = client.inside(open)?.map_err(|source| LabError::Socket {
            host: client.role().to_owned(),
            what: "packet socket".to_owned(),
            source,
        })?;
        let stop = Stop::default();
        let ending = stop.clone();
        let work = move || {
            while !ending.is_set() {
                for frame in &frames {
                    // One that does not get through is one that is not answered.
                    socket.send(index, frame).ok();
                }
                std::thread::sleep(EVERY);
            }
        };
        Ok(Self { stop, thread: Some(client.thread("questions", work)?) })
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.stop.set();
        self.thread.take().map(JoinHandle::join);
    }
}

/// An echo request (RFC 792).
fn question(from: [u8; 6], to: [u8; 6], source: Ipv4Addr, vip: Ipv4Addr) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) else { return frame };
    ethernet.set_source(MacAddr::from(from));
    ethernet.set_destination(MacAddr::from(to));
    ethernet.set_ethertype(EtherTypes::Ipv4);
    if let Some(mut packet) = MutableIpv4Packet::new(ethernet.payload_mut()) {
        packet.set_version(4);
        packet.set_header_length(5);
        packet.set_total_length(u16::try_from(IPV4 + ECHO).unwrap_or_default());
        packet.set_ttl(64);
        packet.set_next_level_protocol(IpNextHeaderProtocols::Icmp);
        packet.set_source(source);
        packet.set_destination(vip);
        let sum = ipv4::checksum(&packet.to_immutable());
        packet.set_checksum(sum);
        if let Some(mut echo) = MutableEchoRequestPacket::new(packet.payload_mut()) {
            echo.set_icmp_type(IcmpTypes::EchoRequest);
            echo.set_identifier(IDENTIFIER);
        }
        let sum = IcmpPacket::new(packet.payload_mut()).map_or(0, |echo| checksum(&echo));
        if let Some(field) = packet.payload_mut().get_mut(2..4) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_an_echo_request_with_right_checksums() {
        let (own, director) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let frame = question(own, director, Ipv4Addr::new(10, 77, 0, 201), Ipv4Addr::new(10, 77, 0, 100));
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        assert_eq!(frame[26..34], [10, 77, 0, 201, 10, 77, 0, 100]);
        assert_eq!((frame[34], frame[38], frame[39]), (8, 0x76, 0x69));
        for part in [&frame[14..34], &frame[34..]] {
            let sum: u32 = part.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        }
    }
}
