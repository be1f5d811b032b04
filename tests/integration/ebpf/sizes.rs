//! What is too large for its way: cut where that is allowed, told where it is not, by whoever found it out.

use std::net::IpAddr;

use vipd::lvs::io::ebpf::{Reason, Verdict};
use vipd::lvs::table::{Encapsulation, Forwarding, Protocol, Scheduler, Step, TunnelChecksum};

use crate::frames::{is_right, packet, pseudo, put_checksum};
use crate::lab::{Host, Lab, MASQ_VIP, ROUTE_VIP, ROUTE_VIP6, address, address6, reason};
use crate::steps::{apply, at, destination, key, service};
use crate::traffic::{connect, exchange, serve_tcp, serve_udp, udp, upload};
use crate::trials::{CLIENT_PORT, Trial, head, vip_of};
use crate::tunnel::End;

const IPIP: Forwarding = Forwarding::Tunnel(Encapsulation::Ipip);
const NO_PMTU_DISC: &str = "net/ipv4/ip_no_pmtu_disc";

/// UDP 53 by a method to the first server.
fn serve_dns(plane: &mut vipd::lvs::io::ebpf::Ebpf, vip: IpAddr, to: (IpAddr, u16), method: Forwarding) {
    let vip = key(Protocol::Udp, vip, 53);
    let steps = [
        Step::AddService(vip, service(Scheduler::Rr)),
        Step::AddDestination(vip, at(to.0, to.1), destination(method, 1)),
    ];
    apply(plane, &steps);
}

#[test]
fn what_may_be_cut_arrives_whole_through_a_tunnel() {
    let lab = Lab::new(1);
    // A wire: nobody behind it leaves a checksum to us. From now on datagrams may be cut.
    lab.make_whole();
    lab.client.sysctl(NO_PMTU_DISC, "1");
    serve_udp(&lab.servers[0], 1, ROUTE_VIP.into(), 53);
    let mut plane = lab.open();
    let _end = End::new(&lab, &lab.servers[0], 1, ROUTE_VIP.into());
    serve_dns(&mut plane, ROUTE_VIP.into(), (address(1), 53), IPIP);
    let socket = udp(&lab.client, (ROUTE_VIP, 53));
    assert_eq!(exchange(&socket, 100).unwrap(), 1);
    assert_eq!(reason(&plane, Reason::Cut), 0);
    // One packet of 1,500 bytes; two fragments, of which the first does not fit; many.
    for size in [1472, 1600, 9000] {
        assert_eq!(exchange(&socket, size).unwrap(), 1, "{size} bytes: {:?}", plane.reasons());
    }
    // 1 and 1 and 6 packets were of 1,500 bytes.
    assert_eq!(reason(&plane, Reason::Cut), 8);
    assert_eq!(reason(&plane, Reason::TooBig), 0);
    let learnt = lab.client.show(&format!("route get {ROUTE_VIP}"));
    assert!(!learnt.contains("mtu"), "nobody had to learn: {learnt}");
    lab.close(plane);
}

#[test]
fn a_large_answer_that_may_be_cut_arrives_whole() {
    let jumbo = |host: &Host, link: &str| host.ip(&format!("link set {link} mtu 9000"));
    for method in [Forwarding::Masq, Forwarding::FullNat] {
        let lab = Lab::new(1);
        lab.make_whole();
        for link in ["p-r1", "p-director"] {
            jumbo(&lab.switch, link);
        }
        jumbo(&lab.servers[0], "lan");
        jumbo(&lab.director, "lan");
        lab.servers[0].sysctl(NO_PMTU_DISC, "1");
        lab.director.ip("address add 10.2.0.2/32 dev lan");
        let port = serve_udp(&lab.servers[0], 1, address(1), 0);
        let mut plane = lab.open();
        let vip = key(Protocol::Udp, MASQ_VIP, 53);
        let local: IpAddr = "10.2.0.2".parse().unwrap();
        vipd::lvs::datapath::Datapath::set_locals(&mut plane, &[(vip, vec![local].into())].into()).unwrap();
        serve_dns(&mut plane, MASQ_VIP.into(), (address(1), port), method);
        let socket = udp(&lab.client, (MASQ_VIP, 53));
        for size in [1471, 1472, 4000, 8900] {
            assert_eq!(exchange(&socket, size).unwrap(), 1, "{method:?}, {size} bytes: {:?}", plane.reasons());
        }
        assert_eq!((reason(&plane, Reason::Cut), reason(&plane, Reason::TooBig)), (3, 0), "{method:?}");
        lab.close(plane);
    }
}

