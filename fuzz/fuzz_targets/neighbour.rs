//! ARP packets and Neighbour Advertisements as neighbours send them: no panic, and no claim of what nobody can claim.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vipd::vrrp::io::claims;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, frame)) = bytes.split_first() else { return };
    if kind & 1 == 0 {
        if let Ok(Some((address, mac))) = claims::arp(frame) {
            assert!(!address.is_unspecified());
            assert_eq!(frame[8..14], mac);
        }
    } else if let Ok(Some((address, _))) = claims::advert(frame) {
        assert_eq!(frame[8..24], address.octets());
    }
});
