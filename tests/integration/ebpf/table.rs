//! The table of connections when it is full, who makes room, and for whom; and what a flood leaves out of it.

use std::net::IpAddr;

use vipd::lvs::datapath::{Datapath as _, HookMode};
use vipd::lvs::io::ebpf::{Reason, Verdict};
use vipd::lvs::ipvsadm::command::{Change, Timeouts};
use vipd::lvs::ipvsadm::manual::Manual as _;
use vipd::lvs::table::{Encapsulation, Forwarding, Protocol, Scheduler, Step};

use crate::frames::{Flow, ends, packet, transport};
use crate::lab::{address, address6, reason, until, wait};
use crate::steps::{apply, at, destination, key, service};
use crate::trials::{Trial, vip_of};

const SYN: u8 = 2;
const ACK: u8 = 16;
/// Entries of the smallest table here are twice as many.
const CONNECTIONS: u32 = 1024;
const ESTABLISHED: u16 = 500;
const FLOOD: u16 = 20_000;
const NEWCOMERS: u16 = 300;

fn segment(client: (IpAddr, u16), vip: IpAddr, flags: u8) -> Vec<u8> {
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

fn hashed(trial: &mut Trial, v6: bool, method: Forwarding) {
    let vip = key(Protocol::Tcp, vip_of(v6).0, 80);
    let servers = if v6 { [address6(1), address6(2)] } else { [address(1), address(2)] };
    let to = servers.map(|server| Step::AddDestination(vip, at(server, 80), destination(method, 1)));
    apply(&mut trial.plane, &[&[Step::AddService(vip, service(Scheduler::Mh))], &to[..]].concat());
    trial.lab.make_whole();
    for (number, server) in servers.into_iter().enumerate() {
        trial.lab.director.ip(&format!("neigh replace {server} lladdr 02:00:00:00:01:0{number} dev lan nud permanent"));
    }
    let Trial { lab, plane, .. } = trial;
    lab.director.run(|| plane.set_hooks(HookMode::Xdp, None)).unwrap_or_else(|error| panic!("{error}"));
}

/// By XDP, and what it leaves by TC: the server to which it is forwarded.
fn server_of(trial: &mut Trial, packet: &[u8]) -> IpAddr {
    let (mut verdict, mut framed) = trial.go_by_xdp(packet);
    if verdict == Verdict::Pass {
        (verdict, framed) = trial.go(packet);
    }
    assert_eq!(verdict, Verdict::Forward, "{:?}", trial.plane.reasons());
    ends(&framed).unwrap().1
}

#[test]
fn a_flood_of_syns_passes_the_table_by_where_a_hash_will_choose_the_same_again() {
    for v6 in [false, true] {
        let (vip, client, _) = vip_of(v6);
        let mut trial = Trial::with_connections(CONNECTIONS);
        hashed(&mut trial, v6, Forwarding::Tunnel(Encapsulation::Ipip));
        let mut ports = 10_000..60_000;
        let mut sent: Vec<(u16, IpAddr)> = vec![];
        until("SYNs that are forwarded without an entry", || {
            for port in ports.by_ref().take(500) {
                sent.push((port, server_of(&mut trial, &segment((client, port), vip, SYN))));
            }
            reason(&trial.plane, Reason::SynFlood) >= 200
        });
        let listed = wait(trial.plane.connections()).unwrap();
        assert!(listed.len() as u64 + reason(&trial.plane, Reason::SynFlood) <= sent.len() as u64, "IPv6 {v6}");
        for (port, server) in &sent {
            let now = server_of(&mut trial, &segment((client, *port), vip, ACK));
            assert_eq!(now, *server, "IPv6 {v6}, port {port}");
        }
        // That was when the last ones of the flood got their entry.
        let adopted = reason(&trial.plane, Reason::Adopted);
        assert!(adopted >= 200);
        for (port, _) in &sent[sent.len() - 100..] {
            server_of(&mut trial, &segment((client, *port), vip, ACK));
        }
        assert_eq!(reason(&trial.plane, Reason::Adopted), adopted, "IPv6 {v6}");
        trial.lab.close(trial.plane);
    }
}

/// The answers of a real server find their way by an entry.
#[test]
fn a_flood_of_syns_passes_no_table_by_where_masq_needs_it() {
    let (vip, client, _) = vip_of(false);
    let mut trial = Trial::with_connections(CONNECTIONS);
    hashed(&mut trial, false, Forwarding::Masq);
    for port in 10_000..13_000 {
        server_of(&mut trial, &segment((client, port), vip, SYN));
    }
    assert_eq!(reason(&trial.plane, Reason::SynFlood), 0);
    trial.lab.close(trial.plane);
}
