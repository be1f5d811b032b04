//! What stays and what goes when destinations, daemons and interfaces change under running traffic.

use std::collections::BTreeMap;
use std::io::Write;

use aya::programs::links::PinnedLink;
use vipd::lvs::datapath::{Datapath, DatapathError};
use vipd::lvs::io::ebpf::{Ebpf, Reason};
use vipd::lvs::ipvsadm::manual::Access;
use vipd::lvs::table::{
    DestinationKey, Encapsulation, Forwarding, Persistence, Protocol, Scheduler, Service, ServiceKey, Step,
    TunnelChecksum,
};

use crate::lab::{Lab, MASQ_VIP, address, reason, until, wait};
use crate::steps::{apply, at, counters, destination, destination_stats, key, service};
use crate::traffic::{connect, connect_many, download, exchange, serve_tcp, serve_udp, udp, upload, who};

const GRE: Forwarding = Forwarding::Tunnel(Encapsulation::Gre { checksum: TunnelChecksum::Checksum });

/// A Masq service on the virtual address with a server on each host, all of weight 1.
fn balance(
    lab: &Lab,
    plane: &mut Ebpf,
    protocol: Protocol,
    scheduler: Scheduler,
    port: u16,
) -> (ServiceKey, Vec<DestinationKey>) {
    let vip = key(protocol, MASQ_VIP, port);
    let mut steps = vec![Step::AddService(vip, service(scheduler))];
    let mut keys = vec![];
    for (host, number) in lab.servers.iter().zip(1..) {
        let port = match protocol {
            Protocol::Udp => serve_udp(host, number, address(number), 0),
            Protocol::Tcp | Protocol::Sctp => serve_tcp(host, number, address(number), 0),
        };
        keys.push(at(address(number), port));
        steps.push(Step::AddDestination(vip, at(address(number), port), destination(Forwarding::Masq, 1)));
    }
    apply(plane, &steps);
    (vip, keys)
}

#[test]
fn weight_zero_keeps_its_connections_and_gets_no_new_ones() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let (vip, keys) = balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Rr, 80);
    let (_, mut streams) = connect_many(&lab.client, (MASQ_VIP, 80), 4);
    apply(&mut plane, &[Step::EditDestination(vip, keys[0], destination(Forwarding::Masq, 0))]);
    let (shares, _later) = connect_many(&lab.client, (MASQ_VIP, 80), 6);
    assert_eq!(shares, BTreeMap::from([(2, 6)]));
    let mut held: Vec<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
    held.sort_unstable();
    assert_eq!(held, [1, 1, 2, 2], "connections of the drained server go on");
    assert_eq!(destination_stats(&mut plane, &vip, &keys[0]).active, 2);
    drop(streams);
    until("the drained server is idle", || destination_stats(&mut plane, &vip, &keys[0]).active == 0);

    // Nobody is left: the stack of the director refuses.
    apply(&mut plane, &[Step::EditDestination(vip, keys[1], destination(Forwarding::Masq, 0))]);
    let refused = connect(&lab.client, (MASQ_VIP, 80)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(reason(&plane, Reason::NoDestination), 1);
    lab.close(plane);
}

#[test]
fn a_removed_server_loses_its_tcp_at_once_and_its_udp_goes_elsewhere() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let (tcp, tcp_keys) = balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Rr, 80);
    let (dns, dns_keys) = balance(&lab, &mut plane, Protocol::Udp, Scheduler::Rr, 53);
    let mut streams: BTreeMap<u8, _> = BTreeMap::new();
    for _ in 0..2 {
        let mut stream = connect(&lab.client, (MASQ_VIP, 80)).unwrap();
        streams.insert(who(&mut stream).unwrap(), stream);
    }
    let sockets = [udp(&lab.client, (MASQ_VIP, 53)), udp(&lab.client, (MASQ_VIP, 53))];
    let mut before: Vec<u8> = sockets.iter().map(|socket| exchange(socket, 10).unwrap()).collect();
    before.sort_unstable();
    assert_eq!(before, [1, 2]);
    apply(&mut plane, &[Step::DeleteDestination(tcp, tcp_keys[0]), Step::DeleteDestination(dns, dns_keys[0])]);
    for socket in &sockets {
        assert_eq!(exchange(socket, 10).unwrap(), 2, "a flow leaves a dead server with its next datagram");
    }
    assert_eq!(who(streams.get_mut(&2).unwrap()).unwrap(), 2, "the other server is not disturbed");
    let lost = who(streams.get_mut(&1).unwrap()).unwrap_err();
    assert_eq!(lost.kind(), std::io::ErrorKind::ConnectionReset);
    // The slot of the removed one goes to the next; its old connections do not.
    apply(&mut plane, &[Step::AddDestination(tcp, tcp_keys[0], destination(Forwarding::Masq, 1))]);
    assert_eq!(destination_stats(&mut plane, &tcp, &tcp_keys[0]).stats.connections, 0);
    let (shares, _streams) = connect_many(&lab.client, (MASQ_VIP, 80), 4);
    assert_eq!(shares, BTreeMap::from([(1, 2), (2, 2)]));
    lab.close(plane);
}

