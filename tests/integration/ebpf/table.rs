//! The table of connections when it is full, who makes room, and for whom.

use std::net::IpAddr;

use vipd::lvs::datapath::{Datapath as _, Locals};
use vipd::lvs::io::ebpf::{Reason, Verdict};
use vipd::lvs::ipvsadm::command::{Change, Timeouts};
use vipd::lvs::ipvsadm::manual::Manual as _;
use vipd::lvs::table::{Forwarding, Protocol, Scheduler, Step};

use crate::frames::{Flow, packet, transport};
use crate::lab::{reason, until, wait};
use crate::raw;
use crate::replies::{FIN, RST, answer};
use crate::steps::{apply, at, destination, key, service};
use crate::trials::{Trial, vip_of};

pub const SYN: u8 = 2;
pub const ACK: u8 = 16;
/// Entries of the smallest table here are twice as many.
const CONNECTIONS: u32 = 1024;
/// With NAT and all the newcomers not one table of thousands has a bucket that they fill alone: there one of them must go.
const ESTABLISHED: u16 = 200;
const FLOOD: u16 = 20_000;
const NEWCOMERS: u16 = 200;

pub fn segment(client: (IpAddr, u16), vip: IpAddr, flags: u8) -> Vec<u8> {
    let inside = transport(Flow { from: client, to: (vip, 80), tcp: true }, flags, &[]);
    packet(client.0, vip, 6, &inside, 64, None)
}

/// Of those that open a connection now, who is not known at once.
fn newcomers_lost(trial: &mut Trial, client: IpAddr, vip: IpAddr) -> Vec<u16> {
    let is_lost =
        |port: &u16| [SYN, ACK].map(|flags| trial.go(&segment((client, *port), vip, flags)).0) != [Verdict::Forward; 2];
    (40_000..40_000 + NEWCOMERS).filter(is_lost).collect()
}

/// Without its entry an ACK is left to the stack: the scheduler (rr) would choose once more.
#[test]
fn a_flood_of_syns_finds_room_and_drives_out_nothing_that_is_established() {
    for (v6, method) in [(false, Forwarding::Route), (false, Forwarding::Masq), (true, Forwarding::Masq)] {
        let (vip, client, server) = vip_of(v6);
        let mut trial = Trial::with_connections(CONNECTIONS);
        trial.lab.make_whole();
        trial.serve(key(Protocol::Tcp, vip, 80), server, 80, method);
        let established = 1_000..1_000 + ESTABLISHED;
        for port in established.clone() {
            for flags in [SYN, ACK] {
                assert_eq!(trial.go(&segment((client, port), vip, flags)).0, Verdict::Forward);
            }
            if method == Forwarding::Masq {
                let answer = Flow { from: (server, 80), to: (client, port), tcp: true };
                let answer = packet(server, client, 6, &transport(answer, ACK, &[]), 64, None);
                assert_eq!(trial.go(&answer).0, Verdict::Forward);
            }
        }
        for port in 10_000..10_000 + FLOOD {
            assert_eq!(trial.go(&segment((client, port), vip, SYN)).0, Verdict::Forward);
        }
        let lost: Vec<u16> =
            established.filter(|port| trial.go(&segment((client, *port), vip, ACK)).0 != Verdict::Forward).collect();
        assert!(lost.is_empty(), "{method:?}, IPv6 {v6}: {lost:?}");
        // Who comes now is known at once, and the table is not larger than it may be.
        let lost = newcomers_lost(&mut trial, client, vip);
        assert!(lost.is_empty(), "{method:?}, IPv6 {v6}: {lost:?}");
        let listed = wait(trial.plane.connections()).unwrap();
        assert!(listed.len() <= 2 * CONNECTIONS as usize, "{}", listed.len());
        assert_eq!(
            listed.iter().filter(|one| one.state == "ESTABLISHED").count(),
            usize::from(ESTABLISHED + NEWCOMERS)
        );
        assert_eq!(reason(&trial.plane, Reason::SynFlood), 0);
        trial.lab.close(trial.plane);
    }
}