#[test]
fn who_leaves_its_checksum_to_a_device_is_told_though_it_allowed_to_cut() {
    let lab = Lab::new(1);
    lab.client.sysctl(NO_PMTU_DISC, "1");
    serve_udp(&lab.servers[0], 1, ROUTE_VIP.into(), 53);
    let mut plane = lab.open();
    let _end = End::new(&lab, &lab.servers[0], 1, ROUTE_VIP.into());
    serve_dns(&mut plane, ROUTE_VIP.into(), (address(1), 53), IPIP);
    let socket = udp(&lab.client, (ROUTE_VIP, 53));
    exchange(&socket, 1472).expect_err("the first one is lost");
    assert!(reason(&plane, Reason::TooBig) > 0);
    assert_eq!(exchange(&socket, 1472).unwrap(), 1, "from now on the client cuts");
    lab.close(plane);
}

/// Name, virtual address, the director's way to the server, the server.
type Row = (&'static str, IpAddr, &'static str, &'static str, u32);

#[test]
fn a_client_learns_a_small_mtu_within_the_tunnel() {
    // director -- servers[0], a router -- mtu 1400 -- real server
    let rows: [Row; 4] = [
        ("4 in 4", ROUTE_VIP.into(), "10.8.0.0/24 via 10.2.0.11", "10.8.0.2", 1380),
        ("6 in 4", ROUTE_VIP6.into(), "10.8.0.0/24 via 10.2.0.11", "10.8.0.2", 1380),
        ("4 in 6", ROUTE_VIP.into(), "fd08::/64 via fd02::11", "fd08::2", 1360),
        ("6 in 6", ROUTE_VIP6.into(), "fd08::/64 via fd02::11", "fd08::2", 1360),
    ];
    for (name, vip, route, to, mtu) in rows {
        let lab = Lab::new(1);
        let router = &lab.servers[0];
        let server = lab.host("far");
        router.ip(&format!("address del {ROUTE_VIP}/32 dev lo"));
        router.ip(&format!("address del {ROUTE_VIP6}/128 dev lo"));
        router.sysctl("net/ipv4/ip_forward", "1");
        router.sysctl("net/ipv6/conf/all/forwarding", "1");
        router.ip("link add far type veth peer name near");
        router.ip(&format!("link set near netns {}", server.name));
        router.ip("address add 10.8.0.1/24 dev far");
        router.ip("address add fd08::1/64 dev far nodad");
        router.ip("link set far mtu 1400 up");
        // The decapsulator's interface. The server believes in 1500, so its MSS does not save the client.
        server.ip("link set near name lan");
        server.ip("address add 10.8.0.2/24 dev lan");
        server.ip("address add fd08::2/64 dev lan nodad");
        server.ip(&format!("address add {ROUTE_VIP}/32 dev lo"));
        server.ip(&format!("address add {ROUTE_VIP6}/128 dev lo nodad"));
        server.ip("link set lan up");
        server.ip("route add default via 10.8.0.1");
        server.ip("route add default via fd08::1");
        lab.director.ip(&format!("route add {route}"));
        let mut plane = lab.open();
        let _end = End::new(&lab, &server, 1, vip);
        serve_tcp(&server, 1, vip, 80);
        let tcp = key(Protocol::Tcp, vip, 80);
        let to = at(to.parse().unwrap(), 80);
        apply(
            &mut plane,
            &[Step::AddService(tcp, service(Scheduler::Rr)), Step::AddDestination(tcp, to, destination(IPIP, 1))],
        );
        let mut stream = connect(&lab.client, (vip, 80)).unwrap();
        upload(&mut stream, 1_000_000);
        let learnt = lab.client.show(&format!("route get {vip}"));
        assert!(learnt.contains(&format!("mtu {mtu}")), "{name}: {learnt}");
        lab.close(plane);
    }
}

/// The answer to a packet: from the virtual address to the client; its type, code and MTU.
fn told(trial: &mut Trial, what: &str, packet: &[u8], (vip, client): (IpAddr, IpAddr)) -> (u8, u8, u16) {
    let (verdict, frame) = trial.go(packet);
    assert_eq!(verdict, Verdict::Forward, "{what}: {:?}", trial.plane.reasons());
    assert!(is_right(&frame), "{what}: {frame:02x?}");
    assert_eq!(crate::frames::ends(&frame), Some((vip, client)), "{what}");
    let message = &frame[14 + head(&frame[14..])..];
    (message[0], message[1], u16::from_be_bytes([message[6], message[7]]))
}

/// A datagram for port 80 of so many bytes, headers of UDP and IP too; `fragment`: offset and "more follow", over IPv4
/// also that it may be cut.
fn datagram(
    (vip, client): (IpAddr, IpAddr),
    port: u16,
    size: usize,
    ttl: u8,
    fragment: Option<(u16, bool)>,
) -> Vec<u8> {
    let length = size - if vip.is_ipv4() { 20 } else { 40 };
    let mut bytes = CLIENT_PORT.to_be_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend((length as u16).to_be_bytes());
    bytes.resize(length, 0);
    let pseudo = pseudo(client, vip, 17, length);
    put_checksum(&mut bytes, 6, &pseudo);
    packet(client, vip, 17, &bytes, ttl, fragment)
}

/// An error of this type and code about a packet, to whom it came from.
fn complaint(router: IpAddr, about: &[u8], kind: [u8; 2], mtu: u16) -> Vec<u8> {
    let (from, _) = crate::frames::ends(&[&[0; 14], about].concat()).unwrap();
    let mut bytes = [&kind[..], &[0; 4], &mtu.to_be_bytes(), &about[..about.len().min(200)]].concat();
    let protocol = if router.is_ipv4() { 1 } else { 58 };
    let pseudo = if router.is_ipv4() { vec![] } else { pseudo(router, from, protocol, bytes.len()) };
    put_checksum(&mut bytes, 2, &pseudo);
    packet(router, from, protocol, &bytes, 64, None)
}

#[test]
fn errors_about_every_kind_of_tunnel_reach_the_client_and_only_true_ones_do() {
    let kinds = [
        (Encapsulation::Ipip, 0),
        (Encapsulation::Gue { port: 6080, checksum: TunnelChecksum::None }, 12),
        (Encapsulation::Gre { checksum: TunnelChecksum::None }, 4),
    ];
    let mut trial = Trial::new();
    for (number, (encapsulation, head_length)) in kinds.into_iter().enumerate() {
        for (v6, server) in [(false, address(1)), (true, address6(1)), (false, address6(1)), (true, address(1))] {
            let (vip, client, _) = vip_of(v6);
            let port = 80 + number as u16 * 4 + u16::from(v6) * 2 + u16::from(server.is_ipv6());
            let what = format!("{encapsulation:?} of IPv6 {v6} to {server}");
            trial.serve(key(Protocol::Udp, vip, port), server, port, Forwarding::Tunnel(encapsulation));
            let (verdict, framed) = trial.go(&datagram((vip, client), port, 1300, 64, None));
            assert_eq!(verdict, Verdict::Forward, "{what}: {:?}", trial.plane.reasons());
            let outer = &framed[14..];
            let router: IpAddr = if server.is_ipv4() { "10.2.0.99" } else { "fd02::99" }.parse().unwrap();
            let (too_big, no_host) = if server.is_ipv4() { ([3, 4], [3, 1]) } else { ([2, 0], [1, 3]) };
            let overhead = head(outer) as u16 + head_length;
            let heard = told(&mut trial, &what, &complaint(router, outer, too_big, 1400), (vip, client));
            assert_eq!(heard, if v6 { (2, 0, 1400 - overhead) } else { (3, 4, 1400 - overhead) }, "{what}");
            let heard = told(&mut trial, &what, &complaint(router, outer, no_host, 0), (vip, client));
            assert_eq!(heard, if v6 { (1, 3, 0) } else { (3, 1, 0) }, "{what}");
            // Of another real server; of a flow that is not there; about no MTU that could be; to somebody else.
            let mut strange = outer.to_vec();
            strange[if server.is_ipv4() { 19 } else { 39 }] ^= 1;
            let mut unknown = outer.to_vec();
            let at = head(outer) + usize::from(head_length) + if v6 { 40 } else { 20 };
            unknown[at] ^= 0x40;
            let mut other = complaint(router, outer, too_big, 1400);
            let end = head(&other);
            other[end - 1] ^= 4;
            for (about, lie) in [
                ("another server", complaint(router, &strange, too_big, 1400)),
                ("no flow", complaint(router, &unknown, too_big, 1400)),
                ("no MTU", complaint(router, outer, too_big, 60)),
                ("another host", other),
            ] {
                let (verdict, frame) = trial.go(&lie);
                assert_eq!((verdict, &frame[14..]), (Verdict::Pass, &lie[..]), "{what}: {about}");
            }
        }
    }
    trial.lab.close(trial.plane);
}

#[test]
fn what_a_tunnel_bears_is_told_at_once_and_so_is_the_mtu_of_a_route() {
    let mut trial = Trial::new();
    let (vip, client, server) = vip_of(false);
    trial.serve(key(Protocol::Udp, vip, 80), server, 80, IPIP);
    // Larger than the director's interface even without the tunnel.
    for size in [1481, 1600] {
        let heard = told(&mut trial, "tunnel", &datagram((vip, client), 80, size, 64, None), (vip, client));
        assert_eq!(heard, (3, 4, 1480), "{size} bytes");
    }
    trial.lab.director.ip("route add 10.7.0.0/24 via 10.2.0.11 mtu lock 1400");
    let far: IpAddr = "10.7.0.2".parse().unwrap();
    for (port, method, mtu) in [(81, Forwarding::Route, 1400), (82, Forwarding::Masq, 1400), (83, IPIP, 1380)] {
        trial.serve(key(Protocol::Udp, vip, port), far, port, method);
        let heard = told(&mut trial, "route", &datagram((vip, client), port, 1450, 64, None), (vip, client));
        assert_eq!(heard, (3, 4, mtu), "{method:?}");
    }
    assert_eq!(reason(&trial.plane, Reason::TooBig), 5);
    trial.lab.close(trial.plane);
}

#[test]
fn a_hop_limit_that_is_used_up_is_told() {
    let mut trial = Trial::new();
    for v6 in [false, true] {
        let (vip, client, server) = vip_of(v6);
        trial.serve(key(Protocol::Udp, vip, 80), server, 80, Forwarding::Masq);
        let time_exceeded = if v6 { (3, 0, 0) } else { (11, 0, 0) };
        let one = |ttl| datagram((vip, client), 80, 100, ttl, None);
        assert_eq!(told(&mut trial, "a new flow", &one(1), (vip, client)), time_exceeded);
        trial.forwarded("with hops", &one(2));
        assert_eq!(told(&mut trial, "a known flow", &one(1), (vip, client)), time_exceeded);
    }
    assert_eq!(reason(&trial.plane, Reason::Ttl), 4);
    trial.lab.close(trial.plane);
}

#[test]
fn fragments_in_a_tunnel_are_datagrams_of_their_own() {
    let mut trial = Trial::new();
    let (vip, client, server) = vip_of(false);
    trial.serve(key(Protocol::Udp, vip, 80), server, 80, IPIP);
    let mut seen = std::collections::BTreeSet::new();
    for offset in [0, 100, 101, 102] {
        let (verdict, frame) = trial.go(&datagram((vip, client), 80, 828, 64, Some((offset, true))));
        assert_eq!(verdict, Verdict::Forward, "{:?}", trial.plane.reasons());
        seen.insert([frame[18], frame[19]]);
    }
    // Once in 2^48 runs four random numbers are the same.
    assert!(seen.len() > 1, "outer packets have one identification: {seen:?}");
    trial.lab.close(trial.plane);
}
