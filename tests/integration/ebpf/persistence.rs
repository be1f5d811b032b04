//! Persistence: a client stays on its server, until time, drain or removal part them.

use std::collections::BTreeSet;
use std::time::Duration;

use vipd::lvs::datapath::Datapath as _;
use vipd::lvs::io::ebpf::Ebpf;
use vipd::lvs::ipvsadm::connections::End;
use vipd::lvs::ipvsadm::manual::Manual as _;
use vipd::lvs::table::{Forwarding, Persistence, Protocol, Scheduler, Service, ServiceKey, Step};

use crate::lab::{Lab, MASQ_VIP, ROUTE_VIP, address, until, wait};
use crate::steps::{apply, at, counters, destination, key, service};
use crate::traffic::{connect, serve_tcp, who};

const SERVERS: u8 = 3;

fn persistent(timeout_s: u32, prefix_len: u8) -> Service {
    let persistence = Some(Persistence { timeout_s, prefix_len, sip: false });
    Service { persistence, ..service(Scheduler::Rr) }
}

/// Masq to the servers; the ports they listen on.
fn masq(lab: &Lab, plane: &mut Ebpf, vip: ServiceKey, service: Service) -> Vec<u16> {
    apply(plane, &[Step::AddService(vip, service)]);
    let mut ports = vec![];
    for (host, number) in lab.servers.iter().zip(1..) {
        let port = serve_tcp(host, number, address(number), 0);
        apply(plane, &[Step::AddDestination(vip, at(address(number), port), destination(Forwarding::Masq, 1))]);
        ports.push(port);
    }
    ports
}

/// A connection from this address of the client, ended at once: the server that answered.
fn ask(lab: &Lab, from: &str, port: u16) -> u8 {
    lab.client.ip(&format!("route replace {MASQ_VIP} via 10.1.0.1 src {from}"));
    who(&mut connect(&lab.client, (MASQ_VIP, port)).unwrap()).unwrap()
}

#[test]
fn a_network_of_clients_stays_on_one_server() {
    let lab = Lab::new(SERVERS);
    for addr in ["10.1.0.11/24", "10.1.0.200/24", "10.1.7.10/24", "10.1.8.10/24"] {
        lab.client.ip(&format!("address add {addr} dev wan"));
    }
    lab.director.ip("route add 10.1.0.0/16 dev wan");
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    masq(&lab, &mut plane, vip, persistent(300, 24));
    let first: BTreeSet<u8> =
        ["10.1.0.10", "10.1.0.11", "10.1.0.200", "10.1.0.10"].map(|from| ask(&lab, from, 80)).into();
    let others: BTreeSet<u8> = ["10.1.7.10", "10.1.8.10", "10.1.7.10"].map(|from| ask(&lab, from, 80)).into();
    assert_eq!((first.len(), others.len()), (1, 2), "{first:?} {others:?}");
    assert!(first.is_disjoint(&others), "round robin goes by networks: {first:?} {others:?}");
    let counted = counters(&mut plane).services[&vip].clone();
    assert_eq!(counted.destinations.values().map(|one| one.persistent).sum::<u32>(), 3);
    let listed = wait(plane.connections()).unwrap();
    let templates: Vec<_> = listed.into_iter().filter(|one| one.client.port == 0).collect();
    let clients: Vec<String> = templates.iter().map(|one| one.client.addr.to_string()).collect();
    assert_eq!(clients, ["10.1.0.0", "10.1.7.0", "10.1.8.0"], "a template for each network");
    for one in &templates {
        let service = End { addr: MASQ_VIP.into(), port: 80 };
        assert_eq!((one.state.as_str(), one.service), ("ASSURED", service));
        assert!(counted.destinations.contains_key(&at(one.destination.addr, one.destination.port)), "{one:?}");
    }
    lab.close(plane);
}

#[test]
fn a_client_moves_when_its_time_is_over_and_not_while_it_is_connected() {
    let lab = Lab::new(SERVERS);
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    masq(&lab, &mut plane, vip, persistent(1, 32));
    let mut held = connect(&lab.client, (MASQ_VIP, 80)).unwrap();
    let before = who(&mut held).unwrap();
    // The time of persistence itself is what passes here.
    let pass = || std::thread::sleep(Duration::from_millis(1500));
    counters(&mut plane);
    pass();
    assert_eq!(ask(&lab, "10.1.0.10", 80), before, "a connection holds the client");
    lab.close(plane);

    let mut plane = lab.open();
    masq(&lab, &mut plane, vip, persistent(1, 32));
    let before = ask(&lab, "10.1.0.10", 80);
    assert_eq!(ask(&lab, "10.1.0.10", 80), before);
    pass();
    assert_ne!(ask(&lab, "10.1.0.10", 80), before, "nobody holds it");
    until("the old server is nobody's", || {
        counters(&mut plane).services[&vip].destinations.values().map(|one| one.persistent).sum::<u32>() == 1
    });
    lab.close(plane);
}