#[test]
fn the_kernel_forwards_without_a_daemon_and_the_next_one_goes_on_from_there() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let (vip, keys) = balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Rr, 80);
    let (_, mut streams) = connect_many(&lab.client, (MASQ_VIP, 80), 4);
    let before: Vec<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
    let table = wait(plane.snapshot()).unwrap();
    drop(plane); // as kill -9 does: every descriptor is closed, nothing is said

    for stream in &mut streams {
        upload(stream, 100_000);
    }
    let (shares, more) = connect_many(&lab.client, (MASQ_VIP, 80), 4);
    assert_eq!(shares, BTreeMap::from([(1, 2), (2, 2)]));
    streams.extend(more);

    let mut plane = lab.open();
    assert_eq!(wait(plane.snapshot()).unwrap(), table);
    let after: Vec<u8> = streams.iter_mut().take(4).map(|stream| who(stream).unwrap()).collect();
    assert_eq!(after, before);
    for stream in &mut streams {
        download(stream, 100_000);
    }
    let counted = counters(&mut plane).services[&vip].clone();
    assert_eq!(counted.stats.connections, 8);
    assert_eq!(counted.destinations[&keys[0]].active, 4);
    // What the new one writes fits to what it found.
    apply(&mut plane, &[Step::DeleteDestination(vip, keys[1])]);
    let (shares, _streams) = connect_many(&lab.client, (MASQ_VIP, 80), 3);
    assert_eq!(shares, BTreeMap::from([(1, 3)]));
    lab.close(plane);
}

#[test]
fn other_sizes_rebuild_the_maps_and_a_clean_stop_leaves_nothing() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    let has_service = || Ebpf::pinned_has_service(&lab.pin_dir());
    assert!(!has_service(), "it is as if there were none, to a command that has to choose a plane");
    balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Rr, 80);
    assert!(has_service());
    drop(plane);
    let mut options = lab.options();
    options.services_max += 1;
    let read = lab.director.run(|| Ebpf::take_up(&options, Access::Read));
    assert!(
        matches!(read, Err(DatapathError::Unsupported { .. })),
        "a listing would have to replace the maps: {read:?}"
    );
    let mut plane = lab.director.run(|| wait(Ebpf::open(&options))).unwrap();
    assert_eq!(wait(plane.snapshot()).unwrap().services.len(), 0);
    // The program of before serves until this one has services.
    assert_eq!(who(&mut connect(&lab.client, (MASQ_VIP, 80)).unwrap()).unwrap(), 1);
    let is_ready = || lab.director.run(|| Ebpf::take_up(&options, Access::Change)).unwrap().is_some();
    assert!(!is_ready(), "the interfaces have the program of before");
    lab.director.run(|| balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Rr, 80));
    assert!(is_ready(), "and now this one");
    assert_eq!(who(&mut connect(&lab.client, (MASQ_VIP, 80)).unwrap()).unwrap(), 1);
    // Somebody else's descriptor of the links (`bpftool link` takes one) keeps no program at work.
    let pins = std::fs::read_dir(lab.pin_dir()).unwrap().map(|pin| pin.unwrap());
    let links = pins.filter(|pin| pin.file_name().to_str().unwrap().starts_with("link_"));
    let links: Vec<_> = links.map(|pin| PinnedLink::from_pin(pin.path()).unwrap()).collect();
    assert_eq!(links.len(), 2, "one for each interface");
    lab.close(plane);
    assert!(connect(&lab.client, (MASQ_VIP, 80)).is_err(), "the program is gone when the plane says so");
    let left: Vec<_> = std::fs::read_dir(lab.pin_dir()).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_no_service_passes() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Mh, 80);
    // The director's own service on the same address, and the client's own way to the server.
    let own = serve_tcp(&lab.director, 9, MASQ_VIP.into(), 0);
    assert_eq!(who(&mut connect(&lab.client, (MASQ_VIP, own)).unwrap()).unwrap(), 9);
    lab.client.ip("route add 10.2.0.11/32 via 10.1.0.1");
    let (_, keys) = balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Mh, 81);
    let std::net::IpAddr::V4(direct) = keys[0].addr else { panic!("an IPv4 lab") };
    let mut stream = connect(&lab.client, (direct, keys[0].port)).unwrap();
    assert_eq!(who(&mut stream).unwrap(), 1);
    download(&mut stream, 1_000_000);
    // A health check of the director itself.
    let mut check = connect(&lab.director, (direct, keys[0].port)).unwrap();
    assert_eq!(who(&mut check).unwrap(), 1);
    assert!(plane.reasons().iter().all(|(_, count)| *count == 0), "{:?}", plane.reasons());
    lab.close(plane);
}

