//! The hash by which mh places destinations and clients: `SipHash` with one round and three (1-3) of four bytes, as the
//! kernel's `hsiphash` (`lib/siphash.c`) with the keys of `ip_vs_mh.c`. `bpf/choice.h` has it for clients.

use std::net::IpAddr;

/// Half of the first key (`generate_hash_secret`); the halves are alike. Of clients, and where a walk begins.
pub const FIRST_KEY: u64 = 2_654_435_761;
/// Half of the second key: the step of a walk.
pub const SECOND_KEY: u64 = 2_654_446_892;

/// Four words of the state (Aumasson, Bernstein: `SipHash`, section 2.2).
struct State([u64; 4]);

impl State {
    const fn round(&mut self) {
        let Self([mut a, mut b, mut c, mut d]) = *self;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        *self = Self([a, b, c, d]);
    }
}

/// Of a number, as four bytes in the order of x86.
pub fn hash(value: u32, key: u64) -> u32 {
    let [a, b, c, d] = [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
    // The last word has the length, four, on top.
    let word = 4 << 56 | u64::from(value);
    let mut state = State([a ^ key, b ^ key, c ^ key, d ^ key ^ word]);
    state.round();
    let State([a, b, c, d]) = state;
    state = State([a ^ word, b, c ^ 0xff, d]);
    for _ in 0..3 {
        state.round();
    }
    let State([a, b, c, d]) = state;
    let folded = (a ^ b) ^ (c ^ d);
    u32::try_from(folded & u64::from(u32::MAX)).unwrap_or(0)
}

/// An address as 32 bits: of IPv6 the four words, each on the others.
pub fn folded(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let words = address.octets();
            words.chunks_exact(4).fold(0, |folded, word| match word {
                &[a, b, c, d] => folded ^ u32::from_be_bytes([a, b, c, d]),
                _ => folded,
            })
        }
    }
}
