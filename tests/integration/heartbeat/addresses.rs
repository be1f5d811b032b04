//! Addresses that are hard to hold: the host's own, those the kernel refuses, very many, on an interface made anew.

use vipd::base::{AddressOptions, Cidr, Family};
use vipd::daemon::heartbeat::Heartbeat;
use vipd::lab::until;
use vipd::vrrp::{Happened, Standing, Version, VirtualAddress};

use super::wire::{PATIENCE, Wire, ip, reconfigure, settings, standing, stop};

#[test]
fn an_address_that_the_host_has_by_itself_is_neither_leased_nor_removed() {
    let wire = Wire::new();
    let address = |wanted: &str| {
        let all = ip(&format!("-n {} -o address show dev eth0", wire.hosts[0].name()));
        all.lines().find(|line| line.contains(&format!(" {wanted} "))).map(str::to_owned)
    };
    for (family, own) in [(Family::V4, "192.0.2.1/24"), (Family::V6, "2001:db8::1/64")] {
        let mut owner = settings(family, Version::V3, 255);
        owner.addresses.push(VirtualAddress::new(own.parse().unwrap()));
        let before = address(own);
        assert!(before.as_ref().is_some_and(|line| line.contains("valid_lft forever")), "{before:?}");
        let a = wire.start(0, vec![owner]).unwrap();
        until("announced, so all is held", PATIENCE, || a.snapshot.borrow()[0].counters.announcements_sent > 1)
            .unwrap();
        assert_eq!(address(own), before, "it is held as the host set it");
        stop(&a);
        assert_eq!(address(own), before, "it is still the host's");
    }
}

/// What is told of the addresses that were there before the start, and whether they were removed.
fn told(heartbeat: &mut Heartbeat) -> Vec<(String, bool)> {
    let told = std::iter::from_fn(|| heartbeat.events.try_recv().ok());
    let found = |told| {
        let Happened::AddressFound { address, removed, .. } = told else { return None };
        Some((address.to_string(), removed))
    };
    told.filter_map(found).collect()
}

#[test]
fn an_address_that_another_daemon_left_is_removed_at_the_start_and_held_as_ours_from_then_on() {
    for (family, cidr) in [(Family::V4, "192.0.2.100/24"), (Family::V6, "2001:db8::100/64")] {
        let wire = Wire::new();
        let vip = cidr.split('/').next().unwrap();
        let b = wire.start(1, vec![settings(family, Version::V3, 150)]).unwrap();
        until("b is active", PATIENCE, || standing(&b) == Standing::Active).unwrap();
        let host = wire.hosts[0].name();
        // As keepalived: for ever, and before the host's own address.
        let (own, nodad) = if family == Family::V4 { ("192.0.2.1/24", "") } else { ("2001:db8::1/64", " nodad") };
        ip(&format!("-n {host} address del {own} dev eth0"));
        ip(&format!("-n {host} address add {cidr} dev eth0{nodad}"));
        ip(&format!("-n {host} address add {own} dev eth0{nodad}"));
        let mut a = wire.start(0, vec![settings(family, Version::V3, 100)]).unwrap();
        assert!(!wire.holds(0, vip), "{vip}: a Backup does not answer for it");
        assert!(wire.holds(0, own.split('/').next().unwrap()), "{own} is a secondary address no more");
        until("it is told", PATIENCE, || standing(&a) == Standing::Backup && told(&mut a) == [(cidr.to_owned(), true)])
            .unwrap();
        stop(&b);
        until("a holds it", PATIENCE, || wire.holds(0, vip)).unwrap();
        let shown = ip(&format!("-n {host} -o address show dev eth0"));
        let line = shown.lines().find(|line| line.contains(vip)).unwrap();
        assert!(!line.contains("valid_lft forever"), "it has a lease: {line}");
        stop(&a);
        assert!(!wire.holds(0, vip), "{vip}");
    }
}

