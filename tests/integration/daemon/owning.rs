//! Who drives a virtual router, and on which interface: one daemon in a network namespace, and what a crash leaves.

use std::fs;

use nix::sys::signal::Signal;
use vipd::lab::until;
use vipd::lvs::table::{Protocol, ServiceKey};

use super::{Host, INSTANCE, PATIENCE, Running};

#[test]
fn a_virtual_router_has_one_daemon_in_a_network_namespace() {
    let host = Host::new();
    let with_a_route = INSTANCE.replace(
        "    virtual_ipaddress",
        "    virtual_routes {\n203.0.113.0/24 via 192.0.2.1 dev eth0\n}\n    virtual_ipaddress",
    );
    let _first = host.start(&host.config(&with_a_route));
    let routes = || host.ip("route show proto 118");
    until("the first has all", PATIENCE, || host.holds("192.0.2.100") && routes().contains("203.0.113.0/24")).unwrap();

    let (other, elsewhere) = (host.dir.path().join("other.conf"), host.dir.path().join("elsewhere"));
    let second = || {
        let mut command = host.vipd(&["run", "-f"]);
        command.arg(&other).arg("--run-dir").arg(&elsewhere);
        command
    };
    fs::write(&other, INSTANCE.replace("192.0.2.100", "192.0.2.101")).unwrap();
    let output = second().output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = "vipd: another vipd in this network namespace drives the IPv4 virtual router 7 on eth0";
    assert_eq!((output.status.code(), stderr.lines().last()), (Some(1), Some(said)), "{stderr}");
    assert!(host.holds("192.0.2.100") && !host.holds("192.0.2.101"));

    let free = INSTANCE.replace("router_id 7", "router_id 8").replace("192.0.2.100", "192.0.2.101");
    fs::write(&other, free).unwrap();
    let mut beside = Running(second().spawn().unwrap());
    until("another virtual router is driven by it", PATIENCE, || host.holds("192.0.2.101")).unwrap();
    assert!(routes().contains("203.0.113.0/24"), "what the first has stays");
    beside.signal(Signal::SIGTERM);
    assert_eq!(beside.ended().code(), Some(0));
    assert!(host.holds("192.0.2.100") && !host.holds("192.0.2.101"));
}

#[test]
fn an_interface_with_a_virtual_mac_outlives_no_crash() {
    let host = Host::new();
    let text = INSTANCE.replace("    virtual_ipaddress", "    use_vmac\n    virtual_ipaddress");
    let config = host.config(&text);
    let links = || host.ip("-o link show");
    let held =
        || host.ip("-o address show").lines().any(|line| line.contains("vrrp.7") && line.contains("192.0.2.100"));
    let mut running = host.start(&config);
    until("the address is on it", PATIENCE, held).unwrap_or_else(|error| panic!("{error}\n{}", host.log()));
    assert!(links().contains("vrrp.7@eth0") && host.ip("-d link show vrrp.7").contains("mode private"));
    running.signal(Signal::SIGKILL);
    running.ended();
    assert!(links().contains("vrrp.7@eth0"), "the kernel keeps interfaces");
    until("the lease ends", PATIENCE, || !held()).unwrap();

    // Another name: the one that was left would keep its address from coming up.
    host.config(&text.replace("use_vmac", "use_vmac vip7"));
    let mut running = host.start(&config);
    let held = || host.ip("-o address show").lines().any(|line| line.contains("vip7") && line.contains("192.0.2.100"));
    until("the address is on the other one", PATIENCE, held).unwrap_or_else(|error| panic!("{error}\n{}", host.log()));
    assert!(!links().contains("vrrp.7"), "{}", links());

    // A reload takes it away, and the address stays.
    host.config(INSTANCE);
    running.signal(Signal::SIGHUP);
    until("the address is on eth0", PATIENCE, || host.ip("-o address show dev eth0").contains("192.0.2.100")).unwrap();
    until("the interface is gone", PATIENCE, || !links().contains("vip7")).unwrap();
    let status = host.status().unwrap();
    assert_eq!(status["instances"][0]["state"], "MASTER", "{status}");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());
}

#[test]
fn a_reload_changes_what_an_address_is_like() {
    let host = Host::new();
    let like = |words: &str| INSTANCE.replace("192.0.2.100/24", &format!("192.0.2.100/24 {words}"));
    let config = host.config(INSTANCE);
    let mut running = host.start(&config);
    until("the address is held", PATIENCE, || host.holds("192.0.2.100")).unwrap();
    let rows = [
        ("broadcast 192.0.2.255", " brd 192.0.2.255 "),
        ("label eth0:v", " eth0:v\\"),
        ("", "192.0.2.100/24 scope global secondary dynamic eth0\\"),
    ];
    for (words, shown) in rows {
        host.config(&like(words));
        running.signal(Signal::SIGHUP);
        let held =
            || host.ip("-o address show dev eth0").lines().find(|line| line.contains("192.0.2.100")).map(str::to_owned);
        until("it is so", PATIENCE, || held().is_some_and(|line| line.contains(shown)))
            .unwrap_or_else(|error| panic!("{error}: `{words}`: {:?}\n{}", held(), host.log()));
    }
    let status = host.status().unwrap();
    assert_eq!(status["instances"][0]["transitions"], 2, "INIT to BACKUP to MASTER, and no more: {status}");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());
}

#[test]
fn what_was_noted_of_a_plane_that_the_kernel_has_no_more_is_forgotten() {
    let host = Host::new();
    fs::create_dir_all(host.run_dir()).unwrap();
    let note = host.run_dir().join("services-ipvs.json");
    let service = ServiceKey::Address { protocol: Protocol::Tcp, addr: "192.0.2.100".parse().unwrap(), port: 80 };
    fs::write(&note, serde_json::to_string(&[service]).unwrap()).unwrap();
    let config = host.config(INSTANCE);
    let _running = host.start(&config);
    // Where there is IPVS, the service is taken down, which ends so too.
    assert!(!note.exists(), "{}", host.log());
    assert!(!host.log().contains("ERROR"), "{}", host.log());
}
