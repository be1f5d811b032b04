//! `ICMPv6` errors find the side that must hear them.

use std::io::ErrorKind;
use std::net::UdpSocket;

use vipd::lvs::io::ebpf::Reason;
use vipd::lvs::table::{Forwarding, Protocol, Scheduler, Step};

use crate::lab::{Lab, MASQ_VIP6, address6, reason, until};
use crate::steps::{apply, at, destination, key, service};
use crate::traffic::{connect, download, exchange, serve_tcp, serve_udp, udp, who};

#[test]
fn a_closed_port_of_a_real_server_is_told_to_the_client() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    let vip = key(Protocol::Udp, MASQ_VIP6, 53);
    let closed = lab.servers[0].run(|| UdpSocket::bind((address6(1), 0)).unwrap().local_addr().unwrap().port());
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Rr)),
            Step::AddDestination(vip, at(address6(1), closed), destination(Forwarding::Masq, 1)),
        ],
    );
    let socket = udp(&lab.client, (MASQ_VIP6, 53));
    // A connected socket hears of an error only when it quotes its own addresses with a right checksum.
    assert_eq!(exchange(&socket, 10).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    lab.close(plane);
}

#[test]
fn a_client_learns_a_small_mtu_on_the_servers_side() {
    let lab = Lab::new(1);
    for host in [&lab.director, &lab.servers[0]] {
        host.ip("link set lan mtu 1400");
    }
    let mut plane = lab.open();
    let vip = key(Protocol::Udp, MASQ_VIP6, 53);
    let port = serve_udp(&lab.servers[0], 1, address6(1), 0);
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Rr)),
            Step::AddDestination(vip, at(address6(1), port), destination(Forwarding::Masq, 1)),
        ],
    );
    let socket = udp(&lab.client, (MASQ_VIP6, 53));
    exchange(&socket, 1452).expect_err("too large for the director's other side");
    let learnt = lab.client.show(&format!("route get {MASQ_VIP6}"));
    assert!(learnt.contains("mtu 1400"), "{learnt}");
    // The client cuts its datagrams from now on.
    assert_eq!(exchange(&socket, 1352).unwrap(), 1);
    assert_eq!(exchange(&socket, 1452).unwrap(), 1);
    assert_eq!(exchange(&socket, 9000).unwrap(), 1);
    lab.close(plane);
}

#[test]
fn a_real_server_learns_a_small_mtu_behind_a_router() {
    // client fd09::2 -- mtu 1400 -- fd09::1 router (the lab's client) -- director -- server
    let lab = Lab::new(1);
    let router = &lab.client;
    router.ip("link add far type veth peer name near");
    let client = lab.host("far");
    router.ip(&format!("link set near netns {}", client.name));
    router.ip("address add fd09::1/64 dev far nodad");
    router.ip("link set far mtu 1400 up");
    router.sysctl("net/ipv6/conf/all/forwarding", "1");
    router.ip(&format!("route add {MASQ_VIP6}/128 via fd01::1"));
    client.ip("address add fd09::2/64 dev near nodad");
    client.ip("link set near up");
    client.ip("route add default via fd09::1");
    lab.director.ip("route add fd09::/64 via fd01::10");
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP6, 80);
    let port = serve_tcp(&lab.servers[0], 1, address6(1), 0);
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Rr)),
            Step::AddDestination(vip, at(address6(1), port), destination(Forwarding::Masq, 1)),
        ],
    );
    let mut stream = connect(&client, (MASQ_VIP6, 80)).unwrap();
    download(&mut stream, 1_000_000);
    let learnt = lab.servers[0].show("route get fd09::2");
    assert!(learnt.contains("mtu 1400"), "{learnt}");
    lab.close(plane);
}

#[test]
fn a_real_server_learns_the_directors_own_small_mtu() {
    let lab = Lab::new(1);
    lab.director.ip("link set wan mtu 1300");
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP6, 80);
    let port = serve_tcp(&lab.servers[0], 1, address6(1), 0);
    // One segment at a time: the kernel looks at the size of single packets only.
    lab.servers[0].ip("link set lan gso_max_segs 1");
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Rr)),
            Step::AddDestination(vip, at(address6(1), port), destination(Forwarding::Masq, 1)),
        ],
    );
    let mut stream = connect(&lab.client, (MASQ_VIP6, 80)).unwrap();
    assert_eq!(who(&mut stream).unwrap(), 1);
    download(&mut stream, 1_000_000);
    until("the server was told", || reason(&plane, Reason::TooBig) > 0);
    let learnt = lab.servers[0].show("route get fd01::10");
    assert!(learnt.contains("mtu 1300"), "{learnt}");
    lab.close(plane);
}
