//! IPv6: every method with TCP and UDP, fragments, extension headers, persistence, takeover.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vipd::lvs::io::ebpf::{Ebpf, Reason};
use vipd::lvs::table::{Encapsulation, Forwarding, Persistence, Protocol, Scheduler, Service, ServiceKey, Step};

use crate::failover::take_over;
use crate::lab::{Lab, MASQ_VIP6, ROUTE_VIP, ROUTE_VIP6, address, address6, reason};
use crate::steps::{apply, at, counters, destination, key, service};
use crate::traffic::{connect, connect_many, download, exchange, serve_tcp, serve_udp, udp, upload, who};
use crate::tunnel::End;

const BULK: u64 = 30 * 1024 * 1024;
const IPIP: Forwarding = Forwarding::Tunnel(Encapsulation::Ipip);

/// Masq to the servers; the destinations in their order.
fn masq(lab: &Lab, plane: &mut Ebpf, vip: ServiceKey, service: Service) {
    let mut steps = vec![Step::AddService(vip, service)];
    for (host, number) in lab.servers.iter().zip(1..) {
        let port = match vip {
            ServiceKey::Address { protocol: Protocol::Udp, .. } => serve_udp(host, number, address6(number), 0),
            ServiceKey::Address { .. } | ServiceKey::Fwmark { .. } => serve_tcp(host, number, address6(number), 0),
        };
        steps.push(Step::AddDestination(vip, at(address6(number), port), destination(Forwarding::Masq, 1)));
    }
    apply(plane, &steps);
}

#[test]
fn masq_carries_tcp_both_ways_and_rr_shares_exactly() {
    let lab = Lab::new(3);
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP6, 80);
    masq(&lab, &mut plane, vip, service(Scheduler::Rr));
    let (shares, streams) = connect_many(&lab.client, (MASQ_VIP6, 80), 12);
    assert_eq!(shares, BTreeMap::from([(1, 4), (2, 4), (3, 4)]));
    let counted = counters(&mut plane).services[&vip].clone();
    assert_eq!(counted.stats.connections, 12);
    assert!(counted.stats.packets_in >= 36 && counted.stats.packets_out >= 24, "{:?}", counted.stats);
    for stats in counted.destinations.values() {
        assert_eq!((stats.stats.connections, stats.active, stats.inactive), (4, 4, 0));
    }
    drop(streams);
    let mut stream = connect(&lab.client, (MASQ_VIP6, 80)).unwrap();
    upload(&mut stream, BULK);
    download(&mut stream, BULK);
    let bulk = counters(&mut plane).services[&vip].stats;
    assert!(bulk.bytes_in > BULK && bulk.bytes_out > BULK, "{bulk:?}");
    assert_eq!(reason(&plane, Reason::Rewrite), 0);
    lab.close(plane);
}

#[test]
fn masq_carries_udp_also_in_fragments() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let vip = key(Protocol::Udp, MASQ_VIP6, 53);
    masq(&lab, &mut plane, vip, service(Scheduler::Rr));
    let mut shares: BTreeMap<u8, usize> = BTreeMap::new();
    for _ in 0..6 {
        let socket = udp(&lab.client, (MASQ_VIP6, 53));
        let number = exchange(&socket, 30).unwrap();
        for size in [0, 1, 1451, 1452, 1453, 9_001, 40_000] {
            assert_eq!(exchange(&socket, size).unwrap(), number, "{size} bytes");
        }
        *shares.entry(number).or_default() += 1;
    }
    assert_eq!(shares, BTreeMap::from([(1, 3), (2, 3)]));
    assert_eq!(reason(&plane, Reason::Fragment), 0);
    lab.close(plane);
}

#[test]
fn route_carries_tcp_and_udp_and_answers_go_past_the_director() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let (tcp, dns) = (key(Protocol::Tcp, ROUTE_VIP6, 80), key(Protocol::Udp, ROUTE_VIP6, 53));
    let mut steps = vec![Step::AddService(tcp, service(Scheduler::Wrr)), Step::AddService(dns, service(Scheduler::Mh))];
    for (host, number) in lab.servers.iter().zip(1..) {
        serve_tcp(host, number, ROUTE_VIP6.into(), 80);
        serve_udp(host, number, ROUTE_VIP6.into(), 53);
        for (vip, port) in [(tcp, 80), (dns, 53)] {
            let weight = 2 * u32::from(number) - 1;
            steps.push(Step::AddDestination(vip, at(address6(number), port), destination(Forwarding::Route, weight)));
        }
    }
    apply(&mut plane, &steps);
    let (shares, mut streams) = connect_many(&lab.client, (ROUTE_VIP6, 80), 8);
    assert_eq!(shares, BTreeMap::from([(1, 2), (2, 6)]));
    upload(&mut streams[0], BULK);
    download(&mut streams[0], BULK);
    for _ in 0..8 {
        let socket = udp(&lab.client, (ROUTE_VIP6, 53));
        let number = exchange(&socket, 100).unwrap();
        assert_eq!(exchange(&socket, 4000).unwrap(), number, "a flow stays where it is");
    }
    for vip in [tcp, dns] {
        let stats = counters(&mut plane).services[&vip].stats;
        assert_eq!((stats.connections, stats.packets_out, stats.bytes_out), (8, 0, 0), "{vip}");
    }
    lab.close(plane);
}

