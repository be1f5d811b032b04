//! Neighbours that say that our address is theirs: the last word is ours.

use vipd::base::Family;
use vipd::lab::until;
use vipd::vrrp::io::neighbour::Announcer;
use vipd::vrrp::{Standing, Version};

use super::wire::{PATIENCE, Wire, ip, settings, standing, stop};

const FOREIGN: [u8; 6] = [2, 0, 0, 0, 0x66, 0x66];

#[test]
fn a_foreign_claim_of_an_address_that_we_hold_is_answered() {
    for (family, vip) in [(Family::V4, "192.0.2.100"), (Family::V6, "2001:db8::100")] {
        let wire = Wire::new();
        let mut only = settings(family, Version::V3, 150);
        only.garp.repeat = 1;
        only.garp.delay = std::time::Duration::ZERO;
        let a = wire.start(0, vec![only]).unwrap();
        let announced = || a.snapshot.borrow()[0].counters.announcements_sent;
        until("it is active and announced", PATIENCE, || {
            standing(&a) == Standing::Active && wire.holds(0, vip) && announced() > 0
        })
        .unwrap();
        let index: u32 = ip(&format!("-n {} -o link show dev eth0", wire.hosts[1].name()))
            .split(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let rival = wire.hosts[1].inside(Announcer::open).unwrap().unwrap();
        let other = match family {
            Family::V4 => "192.0.2.77",
            Family::V6 => "2001:db8::77",
        };
        let before = announced();
        rival.announce(index, FOREIGN, other.parse().unwrap(), false).unwrap();
        rival.announce(index, FOREIGN, vip.parse().unwrap(), false).unwrap();
        until("it is announced again", PATIENCE, || announced() > before).unwrap();
        assert_eq!(a.snapshot.borrow()[0].counters.claims, 1, "{vip}: of that address alone");
        assert_eq!(standing(&a), Standing::Active);
        stop(&a);
    }
}
