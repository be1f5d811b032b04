//! BFD control packets, one after the other, through a session: no panic, and each is either taken or counted as dropped.
#![no_main]

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vipd::base::MonoTime;
use vipd::bfd::fleet::{Envelope, Fleet, Output};
use vipd::bfd::packet::Packet;
use vipd::bfd::session::{SLOW, Settings};

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings {
        name: "gw".to_owned(),
        neighbor: "192.0.2.1".parse().unwrap(),
        source: None,
        min_rx: Duration::from_millis(10),
        min_tx: Duration::from_millis(10),
        idle_tx: SLOW,
        multiplier: NonZeroU8::new(3).unwrap(),
        passive: false,
        ttl: 255,
        ttl_min: 255,
        multihop: false,
    };
    let mut fleet = Fleet::default();
    let mut now = MonoTime::ZERO;
    fleet.configure(now, vec![settings], || NonZeroU32::new(7).unwrap());
    let mut rest = bytes;
    while let Some((step, after)) = rest.split_first() {
        let (length, after) = after.split_first().map_or((0, after), |(length, after)| (usize::from(*length), after));
        let (packet, after) = after.split_at(length.min(after.len()));
        rest = after;
        now += Duration::from_micros(u64::from(*step) * 500);
        let source = if step & 1 == 0 { "192.0.2.1" } else { "192.0.2.9" };
        let ttl = (step & 2 == 0).then_some(255 - (step >> 6));
        let envelope = Envelope { source: source.parse().unwrap(), ttl, multihop: step & 4 == 4 };
        let dropped = fleet.discards().values().sum::<u64>();
        let outputs = fleet.received(now, &envelope, packet).into_iter().chain(fleet.tick(now));
        for output in outputs {
            if let Output::Send { bytes, .. } = output {
                assert!(Packet::parse(&bytes).is_ok(), "what we send is read back");
            }
        }
        assert!(fleet.discards().values().sum::<u64>() <= dropped + 1);
    }
});
