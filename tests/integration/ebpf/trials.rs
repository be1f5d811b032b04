//! Single packets through the program, byte by byte: TOA, SCTP, GUE and GRE.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::net::if_::if_nametoindex;
use vipd::lvs::datapath::{Datapath as _, Locals};
use vipd::lvs::io::ebpf::{Ebpf, EbpfOptions, Reason, Verdict};
use vipd::lvs::table::{Encapsulation, Forwarding, Protocol, Scheduler, ServiceKey, Step, TunnelChecksum};

use crate::frames::{ends, is_right, packet, pseudo, put_checksum};
use crate::fuzz::mac;
use crate::lab::{Lab, MASQ_VIP, MASQ_VIP6, address, address6, reason, wait};
use crate::steps::{apply, at, counters, destination, key, service};

const SYN: u8 = 2;
const ACK: u8 = 16;
pub const CLIENT_PORT: u16 = 40_000;

/// A director and a plane that is tried packet by packet.
pub struct Trial {
    pub lab: Lab,
    pub plane: Ebpf,
    pub mac: [u8; 6],
    ifindex: u32,
}

impl Trial {
    pub fn new() -> Self {
        Self::with_connections(16_384)
    }

    /// With a table of this size.
    pub fn with_connections(connections_max: u32) -> Self {
        let lab = Lab::new(1);
        let options = EbpfOptions { connections_max, ..lab.options() };
        let plane = lab.director.run(|| wait(Ebpf::open(&options)).unwrap_or_else(|error| panic!("{error}")));
        let mac = mac(&lab.director.show("link show dev wan"));
        let ifindex = lab.director.run(|| if_nametoindex("wan").unwrap());
        Self { lab, plane, mac, ifindex }
    }

    pub fn serve(&mut self, vip: ServiceKey, server: IpAddr, port: u16, method: Forwarding) {
        let to = at(server, port);
        let steps =
            [Step::AddService(vip, service(Scheduler::Rr)), Step::AddDestination(vip, to, destination(method, 1))];
        apply(&mut self.plane, &steps);
    }

    /// What becomes of an IP packet.
    pub fn go(&mut self, packet: &[u8]) -> (Verdict, Vec<u8>) {
        let frame = self.frame(packet);
        let Self { lab, plane, ifindex, .. } = self;
        lab.director.run(|| plane.trial(&frame, *ifindex)).unwrap()
    }

    /// The same by XDP alone.
    pub fn go_by_xdp(&mut self, packet: &[u8]) -> (Verdict, Vec<u8>) {
        let frame = self.frame(packet);
        let Self { lab, plane, ifindex, .. } = self;
        lab.director.run(|| plane.trial_xdp(&frame, *ifindex)).unwrap()
    }

    fn frame(&self, packet: &[u8]) -> Vec<u8> {
        let mut frame = self.mac.to_vec();
        frame.extend([2, 0, 0, 0, 0, 9]);
        frame.extend(if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] });
        frame.extend_from_slice(packet);
        frame
    }

    /// XDP forwards it; the frame then.
    pub fn forwarded_by_xdp(&mut self, what: &str, packet: &[u8]) -> Vec<u8> {
        let (verdict, frame) = self.go_by_xdp(packet);
        assert_eq!(verdict, Verdict::Forward, "{what}: {:?}", self.plane.reasons());
        frame
    }

    /// It is forwarded; the packet then, whose checksums are right.
    pub fn forwarded(&mut self, what: &str, packet: &[u8]) -> Vec<u8> {
        let (verdict, frame) = self.go(packet);
        assert_eq!(verdict, Verdict::Forward, "{what}: {:?}", self.plane.reasons());
        assert!(is_right(&frame), "{what}: {frame:02x?}");
        frame[14..].to_vec()
    }
}

pub fn vip_of(v6: bool) -> (IpAddr, IpAddr, IpAddr) {
    if v6 {
        (MASQ_VIP6.into(), "fd01::10".parse().unwrap(), address6(1))
    } else {
        (MASQ_VIP.into(), "10.1.0.10".parse().unwrap(), address(1))
    }
}

