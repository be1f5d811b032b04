//! Hand-overs and maintenance, of hosts on a wire that loses nothing and delays nothing.

use std::time::Duration;

use super::*;
use crate::base::{Family, Priority, Vrid};
use crate::vrrp::links::{Held, Link, Links};
use crate::vrrp::packet::Envelope;
use crate::vrrp::{Settings, SyncGroup, VirtualAddress};

struct Wire {
    now: MonoTime,
    hosts: Vec<Option<Fleet>>,
    /// Per host: the instances that hold addresses.
    held: Vec<BTreeSet<String>>,
    /// Per host: the addresses of `VI_1` that it holds, and those that were announced.
    first: Vec<(BTreeSet<String>, BTreeSet<String>)>,
}

fn name(vrid: u8) -> String {
    format!("VI_{vrid}")
}

/// A sync group of two virtual routers, or one alone.
fn settings(priority: u8, group: bool) -> Vec<Settings> {
    let one = |vrid: u8| {
        let mut one = Settings::new(&name(vrid), "eth0".parse().unwrap(), Vrid::new(vrid).unwrap(), Family::V4);
        one.priority = Priority::new(priority).unwrap();
        one.addresses = vec![VirtualAddress::new(format!("192.0.2.10{vrid}/24").parse().unwrap())];
        one.sync_group = group.then(|| SyncGroup { name: "G".to_owned(), tracking_weight: false });
        one
    };
    if group { vec![one(1), one(2)] } else { vec![one(1)] }
}

/// A fleet that knows the interface of a host.
fn linked(at: usize, now: MonoTime) -> Fleet {
    let own = Held { cidr: format!("192.0.2.{}/24", at + 1).parse().unwrap(), peer: None, ours: false, usable: true };
    let link = Link { index: 2, running: true, mac: None, downs: 0, addresses: vec![own] };
    let mut fleet = Fleet::default();
    fleet.links(now, Links([("eth0".parse().unwrap(), link)].into()));
    fleet
}

impl Wire {
    /// Host 0 is better than host 1.
    fn new(group: bool) -> Self {
        let mut wire = Self { now: MonoTime::ZERO, hosts: vec![], held: vec![], first: vec![] };
        for (at, priority) in [150, 100].into_iter().enumerate() {
            wire.hosts.push(Some(linked(at, wire.now)));
            wire.held.push(BTreeSet::new());
            wire.first.push((BTreeSet::new(), BTreeSet::new()));
            wire.on(at, |fleet, now| fleet.reconfigure(now, settings(priority, group)));
        }
        wire.pass(10.0);
        assert!(wire.owns(0), "the better one is Active");
        wire
    }

    fn on(&mut self, at: usize, act: impl FnOnce(&mut Fleet, MonoTime) -> Vec<Output>) {
        let now = self.now;
        let outputs = self.hosts[at].as_mut().map_or(vec![], |fleet| act(fleet, now));
        self.carry_out(at, outputs);
    }

    fn carry_out(&mut self, at: usize, outputs: Vec<Output>) {
        let now = self.now;
        for output in outputs {
            match output {
                Output::SendSealed { .. } => {}
                Output::Send { key, source, destination, bytes, ttl: _, mac: _ } => {
                    let envelope = Envelope { source, destination, ttl: Some(255) };
                    for to in (0..self.hosts.len()).filter(|to| *to != at) {
                        let fleet = self.hosts[to].as_mut();
                        let answers = fleet.map(|fleet| fleet.packet(now, &key.interface, &envelope, &bytes));
                        self.carry_out(to, answers.unwrap_or_default());
                    }
                }
                Output::Hold { key, holdings, .. } => {
                    if key.vrid.get() == 1 {
                        let held = holdings.addresses.iter().map(|address| address.cidr.addr().to_string());
                        self.first[at].0 = held.collect();
                    }
                    let name = name(key.vrid.get());
                    _ = if holdings.is_empty() { self.held[at].remove(&name) } else { self.held[at].insert(name) };
                    if let Some(fleet) = &mut self.hosts[at] {
                        fleet.settled(now, &key);
                    }
                }
                Output::Announce { address, .. } => _ = self.first[at].1.insert(address.to_string()),
                Output::Serve { .. } | Output::Happened(_) => (),
            }
        }
    }

    fn pass(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        while self.now < until {
            self.now += Duration::from_millis(5);
            for at in 0..self.hosts.len() {
                self.on(at, Fleet::tick);
            }
        }
    }

    /// Somebody holds the addresses at every moment that passes.
    fn pass_served(&mut self, seconds: f64) {
        let until = self.now + Duration::from_secs_f64(seconds);
        while self.now < until {
            self.pass(0.005);
            assert!(self.held.iter().any(|held| held.contains("VI_1")), "dark at {:?}", self.now);
        }
    }

    fn owns(&self, at: usize) -> bool {
        self.held.iter().enumerate().all(|(host, held)| held.is_empty() == (host != at))
    }

    fn hand_over(&mut self, at: usize, force: bool) -> Vec<String> {
        let mut leaving = vec![];
        self.on(at, |fleet, now| {
            let (names, out) = fleet.hand_over(now, &[name(1)], force).unwrap();
            leaving = names;
            out
        });
        leaving
    }

    fn outcome(&self, at: usize, names: &[String]) -> Option<Result<(), HandOverError>> {
        self.hosts[at].as_ref().and_then(|fleet| fleet.handed_over(names))
    }
}

