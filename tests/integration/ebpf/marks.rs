//! Services by firewall mark: netfilter marks, the program serves.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::process::{Command, Stdio};

use vipd::base::Family;
use vipd::lvs::datapath::{Datapath as _, DatapathError};
use vipd::lvs::io::ebpf::Ebpf;
use vipd::lvs::table::{Forwarding, Persistence, Protocol, Scheduler, Service, ServiceKey, Step};

use crate::lab::{DEADLINE, Host, Lab, MASQ_VIP, MASQ_VIP6, ROUTE_VIP, ROUTE_VIP6, address, address6, until, wait};
use crate::steps::{at, counters, destination, service};
use crate::traffic::{connect, connect_many, download, exchange, serve_tcp, serve_udp, udp, upload, who};

const MARK: u32 = 7;

/// On the director, where the device and the rules are made.
fn apply(lab: &Lab, plane: &mut Ebpf, steps: &[Step]) {
    lab.director.run(|| crate::steps::apply(plane, steps));
}

fn marked(mark: u32, family: Family) -> ServiceKey {
    ServiceKey::Fwmark { mark: NonZeroU32::new(mark).unwrap(), family }
}

fn persistent(prefix_len: u8) -> Service {
    Service { persistence: Some(Persistence { timeout_s: 300, prefix_len, sip: false }), ..service(Scheduler::Rr) }
}

