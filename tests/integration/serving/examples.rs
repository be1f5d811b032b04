//! The examples of `conf/`, as they stand, with traffic. Nothing but the example sets the director's kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

use crate::lab::{Arms, Lab, PATIENCE};
use crate::traffic::{Connection, Question, ask_udp, shares, shares_from, shares_v6};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Run the example until it serves: the VIP is there, and so are all real servers.
fn run(lab: &mut Lab, name: &str) {
    lab.director.sysctl("net/ipv4/ip_forward", "0");
    lab.start(&example(name));
    lab.until("the VIP is served", || lab.director.ip("-o address show").contains("192.0.2.100"));
    lab.until("all real servers have passed a check", || {
        let status = lab.status().expect("a daemon that answers");
        let services = status["virtual_servers"].as_array().unwrap();
        let mut servers = services.iter().flat_map(|service| service["real_servers"].as_array().unwrap());
        servers.all(|server| server["state"] == "up" && server["checks"][0]["state"] == "up")
    });
    assert_eq!(lab.told(&["doctor"]), "nothing is wrong\n");
}

/// Real servers by the command alone.
fn set_up(lab: &Lab, args: &[&str]) {
    set_up_for(lab, "192.0.2.100", args);
}

fn set_up_for(lab: &Lab, vip: &str, args: &[&str]) {
    for host in &lab.servers {
        let mut command = host.vipd(&["real-server", "setup", "--vip", vip]);
        let output = command.args(args).arg("--run-dir").arg(lab.path(host.namespace.name())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Four questions of DNS, each from a port of its own: the servers answer in turn.
fn datagrams_are_shared(lab: &Lab) {
    let query = vipd::healthcheck::dns::query(7, &"example.org".parse().unwrap(), "A".parse().unwrap());
    let mut servers: Vec<u8> = (0..4).map(|_| ask_udp(&lab.client, 53, &query).expect("an answer")).collect();
    servers.sort_unstable();
    assert_eq!(servers, [1, 1, 2, 2], "UDP");
}

fn undo_tunnels(lab: &Lab) {
    set_up(lab, &["--method", "tun", "--ebpf", "--undo"]);
}

#[test]
fn dr() {
    let mut lab = Lab::new(Arms::One, 2);
    lab.serve(&[80], &[53]);
    set_up(&lab, &["--method", "dr"]);
    run(&mut lab, "dr.conf");
    datagrams_are_shared(&lab);
    let kept: Vec<Connection> = (0..6)
        .map(|_| {
            let mut connection = Connection::open(&lab.client, 80).unwrap();
            connection.who().unwrap();
            connection
        })
        .collect();
    let active = |number: usize| lab.status().unwrap()["virtual_servers"][0]["real_servers"][number]["active"].as_u64();
    lab.until("connections are shared by weight, 1 to 2", || (active(0), active(1)) == (Some(2), Some(4)));
    drop(kept);
    lab.stop();
}

#[test]
fn ipv6() {
    let mut lab = Lab::new(Arms::One, 2);
    lab.director.sysctl("net/ipv6/conf/all/forwarding", "0");
    let hosts = [(&lab.client, 50), (&lab.director, 2), (&lab.servers[0], 11), (&lab.servers[1], 12)];
    for (host, number) in hosts {
        host.ip(&format!("-6 address add 2001:db8::{number}/64 dev eth0 nodad"));
    }
    lab.serve(&[80], &[]);
    set_up_for(&lab, "2001:db8::100", &["--method", "dr"]);
    run(&mut lab, "ipv6.conf");
    lab.until("the VIP of IPv6 is served", || {
        let held = lab.director.ip("-6 -o address show dev eth0");
        held.contains("2001:db8::100/") && held.contains("fe80::100/") && !held.contains("tentative")
    });
    let vip = "2001:db8::100".parse().unwrap();
    assert_eq!(shares_v6(&lab.client, vip, 80, 6), BTreeMap::from([(1, 4), (2, 2)]), "by weight");
    lab.stop();
}

#[test]
fn nat() {
    let mut lab = Lab::new(Arms::Two, 2);
    lab.serve(&[8443], &[53]);
    run(&mut lab, "nat.conf");
    datagrams_are_shared(&lab);
    // Persistence: one client, one server. Another client may get the other one.
    assert_eq!(shares(&lab.client, 443, 6).len(), 1);
    let mut servers = BTreeSet::new();
    for client in 51..=58 {
        servers.extend(shares_from(&lab.client, Ipv4Addr::new(192, 0, 2, client), 443, 2).into_keys());
    }
    assert_eq!(servers, BTreeSet::from([1, 2]));
    lab.stop();
}

#[test]
fn fullnat() {
    let mut lab = Lab::new(Arms::Two, 2);
    for (number, host) in (11..).zip(&lab.servers) {
        // They know no way to the client.
        host.ip("route del default");
        host.ip(&format!("-6 address add 2001:db8:2::{number}/64 dev eth0 nodad"));
    }
    lab.client.ip("-6 address add 2001:db8:1::50/64 dev eth0 nodad");
    lab.director.ip("-6 address add 2001:db8:1::2/64 dev eth0 nodad");
    lab.director.ip("-6 address add 2001:db8:2::2/64 dev eth1 nodad");
    lab.serve(&[8080], &[53]);
    run(&mut lab, "fullnat.conf");
    let inside = || lab.director.ip("-o address show dev eth1");
    let locals = ["10.0.0.4/32", "10.0.0.5/32", "2001:db8:2::4/128"];
    assert!(locals.iter().all(|local| inside().contains(local)), "the daemon puts them there: {}", inside());
    assert_eq!(shares(&lab.client, 80, 8), BTreeMap::from([(1, 4), (2, 4)]));
    lab.until("the VIP of IPv6 is served", || {
        let held = lab.director.ip("-o address show dev eth0");
        held.contains("2001:db8:1::100") && !held.contains("tentative") && !inside().contains("tentative")
    });
    let vip = "2001:db8:1::100".parse().unwrap();
    assert_eq!(shares_v6(&lab.client, vip, 80, 8), BTreeMap::from([(1, 4), (2, 4)]));
    datagrams_are_shared(&lab);
    assert_eq!(lab.ipvsadm("-L --timeout"), "Timeout (tcp tcpfin udp): 3600 60 30\n");
    lab.stop();
    let left = lab.director.ip("-o address show dev eth1");
    assert!(locals.iter().all(|local| !left.contains(local)), "none is left: {left}");
}

#[test]
fn tun() {
    let mut lab = Lab::new(Arms::TwoAndOut, 2);
    lab.serve(&[80], &[53]);
    for host in &lab.servers {
        // The clients' way is not the tunnel's: a strict filter would drop what comes out of it.
        host.sysctl("net/ipv4/conf/all/rp_filter", "1");
    }
    set_up(&lab, &["--method", "tun", "--ebpf"]);
    run(&mut lab, "tun.conf");
    assert_eq!(shares(&lab.client, 80, 8), BTreeMap::from([(1, 6), (2, 2)]), "by weight");
    datagrams_are_shared(&lab);
    lab.stop();
    undo_tunnels(&lab);
}

#[test]
fn persistence() {
    let mut lab = Lab::new(Arms::One, 2);
    lab.serve(&[443], &[]);
    set_up(&lab, &["--method", "dr"]);
    run(&mut lab, "persistence.conf");
    let mut servers = BTreeMap::new();
    for client in 51..=54 {
        let got = shares_from(&lab.client, Ipv4Addr::new(192, 0, 2, client), 443, 4);
        assert_eq!(got.len(), 1, "client {client} stays: {got:?}");
        *servers.entry(*got.keys().next().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(servers, BTreeMap::from([(1, 2), (2, 2)]), "clients are shared");
    lab.told(&["real-server", "drain", "192.0.2.11:443", "--wait", &PATIENCE.as_secs().to_string()]);
    for client in 51..=54 {
        let got = shares_from(&lab.client, Ipv4Addr::new(192, 0, 2, client), 443, 1);
        assert_eq!(got, BTreeMap::from([(2, 1)]), "client {client} is given up by the drained server");
    }
    lab.stop();
}

#[test]
fn fwmark() {
    let mut lab = Lab::new(Arms::One, 2);
    lab.serve(&[80, 443], &[]);
    set_up(&lab, &["--method", "dr"]);
    // The firewall's part, as the example writes it.
    let example_text = example("fwmark.conf");
    let rules: Vec<&str> = example_text
        .lines()
        .skip_while(|line| !line.starts_with("#   table"))
        .take_while(|line| line.starts_with("#   "))
        .map(|line| line.trim_start_matches('#'))
        .collect();
    lab.director.nft(&(rules.join("\n") + "\n"));
    run(&mut lab, "fwmark.conf");
    let mut servers = BTreeMap::new();
    for client in 51..=54 {
        let from = Ipv4Addr::new(192, 0, 2, client);
        let got: BTreeSet<u8> =
            [80, 443, 80].into_iter().flat_map(|port| shares_from(&lab.client, from, port, 2).into_keys()).collect();
        assert_eq!(got.len(), 1, "client {client} is at one server on both ports: {got:?}");
        *servers.entry(got.into_iter().next().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(servers, BTreeMap::from([(1, 2), (2, 2)]), "clients are shared");
    let listed = lab.ipvsadm("-L -n");
    assert!(listed.contains("FWM  7 rr persistent 600"), "{listed}");
    lab.stop();
    assert!(!lab.director.ip("rule").contains("fwmark"), "nothing is left");
}

#[test]
fn udp_dns() {
    let mut lab = Lab::new(Arms::One, 2);
    lab.serve(&[53], &[53]);
    set_up(&lab, &["--method", "dr"]);
    run(&mut lab, "udp-dns.conf");
    let question = Question::open(&lab.client, 53).unwrap();
    let query = vipd::healthcheck::dns::query(7, &"example.org".parse().unwrap(), "A".parse().unwrap());
    let mut servers: Vec<u8> = (0..8).map(|_| question.ask(&query).expect("an answer")).collect();
    servers.sort_unstable();
    assert_eq!(servers, [1, 1, 1, 1, 2, 2, 2, 2], "one port, both resolvers in turn");
    assert_eq!(shares(&lab.client, 53, 8).len(), 2, "TCP");
    assert!(ask_udp(&lab.client, 53, &query).is_ok());
    lab.stop();
}