pub type End = (IpAddr, u16);

struct Segment<'a> {
    flags: u8,
    sequence: u32,
    acknowledged: u32,
    options: &'a [u8],
    payload: &'a [u8],
}

fn tcp(from: End, to: End, segment: &Segment<'_>) -> Vec<u8> {
    let Segment { flags, sequence, acknowledged, options, payload } = segment;
    let mut bytes = vec![];
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledged.to_be_bytes());
    bytes.extend([(((20 + options.len()) / 4) << 4) as u8, *flags, 0x40, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(options);
    bytes.extend_from_slice(payload);
    let pseudo = pseudo(from.0, to.0, 6, bytes.len());
    put_checksum(&mut bytes, 16, &pseudo);
    packet(from.0, to.0, 6, &bytes, 64, None)
}

pub fn head(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 { 20 } else { 40 }
}

/// The options of a segment, and its payload.
fn parts(packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let segment = &packet[head(packet)..];
    let length = usize::from(segment[12] >> 4) * 4;
    (segment[20..length].to_vec(), segment[length..].to_vec())
}

pub fn ports(packet: &[u8]) -> (u16, u16) {
    let at = head(packet);
    (u16::from_be_bytes([packet[at], packet[at + 1]]), u16::from_be_bytes([packet[at + 2], packet[at + 3]]))
}

fn toa(client: IpAddr) -> Vec<u8> {
    let mut option = vec![254, if client.is_ipv4() { 8 } else { 20 }];
    option.extend(CLIENT_PORT.to_be_bytes());
    match client {
        IpAddr::V4(addr) => option.extend(addr.octets()),
        IpAddr::V6(addr) => option.extend(addr.octets()),
    }
    option
}

#[test]
fn the_handshake_tells_the_real_server_who_the_client_is_and_nothing_else_does() {
    // As Linux sends it: MSS, SACK, time stamp, window scale.
    const OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    let mut trial = Trial::new();
    for v6 in [false, true] {
        let (vip, client, server) = vip_of(v6);
        let local: IpAddr = if v6 { "fd02::2" } else { "10.2.0.2" }.parse().unwrap();
        let service = key(Protocol::Tcp, vip, 80);
        trial.plane.set_locals(&BTreeMap::from([(service, Locals { addresses: vec![local], toa: true })])).unwrap();
        trial.serve(service, server, 8080, Forwarding::FullNat);
        let (client_end, vip_end) = ((client, CLIENT_PORT), (vip, 80));
        let up = |flags, acknowledged, options: &[u8], payload: &[u8]| {
            tcp(client_end, vip_end, &Segment { flags, sequence: 1, acknowledged, options, payload })
        };
        let syn = trial.forwarded("the SYN", &up(SYN, 0, &OPTIONS, b""));
        assert_eq!(parts(&syn).0, [toa(client), OPTIONS.to_vec()].concat(), "before the client's own");
        let (local_port, _) = ports(&syn);
        let first = u32::MAX - 1;
        let answer = Segment { flags: SYN | ACK, sequence: first, acknowledged: 2, options: &[], payload: b"" };
        trial.forwarded("the server's SYN", &tcp((server, 8080), (local, local_port), &answer));
        let next = first.wrapping_add(1);
        let ack = trial.forwarded("the last of the handshake", &up(ACK, next, &[], b""));
        assert_eq!(parts(&ack), (toa(client), vec![]));
        let data = trial.forwarded("data", &up(ACK, next, &[1, 1, 1, 0], b"hello"));
        assert_eq!(parts(&data), (vec![1, 1, 1, 0], b"hello".to_vec()));
        let lie = [&[1, 1, 1, 1, 254, 8, 1, 1, 10, 0, 0, 9][..], b""].concat();
        assert_eq!(trial.go(&up(ACK, next, &lie, b"hello")).0, Verdict::Drop, "who lies is not heard");
        assert_eq!(trial.go(&up(ACK, next, &[1; 40], b"hello")).0, Verdict::Drop, "nor who hides something");
        assert_eq!(reason(&trial.plane, Reason::Forged), if v6 { 4 } else { 2 });
        let own = trial.forwarded("a lie without data", &up(ACK, next, &lie, b""));
        assert!(parts(&own).0.starts_with(&toa(client)), "who looks finds ours first: {own:02x?}");
        let past = trial.forwarded("past the handshake", &up(ACK, next.wrapping_add(7), &[], b""));
        assert_eq!(parts(&past).0, [0; 0]);
        assert_eq!(parts(&trial.forwarded("late", &up(ACK, next, &[], b""))).0, [0; 0]);
        let full = trial.forwarded(
            "no room",
            &tcp(
                (client, 41_000),
                vip_end,
                &Segment { flags: SYN, sequence: 1, acknowledged: 0, options: &[1; 40], payload: b"" },
            ),
        );
        assert_eq!(parts(&full).0, [1; 40]);
    }
    trial.lab.close(trial.plane);
}

#[test]
fn without_being_asked_nobody_is_told() {
    let mut trial = Trial::new();
    let (vip, client, server) = vip_of(false);
    let service = key(Protocol::Tcp, vip, 80);
    let local: IpAddr = "10.2.0.2".parse().unwrap();
    trial.plane.set_locals(&BTreeMap::from([(service, vec![local].into())])).unwrap();
    trial.serve(service, server, 8080, Forwarding::FullNat);
    let segment = Segment { flags: SYN, sequence: 1, acknowledged: 0, options: &[], payload: b"" };
    assert_eq!(parts(&trial.forwarded("the SYN", &tcp((client, CLIENT_PORT), (vip, 80), &segment))).0, [0; 0]);
    trial.lab.close(trial.plane);
}

/// RFC 9260 appendix A, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const COOKIE_ECHO: u8 = 10;

pub fn sctp(from: End, to: End, chunk: u8, payload: usize) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    bytes.extend([1, 2, 3, 4, 0, 0, 0, 0, chunk, 0]);
    bytes.extend(((4 + payload) as u16).to_be_bytes());
    bytes.extend((0..payload).map(|at| at as u8));
    let checksum = crc32c(&bytes);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    packet(from.0, to.0, 132, &bytes, 64, None)
}

