//! `FullNat`: real servers whose gateway is not the director answer to its local address.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream, UdpSocket};

use vipd::lvs::datapath::{Datapath, DatapathError};
use vipd::lvs::io::ebpf::{Ebpf, Reason};
use vipd::lvs::table::{Forwarding, Protocol, Scheduler, Service, ServiceKey, Step};

use crate::lab::{Lab, MASQ_VIP, MASQ_VIP6, address, address6, reason, until, wait};
use crate::steps::{apply, at, counters, destination, key, service};
use crate::traffic::{connect, connect_many, download, exchange, serve_tcp, serve_udp, udp, upload, who};

const BULK: u64 = 30 * 1024 * 1024;

/// Addresses of the director that `FullNat` connections begin at.
fn locals(addr: IpAddr) -> [IpAddr; 2] {
    if addr.is_ipv4() {
        ["10.2.0.2", "10.2.0.3"].map(|addr| addr.parse().unwrap())
    } else {
        ["fd02::2", "fd02::3"].map(|addr| addr.parse().unwrap())
    }
}

/// A service with all servers, who know no way to the client.
fn serve(lab: &Lab, plane: &mut Ebpf, vip: ServiceKey, scheduler: Scheduler) {
    let ServiceKey::Address { protocol, addr, .. } = vip else { panic!("{vip}") };
    for local in locals(addr) {
        let length = if addr.is_ipv4() { "24" } else { "64 nodad" };
        lab.director.ip(&format!("address replace {local}/{length} dev lan"));
    }
    let mut steps = vec![Step::AddService(vip, service(scheduler))];
    for (host, number) in lab.servers.iter().zip(1..) {
        let own = if addr.is_ipv4() { address(number) } else { address6(number) };
        let family = if addr.is_ipv4() { "-4" } else { "-6" };
        if host.show(&format!("{family} route")).contains("default") {
            host.ip(&format!("{family} route del default"));
        }
        let port = match protocol {
            Protocol::Udp => serve_udp(host, number, own, 0),
            Protocol::Tcp | Protocol::Sctp => serve_tcp(host, number, own, 0),
        };
        steps.push(Step::AddDestination(vip, at(own, port), destination(Forwarding::FullNat, 1)));
    }
    let of: BTreeMap<_, _> = wait(plane.snapshot())
        .unwrap()
        .services
        .into_keys()
        .chain([vip])
        .map(|key| {
            (key, ["10.2.0.2", "10.2.0.3", "fd02::2", "fd02::3"].map(|addr| addr.parse().unwrap()).to_vec().into())
        })
        .collect();
    plane.set_locals(&of).unwrap();
    apply(plane, &steps);
}

#[test]
fn fullnat_carries_tcp_both_ways_without_a_route_to_the_client() {
    for addr in [IpAddr::from(MASQ_VIP), MASQ_VIP6.into()] {
        let lab = Lab::new(2);
        let mut plane = lab.open();
        let vip = key(Protocol::Tcp, addr, 80);
        serve(&lab, &mut plane, vip, Scheduler::Rr);
        let (shares, mut streams) = connect_many(&lab.client, (addr, 80), 12);
        assert_eq!(shares, BTreeMap::from([(1, 6), (2, 6)]), "{addr}");
        upload(&mut streams[0], BULK);
        download(&mut streams[0], BULK);
        let counted = counters(&mut plane).services[&vip].clone();
        assert!(counted.stats.bytes_in > BULK && counted.stats.bytes_out > BULK, "{:?}", counted.stats);
        for one in counted.destinations.values() {
            assert_eq!((one.stats.connections, one.active, one.inactive), (6, 6, 0), "{addr}");
        }
        drop(streams);
        until("all have ended", || {
            counters(&mut plane).services[&vip].destinations.values().all(|one| one.active == 0)
        });
        let odd: Vec<_> = plane.reasons().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(odd, [], "{addr}");
        lab.close(plane);
    }
}

#[test]
fn fullnat_carries_udp_also_in_fragments_and_errors_find_the_client() {
    for addr in [IpAddr::from(MASQ_VIP), MASQ_VIP6.into()] {
        let lab = Lab::new(2);
        let mut plane = lab.open();
        let vip = key(Protocol::Udp, addr, 53);
        serve(&lab, &mut plane, vip, Scheduler::Mh);
        for _ in 0..4 {
            let socket = udp(&lab.client, (addr, 53));
            let number = exchange(&socket, 30).unwrap();
            for size in [0, 1, 1400, 9_001, 40_000] {
                assert_eq!(exchange(&socket, size).unwrap(), number, "{addr}: {size} bytes");
            }
        }
        let own = if addr.is_ipv4() { address(1) } else { address6(1) };
        let closed = lab.servers[0].run(|| UdpSocket::bind((own, 0)).unwrap().local_addr().unwrap().port());
        let other = key(Protocol::Udp, addr, 54);
        plane
            .set_locals(&BTreeMap::from([(vip, locals(addr).to_vec().into()), (other, locals(addr).to_vec().into())]))
            .unwrap();
        apply(
            &mut plane,
            &[
                Step::AddService(other, service(Scheduler::Rr)),
                Step::AddDestination(other, at(own, closed), destination(Forwarding::FullNat, 1)),
            ],
        );
        let refused = exchange(&udp(&lab.client, (addr, 54)), 10).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{addr}");
        lab.close(plane);
    }
}

#[test]
fn local_ports_are_given_once_and_run_out_with_a_count() {
    let lab = Lab::new(1);
    let mut options = lab.options();
    options.local_ports = 2000..=2003;
    let mut plane = lab.director.run(|| wait(Ebpf::open(&options))).unwrap();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    serve(&lab, &mut plane, vip, Scheduler::Rr);
    // Two local addresses with four ports each.
    let mut streams: Vec<TcpStream> = (0..8).map(|_| connect(&lab.client, (MASQ_VIP, 80)).unwrap()).collect();
    for stream in &mut streams {
        assert_eq!(who(stream).unwrap(), 1);
    }
    connect(&lab.client, (MASQ_VIP, 80)).unwrap_err();
    assert!(reason(&plane, Reason::LocalPortsFull) > 0);
    assert!(streams.iter_mut().all(|stream| who(stream).is_ok()), "the others are not disturbed");
    lab.close(plane);
}

#[test]
fn a_service_without_local_addresses_is_counted_and_one_packet_is_refused() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    serve(&lab, &mut plane, vip, Scheduler::Rr);
    plane.set_locals(&BTreeMap::new()).unwrap();
    connect(&lab.client, (MASQ_VIP, 80)).unwrap_err();
    assert!(reason(&plane, Reason::NoLocalAddress) > 0);
    plane.set_locals(&BTreeMap::from([(vip, locals(MASQ_VIP.into()).to_vec().into())])).unwrap();
    assert_eq!(who(&mut connect(&lab.client, (MASQ_VIP, 80)).unwrap()).unwrap(), 1);
    let steps = [Step::EditService(vip, Service { one_packet: true, ..service(Scheduler::Rr) })];
    let error = wait(plane.apply(&steps)).unwrap_err();
    assert!(matches!(error.failed.as_slice(), [(_, DatapathError::Unsupported { .. })]), "{error:?}");
    lab.close(plane);
}