/// Rules of the hook where packets are marked.
fn mark(host: &Host, rules: &[String]) {
    let chain = "type filter hook prerouting priority mangle";
    let text = format!("table inet marks {{\nchain prerouting {{\n{chain}\n{}\n}}\n}}\n", rules.join("\n"));
    let namespace = format!("--net=/run/netns/{}", host.name);
    let mut nft = Command::new("nsenter")
        .args([&namespace, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nftables is installed");
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{text}");
}

fn mark_ports(lab: &Lab, vip: IpAddr, ports: &str, mark_it: u32) {
    let family = if vip.is_ipv4() { "ip" } else { "ip6" };
    let rule = |transport| format!("{family} daddr {vip} {transport} dport {{ {ports} }} meta mark set {mark_it}");
    mark(&lab.director, &["tcp", "udp"].map(rule));
}

/// The policy rules as they are without us.
fn usual_rules(lab: &Lab) -> [String; 2] {
    let mut shown = ["-4 rule", "-6 rule"].map(|what| lab.director.show(what).replace('\t', " "));
    for rules in &mut shown {
        *rules = rules.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    }
    shown
}

#[test]
fn two_ports_under_one_mark_go_to_one_server_and_nothing_is_left_behind() {
    let of = |number: u8, v6: bool| if v6 { address6(number) } else { address(number) };
    for (vip, forwarding) in [
        (IpAddr::from(MASQ_VIP), Forwarding::Masq),
        (ROUTE_VIP.into(), Forwarding::Route),
        (MASQ_VIP6.into(), Forwarding::Masq),
        (ROUTE_VIP6.into(), Forwarding::Route),
    ] {
        let lab = Lab::new(3);
        let before = usual_rules(&lab);
        mark_ports(&lab, vip, "80, 443", MARK);
        let mut plane = lab.open();
        let (family, prefix_len) = if vip.is_ipv4() { (Family::V4, 32) } else { (Family::V6, 128) };
        let key = marked(MARK, family);
        apply(&lab, &mut plane, &[Step::AddService(key, persistent(prefix_len))]);
        for (host, number) in lab.servers.iter().zip(1..) {
            let own = of(number, vip.is_ipv6());
            for port in [80, 443] {
                serve_tcp(host, number, if forwarding == Forwarding::Masq { own } else { vip }, port);
            }
            // A persistent client has its own ports there, whatever the real server's is.
            apply(&lab, &mut plane, &[Step::AddDestination(key, at(own, 8080), destination(forwarding, 1))]);
        }
        let mut streams = [80, 443, 80].map(|port| connect(&lab.client, (vip, port)).unwrap());
        let answers: BTreeSet<u8> = streams.iter_mut().map(|stream| who(stream).unwrap()).collect();
        assert_eq!(answers.len(), 1, "{vip} {forwarding:?}: {answers:?}");
        upload(&mut streams[0], 3_000_000);
        download(&mut streams[1], 3_000_000);
        let counted = counters(&mut plane).services[&key].clone();
        assert_eq!(counted.stats.connections, 3);
        assert_eq!(counted.destinations.values().map(|one| one.persistent).sum::<u32>(), 1);
        let table = wait(plane.snapshot()).unwrap();
        assert_eq!(table.services.keys().collect::<Vec<_>>(), [&key]);
        lab.close(plane);
        assert_eq!(usual_rules(&lab), before, "{vip} {forwarding:?}");
        assert!(!lab.director.show("link").contains("vipd-mark"));
    }
}

/// A service by mark for UDP and TCP, Masq to one port; the servers' answers name them.
fn one_port(lab: &Lab, plane: &mut Ebpf, mark: u32) -> ServiceKey {
    let key = marked(mark, Family::V4);
    apply(lab, plane, &[Step::AddService(key, service(Scheduler::Rr))]);
    for (host, number) in lab.servers.iter().zip(1..) {
        let port = serve_tcp(host, number, address(number), 0);
        serve_udp(host, number, address(number), port);
        apply(lab, plane, &[Step::AddDestination(key, at(address(number), port), destination(Forwarding::Masq, 1))]);
    }
    key
}

#[test]
fn marks_are_shared_out_to_the_port_of_the_real_server_and_an_address_of_others_is_served() {
    // Routed to the director, and not its own.
    let elsewhere = Ipv4Addr::new(10, 9, 0, 9);
    let lab = Lab::new(2);
    lab.client.ip("route add 10.9.0.0/24 via 10.1.0.1");
    mark_ports(&lab, MASQ_VIP.into(), "80", MARK);
    mark_ports(&lab, elsewhere.into(), "80", 9);
    let mut plane = lab.open();
    for (mark, vip) in [(MARK, MASQ_VIP), (9, elsewhere)] {
        let key = one_port(&lab, &mut plane, mark);
        let (shares, _streams) = connect_many(&lab.client, (vip, 80), 6);
        assert_eq!(shares, [(1, 3), (2, 3)].into(), "{vip}");
        let socket = udp(&lab.client, (vip, 80));
        // The second one is cut into fragments.
        for size in [100, 4000] {
            assert!([1, 2].contains(&exchange(&socket, size).unwrap()), "{size}");
        }
        assert_eq!(counters(&mut plane).services[&key].stats.connections, 7, "{vip}");
    }
    lab.close(plane);
}

#[test]
fn what_somebody_takes_away_is_put_back_and_a_restart_goes_on() {
    let lab = Lab::new(2);
    let before = usual_rules(&lab);
    mark_ports(&lab, MASQ_VIP.into(), "80", MARK);
    let mut plane = lab.open();
    let key = one_port(&lab, &mut plane, MARK);
    let serves = || connect(&lab.client, (MASQ_VIP, 80)).and_then(|mut stream| who(&mut stream));
    for damage in [
        "link del vipd-mark",
        "link set vipd-mark down",
        "route del default table 118119",
        "rule del fwmark 7 ipproto tcp",
        "rule add pref 0 lookup local",
    ] {
        lab.director.ip(damage);
        lab.director.run(|| wait(plane.tend())).unwrap();
        until(damage, || serves().is_ok());
    }
    let kept = usual_rules(&lab);
    assert!(kept[0].starts_with("0: from all fwmark 0x7"), "{kept:?}");
    // Killed: the kernel goes on, and the next run finds what it left.
    drop(plane);
    serves().unwrap();
    let mut plane = lab.open();
    serves().unwrap();
    assert_eq!(usual_rules(&lab), kept);
    apply(&lab, &mut plane, &[Step::DeleteService(key)]);
    assert_eq!(usual_rules(&lab), before, "the last mark has gone");
    lab.close(plane);
}

#[test]
fn what_is_left_of_a_killed_run_goes_when_no_mark_is_wanted() {
    let lab = Lab::new(1);
    let before = usual_rules(&lab);
    let mut plane = lab.open();
    one_port(&lab, &mut plane, MARK);
    drop(plane);
    std::fs::remove_file(lab.pin_dir().join("settings")).unwrap();
    let mut plane = lab.open();
    // Until then the program of before serves.
    let plain = ServiceKey::Address { protocol: Protocol::Tcp, addr: MASQ_VIP.into(), port: 80 };
    apply(&lab, &mut plane, &[Step::AddService(plain, service(Scheduler::Rr))]);
    assert_eq!(usual_rules(&lab), before);
    lab.close(plane);
}

#[test]
fn a_client_that_is_not_served_is_told() {
    for (vip, own) in [(IpAddr::from(MASQ_VIP), address(1)), (MASQ_VIP6.into(), address6(1))] {
        let lab = Lab::new(1);
        mark_ports(&lab, vip, "80", MARK);
        let mut plane = lab.open();
        let key = marked(MARK, Family::of(vip));
        apply(&lab, &mut plane, &[Step::AddService(key, service(Scheduler::Rr))]);
        let refused = connect(&lab.client, (vip, 80)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{vip}: nobody serves it");
        let port = serve_tcp(&lab.servers[0], 1, own, 0);
        apply(&lab, &mut plane, &[Step::AddDestination(key, at(own, port), destination(Forwarding::Masq, 1))]);
        let mut stream = connect(&lab.client, (vip, 80)).unwrap();
        assert_eq!(who(&mut stream).unwrap(), 1);
        apply(&lab, &mut plane, &[Step::DeleteDestination(key, at(own, port))]);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let ended = stream.write_all(b"w").and_then(|()| stream.read(&mut [0])).unwrap_err();
        assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset, "{vip}: its server has gone");
        lab.close(plane);
    }
}

#[test]
fn what_a_mark_cannot_do_is_refused() {
    let lab = Lab::new(0);
    let mut plane = lab.open();
    let key = marked(MARK, Family::V6);
    let one_packet = Service { one_packet: true, ..service(Scheduler::Rr) };
    let add = |forwarding| Step::AddDestination(key, at(Ipv6Addr::LOCALHOST.into(), 80), destination(forwarding, 1));
    for (name, service, forwarding) in
        [("FullNat", service(Scheduler::Rr), Forwarding::FullNat), ("datagrams by Masq", one_packet, Forwarding::Masq)]
    {
        apply(&lab, &mut plane, &[Step::AddService(key, service)]);
        let error = lab.director.run(|| wait(plane.apply(&[add(forwarding)]))).unwrap_err();
        assert!(matches!(error.failed.as_slice(), [(_, DatapathError::Unsupported { .. })]), "{name}: {error:?}");
    }
    lab.close(plane);
}
