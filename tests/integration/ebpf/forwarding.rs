//! Masq and Route, TCP and UDP: bytes arrive unharmed, and everybody is counted.

use std::collections::BTreeMap;

use vipd::lvs::table::{Forwarding, Protocol, Scheduler, Step};

use crate::lab::{Lab, MASQ_VIP, ROUTE_VIP, address};
use crate::steps::{apply, at, counters, destination, key, service};
use crate::traffic::{connect, connect_many, download, exchange, serve_tcp, serve_udp, udp, upload, who};

const BULK: u64 = 50 * 1024 * 1024;

#[test]
fn masq_carries_tcp_both_ways_and_rr_shares_exactly() {
    let lab = Lab::new(3);
    let ports: Vec<u16> =
        lab.servers.iter().zip(1..).map(|(host, number)| serve_tcp(host, number, address(number), 0)).collect();
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    let mut steps = vec![Step::AddService(vip, service(Scheduler::Rr))];
    for (port, number) in ports.iter().zip(1..) {
        steps.push(Step::AddDestination(vip, at(address(number), *port), destination(Forwarding::Masq, 1)));
    }
    apply(&mut plane, &steps);

    let (shares, streams) = connect_many(&lab.client, (MASQ_VIP, 80), 12);
    assert_eq!(shares, BTreeMap::from([(1, 4), (2, 4), (3, 4)]));
    let counted = counters(&mut plane).services[&vip].clone();
    assert_eq!(counted.stats.connections, 12);
    assert!(counted.stats.packets_in >= 36 && counted.stats.packets_out >= 24, "{:?}", counted.stats);
    for stats in counted.destinations.values() {
        assert_eq!((stats.stats.connections, stats.active, stats.inactive), (4, 4, 0));
    }
    drop(streams);

    let mut stream = connect(&lab.client, (MASQ_VIP, 80)).unwrap();
    upload(&mut stream, BULK);
    download(&mut stream, BULK);
    let bulk = counters(&mut plane).services[&vip].stats;
    assert!(bulk.bytes_in > BULK && bulk.bytes_out > BULK, "{bulk:?}");
    lab.close(plane);
}

#[test]
fn route_carries_tcp_and_udp_and_answers_go_past_the_director() {
    let lab = Lab::new(2);
    for (host, number) in lab.servers.iter().zip(1..) {
        serve_tcp(host, number, ROUTE_VIP.into(), 80);
        serve_udp(host, number, ROUTE_VIP.into(), 53);
    }
    let mut plane = lab.open();
    let (tcp, dns) = (key(Protocol::Tcp, ROUTE_VIP, 80), key(Protocol::Udp, ROUTE_VIP, 53));
    for (vip, port) in [(tcp, 80), (dns, 53)] {
        apply(
            &mut plane,
            &[
                Step::AddService(vip, service(Scheduler::Wrr)),
                Step::AddDestination(vip, at(address(1), port), destination(Forwarding::Route, 1)),
                Step::AddDestination(vip, at(address(2), port), destination(Forwarding::Route, 3)),
            ],
        );
    }
    let (shares, _streams) = connect_many(&lab.client, (ROUTE_VIP, 80), 8);
    assert_eq!(shares, BTreeMap::from([(1, 2), (2, 6)]));
    let mut stream = connect(&lab.client, (ROUTE_VIP, 80)).unwrap();
    let first = who(&mut stream).unwrap();
    upload(&mut stream, BULK);
    download(&mut stream, BULK);
    assert_eq!(who(&mut stream).unwrap(), first);

    let mut shares: BTreeMap<u8, usize> = BTreeMap::new();
    for _ in 0..8 {
        let socket = udp(&lab.client, (ROUTE_VIP, 53));
        let number = exchange(&socket, 100).unwrap();
        assert_eq!(exchange(&socket, 1200).unwrap(), number, "a flow stays where it is");
        *shares.entry(number).or_default() += 1;
    }
    assert_eq!(shares, BTreeMap::from([(1, 2), (2, 6)]));
    let counted = counters(&mut plane);
    for (vip, connections, packets) in [(tcp, 9, 0), (dns, 8, 16)] {
        let stats = counted.services[&vip].stats;
        assert_eq!((stats.connections, stats.packets_out, stats.bytes_out), (connections, 0, 0), "{vip}");
        assert!(packets == 0 || stats.packets_in == packets, "{vip}: {stats:?}");
    }
    lab.close(plane);
}

#[test]
fn masq_carries_udp_also_in_fragments() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let vip = key(Protocol::Udp, MASQ_VIP, 53);
    let mut steps = vec![Step::AddService(vip, service(Scheduler::Rr))];
    for (host, number) in lab.servers.iter().zip(1..) {
        let port = serve_udp(host, number, address(number), 0);
        steps.push(Step::AddDestination(vip, at(address(number), port), destination(Forwarding::Masq, 1)));
    }
    apply(&mut plane, &steps);
    let mut shares: BTreeMap<u8, usize> = BTreeMap::new();
    for _ in 0..6 {
        let socket = udp(&lab.client, (MASQ_VIP, 53));
        let number = exchange(&socket, 30).unwrap();
        for size in [0, 1, 1471, 1472, 1473, 9_001, 40_000] {
            assert_eq!(exchange(&socket, size).unwrap(), number, "{size} bytes");
        }
        *shares.entry(number).or_default() += 1;
    }
    assert_eq!(shares, BTreeMap::from([(1, 3), (2, 3)]));
    lab.close(plane);
}
