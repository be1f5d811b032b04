//! The world: hosts, the wire between them, the clock, and what happens when. Everything follows from the seed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use vipd::base::{AdvertInterval, Family, IfName, MonoTime};
use vipd::vrrp::fleet::{Fleet, Output};
use vipd::vrrp::packet::{Advert, Envelope};
use vipd::vrrp::{Happened, Key, Settings, Standing};

use super::faults::Fault;
use super::invariants::{self, Watch};
use super::node::{Node, Packet};
use super::random::Random;
use super::scenario::{Extras, Mistake, scenario};

/// Steps without the clock moving that mean a loop.
const SPIN: u32 = 10_000;
/// Packets on the wire that mean a storm: every host answering every other one is far below.
const STORM: usize = 2000;
/// Lines of history that are kept.
const HISTORY_MAX: usize = 4000;

#[derive(Debug)]
enum Event {
    Deliver { to: usize, packet: Packet },
    Fault(Fault),
}

/// What the wire does to packets, in parts of a thousand.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    pub loss: u64,
    pub duplication: u64,
    /// Packets that come later than those sent after them.
    pub late: u64,
    /// How many partitions cut the way from one host to another.
    pub cuts: BTreeMap<(usize, usize), u32>,
}

impl Wire {
    pub fn is_whole(&self) -> bool {
        self.loss == 0 && self.late == 0
    }

    pub fn hear_each_other(&self, one: usize, other: usize) -> bool {
        let open = |from, to| self.cuts.get(&(from, to)).is_none_or(|cuts| *cuts == 0);
        open(one, other) && open(other, one)
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub seed: u64,
    pub what: String,
    pub history: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what, history } = self;
        write!(f, "{}\nseed {seed}: {what}\nreplay: VIPD_SIM_SEED={seed}", history.join("\n"))
    }
}

#[derive(Debug)]
pub struct Lan {
    pub seed: u64,
    pub now: MonoTime,
    pub random: Random,
    pub nodes: Vec<Node>,
    pub wire: Wire,
    pub interval: AdvertInterval,
    /// The longest way of a packet that is not late.
    pub delay_max: Duration,
    /// The last time that anything was broken or repaired.
    pub disturbed_at: MonoTime,
    /// Until then packets may come that were sent long before.
    pub stale_until: MonoTime,
    /// Who became what, in order.
    pub moves: Vec<(MonoTime, usize, Key, Standing)>,
    pub watch: Watch,
    mistake: Option<Mistake>,
    events: BTreeMap<(MonoTime, u64), Event>,
    sequence: u64,
    spun: u32,
    pub history: Vec<String>,
}

impl Lan {
    pub fn new(seed: u64, mistake: Option<Mistake>) -> Self {
        let mut random = Random::new(seed);
        let (interval, nodes, text) = scenario(seed, &mut random);
        let mut lan = Self {
            seed,
            now: MonoTime::from_start(Duration::from_secs(1)),
            random,
            nodes,
            wire: Wire::default(),
            interval,
            delay_max: interval.duration() / 50,
            disturbed_at: MonoTime::ZERO,
            stale_until: MonoTime::ZERO,
            moves: vec![],
            watch: Watch::default(),
            mistake,
            events: BTreeMap::new(),
            sequence: 0,
            spun: 0,
            history: vec![text],
        };
        for at in 0..lan.nodes.len() {
            let span = lan.interval.duration();
            let start = lan.random.between(Duration::ZERO, span);
            lan.at(start, Fault::Boot(at));
        }
        lan
    }

    pub fn note(&mut self, what: &str) {
        if self.history.len() < HISTORY_MAX {
            self.history.push(format!("{:>12.6} {what}", self.now.since_start().as_secs_f64()));
        }
    }

    pub fn violation(&self, what: String) -> Violation {
        Violation { seed: self.seed, what, history: self.history.clone() }
    }

    pub fn intervals(&self, count: u32) -> Duration {
        self.interval.duration() * count
    }

    /// `Active_Down` at most, rounded up to whole intervals.
    pub fn active_down(&self) -> Duration {
        self.intervals(u32::from(self.nodes[0].settings[0].down_timer_adverts) + 1)
    }

    /// The slowest Backup's `Active_Down`, its `preempt_delay`, and the way of a packet. A sync group waits for its last
    /// member, whose timer may have started just before another one's ended.
    pub fn takes_over_within(&self) -> Duration {
        let groups = if self.keys().len() > 1 { 2 } else { 1 };
        (self.active_down() + self.nodes[0].settings[0].preempt_delay) * groups + self.delay_max * 4
    }

