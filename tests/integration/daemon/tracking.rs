//! Files, processes and BFD sessions that move a priority, and routes, from the file to the kernel.

use std::fs;

use nix::sys::signal::Signal;
use vipd::lab::until;

use super::{Host, INSTANCE, PATIENCE};

#[test]
fn what_is_tracked_moves_the_priority_and_routes_come_and_go() {
    let host = Host::new();
    let file = host.dir.path().join("load");
    let text = format!(
        "static_routes {{\n198.51.100.0/24 via 192.0.2.1 dev eth0\n}}\n\
         vrrp_track_file load {{\nfile {}\ninit_file -10\n}}\n\
         vrrp_track_process none {{\nprocess vipd-no-such\nquorum_max 0\nweight 3\n}}\n\
         bfd_instance gw {{\nneighbor_ip 192.0.2.1\nweight -20\n}}\n{}",
        file.display(),
        INSTANCE.replace(
            "    virtual_ipaddress",
            "    track_file {\nload\n}\ntrack_process {\nnone\n}\ntrack_bfd {\ngw\n}\n\
             virtual_routes {\n203.0.113.0/24 via 192.0.2.1 dev eth0\n}\nvirtual_ipaddress",
        )
    );
    let mut running = host.start(&host.config(&text));
    let priority = |wanted: u64| {
        until(&format!("the priority is {wanted}"), PATIENCE, || {
            host.status().is_some_and(|status| status["instances"][0]["effective_priority"] == wanted)
        })
        .unwrap_or_else(|error| panic!("{error}\n{:?}\n{}", host.status(), host.log()));
    };
    priority(100 - 10 + 3 - 20);
    fs::write(&file, "7\n").unwrap();
    priority(100 + 7 + 3 - 20);
    let status = host.status().unwrap();
    let shown: Vec<String> = status["trackers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tracker| format!("{} {} {}", tracker["kind"], tracker["name"], tracker["state"]).replace('"', ""))
        .collect();
    assert_eq!(shown, ["file load 7", "process none good", "bfd gw bad"]);

    let routes = || host.ip("route show proto 118");
    until("both routes are there", PATIENCE, || routes().lines().count() == 2).unwrap();
    host.config(&text.replace("203.0.113.0/24", "203.0.113.0/25").replace("198.51.100.0", "198.18.0.0"));
    running.signal(Signal::SIGHUP);
    until("a reload changes both", PATIENCE, || {
        routes().contains("203.0.113.0/25") && routes().contains("198.18.0.0/24") && routes().lines().count() == 2
    })
    .unwrap_or_else(|error| panic!("{error}\n{}\n{}", routes(), host.log()));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());
    assert_eq!(routes(), "", "nothing is left");
}

#[test]
fn an_interface_may_come_later_and_what_stands_on_it_is_tracked() {
    let host = Host::new();
    let other = INSTANCE.replace("VI_1", "VI_2").replace("eth0", "eth1").replace("192.0.2.100/24", "203.0.113.100/24");
    let text = format!(
        "global_defs {{\ndynamic_interfaces\n}}\ntrack_group G {{\ngroup {{\nVI_1\n}}\n}}\n\
         static_routes {{\n198.51.100.0/24 via 203.0.113.1 dev eth1 track_group G\n}}\n{INSTANCE}{other}"
    );
    let mut running = host.start(&host.config(&text));
    let states = |wanted: [&str; 2]| {
        until(&format!("the states are {wanted:?}"), PATIENCE, || {
            host.status().is_some_and(|status| [0, 1].map(|at| status["instances"][at]["state"].clone()) == wanted)
        })
        .unwrap_or_else(|error| panic!("{error}\n{:?}\n{}", host.status(), host.log()));
    };
    states(["FAULT", "FAULT"]);
    host.ip("link add eth1 type veth peer name far1");
    host.ip("link set far1 up");
    host.ip("address add 203.0.113.2/24 dev eth1");
    host.ip("link set eth1 up");
    states(["MASTER", "MASTER"]);
    assert!(host.ip("route show proto 118").contains("198.51.100.0/24"));
    host.ip("link set far1 down");
    states(["FAULT", "FAULT"]);
    host.ip("link set far1 up");
    states(["MASTER", "MASTER"]);
    // Its network goes, and with it the route: it cannot be put back.
    host.ip("address del 203.0.113.2/24 dev eth1");
    states(["FAULT", "FAULT"]);
    let because = host.status().unwrap()["instances"][0]["because"].to_string();
    assert!(because.contains("static route unicast 198.51.100.0/24"), "{because}");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());
}