#[test]
fn the_only_address_of_an_interface_stays_and_that_is_told() {
    let wire = Wire::new();
    let own = "192.0.2.1/24";
    let mut mistaken = settings(Family::V4, Version::V3, 100);
    mistaken.addresses = vec![VirtualAddress::new(own.parse().unwrap())];
    let mut a = wire.start(0, vec![mistaken]).unwrap();
    until("it is told", PATIENCE, || told(&mut a) == [(own.to_owned(), false)]).unwrap();
    stop(&a);
    assert!(wire.holds(0, "192.0.2.1"), "the host can be reached");
}

#[test]
fn an_address_that_the_kernel_refuses_does_not_keep_the_others_from_being_announced() {
    let wire = Wire::new();
    let mut with_a_bad_one = settings(Family::V4, Version::V3, 150);
    let mut bad = VirtualAddress::new("192.0.2.101/24".parse().unwrap());
    bad.dev = Some("eth7".parse().unwrap());
    with_a_bad_one.addresses.insert(0, bad);
    let mut a = wire.start(0, vec![with_a_bad_one]).unwrap();
    until("the good one is held and announced", PATIENCE, || {
        wire.holds(0, "192.0.2.100") && a.snapshot.borrow()[0].counters.announcements_sent > 1
    })
    .unwrap();
    let renewed = a.snapshot.borrow()[0].counters.adverts_sent + 20;
    until("leases are renewed", PATIENCE, || a.snapshot.borrow()[0].counters.adverts_sent > renewed).unwrap();
    let told = std::iter::from_fn(|| a.events.try_recv().ok());
    let told = told.filter(|told| matches!(told, Happened::Failed { .. })).count();
    assert_eq!(told, 1, "a failure that stays is told once");

    ip(&format!("-n {} link add eth7 type veth peer name far7", wire.hosts[0].name()));
    ip(&format!("-n {} link set far7 up", wire.hosts[0].name()));
    ip(&format!("-n {} link set eth7 up", wire.hosts[0].name()));
    let on_eth7 = || ip(&format!("-n {} -o address show dev eth7", wire.hosts[0].name()));
    until("it is held as soon as it can be", PATIENCE, || on_eth7().contains("192.0.2.101/24")).unwrap();
    stop(&a);
    assert!(!on_eth7().contains("192.0.2.101/24"));
}

#[test]
fn two_hundred_addresses_are_held_renewed_and_put_back_one_by_one() {
    let wire = Wire::new();
    let mut many = settings(Family::V4, Version::V3, 150);
    many.addresses =
        (1..=200).map(|last| VirtualAddress::new(format!("198.51.100.{last}/24").parse().unwrap())).collect();
    let mut a = wire.start(0, vec![many]).unwrap();
    let held =
        || ip(&format!("-n {} -o address show dev eth0 to 198.51.100.0/24", wire.hosts[0].name())).lines().count();
    until("all are held", PATIENCE, || held() == 200).unwrap();
    for round in 1..=2 {
        ip(&format!("-n {} address del 198.51.100.10{round}/24 dev eth0", wire.hosts[0].name()));
        // By whoever is first: with so many, a renewal on its way may mend it before the removal is seen.
        until("it is put back", PATIENCE, || held() == 200).unwrap();
    }
    let sent = a.snapshot.borrow()[0].counters.adverts_sent;
    until("it outlives its first lease", PATIENCE, || a.snapshot.borrow()[0].counters.adverts_sent > sent + 30)
        .unwrap();
    assert_eq!(held(), 200);
    let resynced = std::iter::from_fn(|| a.events.try_recv().ok())
        .filter(|told| matches!(told, Happened::Resynced { .. }))
        .count();
    assert_eq!(resynced, 0, "our own renewals do not overrun us");
    stop(&a);
    assert_eq!(held(), 0);
}