#[test]
fn drain_and_removal_send_a_client_elsewhere_and_its_connection_stays_in_a_drain() {
    let lab = Lab::new(SERVERS);
    let mut plane = lab.open();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    let ports = masq(&lab, &mut plane, vip, persistent(300, 32));
    let server = |number: u8| at(address(number), ports[usize::from(number) - 1]);
    let mut stream = connect(&lab.client, (MASQ_VIP, 80)).unwrap();
    let first = who(&mut stream).unwrap();
    apply(&mut plane, &[Step::EditDestination(vip, server(first), destination(Forwarding::Masq, 0))]);
    let second = ask(&lab, "10.1.0.10", 80);
    assert_ne!(second, first);
    assert_eq!(who(&mut stream).unwrap(), first, "the connection goes on");
    assert_eq!(ask(&lab, "10.1.0.10", 80), second, "the client has moved");
    apply(&mut plane, &[Step::DeleteDestination(vip, server(second))]);
    let third = ask(&lab, "10.1.0.10", 80);
    assert!(third != first && third != second, "{first} {second} {third}");
    lab.close(plane);
}

#[test]
fn where_quiescent_servers_keep_their_clients_only_new_clients_go_elsewhere() {
    let lab = Lab::new(SERVERS);
    lab.client.ip("address add 10.1.0.11/24 dev wan");
    let mut plane = lab.open();
    plane.set_quiescent_keeps(true).unwrap();
    let vip = key(Protocol::Tcp, MASQ_VIP, 80);
    let ports = masq(&lab, &mut plane, vip, persistent(300, 32));
    let first = ask(&lab, "10.1.0.10", 80);
    let real = at(address(first), ports[usize::from(first) - 1]);
    apply(&mut plane, &[Step::EditDestination(vip, real, destination(Forwarding::Masq, 0))]);
    for _ in 0..SERVERS {
        assert_eq!(ask(&lab, "10.1.0.10", 80), first, "who has been there stays");
        assert_ne!(ask(&lab, "10.1.0.11", 80), first, "somebody new");
    }
    plane.set_quiescent_keeps(false).unwrap();
    assert_ne!(ask(&lab, "10.1.0.10", 80), first, "a drain ends");
    lab.close(plane);
}

#[test]
fn every_port_of_an_address_goes_to_one_server() {
    for (vip, forwarding) in [(MASQ_VIP, Forwarding::Masq), (ROUTE_VIP, Forwarding::Route)] {
        let lab = Lab::new(SERVERS);
        let mut plane = lab.open();
        let every = key(Protocol::Tcp, vip, 0);
        apply(&mut plane, &[Step::AddService(every, persistent(300, 32))]);
        for (host, number) in lab.servers.iter().zip(1..) {
            let own = if forwarding == Forwarding::Masq { address(number) } else { vip.into() };
            for port in [80, 443, 8080] {
                serve_tcp(host, number, own, port);
            }
            apply(&mut plane, &[Step::AddDestination(every, at(address(number), 0), destination(forwarding, 1))]);
        }
        let answers = [80, 443, 8080, 80].map(|port| who(&mut connect(&lab.client, (vip, port)).unwrap()).unwrap());
        assert_eq!(BTreeSet::from(answers).len(), 1, "{forwarding:?}: {answers:?}");
        assert_eq!(counters(&mut plane).services[&every].stats.connections, 4);
        lab.close(plane);
    }
}

#[test]
fn every_port_without_persistence_is_refused() {
    use vipd::lvs::datapath::{Datapath, DatapathError};
    let lab = Lab::new(0);
    let mut plane = lab.open();
    let step = Step::AddService(key(Protocol::Tcp, MASQ_VIP, 0), service(Scheduler::Rr));
    let error = crate::lab::wait(plane.apply(&[step])).unwrap_err();
    assert!(matches!(error.failed.as_slice(), [(_, DatapathError::Unsupported { .. })]), "{error:?}");
    lab.close(plane);
}