#[test]
fn the_lesser_peer_takes_over_without_a_gap_and_keeps_it_until_it_falls_silent() {
    for group in [false, true] {
        let mut wire = Wire::new(group);
        let names = wire.hand_over(0, false);
        assert_eq!(names.len(), if group { 2 } else { 1 }, "the whole group goes along");
        assert_eq!(wire.outcome(0, &names), None, "it serves until the peer is heard");
        wire.pass_served(2.0);
        assert_eq!(wire.outcome(0, &names), Some(Ok(())));
        assert!(wire.owns(1));
        wire.pass_served(60.0);
        assert!(wire.owns(1), "it does not preempt its successor");
        wire.hosts[1] = None;
        wire.held[1].clear();
        wire.pass(5.0);
        assert!(wire.owns(0), "a successor that dies is succeeded");
        assert!(!wire.hosts[0].as_ref().unwrap().views()[0].yielded);
    }
}

#[test]
fn where_nobody_takes_over_nothing_is_lost() {
    let mut wire = Wire::new(false);
    wire.hosts[1] = None;
    let names = wire.hand_over(0, false);
    wire.pass_served(10.0);
    assert_eq!(wire.outcome(0, &names), Some(Err(HandOverError::NobodyTookOver { names: names.clone() })));
    assert!(wire.owns(0));
    let names = wire.hand_over(0, true);
    wire.pass(4.2);
    assert_eq!(wire.outcome(0, &names), Some(Ok(())), "forced");
    assert!(wire.held[0].is_empty());
    wire.pass(5.0);
    assert!(wire.owns(0), "nobody else is there");
}

#[test]
fn addresses_that_a_reload_brings_during_a_hand_over_are_held_and_announced_where_nobody_takes_over() {
    let mut wire = Wire::new(false);
    wire.hosts[1] = None;
    let names = wire.hand_over(0, false);
    wire.pass(1.0);
    let mut other = settings(150, false);
    other[0].addresses =
        ["192.0.2.102/24", "192.0.2.103/24"].map(|cidr| VirtualAddress::new(cidr.parse().unwrap())).into();
    wire.on(0, |fleet, now| fleet.reconfigure(now, other));
    assert_eq!(wire.outcome(0, &names), None, "it still hands over");
    wire.pass_served(10.0);
    assert_eq!(wire.outcome(0, &names), Some(Err(HandOverError::NobodyTookOver { names: names.clone() })));
    let expected: BTreeSet<String> = ["192.0.2.102", "192.0.2.103"].map(str::to_owned).into();
    assert_eq!(wire.first[0].0, expected, "held");
    assert!(wire.first[0].1.is_superset(&expected), "announced: {:?}", wire.first[0].1);
}

#[test]
fn what_cannot_hand_over_says_why_and_a_stop_meanwhile_is_a_stop() {
    let mut wire = Wire::new(false);
    let now = wire.now;
    let mut refused = |at: usize, name: &str| {
        wire.hosts[at].as_mut().unwrap().hand_over(now, &[name.to_owned()], true).unwrap_err().to_string()
    };
    assert_eq!(refused(1, "VI_1"), "VI_1 is not MASTER, so it has nothing to hand over");
    assert_eq!(refused(0, "VI_9"), "there is no vrrp_instance `VI_9`");
    wire.hand_over(0, false);
    wire.on(0, Fleet::shutdown);
    wire.pass_served(2.0);
    assert!(wire.owns(1));
    assert!(wire.hosts[0].as_ref().unwrap().is_stopped());
    assert_eq!(wire.hosts[0].as_mut().unwrap().hand_over(now, &[name(1)], true).unwrap_err(), HandOverError::Stopping);
}

#[test]
fn maintenance_holds_nothing_whatever_happens_until_it_ends() {
    let mut wire = Wire::new(false);
    let all = Maintenance { all: true, ..Maintenance::default() };
    wire.hand_over(0, false);
    wire.pass_served(2.0);
    wire.on(0, |fleet, now| fleet.maintain(now, all));
    wire.hosts[1] = None;
    wire.held[1].clear();
    wire.pass(20.0);
    assert!(wire.held[0].is_empty());
    let view = wire.hosts[0].as_ref().unwrap().views().remove(0);
    assert_eq!((view.state, view.faults), (Standing::Fault, vec![crate::vrrp::Fault::Maintenance]));
    wire.on(0, |fleet, now| fleet.maintain(now, Maintenance::default()));
    wire.pass(5.0);
    assert!(wire.owns(0));
}

#[test]
fn a_router_that_holds_off_lets_the_other_be() {
    let mut wire = Wire::new(false);
    (wire.hosts[0], wire.held[0]) = (None, BTreeSet::new());
    wire.pass(5.0);
    assert!(wire.owns(1));
    let mut fleet = linked(0, wire.now);
    fleet.hold_off(wire.now + Duration::from_secs(8));
    wire.hosts[0] = Some(fleet);
    wire.on(0, |fleet, now| fleet.reconfigure(now, settings(150, false)));
    for _ in 0..7 {
        wire.pass(1.0);
        assert!(wire.owns(1), "at {:?}", wire.now);
        assert_eq!(wire.hosts[0].as_ref().unwrap().views()[0].state, Standing::Initialize);
    }
    wire.pass(6.0);
    assert!(wire.owns(0), "it takes over as any router that starts");
}