#[test]
fn what_the_configuration_says_of_an_address_is_what_the_kernel_shows() {
    let wire = Wire::new();
    let mut only = settings(Family::V6, Version::V3, 150);
    let with =
        |cidr: &str, options: AddressOptions| VirtualAddress { options, ..VirtualAddress::new(cidr.parse().unwrap()) };
    let none = AddressOptions::NONE;
    only.addresses.extend([
        with("2001:db8:1::1/64", AddressOptions { preferred: Some(false), no_prefix_route: true, ..none }),
        with("2001:db8:1::2/128", AddressOptions { preferred: Some(true), home: true, ..none }),
        with("2001:db8:1::3/128", none),
    ]);
    let a = wire.start(0, vec![only]).unwrap();
    let shown = |address: &str| {
        let all = ip(&format!("-n {} -o address show dev eth0", wire.hosts[0].name()));
        all.lines().find(|line| line.contains(address)).map(str::to_owned).unwrap_or_default()
    };
    until("all are there", PATIENCE, || !shown("2001:db8:1::3/128").is_empty()).unwrap();
    assert!(shown("2001:db8:1::1/64").contains("deprecated"), "{}", shown("2001:db8:1::1/64"));
    assert!(shown("2001:db8:1::1/64").contains("noprefixroute"));
    assert!(!shown("2001:db8:1::2/128").contains("deprecated"), "{}", shown("2001:db8:1::2/128"));
    assert!(shown("2001:db8:1::2/128").contains("home"));
    assert!(shown("2001:db8:1::3/128").contains("deprecated"), "a lone address is no source");
    stop(&a);
}

#[test]
fn an_address_with_a_peer_is_held_so_and_let_go() {
    let wire = Wire::new();
    let rows = [
        (Family::V4, "192.0.2.100", "198.51.100.8", "198.51.100.9", 32),
        (Family::V6, "2001:db8:1::1", "2001:db8:2::8", "2001:db8:2::9", 128),
    ];
    for (family, address, other, peer, bits) in rows {
        let host = wire.hosts[0].name();
        let shown = || {
            let all = ip(&format!("-n {host} -o address show dev eth0"));
            all.lines().filter(|line| line.contains(&format!(" {address} "))).map(str::to_owned).collect::<Vec<_>>()
        };
        let with = |peer: &str| {
            let options = AddressOptions { peer: Some(peer.parse().unwrap()), ..AddressOptions::NONE };
            let mut only = settings(family, Version::V3, 150);
            let cidr = Cidr::host(address.parse().unwrap());
            only.addresses.retain(|held| held.cidr.addr() != cidr.addr());
            only.addresses.push(VirtualAddress { options, ..VirtualAddress::new(cidr) });
            vec![only]
        };
        let is_held = |peer: &str| {
            let shown = shown();
            shown.len() == 1 && shown[0].contains(&format!(" {address} peer {peer}/{bits} "))
        };
        let a = wire.start(0, with(other)).unwrap();
        until("it is held", PATIENCE, || is_held(other)).unwrap_or_else(|_| panic!("{:?}", shown()));
        reconfigure(&a, with(peer)).unwrap();
        until("it has the new peer", PATIENCE, || is_held(peer)).unwrap_or_else(|_| panic!("{:?}", shown()));
        ip(&format!("-n {host} address del {address} peer {peer} dev eth0"));
        until("it is put back", PATIENCE, || is_held(peer)).unwrap();
        stop(&a);
        assert_eq!(shown(), Vec::<String>::new());
    }
}

#[test]
fn an_interface_that_is_made_anew_is_taken_up() {
    let wire = Wire::new();
    let [a_name, b_name] = [wire.hosts[0].name(), wire.hosts[1].name()];
    let a = wire.start(0, vec![settings(Family::V4, Version::V3, 150)]).unwrap();
    until("it is active", PATIENCE, || standing(&a) == Standing::Active).unwrap();
    ip(&format!("-n {a_name} link del eth0"));
    until("it is in fault", PATIENCE, || standing(&a) == Standing::Fault).unwrap();
    ip(&format!("-n {a_name} link add eth0 type veth peer name eth0 netns {b_name}"));
    for (at, name) in [(1, a_name), (2, b_name)] {
        ip(&format!("-n {name} address add 192.0.2.{at}/24 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
    }
    until("it is active again", PATIENCE, || standing(&a) == Standing::Active && wire.holds(0, "192.0.2.100")).unwrap();
    let b = wire.start(1, vec![settings(Family::V4, Version::V3, 100)]).unwrap();
    until("it is heard there", PATIENCE, || b.snapshot.borrow()[0].counters.adverts_received > 2).unwrap();
    stop(&b);
    stop(&a);
}
