//! Two heartbeats on one wire, in network namespaces: election, hand-over, leases, what others remove.
//!
//! Needs root, and keepalived for the tests of both on one wire.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do"
)]

mod addresses;
mod claims;
mod keepalived;
mod operator;
mod routes;
mod vmac;
mod wire;

use std::process::Command as Process;
use std::time::Duration;

use vipd::base::{AddressOptions, Family};
use vipd::daemon::heartbeat::{Heartbeat, HeartbeatOptions};
use vipd::lab::until;
use vipd::vrrp::{Settings, Standing, Version, VirtualAddress};

use wire::{PATIENCE, Wire, ip, reconfigure, settings, standing, stop, unicast};

/// The better one is Active; it hands over when it stops; the other one serves.
fn elects(name: &str, first: Settings, second: Settings) {
    let wire = Wire::new();
    let vip = first.addresses[0].cidr.addr().to_string();
    let a = wire.start(0, vec![first]).unwrap();
    let b = wire.start(1, vec![second]).unwrap();
    until(&format!("{name}: a is active alone"), PATIENCE, || {
        wire.holds(0, &vip) && !wire.holds(1, &vip) && standing(&a) == Standing::Active
    })
    .unwrap();
    until(&format!("{name}: b hears a"), PATIENCE, || b.snapshot.borrow()[0].counters.adverts_received > 2).unwrap();
    assert_eq!(standing(&b), Standing::Backup, "{name}: {:?}", b.snapshot.borrow()[0]);
    stop(&a);
    assert!(!wire.holds(0, &vip), "{name}: the address stays after the stop");
    assert!(wire.holds(1, &vip), "{name}: it was let go before the other one had it");
    let view = b.snapshot.borrow()[0].clone();
    assert!(view.discards.is_empty(), "{name}: {view:?}");
    stop(&b);
    assert!(!wire.holds(1, &vip), "{name}");
}

#[test]
fn multicast_version_3_over_ipv4() {
    elects("v3", settings(Family::V4, Version::V3, 150), settings(Family::V4, Version::V3, 100));
}

#[test]
fn multicast_version_2_over_ipv4() {
    elects("v2", settings(Family::V4, Version::V2, 150), settings(Family::V4, Version::V2, 100));
}

#[test]
fn multicast_over_ipv6() {
    elects("v6", settings(Family::V6, Version::V3, 150), settings(Family::V6, Version::V3, 100));
}

#[test]
fn unicast_over_both_families() {
    let v3 = |family, priority| settings(family, Version::V3, priority);
    elects("v4", unicast(v3(Family::V4, 150), "192.0.2.2"), unicast(v3(Family::V4, 100), "192.0.2.1"));
    elects("v6", unicast(v3(Family::V6, 150), "2001:db8::2"), unicast(v3(Family::V6, 100), "2001:db8::1"));
}

#[test]
fn an_address_that_somebody_removes_comes_back() {
    let wire = Wire::new();
    let a = wire.start(0, vec![settings(Family::V4, Version::V3, 150)]).unwrap();
    until("it is held", PATIENCE, || wire.holds(0, "192.0.2.100")).unwrap();
    ip(&format!("-n {} address del 192.0.2.100/24 dev eth0", wire.hosts[0].name()));
    until("it is back", PATIENCE, || wire.holds(0, "192.0.2.100")).unwrap();
    until("it is counted", PATIENCE, || a.snapshot.borrow()[0].counters.addresses_restored == 1).unwrap();
    assert_eq!(standing(&a), Standing::Active);
    stop(&a);
}

