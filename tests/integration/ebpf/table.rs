//! The table of connections when it is full, who makes room, and for whom.

use std::net::IpAddr;

use vipd::lvs::io::ebpf::{Reason, Verdict};
use vipd::lvs::ipvsadm::command::{Change, Timeouts};
use vipd::lvs::ipvsadm::manual::Manual as _;
use vipd::lvs::table::{Forwarding, Protocol};

use crate::frames::{Flow, packet, transport};
use crate::lab::{reason, until, wait};
use crate::steps::key;
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