fn sctp_is_right(packet: &[u8]) -> bool {
    let mut bytes = packet[head(packet)..].to_vec();
    let told = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    bytes[8..12].fill(0);
    crc32c(&bytes) == told
}

#[test]
fn sctp_is_balanced_and_its_checksum_is_right_whatever_its_length() {
    let mut trial = Trial::new();
    for v6 in [false, true] {
        let (vip, client, server) = vip_of(v6);
        let service = key(Protocol::Sctp, vip, 3868);
        trial.serve(service, server, 3869, Forwarding::Masq);
        let (client_end, vip_end, server_end) = ((client, CLIENT_PORT), (vip, 3868), (server, 3869));
        let active = |trial: &mut Trial| {
            let counted = counters(&mut trial.plane);
            let one = counted.services[&service].destinations.values().next().copied().unwrap();
            (one.active, one.inactive)
        };
        assert_eq!(trial.go(&sctp(client_end, vip_end, COOKIE_ECHO, 8)).0, Verdict::Pass, "nobody knows it");
        for (payload, chunk) in [(16, INIT), (1, COOKIE_ECHO), (0, 0), (1401, 0), (997, 0)] {
            let there = trial.forwarded("to the server", &sctp(client_end, vip_end, chunk, payload));
            assert!(sctp_is_right(&there), "{payload} bytes: {there:02x?}");
            assert_eq!(ports(&there), (CLIENT_PORT, 3869));
            let chunk = if chunk == INIT { INIT_ACK } else { chunk };
            let back = trial.forwarded("to the client", &sctp(server_end, client_end, chunk, payload));
            assert!(sctp_is_right(&back), "{payload} bytes: {back:02x?}");
            assert_eq!(ports(&back), (3868, CLIENT_PORT));
        }
        assert_eq!(active(&mut trial), (1, 0));
        let mut unsummed = sctp(client_end, vip_end, 0, 40);
        let field = head(&unsummed) + 8..head(&unsummed) + 12;
        unsummed[field.clone()].fill(0);
        assert_eq!(trial.forwarded("left to the device", &unsummed)[field], [0; 4]);
        trial.forwarded("the end", &sctp(client_end, vip_end, ABORT, 0));
        assert_eq!(active(&mut trial), (0, 1));
    }
    trial.lab.close(trial.plane);
}