#[test]
fn a_link_that_goes_down_is_a_fault_and_comes_back() {
    let wire = Wire::new();
    let a = wire.start(0, vec![settings(Family::V4, Version::V3, 150)]).unwrap();
    until("it is active", PATIENCE, || standing(&a) == Standing::Active).unwrap();
    ip(&format!("-n {} link set eth0 down", wire.hosts[1].name()));
    until("it is in fault", PATIENCE, || standing(&a) == Standing::Fault).unwrap();
    until("it is let go", PATIENCE, || !wire.holds(0, "192.0.2.100")).unwrap();
    ip(&format!("-n {} link set eth0 up", wire.hosts[1].name()));
    until("it is active again", PATIENCE, || standing(&a) == Standing::Active && wire.holds(0, "192.0.2.100")).unwrap();
    stop(&a);
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let wire = Wire::new();
    let mut elsewhere = settings(Family::V4, Version::V3, 100);
    elsewhere.interface = "eth7".parse().unwrap();
    let error = wire.start(0, vec![elsewhere]).unwrap_err();
    assert_eq!(error.to_string(), "`VI_1`: there is no interface eth7");
    let one = settings(Family::V4, Version::V3, 100);
    let error = wire.start(0, vec![one.clone(), one]).unwrap_err();
    assert!(error.to_string().contains("the same virtual router"), "{error}");
}

#[test]
fn a_reconfiguration_keeps_what_is_unchanged_and_refuses_whole() {
    let wire = Wire::new();
    let one = settings(Family::V4, Version::V3, 100);
    let a = wire.start(0, vec![one.clone()]).unwrap();
    until("it is active", PATIENCE, || standing(&a) == Standing::Active).unwrap();
    let since = a.snapshot.borrow()[0].since;
    let ask = |settings| reconfigure(&a, settings);
    let mut more = one.clone();
    more.addresses.push(VirtualAddress::new("192.0.2.101/24".parse().unwrap()));
    ask(vec![more.clone()]).unwrap();
    until("both are held", PATIENCE, || wire.holds(0, "192.0.2.100") && wire.holds(0, "192.0.2.101")).unwrap();
    let mut elsewhere = one;
    elsewhere.interface = "eth7".parse().unwrap();
    ask(vec![elsewhere]).unwrap_err();
    assert!(wire.holds(0, "192.0.2.100") && wire.holds(0, "192.0.2.101"));
    assert_eq!((standing(&a), a.snapshot.borrow()[0].since), (Standing::Active, since));
    ask(vec![]).unwrap();
    until("nothing is held", PATIENCE, || !wire.holds(0, "192.0.2.100") && !wire.holds(0, "192.0.2.101")).unwrap();
}

/// With a second address, at the other end of which is `peer`.
fn with_peer(priority: u8, peer: &str) -> Settings {
    let mut settings = settings(Family::V4, Version::V3, priority);
    let options = AddressOptions { peer: Some(peer.parse().unwrap()), ..AddressOptions::NONE };
    settings.addresses.push(VirtualAddress { options, ..VirtualAddress::new("192.0.2.150/32".parse().unwrap()) });
    settings
}

/// The body of the process that the next tests kill: it never returns by itself.
#[test]
#[ignore = "a child process of the next tests"]
fn child_that_holds_the_address() {
    let heartbeat = Heartbeat::start(vec![with_peer(150, "198.51.100.8")], HeartbeatOptions::default()).unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        assert!(!heartbeat.commands.is_closed());
    }
}

/// Run that process until it holds the address, then kill it.
fn killed_while_it_holds(wire: &Wire) {
    let mut child = Process::new("nsenter")
        .arg(format!("--net=/run/netns/{}", wire.hosts[0].name()))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_holds_the_address", "--ignored", "--nocapture"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until("both are held", PATIENCE, || wire.holds(0, "192.0.2.100") && wire.holds(0, "192.0.2.150")).unwrap();
    let shown = ip(&format!("-n {} address show dev eth0", wire.hosts[0].name()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(shown.contains("valid_lft 2sec"), "{shown}");
}

#[test]
fn the_kernel_drops_the_address_of_a_killed_daemon() {
    let wire = Wire::new();
    killed_while_it_holds(&wire);
    assert!(wire.holds(0, "192.0.2.100"), "nobody removed it");
    until("the lease runs out", PATIENCE, || !wire.holds(0, "192.0.2.100")).unwrap();
}

#[test]
fn what_a_killed_daemon_left_is_removed_at_the_next_start() {
    let wire = Wire::new();
    killed_while_it_holds(&wire);
    let a = wire.start(0, vec![with_peer(100, "198.51.100.9")]).unwrap();
    assert!(!wire.holds(0, "192.0.2.100"), "a virtual router starts without the address");
    assert!(!wire.holds(0, "192.0.2.150"), "whatever peer it had");
    stop(&a);
}