    pub fn keys(&self) -> Vec<Key> {
        self.nodes[0].settings.iter().map(Settings::key).collect()
    }

    /// Let it happen after this time.
    pub fn at(&mut self, after: Duration, fault: Fault) {
        self.schedule(self.now + after, Event::Fault(fault));
    }

    /// Let it happen now.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn happens(&mut self, fault: Fault) -> Result<(), Violation> {
        self.at(Duration::ZERO, fault);
        self.run_for(Duration::ZERO)
    }

    /// At most an interval, of which adverts on the wire are a small part.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn run_until_the_wire_is_empty(&mut self) -> Result<(), Violation> {
        let end = self.now + self.intervals(1);
        while !self.events.is_empty() && self.now < end {
            self.run_for(self.delay_max)?;
        }
        Ok(())
    }

    fn schedule(&mut self, at: MonoTime, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    /// Let the world go on for this long.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn run_for(&mut self, span: Duration) -> Result<(), Violation> {
        let end = self.now + span;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.spun = if next == self.now { self.spun + 1 } else { 0 };
            if self.spun > SPIN {
                return Err(self.violation("the world spins: a deadline is served and stays".to_owned()));
            }
            if self.events.len() > STORM {
                return Err(self.violation("a storm: adverts are answered by adverts without end".to_owned()));
            }
            self.now = next;
            self.step();
            invariants::always(self)?;
        }
        self.now = end;
        invariants::always(self)
    }

    fn next(&self) -> Option<MonoTime> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let wakes = self.nodes.iter().filter_map(|node| node.wakes_at(self.now)).map(|at| self.served_at(at));
        wakes.chain(event).min().map(|at| at.max(self.now))
    }

    fn served_at(&self, deadline: MonoTime) -> MonoTime {
        match self.mistake {
            Some(Mistake::CoarseTimer) => {
                let centis = deadline.since_start().as_nanos().div_ceil(10_000_000);
                MonoTime::from_start(Duration::from_millis(u64::try_from(centis * 10).unwrap()))
            }
            Some(_) | None => deadline,
        }
    }

    fn step(&mut self) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Event::Deliver { to, packet } => self.deliver(to, packet),
                Event::Fault(fault) => {
                    self.note(&format!("{fault:?}"));
                    self.disturbed_at = self.now;
                    super::faults::happen(self, fault);
                }
            }
        }
        for at in 0..self.nodes.len() {
            let due = self.nodes[at].wakes_at(self.now).is_some_and(|due| self.served_at(due) <= self.now);
            if due {
                self.turn(at);
            }
        }
    }

    fn deliver(&mut self, to: usize, packet: Packet) {
        let node = &mut self.nodes[to];
        if node.fleet.is_none() || !node.link_up {
            return;
        }
        node.queue.push(packet);
        if !node.stalled {
            self.turn(to);
        }
    }

    /// What the heartbeat does when it wakes: read all, decide, carry out, renew.
    pub fn turn(&mut self, at: usize) {
        if self.mistake == Some(Mistake::DecideBeforeDrain) {
            self.tick(at);
        }
        for packet in std::mem::take(&mut self.nodes[at].queue) {
            let now = self.nodes[at].local(self.now);
            let packet = self.read(at, packet);
            if let (Some(Packet { interface, envelope, bytes }), Some(fleet)) = (packet, &mut self.nodes[at].fleet) {
                let outputs = fleet.packet(now, &interface, &envelope, &bytes);
                self.carry_out(at, outputs);
            }
        }
        self.tick(at);
        self.nodes[at].renew(self.now);
        if self.nodes[at].fleet.as_ref().is_some_and(Fleet::is_stopped) {
            self.note(&format!("host {at} is stopped"));
            let left = self.keys().into_iter().find(|key| self.nodes[at].answers(key, self.now));
            self.watch.left_behind = left.map(|key| format!("host {at} stopped and still answers for {key}"));
            self.nodes[at].die();
        }
    }

    fn tick(&mut self, at: usize) {
        let now = self.nodes[at].local(self.now);
        let outputs = self.nodes[at].fleet.as_mut().map_or(vec![], |fleet| fleet.tick(now));
        self.carry_out(at, outputs);
    }

    /// A packet as a router with the planted mistake takes it.
    fn read(&self, at: usize, packet: Packet) -> Option<Packet> {
        let Packet { interface, mut envelope, mut bytes } = packet;
        match self.mistake {
            Some(Mistake::PriorityZeroMissed) if bytes[2] == 0 => return None,
            Some(Mistake::StrangerHeard) if envelope.source == self.stranger(&interface, envelope.source) => {
                let peer = usize::from(at == 0);
                let advert = Advert::parse(&bytes, &envelope).unwrap();
                envelope.source = Node::address(peer, &interface, Family::of(envelope.source));
                bytes = advert.emit(envelope.source, envelope.destination);
            }
            // All others have higher addresses than the first host.
            Some(Mistake::TieBrokenTheWrongWay) if at > 0 => (),
            Some(Mistake::TieNeverLost | Mistake::TieBrokenTheWrongWay) => {
                let advert = Advert::parse(&bytes, &envelope).unwrap();
                envelope.source = match envelope.source {
                    IpAddr::V4(_) => "10.0.0.0".parse().unwrap(),
                    IpAddr::V6(_) => "fe80::".parse().unwrap(),
                };
                bytes = advert.emit(envelope.source, envelope.destination);
            }
            Some(_) | None => (),
        }
        Some(Packet { interface, envelope, bytes })
    }

    pub fn carry_out(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::SendSealed { .. } => panic!("nobody here seals"),
                Output::Send { key, source, destination, mut bytes, ttl: _, mac: _ } => {
                    let envelope = Envelope { source, destination, ttl: Some(255) };
                    if self.mistake == Some(Mistake::WeightNotTold) && bytes[2] != 0 {
                        let mut advert = Advert::parse(&bytes, &envelope).unwrap();
                        advert.priority = self.nodes[at].settings[0].priority.get();
                        bytes = advert.emit(source, destination);
                    }
                    self.send(at, &Packet { interface: key.interface, envelope, bytes });
                }
                Output::Hold { key, holdings, lease } => {
                    let empty = holdings.is_empty();
                    let forgotten = match self.mistake {
                        Some(Mistake::NothingLetGo) => empty,
                        Some(Mistake::ReloadForgotten) => !empty && self.nodes[at].answers(&key, self.now),
                        Some(_) | None => false,
                    };
                    if !forgotten {
                        self.nodes[at].hold(self.now, &key, &holdings, lease);
                    }
                }
                Output::Announce { .. } | Output::Serve { .. } => (),
                Output::Happened(happened) => self.told(at, &happened),
            }
        }
    }

    fn told(&mut self, at: usize, happened: &Happened) {
        if let Happened::Moved { instance, from, to, reason, .. } = happened {
            self.note(&format!("host {at} {instance}: {from} -> {to}: {reason}"));
            let settings = self.nodes[at].settings.iter().find(|one| one.name == *instance).unwrap();
            let key = settings.key();
            self.nodes[at].standing.insert(key.clone(), *to);
            self.moves.push((self.now, at, key, *to));
        }
    }

    fn send(&mut self, from: usize, packet: &Packet) {
        if !self.nodes[from].link_up {
            return;
        }
        if Extras::of(self.seed).unicast {
            return self.send_to_one(from, packet);
        }
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            self.send_to(from, to, packet);
        }
    }

    /// To the peer that has the address; and whenever one sends, somebody that is nobody's peer does.
    fn send_to_one(&mut self, from: usize, packet: &Packet) {
        let Packet { interface, envelope, bytes } = packet;
        let (family, destination) = (Family::of(envelope.source), envelope.destination);
        let has = |at: &usize| Node::address(*at, interface, family) == destination;
        let to = (0..self.nodes.len()).find(has).unwrap();
        self.send_to(from, to, packet);
        let source = self.stranger(interface, destination);
        let mut advert = Advert::parse(bytes, envelope).unwrap();
        advert.priority = 254;
        let bytes = advert.emit(source, destination);
        let envelope = Envelope { source, ..*envelope };
        self.send_to(from, to, &Packet { interface: interface.clone(), envelope, bytes });
    }

    /// The address of a router that is in no list of peers.
    fn stranger(&self, interface: &IfName, near: IpAddr) -> IpAddr {
        Node::address(self.nodes.len(), interface, Family::of(near))
    }

    fn send_to(&mut self, from: usize, to: usize, packet: &Packet) {
        let cut = self.wire.cuts.get(&(from, to)).is_some_and(|cuts| *cuts > 0);
        if cut || self.random.permille(self.wire.loss) {
            return;
        }
        let copies = if self.random.permille(self.wire.duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let least = self.delay_max / 10;
            let mut delay = self.random.between(least, self.delay_max);
            if self.random.permille(self.wire.late) {
                delay += self.random.between(Duration::ZERO, self.interval.duration() * 2);
            }
            self.schedule(self.now + delay, Event::Deliver { to, packet: packet.clone() });
        }
    }
}
