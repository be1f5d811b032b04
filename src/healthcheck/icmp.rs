//! The echo request of `PING_CHECK`, and which packet is its reply (RFC 792, RFC 4443 section 4).
//!
//! It has no socket: `io/ping.rs` has.

use super::outcome::Outcome;

/// The two protocols, which differ in their type numbers and in who fills the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpVersion {
    V4,
    V6,
}

/// What stands before the ICMP header in a packet that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Bare,
    /// The IPv4 header: a raw socket gives it too (raw(7)).
    Ipv4,
}

/// One echo request, told from all others by its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    version: IcmpVersion,
    token: [u8; 16],
}

impl Echo {
    /// The token must differ from that of every other request under way.
    pub const fn new(version: IcmpVersion, token: [u8; 16]) -> Self {
        Self { version, token }
    }

    /// The packet. The kernel fills the checksum of IPv6's ICMP, and the identifier of an unprivileged socket.
    pub fn request(&self) -> Vec<u8> {
        let [id_high, id_low, ..] = self.token;
        let (kind, has_checksum) = match self.version {
            IcmpVersion::V4 => (8, true),
            IcmpVersion::V6 => (128, false),
        };
        let packet = |[check_high, check_low]: [u8; 2]| {
            let mut packet = vec![kind, 0, check_high, check_low, id_high, id_low, 0, 1];
            packet.extend(self.token);
            packet
        };
        let blank = packet([0, 0]);
        if has_checksum { packet(checksum(&blank).to_be_bytes()) } else { blank }
    }

    /// What a packet comes to; `None` where it is not the reply, which may yet follow.
    pub fn judge(&self, framing: Framing, packet: &[u8]) -> Option<Outcome> {
        let packet = match framing {
            Framing::Bare => packet,
            Framing::Ipv4 => packet.get(usize::from(packet.first()? & 0x0f) * 4..)?,
        };
        let reply = match self.version {
            IcmpVersion::V4 => 0,
            IcmpVersion::V6 => 129,
        };
        let (header, data) = packet.split_first_chunk::<8>()?;
        let [kind, code, ..] = *header;
        (kind == reply && code == 0 && data == self.token).then_some(Outcome::Echoed)
    }
}

/// The Internet checksum of an even number of bytes (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let (words, _) = bytes.as_chunks::<2>();
    !words.iter().map(|word| u16::from_be_bytes(*word)).fold(0_u16, |sum, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const TOKEN: [u8; 16] = *b"\xff\xfe0123456789abcd";

    #[test]
    fn a_request_sums_up_to_nothing() {
        let packet = Echo::new(IcmpVersion::V4, TOKEN).request();
        assert_eq!((checksum(&packet), packet[0], packet.len()), (0, 8, 24));
        assert_eq!(Echo::new(IcmpVersion::V6, TOKEN).request()[..8], [128, 0, 0, 0, 0xff, 0xfe, 0, 1]);
    }

    #[test]
    fn only_the_reply_to_this_request_counts() {
        let packet = |kind, code, token: [u8; 16]| [&[kind, code, 1, 2, 3, 4, 0, 1][..], &token].concat();
        let framed = |words: u8, packet: Vec<u8>| [vec![0x40 | words; usize::from(words) * 4], packet].concat();
        let other = [7; 16];
        let (v4, v6) = (IcmpVersion::V4, IcmpVersion::V6);
        let rows = [
            ("reply", v4, Framing::Bare, packet(0, 0, TOKEN), true),
            ("reply, v6", v6, Framing::Bare, packet(129, 0, TOKEN), true),
            ("reply, header", v4, Framing::Ipv4, framed(5, packet(0, 0, TOKEN)), true),
            ("reply, header with options", v4, Framing::Ipv4, framed(7, packet(0, 0, TOKEN)), true),
            ("our own request", v4, Framing::Bare, packet(8, 0, TOKEN), false),
            ("another token", v4, Framing::Bare, packet(0, 0, other), false),
            ("the other protocol", v6, Framing::Bare, packet(0, 0, TOKEN), false),
            ("cut", v4, Framing::Bare, packet(0, 0, TOKEN)[..23].to_vec(), false),
            ("nothing", v4, Framing::Ipv4, vec![], false),
        ];
        for (name, version, framing, packet, is_reply) in rows {
            let got = Echo::new(version, TOKEN).judge(framing, &packet);
            assert_eq!(got, is_reply.then_some(Outcome::Echoed), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_packet_is_judged_without_a_panic(packet in vec(any::<u8>(), 0..64)) {
            for framing in [Framing::Bare, Framing::Ipv4] {
                prop_assert_eq!(Echo::new(IcmpVersion::V4, TOKEN).judge(framing, &packet), None);
            }
        }
    }
}
