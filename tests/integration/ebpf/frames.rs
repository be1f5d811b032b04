//! Frames for the fuzz test: right ones out of few addresses and ports, so that flows meet; and what chance makes of them.

use std::net::IpAddr;

/// The same for the same seed (xorshift64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Ones' complement sum (RFC 1071), not complemented.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub fn put_checksum(bytes: &mut [u8], at: usize, pseudo: &[u8]) {
    bytes[at..at + 2].fill(0);
    let mut all = pseudo.to_vec();
    all.extend_from_slice(bytes);
    let checksum = !sum(&all);
    bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

/// The pseudo header of the transport's checksum (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = octets(from);
    bytes.extend(octets(to));
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes
}

#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub from: (IpAddr, u16),
    pub to: (IpAddr, u16),
    pub tcp: bool,
}

impl Flow {
    pub fn reversed(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }

    fn protocol(self) -> u8 {
        if self.tcp { 6 } else { 17 }
    }
}

/// TCP or UDP with a right checksum.
pub fn transport(flow: Flow, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(flow.from.1.to_be_bytes());
    bytes.extend(flow.to.1.to_be_bytes());
    if flow.tcp {
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x40, 0, 0, 0, 0, 0]);
    } else {
        bytes.extend(((8 + payload.len()) as u16).to_be_bytes());
        bytes.extend([0, 0]);
    }
    bytes.extend_from_slice(payload);
    let pseudo = pseudo(flow.from.0, flow.to.0, flow.protocol(), bytes.len());
    put_checksum(&mut bytes, if flow.tcp { 16 } else { 6 }, &pseudo);
    // A datagram whose checksum is 0 has none (RFC 768).
    if !flow.tcp && bytes[6..8] == [0, 0] {
        bytes[6..8].fill(0xff);
    }
    bytes
}

/// An IP packet around a transport. `fragment`: offset in units of 8 bytes and "more follow".
pub fn packet(
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    inside: &[u8],
    ttl: u8,
    fragment: Option<(u16, bool)>,
) -> Vec<u8> {
    let mut bytes = vec![];
    if from.is_ipv4() {
        let (offset, more) = fragment.unwrap_or((0, false));
        bytes.extend([0x45, 0]);
        bytes.extend(((20 + inside.len()) as u16).to_be_bytes());
        bytes.extend([0, 7]);
        let bits = offset | if more { 0x2000 } else { 0 } | if fragment.is_none() { 0x4000 } else { 0 };
        bytes.extend(bits.to_be_bytes());
        bytes.extend([ttl, protocol, 0, 0]);
        bytes.extend(octets(from));
        bytes.extend(octets(to));
        put_checksum(&mut bytes, 10, &[]);
    } else {
        let extra = if fragment.is_some() { 8 } else { 0 };
        bytes.extend([0x60, 0, 0, 0]);
        bytes.extend(((inside.len() + extra) as u16).to_be_bytes());
        bytes.extend([if fragment.is_some() { 44 } else { protocol }, ttl]);
        bytes.extend(octets(from));
        bytes.extend(octets(to));
        if let Some((offset, more)) = fragment {
            bytes.extend([protocol, 0]);
            bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
            bytes.extend([0, 0, 0, 7]);
        }
    }
    bytes.extend_from_slice(inside);
    bytes
}

/// An ICMP error about a packet of the flow.
fn error(about: Flow, from: IpAddr, to: IpAddr) -> Vec<u8> {
    let quoted = packet(about.from.0, about.to.0, about.protocol(), &transport(about, 16, b""), 60, None);
    let mut bytes = if about.from.0.is_ipv4() { vec![3, 4, 0, 0, 0, 0, 5, 0] } else { vec![2, 0, 0, 0, 0, 0, 5, 0] };
    bytes.extend(quoted);
    let protocol = if from.is_ipv4() { 1 } else { 58 };
    let pseudo = if from.is_ipv4() { vec![] } else { pseudo(from, to, protocol, bytes.len()) };
    put_checksum(&mut bytes, 2, &pseudo);
    packet(from, to, protocol, &bytes, 60, None)
}

/// A right frame; it is hurt afterwards, or not.
pub fn frame(chance: &mut Chance, flow: Flow, mac: [u8; 6]) -> Vec<u8> {
    let mut bytes = mac.to_vec();
    bytes.extend([2, 0, 0, 0, 0, 9]);
    bytes.extend(if flow.from.0.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
    let payload: Vec<u8> = (0..chance.of(&[0, 1, 8, 100, 1400])).map(|_| chance.next() as u8).collect();
    let flags = chance.of(&[2, 2, 16, 16, 16, 17, 4, 18, 24, 0]);
    let ttl = chance.of(&[64, 64, 64, 64, 1, 0, 2]);
    let inside = transport(flow, flags, &payload);
    let fragment = chance.once_in(8).then(|| (chance.of(&[0, 0, 1, 100]), chance.once_in(2)));
    if chance.once_in(10) {
        bytes.extend(error(flow.reversed(), flow.from.0, flow.to.0));
    } else {
        bytes.extend(packet(flow.from.0, flow.to.0, flow.protocol(), &inside, ttl, fragment));
    }
    bytes
}

/// Flip bits, cut, or put chance's own bytes behind the Ethernet header.
pub fn hurt(chance: &mut Chance, frame: &mut Vec<u8>) {
    match chance.below(4) {
        0 => frame.truncate(14 + chance.below(frame.len() - 13)),
        1 => {
            for _ in 0..=chance.below(4) {
                let at = 14 + chance.below(frame.len() - 14);
                frame[at] ^= 1 << chance.below(8);
            }
        }
        2 => {
            let at = 14 + chance.below(usize::min(60, frame.len() - 14));
            frame[at] = chance.next() as u8;
        }
        _ => {
            let from = 14 + chance.below(frame.len() - 14);
            for byte in &mut frame[from..] {
                *byte = chance.next() as u8;
            }
        }
    }
}

/// Source and target of the outermost IP header.
pub fn ends(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let v4 = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(frame.get(at..at + 4)?).ok()?));
    let v6 = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(frame.get(at..at + 16)?).ok()?));
    match frame.get(14)? >> 4 {
        4 => Some((v4(26)?, v4(30)?)),
        6 => Some((v6(22)?, v6(38)?)),
        _ => None,
    }
}

/// Whether the checksums of a whole packet of TCP, UDP or ICMP are right: those of all headers, tunnels too.
pub fn is_right(frame: &[u8]) -> bool {
    packet_is_right(&frame[14..])
}

fn packet_is_right(packet: &[u8]) -> bool {
    let (head, protocol) = match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => (usize::from(packet[0] & 15) * 4, packet[9]),
        Some(6) if packet.len() >= 40 => (40, packet[6]),
        _ => return false,
    };
    if packet.len() < head || packet[0] >> 4 == 4 && sum(&packet[..head]) != 0xffff {
        return false;
    }
    if packet[0] >> 4 == 4 && (packet[6] & 0x3f != 0 || packet[7] != 0) {
        return true; // a fragment: nothing to add up
    }
    let inside = &packet[head..];
    let mut framed = vec![0; 14];
    framed.extend_from_slice(packet);
    let Some((from, to)) = ends(&framed) else { return false };
    match protocol {
        4 | 41 => packet_is_right(inside),
        1 => sum(inside) == 0xffff,
        17 if from.is_ipv4() && inside.get(6..8) == Some(&[0, 0]) => true,
        6 | 17 | 58 => {
            let mut all = pseudo(from, to, protocol, inside.len());
            all.extend_from_slice(inside);
            sum(&all) == 0xffff
        }
        _ => true,
    }
}
