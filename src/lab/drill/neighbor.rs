//! A host that a BFD session can be kept with, and that falls silent when it is told to. It says nothing in parting, as a
//! host does that dies.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU8;
use std::time::Duration;

use crate::base::Family;
use crate::bfd::io::socket::{PACKET_MAX, Receiver, Sender, random};
use crate::bfd::{Action, Packet, Session, Settings};
use crate::lab::command::ip;
use crate::lab::error::LabError;
use crate::lab::namespace::Namespace;
use crate::lab::wait::{Clock, Stop, pause};

/// The name of the session, on both sides.
pub const SESSION: &str = "drilled";
/// Of both sides: the least time between two packets.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// So many intervals without a packet, and the session is down.
pub const MULTIPLIER: NonZeroU8 = NonZeroU8::MIN.saturating_add(2);
const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Speaks until it is told otherwise, in a namespace of its own.
#[derive(Debug)]
pub struct Neighbor {
    stop: Stop,
    _namespace: Namespace,
}

impl Neighbor {
    /// Start it beside a namespace, with a cable between the two.
    ///
    /// # Errors
    /// [`LabError`]; it needs root.
    pub fn start(beside: &Namespace) -> Result<Self, LabError> {
        let namespace = Namespace::create(&format!("{}-bfd", beside.name()))?;
        let (near, far) = (beside.name(), namespace.name());
        ip(&format!("-n {near} link add bfd0 type veth peer name bfd0 netns {far}"))?;
        for (at, address) in [(near, OURS), (far, THEIRS)] {
            ip(&format!("-n {at} address add {address}/30 dev bfd0"))?;
            ip(&format!("-n {at} link set bfd0 up"))?;
        }
        let settings = settings(OURS);
        let open = || Ok((Receiver::open(Family::V4, false)?, Sender::open(&settings)?));
        let opened: io::Result<(Receiver, Sender)> = namespace.inside(open)?;
        let (receiver, sender) = opened.map_err(|source| LabError::Socket {
            host: far.to_owned(),
            what: "BFD sockets".to_owned(),
            source,
        })?;
        let stop = Stop::default();
        let stopped = stop.clone();
        namespace.thread("neighbor", move || speak(settings, &receiver, &sender, &stopped))?;
        Ok(Self { stop, _namespace: namespace })
    }

    /// It says nothing any more.
    pub fn fall_silent(&self) {
        self.stop.set();
    }
}

impl Drop for Neighbor {
    fn drop(&mut self) {
        self.fall_silent();
    }
}

/// How the session with it is to be kept.
pub fn settings_with_it() -> Settings {
    settings(THEIRS)
}

fn settings(neighbor: Ipv4Addr) -> Settings {
    Settings {
        name: SESSION.to_owned(),
        neighbor: IpAddr::V4(neighbor),
        source: None,
        min_rx: INTERVAL,
        min_tx: INTERVAL,
        idle_tx: Duration::from_secs(1),
        multiplier: MULTIPLIER,
        passive: false,
        ttl: 255,
        ttl_min: 255,
        multihop: false,
    }
}

fn speak(settings: Settings, receiver: &Receiver, sender: &Sender, stop: &Stop) {
    let clock = Clock::start();
    let mut session = Session::new(clock.now(), settings, random());
    let mut buffer = [0; PACKET_MAX];
    while !stop.is_set() {
        let mut actions = vec![];
        while let Ok(Some((_, bytes))) = receiver.receive(&mut buffer) {
            // Nobody else is on this cable: what cannot be read would be a fault of the one that is drilled.
            if let Ok(packet) = Packet::parse(bytes) {
                actions.extend(session.received(clock.now(), &packet));
            }
        }
        actions.extend(session.tick(clock.now()));
        for action in actions {
            match action {
                // What is lost is missed by the other side.
                Action::Send(packet) => drop(sender.send(&packet.emit())),
                Action::Moved { .. } => {}
            }
        }
        pause();
    }
}