/// A search ends at the first slot of its bucket that was never used: behind it nobody finds an entry.
#[test]
fn who_takes_the_place_of_what_is_over_is_found() {
    let (vip, client, server) = vip_of(false);
    let mut trial = Trial::with_connections(CONNECTIONS);
    trial.serve(key(Protocol::Tcp, vip, 80), server, 80, Forwarding::Route);
    trial.serve(key(Protocol::Udp, vip, 80), server, 80, Forwarding::Route);
    let timeouts = Change::Set(Timeouts { tcp_s: 0, tcp_fin_s: 0, udp_s: 1 });
    assert!(wait(trial.plane.change(&[timeouts])).iter().all(Result::is_ok));
    for port in 10_000..14_000 {
        let inside = transport(Flow { from: (client, port), to: (vip, 80), tcp: false }, 0, &[]);
        assert_eq!(trial.go(&packet(client, vip, 17, &inside, 64, None)).0, Verdict::Forward);
    }
    until("the datagrams are over", || wait(trial.plane.connections()).unwrap().is_empty());
    let lost = newcomers_lost(&mut trial, client, vip);
    assert!(lost.is_empty(), "{lost:?}");
    trial.lab.close(trial.plane);
}

/// One client's connections to a real server by NAT. Two services have the server, so that an answer is known by its entry alone.
struct Nat {
    trial: Trial,
    vip: IpAddr,
    client: IpAddr,
    server: IpAddr,
}