#[test]
fn interfaces_are_taken_on_and_let_go() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Rr, 80);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let attached = lab.director.run(|| plane.attach(&names(&["lan", "absent"]))).unwrap();
    assert_eq!(attached, ["lan"]);
    assert!(connect(&lab.client, (MASQ_VIP, 80)).is_err(), "clients arrive where no program is");
    lab.director.ip("link add eth0.100 type veth peer name other");
    let attached = lab.director.run(|| plane.attach(&names(&["wan", "lan", "eth0.100"]))).unwrap();
    assert_eq!(attached.len(), 3);
    assert_eq!(who(&mut connect(&lab.client, (MASQ_VIP, 80)).unwrap()).unwrap(), 1);
    lab.director.ip("link del eth0.100");
    let attached = lab.director.run(|| plane.attach(&names(&["wan", "lan", "eth0.100"]))).unwrap();
    assert_eq!(attached.len(), 2);
    lab.close(plane);
}

#[test]
fn a_flow_of_another_director_is_taken_over_by_maglev() {
    let lab = Lab::new(3);
    let mut plane = lab.open();
    let (_, _) = balance(&lab, &mut plane, Protocol::Tcp, Scheduler::Mh, 80);
    let (_, mut streams) = connect_many(&lab.client, (MASQ_VIP, 80), 16);
    let before: Vec<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
    let table = wait(plane.snapshot()).unwrap();

    // Another director: the same table, written in another order, and no connections. The two change places between
    // two packets.
    let mut options = lab.options();
    options.pin_dir = lab.pin_dir().with_file_name("other");
    let first = plane;
    let mut plane = lab.director.run(|| wait(Ebpf::open(&options))).unwrap();
    let mut steps: Vec<Step> =
        table.services.iter().map(|(key, entry)| Step::AddService(*key, entry.service)).collect();
    for (key, entry) in &table.services {
        steps.extend(entry.destinations.iter().rev().map(|(at, one)| Step::AddDestination(*key, *at, *one)));
    }
    apply(&mut plane, &steps);
    lab.close(first);
    // Half of them speak first from here, half from there.
    for (number, stream) in streams.iter_mut().enumerate() {
        if number % 2 == 0 {
            stream.write_all(b"d").unwrap();
            stream.write_all(&0u64.to_be_bytes()).unwrap();
        }
    }
    let after: Vec<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
    assert_eq!(after, before);
    assert_eq!(reason(&plane, Reason::Adopted), 16);
    lab.close(plane);
}

#[test]
fn what_the_plane_cannot_do_is_refused_and_the_rest_is_done() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    let good = key(Protocol::Tcp, MASQ_VIP, 80);
    let by_call = Persistence { timeout_s: 300, prefix_len: 32, sip: true };
    let sip = Service { persistence: Some(by_call), ..service(Scheduler::Rr) };
    let refused = wait(plane.apply(&[
        Step::AddService(key(Protocol::Udp, MASQ_VIP, 5060), sip),
        Step::AddService(good, service(Scheduler::Rr)),
        Step::AddService(key(Protocol::Tcp, MASQ_VIP, 0), service(Scheduler::Wlc)),
        Step::AddDestination(good, at(address(1), 80), destination(GRE, 1)),
        Step::AddDestination(key(Protocol::Tcp, MASQ_VIP, 81), at(address(1), 80), destination(Forwarding::Masq, 1)),
        Step::DeleteDestination(good, at(address(1), 80)),
    ]))
    .unwrap_err();
    let kinds: Vec<bool> =
        refused.failed.iter().map(|(_, error)| matches!(error, DatapathError::Unsupported { .. })).collect();
    assert_eq!(kinds, [true, true, true, false], "{:?}", refused.failed);
    assert!(matches!(&refused.failed[3], (_, DatapathError::NotFound { .. })));
    let table = wait(plane.snapshot()).unwrap();
    assert_eq!(table.services.keys().copied().collect::<Vec<_>>(), [good]);
    // 64 services fit; one more does not.
    let many: Vec<Step> = (0..64)
        .map(|port| Step::AddService(key(Protocol::Udp, MASQ_VIP, 1000 + port), service(Scheduler::Rr)))
        .collect();
    let full = wait(plane.apply(&many)).unwrap_err();
    assert!(matches!(&full.failed[..], [(_, DatapathError::Full { limit: 64, .. })]), "{full}");
    lab.close(plane);
}
