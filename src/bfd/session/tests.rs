//! The state machine by its table, two sessions on a wire, and the arithmetic of the detection time.

use proptest::prelude::*;

use super::*;

fn settings() -> Settings {
    Settings {
        name: "b".into(),
        neighbor: "192.0.2.2".parse().unwrap(),
        source: None,
        min_rx: Duration::from_millis(10),
        min_tx: Duration::from_millis(10),
        idle_tx: SLOW,
        multiplier: NonZeroU8::new(5).unwrap(),
        passive: false,
        ttl: 255,
        ttl_min: 255,
        multihop: false,
    }
}

fn at(ms: u64) -> MonoTime {
    MonoTime::from_start(Duration::from_millis(ms))
}

fn id(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn packet(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::None,
        state,
        poll: false,
        is_final: false,
        demand: false,
        multiplier: NonZeroU8::new(3).unwrap(),
        mine: id(7),
        yours: 1,
        desired_min_tx: Duration::from_millis(100),
        required_min_rx: Duration::from_millis(20),
    }
}

/// A session that was brought to this state.
fn session(state: State) -> Session {
    let mut session = Session::new(at(0), settings(), id(1));
    let heard: &[State] = match state {
        State::Down => &[],
        State::Init => &[State::Down],
        State::Up => &[State::Down, State::Init],
        State::AdminDown => {
            session.shut_down(at(0));
            &[]
        }
    };
    for state in heard {
        session.received(at(0), &packet(*state));
    }
    assert_eq!(session.state(), state);
    session
}

#[test]
fn the_state_machine_is_that_of_the_rfc() {
    use State::{AdminDown, Down, Init, Up};
    // RFC 5880 section 6.2, by our state and theirs.
    let rows = [
        (Down, [Down, Init, Up, Down]),
        (Init, [Down, Init, Up, Up]),
        (Up, [Down, Down, Up, Up]),
        (AdminDown, [AdminDown; 4]),
    ];
    for (from, ends) in rows {
        for (heard, end) in [AdminDown, Down, Init, Up].into_iter().zip(ends) {
            let mut session = session(from);
            session.received(at(1), &packet(heard));
            let expected = if (from, heard) == (Down, Init) {
                Up
            } else if (from, heard) == (Down, Down) {
                Init
            } else if (from, heard) == (Down, Up) {
                Down
            } else {
                end
            };
            assert_eq!(session.state(), expected, "{from}, heard {heard}");
        }
    }
}