impl Nat {
    fn new(v6: bool) -> Self {
        let (vip, client, server) = vip_of(v6);
        let mut trial = Trial::with_connections(CONNECTIONS);
        trial.lab.make_whole();
        for (protocol, port) in [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(|it| [(it, 80), (it, 81)]) {
            trial.serve(key(protocol, vip, port), server, 80, Forwarding::Masq);
        }
        Self { trial, vip, client, server }
    }

    fn up(&mut self, port: u16, flags: u8) -> bool {
        self.trial.go(&segment((self.client, port), self.vip, flags)).0 == Verdict::Forward
    }

    fn down(&mut self, port: u16, flags: u8) -> bool {
        self.trial.go(&answer((self.server, 80), (self.client, port), flags)).0 == Verdict::Forward
    }

    fn open(&mut self, port: u16) -> bool {
        self.up(port, SYN) && self.down(port, SYN | ACK) && self.up(port, ACK)
    }

    /// In one of four ways.
    fn end(&mut self, port: u16) -> bool {
        match port % 4 {
            0 => self.up(port, FIN | ACK) && self.down(port, FIN | ACK) && self.up(port, ACK),
            1 => self.down(port, FIN | ACK) && self.up(port, FIN | ACK) && self.down(port, ACK),
            2 => self.up(port, RST),
            _ => self.down(port, RST),
        }
    }

    fn lives(&mut self, port: u16) -> bool {
        self.up(port, ACK) && self.down(port, ACK)
    }

    /// There and back.
    fn exchange(&mut self, port: u16) -> bool {
        let (client, there) = ((self.client, port), (self.vip, 80));
        [Flow { from: client, to: there, tcp: false }, Flow { from: (self.server, 80), to: client, tcp: false }]
            .into_iter()
            .all(|flow| {
                let inside = transport(flow, 0, &[]);
                self.trial.go(&packet(flow.from.0, flow.to.0, 17, &inside, 64, None)).0 == Verdict::Forward
            })
    }
}

#[test]
fn connections_by_nat_that_have_ended_make_room_before_any_that_has_not() {
    for v6 in [false, true] {
        let mut nat = Nat::new(v6);
        assert!(nat.open(1_000) && nat.exchange(1_000));
        let ended = 10_000..10_000 + 3 * u16::try_from(CONNECTIONS).unwrap();
        let odd: Vec<u16> = ended.filter(|port| !(nat.open(*port) && nat.end(*port))).collect();
        assert!(odd.is_empty(), "IPv6 {v6}: {odd:?}");
        let newcomers = 40_000..40_000 + NEWCOMERS;
        let lost: Vec<u16> = newcomers.clone().filter(|port| !nat.open(*port)).collect();
        assert!(lost.is_empty(), "IPv6 {v6}: {lost:?}");
        let lost: Vec<u16> = newcomers.chain([1_000]).filter(|port| !nat.lives(*port)).collect();
        assert!(lost.is_empty(), "IPv6 {v6}: {lost:?}");
        assert!(nat.exchange(1_000), "IPv6 {v6}: the datagrams");
        for unwanted in [Reason::ConnectionsFull, Reason::ConnectionsEvicted] {
            assert_eq!(reason(&nat.trial.plane, unwanted), 0, "IPv6 {v6}: {unwanted:?}");
        }
        assert_eq!(raw::faults(&nat.trial.lab), [""; 0]);
        nat.trial.lab.close(nat.trial.plane);
    }
}

/// What goes on is not disturbed, and who is refused is counted once.
#[test]
fn a_table_of_established_connections_refuses_newcomers() {
    let (vip, client, server) = vip_of(false);
    let mut trial = Trial::with_connections(CONNECTIONS);
    trial.lab.make_whole();
    trial.serve(key(Protocol::Tcp, vip, 80), server, 80, Forwarding::Route);
    let mut refused = 0;
    let opened: Vec<u16> = (10_000..14_000)
        .filter(|port| match trial.go(&segment((client, *port), vip, SYN)).0 {
            Verdict::Forward => trial.go(&segment((client, *port), vip, ACK)).0 == Verdict::Forward,
            Verdict::Drop => {
                refused += 1;
                false
            }
            other @ (Verdict::Pass | Verdict::Other(_)) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(opened.len() + refused, 4_000, "who is let in is known");
    assert!(opened.len() >= CONNECTIONS as usize && refused > 0, "{} opened", opened.len());
    let full = |trial: &Trial| reason(&trial.plane, Reason::ConnectionsFull);
    assert_eq!(full(&trial), refused as u64);
    for (method, port) in [(Forwarding::Masq, 81), (Forwarding::FullNat, 82)] {
        let (vip, before) = (key(Protocol::Tcp, vip, port), full(&trial));
        let locals = Locals { addresses: vec!["10.2.0.2".parse().unwrap()], toa: false };
        trial.plane.set_locals(&[(vip, locals)].into()).unwrap();
        trial.serve(vip, server, 80, method);
        assert_eq!(trial.go(&to(client, (vip_of(false).0, port), SYN)).0, Verdict::Drop, "{method:?}");
        assert_eq!(full(&trial) - before, 1, "{method:?}");
    }
    assert_eq!(reason(&trial.plane, Reason::LocalPortsFull), 0);
    // A hash chooses the same for each packet.
    let hashed = key(Protocol::Tcp, vip, 83);
    let add = Step::AddDestination(hashed, at(server, 83), destination(Forwarding::Route, 1));
    apply(&mut trial.plane, &[Step::AddService(hashed, service(Scheduler::Mh)), add]);
    for (flags, times) in [(SYN, 1), (ACK, 2)] {
        let before = full(&trial);
        for _ in 0..times {
            assert_eq!(trial.go(&to(client, (vip, 83), flags)).0, Verdict::Forward);
        }
        assert_eq!(full(&trial) - before, times);
    }
    assert_eq!(reason(&trial.plane, Reason::Adopted), 0);
    let lost: Vec<u16> = opened
        .iter()
        .copied()
        .filter(|port| trial.go(&segment((client, *port), vip, ACK)).0 != Verdict::Forward)
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(reason(&trial.plane, Reason::ConnectionsEvicted), 0);
    assert_eq!(raw::faults(&trial.lab), [""; 0]);
    // Who has vanished is not there for ever.
    let timeouts = Change::Set(Timeouts { tcp_s: 1, tcp_fin_s: 0, udp_s: 0 });
    assert!(wait(trial.plane.change(&[timeouts])).iter().all(Result::is_ok));
    until("they are over", || wait(trial.plane.connections()).unwrap().is_empty());
    let lost = newcomers_lost(&mut trial, client, vip);
    assert!(lost.is_empty(), "{lost:?}");
    trial.lab.close(trial.plane);
}

/// The port of the client is always the same.
fn to(client: IpAddr, service: (IpAddr, u16), flags: u8) -> Vec<u8> {
    let inside = transport(Flow { from: (client, 50_000), to: service, tcp: true }, flags, &[]);
    packet(client, service.0, 6, &inside, 64, None)
}

#[test]
fn connections_of_a_server_that_was_removed_make_room() {
    let (vip, client, server) = vip_of(false);
    let mut trial = Trial::with_connections(CONNECTIONS);
    trial.lab.make_whole();
    let service = key(Protocol::Tcp, vip, 80);
    trial.serve(service, server, 80, Forwarding::Route);
    let full = |trial: &Trial| reason(&trial.plane, Reason::ConnectionsFull);
    for port in 10_000..14_000 {
        if trial.go(&segment((client, port), vip, SYN)).0 == Verdict::Forward {
            trial.go(&segment((client, port), vip, ACK));
        }
    }
    let refused = full(&trial);
    assert!(refused > 0);
    apply(&mut trial.plane, &[Step::DeleteService(service)]);
    trial.serve(service, server, 80, Forwarding::Route);
    let lost = newcomers_lost(&mut trial, client, vip);
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(full(&trial), refused);
    trial.lab.close(trial.plane);
}
