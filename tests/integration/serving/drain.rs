//! `vipd real-server`: what an operator wants holds, across reloads, and no request fails for it.

use std::process::Stdio;

use serde_json::Value;

use crate::lab::{Arms, Lab, VIP};
use crate::traffic::{Connection, Load, shares};

const ONE: &str = "192.0.2.11:80";

/// Direct routing to so many servers.
fn config(servers: std::ops::RangeInclusive<u8>) -> String {
    let server = |number| format!("    real_server 192.0.2.{} 80 {{\n    }}\n", 10 + number);
    let servers = servers.map(server).collect::<Vec<_>>().concat();
    format!(
        "vrrp_instance VI_1 {{
    interface eth0
    virtual_router_id 7
    version 3
    advert_int 0.1
    virtual_ipaddress {{
        {VIP}/24
    }}
}}
virtual_server {VIP} 80 {{
    protocol TCP
    lb_algo rr
    lb_kind DR
{servers}}}
"
    )
}

/// The first real server as `status --json` has it.
fn first(lab: &Lab) -> Value {
    lab.status().expect("a daemon that answers")["virtual_servers"][0]["real_servers"][0].clone()
}

/// Connections that stay, one to each of two servers.
fn one_to_each(lab: &Lab) -> [Connection; 2] {
    let mut kept = [None, None];
    lab.until("both servers are reached", || {
        let mut connection = Connection::open(&lab.client, 80).expect("a connection");
        let server = usize::from(connection.who().expect("an answer"));
        kept[server - 1] = Some(connection);
        kept.iter().all(Option::is_some)
    });
    kept.map(Option::unwrap)
}

/// So many servers, of which a daemon serves the first two.
fn served(servers: usize) -> Lab {
    let mut lab = Lab::new(Arms::One, servers);
    for server in &lab.servers {
        server.sysctl("net/ipv4/conf/all/arp_ignore", "1");
        server.sysctl("net/ipv4/conf/all/arp_announce", "2");
        server.ip(&format!("address add {VIP}/32 dev lo"));
    }
    lab.serve(&[80], &[]);
    lab.start(&config(1..=2));
    lab.until("the VIP is served", || lab.director.ip("-o address show").contains("192.0.2.100"));
    lab
}

#[test]
fn all_real_servers_are_replaced_one_by_one_without_a_failed_request() {
    let mut lab = served(4);
    let load = Load::start(&lab.client, 80);
    for old in 1..=2 {
        let server = format!("192.0.2.{}:80", 10 + old);
        let said = lab.ask(&["real-server", "drain", &server, "--wait", "60"]);
        assert!(said.status.success(), "{said:?}\n{}", lab.log());
        lab.reload(&config(old + 1..=old + 2));
        lab.until("the new one serves", || shares(&lab.client, 80, 4).contains_key(&(old + 2)));
    }
    let now = shares(&lab.client, 80, 20);
    assert_eq!(now.keys().collect::<Vec<_>>(), [&3, &4]);
    let tally = load.end();
    assert_eq!(tally.failed, Vec::<String>::new(), "{:?}", tally.answered);
    assert_eq!(tally.answered.len(), 4, "{:?}", tally.answered);
    lab.stop();
}

#[test]
fn a_drain_ends_at_zero_connections_and_wishes_outlive_a_reload_without_a_failed_request() {
    let mut lab = served(2);
    let [mut on_one, mut on_two] = one_to_each(&lab);
    let load = Load::start(&lab.client, 80);

    let late = lab.ask(&["real-server", "drain", ONE, "--wait", "0"]);
    assert_eq!(late.status.code(), Some(2), "the deadline comes before the last connection's end: {late:?}");
    let mut draining =
        lab.asking(&["real-server", "drain", ONE, "--wait", "60"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(shares(&lab.client, 80, 20).keys().collect::<Vec<_>>(), [&2], "no new connections");
    lab.reload(&config(1..=2));
    let held = first(&lab);
    assert_eq!(
        (&held["by_operator"], &held["state"], &held["weight"]),
        (&"drain".into(), &"draining".into(), &0.into())
    );
    let table = lab.told(&["status"]);
    assert!(table.contains("draining (operator: drain)"), "{table}");
    assert_eq!(on_one.who().unwrap(), 1, "connections that are there go on");
    assert!(draining.try_wait().unwrap().is_none(), "and are waited for");
    drop(on_one);
    lab.until("the drain ends", || draining.try_wait().unwrap().is_some());
    let said = draining.wait_with_output().unwrap();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("no connection left"), "{said:?}");

    lab.told(&["real-server", "disable", ONE]);
    lab.reload(&config(1..=2));
    assert_eq!(first(&lab)["state"], "disabled");
    let plane = lab.ipvsadm("-Ln");
    assert!(!plane.contains(ONE) && plane.contains("192.0.2.12:80"), "{plane}");
    lab.told(&["real-server", "weight", ONE, "3", "--service", "192.0.2.100:80"]);
    lab.reload(&config(1..=2));
    let held = first(&lab);
    assert_eq!((&held["by_operator"], &held["weight"]), (&"weight 3".into(), &3.into()), "{held}");
    lab.told(&["real-server", "enable", ONE]);
    let held = first(&lab);
    assert_eq!((&held["by_operator"], &held["weight"]), (&Value::Null, &1.into()), "{held}");
    assert_eq!(shares(&lab.client, 80, 20).len(), 2, "both serve again");
    assert_eq!(on_two.who().unwrap(), 2);

    let tally = load.end();
    assert_eq!(tally.failed, Vec::<String>::new(), "{} requests were answered", tally.answered.values().sum::<u64>());
    assert!(tally.answered.values().all(|count| *count > 0) && tally.answered.len() == 2, "{tally:?}");
    lab.stop();
}

#[test]
fn a_wish_goes_with_its_real_server_and_a_wrong_name_is_refused() {
    let mut lab = Lab::new(Arms::One, 0);
    lab.start(&config(1..=2));
    lab.told(&["real-server", "disable", ONE]);
    let listed = lab.told(&["real-server", "list"]);
    assert!(listed.lines().any(|line| line.contains(ONE) && line.ends_with("disable")), "{listed}");
    lab.reload(&config(2..=2));
    lab.reload(&config(1..=2));
    assert_eq!(first(&lab)["by_operator"], Value::Null);
    let status = lab.told(&["status"]);
    assert!(status.contains("real server 192.0.2.11:80 is gone, and with it the operator's `disable`"), "{status}");
    for wrong in [&["real-server", "drain", "192.0.2.19:80"][..], &["real-server", "drain", ONE, "--service", "x"]] {
        let refused = lab.ask(wrong);
        assert_eq!(refused.status.code(), Some(1), "{wrong:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("no virtual server"), "{refused:?}");
    }
    lab.stop();
}

#[test]
fn a_wish_outlives_a_restart_of_the_daemon() {
    let mut lab = Lab::new(Arms::One, 0);
    lab.start(&config(1..=2));
    lab.told(&["real-server", "drain", ONE]);
    lab.stop();
    lab.start(&config(1..=2));
    assert_eq!((&first(&lab)["by_operator"], &first(&lab)["weight"]), (&"drain".into(), &0.into()));
    let plane = lab.ipvsadm("-Ln");
    assert!(plane.contains("192.0.2.11:80"), "{plane}");
    lab.told(&["real-server", "enable", ONE]);
    lab.stop();
    lab.start(&config(1..=2));
    assert_eq!(first(&lab)["by_operator"], Value::Null);
    lab.stop();
}
