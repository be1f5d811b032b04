//! Tunnel (IPIP), with the decapsulator on the real servers; and what is too large for the way.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::lvs::io::ebpf::{Decapsulator, Ebpf, Reason};
use vipd::lvs::table::{Encapsulation, Forwarding, Protocol, Scheduler, Step};

use crate::lab::{CHECKSUMS, Host, Lab, MASQ_VIP, ROUTE_VIP, address, reason};
use crate::steps::{apply, at, counters, destination, key, service};
use crate::traffic::{connect, connect_many, download, exchange, serve_tcp, serve_udp, udp, upload, who};

const BULK: u64 = 50 * 1024 * 1024;
const IPIP: Forwarding = Forwarding::Tunnel(Encapsulation::Ipip);

/// Where a tunnel ends; it leaves no mount behind.
pub struct End<'a> {
    host: &'a Host,
    program: Decapsulator,
    vip: IpAddr,
}

impl<'a> End<'a> {
    pub fn new(lab: &Lab, host: &'a Host, number: u8, vip: IpAddr) -> Self {
        let program = Decapsulator::at(&lab.dir().join(format!("end{number}")));
        host.run(|| program.add(vip, &["lan".to_owned()]).unwrap_or_else(|error| panic!("{error}")));
        Self { host, program, vip }
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.host.run(|| self.program.remove(self.vip)).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// TCP 80 and UDP 53 on the servers' own virtual address.
fn tunnels<'a>(lab: &'a Lab, plane: &mut Ebpf) -> Vec<End<'a>> {
    let mut steps = vec![];
    let mut ends = vec![];
    for (host, number) in lab.servers.iter().zip(1..) {
        serve_tcp(host, number, ROUTE_VIP.into(), 80);
        serve_udp(host, number, ROUTE_VIP.into(), 53);
        ends.push(End::new(lab, host, number, ROUTE_VIP.into()));
        for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53)] {
            let vip = key(protocol, ROUTE_VIP, port);
            steps.push(Step::AddService(vip, service(Scheduler::Rr)));
            steps.push(Step::AddDestination(vip, at(address(number), port), destination(IPIP, 1)));
        }
    }
    apply(plane, &steps);
    ends
}

#[test]
fn a_tunnel_carries_tcp_and_udp_and_answers_go_past_the_director() {
    let lab = Lab::new(2);
    let mut plane = lab.open();
    let _ends = tunnels(&lab, &mut plane);
    let (shares, _streams) = connect_many(&lab.client, (ROUTE_VIP, 80), 6);
    assert_eq!(shares, BTreeMap::from([(1, 3), (2, 3)]));
    let mut stream = connect(&lab.client, (ROUTE_VIP, 80)).unwrap();
    let first = who(&mut stream).unwrap();
    upload(&mut stream, BULK);
    download(&mut stream, BULK);
    assert_eq!(who(&mut stream).unwrap(), first);
    let socket = udp(&lab.client, (ROUTE_VIP, 53));
    let number = exchange(&socket, 100).unwrap();
    for size in [0, 1, 1400, 1452] {
        assert_eq!(exchange(&socket, size).unwrap(), number, "{size} bytes");
    }
    let counted = counters(&mut plane);
    let tcp = counted.services[&key(Protocol::Tcp, ROUTE_VIP, 80)].stats;
    assert!(tcp.bytes_in > BULK && tcp.bytes_out == 0, "{tcp:?}");
    assert_eq!(reason(&plane, Reason::Rewrite), 0);
    lab.close(plane);
}

#[test]
fn a_client_learns_how_much_a_tunnel_carries() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    let _ends = tunnels(&lab, &mut plane);
    // A connected datagram socket discovers the path's MTU by default: it forbids to cut what fits its own link.
    let socket = udp(&lab.client, (ROUTE_VIP, 53));
    exchange(&socket, 1472).expect_err("20 bytes too large");
    assert!(reason(&plane, Reason::TooBig) > 0);
    let learnt = lab.client.show(&format!("route get {ROUTE_VIP}"));
    assert!(learnt.contains("mtu 1480"), "{learnt}");
    assert_eq!(exchange(&socket, 1452).unwrap(), 1);
    lab.close(plane);
}

#[test]
fn what_a_client_is_told_has_no_checksum_of_what_it_sent() {
    let lab = Lab::new(1);
    // The client leaves its checksums to its link, and the director's links take none.
    lab.director.offload("wan", CHECKSUMS, false);
    lab.director.offload("lan", CHECKSUMS, false);
    let mut plane = lab.open();
    let _ends = tunnels(&lab, &mut plane);
    let socket = udp(&lab.client, (ROUTE_VIP, 53));
    exchange(&socket, 1472).expect_err("20 bytes too large");
    let learnt = lab.client.show(&format!("route get {ROUTE_VIP}"));
    assert!(learnt.contains("mtu 1480"), "{learnt}");
    lab.close(plane);
}

#[test]
fn a_client_learns_a_small_mtu_on_the_servers_side() {
    let lab = Lab::new(1);
    lab.director.ip("link set lan mtu 1400");
    let mut plane = lab.open();
    let vip = key(Protocol::Udp, MASQ_VIP, 53);
    let port = serve_udp(&lab.servers[0], 1, address(1), 0);
    apply(
        &mut plane,
        &[
            Step::AddService(vip, service(Scheduler::Rr)),
            Step::AddDestination(vip, at(address(1), port), destination(Forwarding::Masq, 1)),
        ],
    );
    let socket = udp(&lab.client, (MASQ_VIP, 53));
    exchange(&socket, 1472).expect_err("too large for the director's other side");
    let learnt = lab.client.show(&format!("route get {MASQ_VIP}"));
    assert!(learnt.contains("mtu 1400"), "{learnt}");
    assert_eq!(exchange(&socket, 1372).unwrap(), 1);
    lab.close(plane);
}