#[test]
fn tunnels_in_gue_and_gre_carry_the_packet_as_it_came() {
    let gue = Encapsulation::Gue { port: 6080, checksum: TunnelChecksum::None };
    let gre = Encapsulation::Gre { checksum: TunnelChecksum::None };
    let mut trial = Trial::new();
    for (number, encapsulation) in [gue, gre].into_iter().enumerate() {
        for (v6, server) in [(false, address(1)), (true, address6(1)), (false, address6(1)), (true, address(1))] {
            let (vip, client, _) = vip_of(v6);
            // A service for each way, so that none has the destination of another.
            let port = 80 + number as u16 * 4 + u16::from(v6) * 2 + u16::from(server.is_ipv6());
            let what = format!("{encapsulation:?} of IPv6 {v6} to {server}");
            trial.serve(key(Protocol::Tcp, vip, port), server, port, Forwarding::Tunnel(encapsulation));
            let segment = Segment { flags: SYN, sequence: 1, acknowledged: 0, options: &[], payload: b"" };
            let inner = tcp((client, CLIENT_PORT), (vip, port), &segment);
            let (verdict, framed) = trial.go(&inner);
            assert_eq!(verdict, Verdict::Forward, "{what}: {:?}", trial.plane.reasons());
            assert_eq!(ends(&framed).unwrap().1, server, "{what}");
            let outer = framed[14..].to_vec();
            let (at, length) = (head(&outer), outer.len() - head(&outer));
            let protocol = outer[if server.is_ipv4() { 9 } else { 6 }];
            let inside = match encapsulation {
                Encapsulation::Gre { .. } => {
                    let inner_type = if v6 { [0x86, 0xdd] } else { [8, 0] };
                    assert_eq!(
                        (protocol, &outer[at..at + 4]),
                        (47, &[&[0, 0][..], &inner_type].concat()[..]),
                        "{what}"
                    );
                    &outer[at + 4..]
                }
                Encapsulation::Gue { .. } => {
                    assert_eq!((protocol, ports(&outer).1), (17, 6080), "{what}");
                    assert_eq!(u16::from_be_bytes([outer[at + 4], outer[at + 5]]), length as u16, "{what}");
                    assert_eq!(outer[at + 8..at + 12], [0, if v6 { 41 } else { 4 }, 0, 0], "{what}");
                    &outer[at + 12..]
                }
                Encapsulation::Ipip => panic!("not tried here"),
            };
            assert_eq!(inside.len(), inner.len(), "{what}");
            assert_eq!(inside[head(inside)..], inner[head(&inner)..], "{what}");
            let inside = [&[0; 14], inside].concat();
            assert_eq!(ends(&inside), Some((client, vip)), "{what}");
            // The outer one of GUE has none, over IPv6 too (RFC 6935).
            assert!(is_right(&inside), "{what}");
        }
    }
    let counted = Encapsulation::Gre { checksum: TunnelChecksum::Checksum };
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    let step = Step::AddDestination(vip, at(address(2), 80), destination(Forwarding::Tunnel(counted), 1));
    let refused = wait(trial.plane.apply(&[step])).unwrap_err();
    assert!(refused.to_string().contains("put checksums into tunnels"), "{refused}");
    trial.lab.close(trial.plane);
}
