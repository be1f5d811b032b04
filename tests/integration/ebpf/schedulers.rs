//! Schedulers that look at how many connections each destination has; limits; one-packet scheduling.

use std::collections::BTreeMap;

use vipd::lvs::io::ebpf::{Ebpf, Reason};
use vipd::lvs::table::{Destination, DestinationKey, Forwarding, Protocol, Scheduler, Service, ServiceKey, Step};

use crate::lab::{Lab, MASQ_VIP, address, reason, until};
use crate::steps::{apply, at, counters, destination, destination_stats, key, service};
use crate::traffic::{connect, connect_many, exchange, serve_tcp, serve_udp, udp, who};

/// A TCP service by Masq with a server of each weight.
fn weighted(
    lab: &Lab,
    plane: &mut Ebpf,
    scheduler: Scheduler,
    port: u16,
    weights: &[u32],
) -> (ServiceKey, Vec<DestinationKey>) {
    let vip = key(Protocol::Tcp, MASQ_VIP, port);
    let mut steps = vec![Step::AddService(vip, service(scheduler))];
    let mut keys = vec![];
    for ((host, number), weight) in lab.servers.iter().zip(1..).zip(weights) {
        let port = serve_tcp(host, number, address(number), 0);
        keys.push(at(address(number), port));
        steps.push(Step::AddDestination(vip, at(address(number), port), destination(Forwarding::Masq, *weight)));
    }
    apply(plane, &steps);
    (vip, keys)
}

/// A scheduler, the weights of its servers, and what each of these gets.
type Row = (Scheduler, &'static [u32], &'static [(u8, usize)]);

#[test]
fn held_connections_are_shared_as_ipvs_shares_them() {
    // Eight held connections; the shares of IPVS on Linux 6.1 with the same weights.
    let rows: [Row; 6] = [
        (Scheduler::Lc, &[1, 3], &[(1, 4), (2, 4)]),
        (Scheduler::Wlc, &[1, 3], &[(1, 2), (2, 6)]),
        (Scheduler::Sed, &[1, 3], &[(1, 2), (2, 6)]),
        (Scheduler::Nq, &[1, 3], &[(1, 2), (2, 6)]),
        (Scheduler::Fo, &[1, 3], &[(2, 8)]),
        (Scheduler::Lblcr, &[2, 2], &[(1, 4), (2, 4)]),
    ];
    let lab = Lab::new(2);
    let mut plane = lab.open();
    for ((scheduler, weights, shares), port) in rows.into_iter().zip(80..) {
        weighted(&lab, &mut plane, scheduler, port, weights);
        let (got, _streams) = connect_many(&lab.client, (MASQ_VIP, port), 8);
        assert_eq!(got, shares.iter().copied().collect::<BTreeMap<u8, usize>>(), "{scheduler}");
    }
    let (dh, _) = weighted(&lab, &mut plane, Scheduler::Dh, 90, &[1, 3]);
    let (shares, _streams) = connect_many(&lab.client, (MASQ_VIP, 90), 8);
    assert_eq!(shares.values().copied().collect::<Vec<_>>(), [8], "dh: an address has one server");
    assert_eq!(counters(&mut plane).services[&dh].stats.connections, 8);
    lab.close(plane);
}

#[test]
fn lc_gives_to_the_server_whose_connections_have_ended() {
    let lab = Lab::new(3);
    let mut plane = lab.open();
    let (vip, keys) = weighted(&lab, &mut plane, Scheduler::Lc, 80, &[1, 1, 1]);
    let (_, mut streams) = connect_many(&lab.client, (MASQ_VIP, 80), 6);
    streams.retain_mut(|stream| who(stream).unwrap() != 2);
    until("the closed connections are idle", || destination_stats(&mut plane, &vip, &keys[1]).active == 0);
    assert_eq!(destination_stats(&mut plane, &vip, &keys[1]).inactive, 2);
    let (shares, _more) = connect_many(&lab.client, (MASQ_VIP, 80), 2);
    assert_eq!(shares, BTreeMap::from([(2, 2)]));
    lab.close(plane);
}

#[test]
fn ovf_overflows_to_the_next_and_then_refuses() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    weighted(&lab, &mut plane, Scheduler::Ovf, 80, &[1, 3]);
    // A server is full when it has more connections than its weight (ip_vs_ovf.c).
    let (shares, _streams) = connect_many(&lab.client, (MASQ_VIP, 80), 6);
    assert_eq!(shares, BTreeMap::from([(1, 2), (2, 4)]));
    let refused = connect(&lab.client, (MASQ_VIP, 80)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(reason(&plane, Reason::NoDestination), 1);
    lab.close(plane);
}

#[test]
fn lblc_moves_an_address_when_its_server_is_full_and_another_idle() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    weighted(&lab, &mut plane, Scheduler::Lblc, 80, &[2, 2]);
    let mut streams = vec![];
    let mut order = vec![];
    for _ in 0..8 {
        let mut stream = connect(&lab.client, (MASQ_VIP, 80)).unwrap();
        order.push(who(&mut stream).unwrap());
        streams.push(stream);
    }
    // Three are more than the weight of two; then nobody has less than half of his weight.
    assert_eq!(order, [1, 1, 1, 2, 2, 2, 2, 2]);
    lab.close(plane);
}

#[test]
fn a_server_above_its_threshold_gets_nothing_more() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let limited = |upper| Destination { upper_threshold: upper, ..destination(Forwarding::Masq, 1) };
    for (scheduler, port) in [(Scheduler::Rr, 80), (Scheduler::Wrr, 81), (Scheduler::Wlc, 82), (Scheduler::Fo, 83)] {
        let (vip, keys) = weighted(&lab, &mut plane, scheduler, port, &[1, 1]);
        apply(
            &mut plane,
            &[Step::EditDestination(vip, keys[0], limited(2)), Step::EditDestination(vip, keys[1], limited(4))],
        );
        let (shares, _streams) = connect_many(&lab.client, (MASQ_VIP, port), 6);
        assert_eq!(shares, BTreeMap::from([(1, 2), (2, 4)]), "{scheduler}");
        assert!(connect(&lab.client, (MASQ_VIP, port)).is_err(), "{scheduler}: all are full");
        apply(&mut plane, &[Step::EditDestination(vip, keys[0], limited(3))]);
        let (shares, _streams) = connect_many(&lab.client, (MASQ_VIP, port), 1);
        assert_eq!(shares, BTreeMap::from([(1, 1)]), "{scheduler}: room again");
    }
    lab.close(plane);
}

#[test]
fn one_packet_scheduling_gives_every_datagram_anew() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let vip = key(Protocol::Udp, MASQ_VIP, 53);
    let mut steps = vec![Step::AddService(vip, Service { one_packet: true, ..service(Scheduler::Rr) })];
    for (host, number) in lab.servers.iter().zip(1..) {
        let port = serve_udp(host, number, address(number), 0);
        steps.push(Step::AddDestination(vip, at(address(number), port), destination(Forwarding::Masq, 1)));
    }
    apply(&mut plane, &steps);
    let socket = udp(&lab.client, (MASQ_VIP, 53));
    let answers: Vec<u8> = (0..6).map(|_| exchange(&socket, 100).unwrap()).collect();
    assert_eq!(answers, [1, 2, 1, 2, 1, 2]);
    let counted = counters(&mut plane).services[&vip].clone();
    assert_eq!((counted.stats.connections, counted.stats.packets_in, counted.stats.packets_out), (6, 6, 6));
    assert!(counted.destinations.values().all(|one| one.inactive == 0), "no entry is kept: {counted:?}");
    lab.close(plane);
}
