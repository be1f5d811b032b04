//! ICMP errors find the side that must hear them.

use std::io::ErrorKind;
use std::net::UdpSocket;

use vipd::lvs::io::ebpf::Reason;
use vipd::lvs::table::{Forwarding, Protocol, Scheduler, Step};

use crate::lab::{Lab, MASQ_VIP, address, reason, until};
use crate::steps::{apply, at, destination, key, service};
use crate::traffic::{connect, download, exchange, serve_tcp, udp, who};

#[test]
fn a_closed_port_of_a_real_server_is_told_to_the_client() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    let vip = key(Protocol::Udp, MASQ_VIP, 53);
    let closed = lab.servers[0].run(|| UdpSocket::bind((address(1), 0)).unwrap().local_addr().unwrap().port());
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Rr)),
            Step::AddDestination(vip, at(address(1), closed), destination(Forwarding::Masq, 1)),
        ],
    );
    let socket = udp(&lab.client, (MASQ_VIP, 53));
    // A connected socket hears of an error only when it quotes its own addresses with a right checksum.
    assert_eq!(exchange(&socket, 10).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    lab.close(plane);
}

#[test]
fn a_real_server_learns_a_small_mtu_behind_a_router() {
    // client 10.9.0.2 -- mtu 1400 -- 10.9.0.1 router (the lab's client) -- director -- server
    let lab = Lab::new(1);
    let router = &lab.client;
    router.ip("link add far type veth peer name near");
    let client = lab.host("far");
    router.ip(&format!("link set near netns {}", client.name));
    router.ip("address add 10.9.0.1/24 dev far");
    router.ip("link set far mtu 1400 up");
    router.sysctl("net/ipv4/ip_forward", "1");
    router.ip(&format!("route add {MASQ_VIP}/32 via 10.1.0.1"));
    client.ip("address add 10.9.0.2/24 dev near");
    // The client itself believes in 1500, so its MSS does not save the server.
    client.ip("link set near up");
    client.ip("route add default via 10.9.0.1");
    lab.director.ip("route add 10.9.0.0/24 via 10.1.0.10");
    // Segments leave the server as large as they are on the wire: a GSO packet has no single size.
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    let port = serve_tcp(&lab.servers[0], 1, address(1), 0);
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Rr)),
            Step::AddDestination(vip, at(address(1), port), destination(Forwarding::Masq, 1)),
        ],
    );
    let mut stream = connect(&client, (MASQ_VIP, 80)).unwrap();
    download(&mut stream, 1_000_000);
    let learnt = lab.servers[0].show("route get 10.9.0.2");
    assert!(learnt.contains("mtu 1400"), "{learnt}");
    lab.close(plane);
}

#[test]
fn a_real_server_learns_the_directors_own_small_mtu() {
    let lab = Lab::new(1);
    lab.director.ip("link set wan mtu 1300");
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    let port = serve_tcp(&lab.servers[0], 1, address(1), 0);
    // One segment at a time: the kernel looks at the size of single packets only.
    lab.servers[0].ip("link set lan gso_max_segs 1");
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Rr)),
            Step::AddDestination(vip, at(address(1), port), destination(Forwarding::Masq, 1)),
        ],
    );
    let mut stream = connect(&lab.client, (MASQ_VIP, 80)).unwrap();
    assert_eq!(who(&mut stream).unwrap(), 1);
    download(&mut stream, 1_000_000);
    until("the server was told", || reason(&plane, Reason::TooBig) > 0);
    let learnt = lab.servers[0].show("route get 10.1.0.10");
    assert!(learnt.contains("mtu 1300"), "{learnt}");
    lab.close(plane);
}
