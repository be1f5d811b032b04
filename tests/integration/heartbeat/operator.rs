//! What operators ask: a planned hand-over, with real kernels on both sides.

use tokio::sync::oneshot;
use vipd::base::{AdvertInterval, Family};
use vipd::daemon::heartbeat::{Command, Heartbeat};
use vipd::lab::until;
use vipd::vrrp::fleet::HandOverError;
use vipd::vrrp::{Settings, Standing, Version};

use super::wire::{PATIENCE, Wire, settings, standing, stop};

fn hand_over(heartbeat: &Heartbeat) -> Result<(), HandOverError> {
    let (reply, done) = oneshot::channel();
    let instances = vec!["VI_1".to_owned()];
    heartbeat.commands.blocking_send(Command::HandOver { instances, force: false, reply }).unwrap();
    done.blocking_recv().unwrap()
}

#[test]
fn a_hand_over_is_answered_when_the_peer_has_it_or_when_nobody_took_it() {
    let wire = Wire::new();
    // A busy machine may keep a router from speaking for a while, and then the other one has to take over.
    let patient = |priority| {
        let interval = AdvertInterval::from_centis(100).unwrap();
        vec![Settings { interval, ..settings(Family::V4, Version::V3, priority) }]
    };
    let a = wire.start(0, patient(150)).unwrap();
    until("a is active", PATIENCE, || standing(&a) == Standing::Active && wire.holds(0, "192.0.2.100")).unwrap();
    let refused = hand_over(&a).unwrap_err();
    assert_eq!(refused, HandOverError::NobodyTookOver { names: vec!["VI_1".to_owned()] });
    assert!(wire.holds(0, "192.0.2.100"), "it was never let go");

    let b = wire.start(1, patient(100)).unwrap();
    until("b hears a", PATIENCE, || b.snapshot.borrow()[0].counters.adverts_received > 2).unwrap();
    assert_eq!(hand_over(&a), Ok(()));
    until("b has it alone", PATIENCE, || wire.holds(1, "192.0.2.100") && !wire.holds(0, "192.0.2.100")).unwrap();
    let sent = b.snapshot.borrow()[0].counters.adverts_sent;
    until("b goes on", PATIENCE, || b.snapshot.borrow()[0].counters.adverts_sent > sent + 4).unwrap();
    assert_eq!((standing(&a), standing(&b)), (Standing::Backup, Standing::Active), "a does not preempt");
    stop(&b);
    until("a has it again", PATIENCE, || wire.holds(0, "192.0.2.100") && standing(&a) == Standing::Active).unwrap();
    stop(&a);
}