#[test]
fn silence_for_the_detection_time_is_the_end() {
    let mut up = session(State::Up);
    // Three times the slower of 10 ms that we take and 100 ms that they send.
    assert_eq!(up.detection_time(), Some(Duration::from_millis(300)));
    assert_eq!(up.interval(), Some(Duration::from_millis(20)), "the slower of 10 ms and the 20 ms they take");
    up.received(at(50), &packet(State::Up));
    up.tick(at(349));
    assert_eq!(up.state(), State::Up);
    let actions = up.tick(at(350));
    let moved = Action::Moved { from: State::Up, to: State::Down, diagnostic: Diagnostic::Expired };
    assert_eq!(actions.first(), Some(&moved));
    assert_eq!(up.interval(), Some(SLOW));
    let Some(Action::Send(sent)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!((sent.state, sent.diagnostic, sent.yours), (State::Down, Diagnostic::Expired, 0));
}

#[test]
fn a_poll_is_answered_and_ours_ends_with_the_answer() {
    let mut up = session(State::Up);
    assert!(up.packet().poll, "its interval has changed");
    let actions = up.received(at(1), &Packet { poll: true, is_final: true, ..packet(State::Up) });
    let Some(Action::Send(answer)) = actions.first() else { panic!("{actions:?}") };
    assert!(answer.is_final && !answer.poll && !up.packet().poll);
    up.configure(at(2), Settings { min_tx: Duration::from_millis(50), ..settings() });
    assert!(up.packet().poll);
    assert_eq!(up.interval(), Some(Duration::from_millis(20)), "the neighbour still expects the old pace");
    up.received(at(3), &Packet { is_final: true, ..packet(State::Up) });
    assert_eq!(up.interval(), Some(Duration::from_millis(50)));
}

#[test]
fn other_timers_at_a_reload_do_not_end_a_session() {
    let slow = Duration::from_millis(500);
    let slower = Settings { min_tx: slow, min_rx: slow, ..settings() };
    let mut wire = Wire::new(false);
    wire.run_to(2100);
    for (settings, pace) in [(slower, slow), (settings(), Duration::from_millis(10))] {
        let end = wire.now + 2100;
        wire.ends[0].configure(at(wire.now), settings);
        while wire.now < end {
            wire.run_to(wire.now + 1);
            assert_eq!(wire.states(), [State::Up; 2], "at {} ms, on the way to {pace:?}", wire.now);
        }
        assert_eq!(wire.ends[0].interval(), Some(pace));
        assert_eq!(wire.ends[0].detection_time(), Some(pace * 5));
    }
}

#[test]
fn a_neighbour_that_wants_no_packets_gets_none_and_a_passive_session_waits() {
    let mut up = session(State::Up);
    up.received(at(1), &Packet { required_min_rx: Duration::ZERO, ..packet(State::Up) });
    assert_eq!((up.interval(), up.send_at), (None, None));
    up.received(at(2), &Packet { is_final: true, demand: true, ..packet(State::Up) });
    assert_eq!(up.interval(), None, "on demand");
    let mut passive = Session::new(at(0), Settings { passive: true, ..settings() }, id(1));
    assert_eq!(passive.deadline(), None);
    passive.received(at(1), &packet(State::Down));
    assert!(passive.deadline().is_some());
    passive.tick(at(1000));
    assert_eq!((passive.state(), passive.deadline()), (State::Down, None), "it waits again");
}

/// One that wanted no packets is forgotten with its wish, whatever state it was in.
#[test]
fn a_session_speaks_again_when_a_neighbour_that_wanted_no_packets_falls_silent() {
    for state in [State::AdminDown, State::Down, State::Init] {
        for passive in [false, true] {
            let mut session = Session::new(at(0), Settings { passive, ..settings() }, id(1));
            session.tick(at(0));
            session.received(at(10), &Packet { required_min_rx: Duration::ZERO, ..packet(state) });
            assert_eq!(session.send_at, None, "{state}");
            let silent = session.expires_at.unwrap();
            let actions = session.tick(silent);
            let sent = actions.iter().filter(|action| matches!(action, Action::Send(_))).count();
            // A passive one says so where it was more than Down.
            let expected = usize::from(!passive || state != State::AdminDown);
            assert_eq!((session.state(), sent), (State::Down, expected), "{state}, passive {passive}");
            assert_eq!(session.deadline().is_some(), !passive, "{state}, passive {passive}");
        }
    }
}

/// Two sessions and a wire that loses and delays.
struct Wire {
    now: u64,
    ends: [Session; 2],
    /// When, to whom, what.
    on_the_way: Vec<(u64, usize, Packet)>,
    cut: bool,
}

impl Wire {
    fn new(passive: bool) -> Self {
        let end = |number, passive| Session::new(at(0), Settings { passive, ..settings() }, id(number));
        Self { now: 0, ends: [end(11, false), end(22, passive)], on_the_way: vec![], cut: false }
    }

    fn carry(&mut self, from: usize, actions: Vec<Action>) {
        for action in actions {
            if let Action::Send(packet) = action
                && !self.cut
            {
                self.on_the_way.push((self.now + 1, 1 - from, packet));
            }
        }
    }

    fn run_to(&mut self, end: u64) {
        while self.now < end {
            self.now += 1;
            let (arrived, rest) = self.on_the_way.iter().copied().partition(|(when, ..)| *when <= self.now);
            self.on_the_way = rest;
            let arrived: Vec<(u64, usize, Packet)> = arrived;
            for (_, to, packet) in arrived {
                let parsed = Packet::parse(&packet.emit()).unwrap();
                let actions = self.ends[to].received(at(self.now), &parsed);
                self.carry(to, actions);
            }
            for end in 0..2 {
                let actions = self.ends[end].tick(at(self.now));
                self.carry(end, actions);
            }
        }
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

#[test]
fn two_sessions_come_up_notice_a_cut_and_come_back() {
    for passive in [false, true] {
        let mut wire = Wire::new(passive);
        wire.run_to(2100);
        assert_eq!(wire.states(), [State::Up; 2], "passive: {passive}");
        assert!(!wire.ends[0].polling && !wire.ends[1].polling);
        wire.cut = true;
        wire.run_to(2100 + 52);
        assert_eq!(wire.states(), [State::Down; 2], "five times 10 ms, and the packet under way");
        wire.cut = false;
        wire.run_to(5000);
        assert_eq!(wire.states(), [State::Up; 2]);
        let actions = wire.ends[0].shut_down(at(5000));
        wire.carry(0, actions);
        wire.run_to(5002);
        assert_eq!(wire.states(), [State::AdminDown, State::Down]);
        assert_eq!(wire.ends[1].diagnostic(), Diagnostic::NeighborDown);
    }
}

proptest! {
    #[test]
    fn packets_keep_their_distance_and_an_idle_session_is_slow(steps in proptest::collection::vec(1u64..40, 1..200)) {
        let mut up = session(State::Up);
        let (mut now, mut last) = (0, None);
        for step in steps {
            now += step;
            let mut actions = up.received(at(now), &Packet { is_final: true, ..packet(State::Up) });
            actions.extend(up.tick(at(now)));
            for action in actions {
                prop_assert!(matches!(action, Action::Send(_)));
                if let Some(last) = last {
                    prop_assert!(now - last >= 15, "three quarters of 20 ms, and {} came", now - last);
                }
                last = Some(now);
            }
            prop_assert!(up.deadline().is_some_and(|at| at > self::at(now)));
        }
    }
}