/// Name, virtual address, addresses of the servers, the largest datagram that fits.
type TunnelRow = (&'static str, IpAddr, fn(u8) -> IpAddr, usize);

#[test]
fn tunnels_join_every_two_families() {
    let rows: [TunnelRow; 3] = [
        ("6 in 6", ROUTE_VIP6.into(), address6, 1412),
        ("6 in 4", ROUTE_VIP6.into(), address, 1432),
        ("4 in 6", ROUTE_VIP.into(), address6, 1432),
    ];
    for (name, addr, to, largest) in rows {
        let lab = Lab::new(2);
        let mut plane = lab.open();
        let mut ends = vec![];
        let (tcp, dns) = (key(Protocol::Tcp, addr, 80), key(Protocol::Udp, addr, 53));
        let mut steps =
            vec![Step::AddService(tcp, service(Scheduler::Rr)), Step::AddService(dns, service(Scheduler::Rr))];
        for (host, number) in lab.servers.iter().zip(1..) {
            serve_tcp(host, number, addr, 80);
            serve_udp(host, number, addr, 53);
            ends.push(End::new(&lab, host, number, addr));
            for (vip, port) in [(tcp, 80), (dns, 53)] {
                steps.push(Step::AddDestination(vip, at(to(number), port), destination(IPIP, 1)));
            }
        }
        apply(&mut plane, &steps);
        let socket = udp(&lab.client, (addr, 53));
        let number = exchange(&socket, 100).unwrap();
        for size in [0, 1, largest] {
            assert_eq!(exchange(&socket, size).unwrap(), number, "{name}: {size} bytes");
        }
        // A connected datagram socket is told what the way bears.
        exchange(&socket, largest + 1).unwrap_err();
        assert!(reason(&plane, Reason::TooBig) > 0, "{name}");
        let learnt = lab.client.show(&format!("route get {addr}"));
        let mtu = if addr.is_ipv4() { largest + 28 } else { largest + 48 };
        assert!(learnt.contains(&format!("mtu {mtu}")), "{name}: {learnt}");
        let (shares, mut streams) = connect_many(&lab.client, (addr, 80), 6);
        assert_eq!(shares, BTreeMap::from([(1, 3), (2, 3)]), "{name}");
        upload(&mut streams[0], BULK);
        download(&mut streams[0], BULK);
        assert_eq!(reason(&plane, Reason::Rewrite), 0, "{name}");
        let stats = counters(&mut plane).services[&tcp].stats;
        assert!(stats.bytes_in > BULK && stats.bytes_out == 0, "{name}: {stats:?}");
        lab.close(plane);
    }
}

#[test]
fn extension_headers_are_followed_and_a_routing_header_is_left_to_the_stack() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    masq(&lab, &mut plane, key(Protocol::Udp, MASQ_VIP6, 53), service(Scheduler::Rr));
    // RFC 8200 section 4.6: destination options of 8 bytes, all padding.
    let with_options = udp(&lab.client, (MASQ_VIP6, 53));
    let padding: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
    raw_option(&with_options, libc::IPV6_DSTOPTS, &padding);
    for size in [10, 3000] {
        assert_eq!(exchange(&with_options, size).unwrap(), 1);
    }
    assert_eq!(reason(&plane, Reason::Extension), 0);
    lab.close(plane);
}

fn raw_option(socket: &std::net::UdpSocket, option: libc::c_int, value: &[u8]) {
    use std::os::fd::AsRawFd;
    let length = libc::socklen_t::try_from(value.len()).unwrap();
    #[expect(unsafe_code, reason = "no crate sets IPV6_DSTOPTS on a socket")]
    // SAFETY: the pointer and the length are those of one slice.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IPV6, option, value.as_ptr().cast(), length) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_network_of_clients_stays_on_one_server() {
    let lab = Lab::new(3);
    for addr in ["fd01::11", "fd01:0:0:7::1", "fd01:0:0:7::2", "fd01:0:0:8::1"] {
        lab.client.ip(&format!("address add {addr}/128 dev wan nodad"));
    }
    lab.director.ip("route add fd01::/32 dev wan");
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP6, 80);
    let persistence = Some(Persistence { timeout_s: 300, prefix_len: 64, sip: false });
    masq(&lab, &mut plane, vip, Service { persistence, ..service(Scheduler::Rr) });
    let ask = |from: &str| {
        lab.client.ip(&format!("route replace {MASQ_VIP6} via fd01::1 src {from}"));
        who(&mut connect(&lab.client, (MASQ_VIP6, 80)).unwrap()).unwrap()
    };
    let near: BTreeSet<u8> = ["fd01::10", "fd01::11", "fd01::10"].map(ask).into();
    let seven: BTreeSet<u8> = ["fd01:0:0:7::1", "fd01:0:0:7::2"].map(ask).into();
    let eight: BTreeSet<u8> = ["fd01:0:0:8::1"].map(ask).into();
    assert_eq!((near.len(), seven.len()), (1, 1), "{near:?} {seven:?}");
    assert!(near.is_disjoint(&seven) && seven.is_disjoint(&eight), "{near:?} {seven:?} {eight:?}");
    assert_eq!(counters(&mut plane).services[&vip].destinations.values().map(|one| one.persistent).sum::<u32>(), 3);
    lab.close(plane);
}

#[test]
fn flows_go_on_at_a_second_director_with_a_scheduler_that_hashes() {
    let lab = Lab::new(3);
    let mut plane = lab.open();
    masq(&lab, &mut plane, key(Protocol::Tcp, MASQ_VIP6, 80), service(Scheduler::Mh));
    let (_, mut streams) = connect_many(&lab.client, (MASQ_VIP6, 80), 12);
    let before: Vec<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
    let plane = take_over(&lab, plane);
    let after: Vec<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
    assert_eq!(after, before);
    assert_eq!(reason(&plane, Reason::Adopted), 12);
    for stream in &mut streams {
        download(stream, 100_000);
    }
    lab.close(plane);
}
