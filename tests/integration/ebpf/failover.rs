//! Another director takes over: flows that began at the first one go on at the second, or are ended cleanly.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use vipd::lvs::datapath::Datapath;
use vipd::lvs::io::ebpf::{Ebpf, Reason};
use vipd::lvs::table::{Forwarding, Protocol, Scheduler, Step, Table};

use crate::lab::{Lab, MASQ_VIP, ROUTE_VIP, address, reason, wait};
use crate::steps::{apply, at, destination, key, service};
use crate::traffic::{connect, connect_many, download, exchange, serve_tcp, serve_udp, udp, who};

/// The other director: the same table, written in another order, and no connections. The two change places between
/// two packets.
pub fn take_over(lab: &Lab, mut first: Ebpf) -> Ebpf {
    let table = wait(first.snapshot()).unwrap();
    let mut options = lab.options();
    options.pin_dir = lab.pin_dir().with_file_name("other");
    let mut second = lab.director.run(|| wait(Ebpf::open(&options))).unwrap();
    apply(&mut second, &backwards(&table));
    lab.close(first);
    second
}

fn backwards(table: &Table) -> Vec<Step> {
    let mut steps: Vec<Step> =
        table.services.iter().rev().map(|(key, entry)| Step::AddService(*key, entry.service)).collect();
    for (key, entry) in table.services.iter().rev() {
        steps.extend(entry.destinations.iter().rev().map(|(at, one)| Step::AddDestination(*key, *at, *one)));
    }
    steps
}

#[test]
fn flows_go_on_by_route_with_a_scheduler_that_hashes() {
    for scheduler in [Scheduler::Mh, Scheduler::Sh] {
        let lab = Lab::new(3);
        let mut plane = lab.open();
        let (tcp, dns) = (key(Protocol::Tcp, ROUTE_VIP, 80), key(Protocol::Udp, ROUTE_VIP, 53));
        let mut steps = vec![Step::AddService(tcp, service(scheduler)), Step::AddService(dns, service(scheduler))];
        for (host, number) in lab.servers.iter().zip(1..) {
            serve_tcp(host, number, ROUTE_VIP.into(), 80);
            serve_udp(host, number, ROUTE_VIP.into(), 53);
            for (vip, port) in [(tcp, 80), (dns, 53)] {
                steps.push(Step::AddDestination(vip, at(address(number), port), destination(Forwarding::Route, 1)));
            }
        }
        apply(&mut plane, &steps);
        let (_, mut streams) = connect_many(&lab.client, (ROUTE_VIP, 80), 12);
        let sockets: Vec<_> = (0..12).map(|_| udp(&lab.client, (ROUTE_VIP, 53))).collect();
        let streams_before: Vec<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
        let sockets_before: Vec<u8> = sockets.iter().map(|socket| exchange(socket, 10).unwrap()).collect();
        let used: BTreeSet<u8> = streams_before.iter().copied().collect();
        assert!(used.len() > 1, "{scheduler}: a choice is shown only where there are several: {used:?}");

        let plane = take_over(&lab, plane);
        let streams_after: Vec<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
        let sockets_after: Vec<u8> = sockets.iter().map(|socket| exchange(socket, 10).unwrap()).collect();
        assert_eq!(streams_after, streams_before, "{scheduler}");
        assert_eq!(sockets_after, sockets_before, "{scheduler}");
        for stream in &mut streams {
            download(stream, 100_000);
        }
        assert_eq!(reason(&plane, Reason::Adopted), 12, "{scheduler}: the TCP flows were taken over, once each");
        lab.close(plane);
    }
}

#[test]
fn flows_of_a_scheduler_with_a_memory_are_reset_at_once() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    let mut steps = vec![Step::AddService(vip, service(Scheduler::Rr))];
    for (host, number) in lab.servers.iter().zip(1..) {
        let port = serve_tcp(host, number, address(number), 0);
        steps.push(Step::AddDestination(vip, at(address(number), port), destination(Forwarding::Masq, 1)));
    }
    apply(&mut plane, &steps);
    let (_, mut streams) = connect_many(&lab.client, (MASQ_VIP, 80), 2);
    let plane = take_over(&lab, plane);
    for stream in &mut streams {
        let lost = who(stream).unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::ConnectionReset, "the client is told, and need not wait");
    }
    assert_eq!(reason(&plane, Reason::NoConnection), 2);
    assert!(who(&mut connect(&lab.client, (MASQ_VIP, 80)).unwrap()).is_ok(), "new ones are served");
    lab.close(plane);
}

#[test]
fn the_directors_own_connections_to_the_address_reach_its_own_stack() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    let port = serve_tcp(&lab.servers[0], 1, address(1), 0);
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Mh)),
            Step::AddDestination(vip, at(address(1), port), destination(Forwarding::Masq, 1)),
        ],
    );
    let own = serve_tcp(&lab.director, 9, MASQ_VIP.into(), 0);
    assert_eq!(who(&mut connect(&lab.director, (MASQ_VIP, own)).unwrap()).unwrap(), 9);
    assert!(plane.reasons().iter().all(|(_, count)| *count == 0), "{:?}", plane.reasons());
    lab.close(plane);
}
