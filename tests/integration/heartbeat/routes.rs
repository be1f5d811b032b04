//! Routes and rules of a virtual router in the kernel: there while it is Active, back when somebody removes them, and gone after.

use vipd::base::{Beside, Family, Route, RouteKind, Rule, RuleAction};
use vipd::lab::until;
use vipd::vrrp::{Happened, Settings, Standing, Version, VirtualAddress};

use super::wire::{PATIENCE, Wire, ip, reconfigure, settings, standing, stop};

fn routed(priority: u8) -> Settings {
    let mut settings = settings(Family::V4, Version::V3, priority);
    let mut via = Route::new("203.0.113.0/24".parse().unwrap());
    via.hop.via = Some("192.0.2.254".parse().unwrap());
    via.src = Some("192.0.2.100".parse().unwrap());
    via.metric = Some(77);
    let mut hole = Route::new("2001:db8:dead::/48".parse().unwrap());
    (hole.kind, hole.table) = (RouteKind::Blackhole, 100);
    settings.routes = vec![via, hole];
    let mut rule = Rule::new(Family::V4);
    rule.from = Some("198.51.100.0/24".parse().unwrap());
    (rule.action, rule.preference) = (RuleAction::Table(1000), Some(4711));
    settings.rules = vec![rule];
    settings.promote_secondaries = true;
    settings
}

fn shown(wire: &Wire) -> [String; 3] {
    let name = wire.hosts[0].name();
    [
        ip(&format!("-n {name} route show 203.0.113.0/24")),
        ip(&format!("-n {name} -6 route show table all 2001:db8:dead::/48")),
        ip(&format!("-n {name} rule show pref 4711")),
    ]
}

fn all_are_held(wire: &Wire) -> bool {
    shown(wire).iter().all(|text| !text.is_empty())
}

#[test]
fn routes_and_rules_are_held_while_active_and_put_back() {
    let wire = Wire::new();
    let name = wire.hosts[0].name();
    ip(&format!("-n {name} route add 203.0.113.128/25 via 192.0.2.254"));
    let mut a = wire.start(0, vec![routed(150)]).unwrap();
    until("all are held", PATIENCE, || all_are_held(&wire)).unwrap();
    let [via, hole, rule] = shown(&wire);
    assert!(via.contains("via 192.0.2.254 dev eth0 proto 118 src 192.0.2.100 metric 77"), "{via}");
    assert!(hole.contains("blackhole") && hole.contains("table 100"), "{hole}");
    assert!(rule.contains("from 198.51.100.0/24 lookup 1000"), "{rule}");
    let promoted = || {
        let path = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
        wire.hosts[0].inside(|| std::fs::read_to_string(path)).unwrap().unwrap().trim().to_owned()
    };
    assert_eq!(promoted(), "1");

    ip(&format!("-n {name} route del 203.0.113.0/24"));
    ip(&format!("-n {name} rule del pref 4711"));
    until("they are back", PATIENCE, || all_are_held(&wire)).unwrap();
    until("it is counted", PATIENCE, || a.snapshot.borrow()[0].counters.routes_restored == 2).unwrap();
    let told = std::iter::from_fn(|| a.events.try_recv().ok());
    assert_eq!(told.filter(|told| matches!(told, Happened::RouteRestored { .. })).count(), 2);

    stop(&a);
    assert_eq!(promoted(), "0", "as it was");
    assert_eq!(shown(&wire), ["", "", ""], "nothing is left");
    assert!(!ip(&format!("-n {name} route show 203.0.113.128/25")).is_empty(), "what others set stays");
}

#[test]
fn a_route_that_is_there_already_is_left_alone_and_told() {
    let wire = Wire::new();
    let name = wire.hosts[0].name();
    ip(&format!("-n {name} route add 203.0.113.0/24 via 192.0.2.253 metric 77"));
    let mut a = wire.start(0, vec![routed(150)]).unwrap();
    until("it is active", PATIENCE, || standing(&a) == Standing::Active).unwrap();
    let refused = || {
        let told = std::iter::from_fn(|| a.events.try_recv().ok()).collect::<Vec<_>>();
        told.iter()
            .any(|told| matches!(told, Happened::Failed { failure, .. } if format!("{failure:?}").contains("not ours")))
    };
    let mut refused = refused;
    until("it is told", PATIENCE, &mut refused).unwrap();
    ip(&format!("-n {name} route del 203.0.113.0/24"));
    until("it is ours as soon as it can be", PATIENCE, || shown(&wire)[0].contains("proto 118")).unwrap();
    stop(&a);
    assert_eq!(shown(&wire)[0], "");
}

#[test]
fn what_a_killed_daemon_left_of_routes_is_removed_at_the_next_start() {
    let wire = Wire::new();
    let name = wire.hosts[0].name();
    ip(&format!("-n {name} route add 198.18.0.0/24 dev eth0 proto 118"));
    ip(&format!("-n {name} route add 198.18.1.0/24 dev eth0"));
    ip(&format!("-n {name} rule add from 198.18.0.0/24 table 7 pref 99 protocol 118"));
    let mut one = settings(Family::V4, Version::V3, 100);
    one.addresses.push(VirtualAddress::new("192.0.2.101/24".parse().unwrap()));
    let a = wire.start(0, vec![one]).unwrap();
    assert_eq!(ip(&format!("-n {name} route show 198.18.0.0/24")), "");
    assert_eq!(ip(&format!("-n {name} rule show pref 99")), "");
    assert!(!ip(&format!("-n {name} route show 198.18.1.0/24")).is_empty(), "what does not bear our mark stays");
    stop(&a);
}

/// Such a route bears no mark (`protocol 60 no_track`).
#[test]
fn a_route_with_a_protocol_of_its_own_is_put_back_and_let_go() {
    let wire = Wire::new();
    let name = wire.hosts[0].name();
    let shown = || ip(&format!("-n {name} route show 203.0.113.0/24"));
    let mut one = settings(Family::V4, Version::V3, 150);
    one.routes = vec![Route { protocol: Some(60), ..by("192.0.2.254", None) }];
    ip(&format!("-n {name} route add 203.0.113.0/25 via 192.0.2.254 proto 60"));
    let mut a = wire.start(0, vec![one]).unwrap();
    until("it is held", PATIENCE, || shown().contains("proto 60")).unwrap();
    ip(&format!("-n {name} route del 203.0.113.0/24 proto 60"));
    until("it is back", PATIENCE, || shown().contains("proto 60")).unwrap();
    until("it is counted", PATIENCE, || a.snapshot.borrow()[0].counters.routes_restored == 1).unwrap();
    let told = std::iter::from_fn(|| a.events.try_recv().ok());
    assert_eq!(told.filter(|told| matches!(told, Happened::Failed { .. })).count(), 0);
    stop(&a);
    assert!(!shown().contains("proto 60"));
    assert!(!ip(&format!("-n {name} route show 203.0.113.0/25")).is_empty(), "another one's");
}

/// A route to one network by this gateway.
fn by(via: &str, beside: Option<Beside>) -> Route {
    let mut route = Route::new("203.0.113.0/24".parse().unwrap());
    route.hop.via = Some(via.parse().unwrap());
    route.beside = beside;
    route
}

/// The gateways to that network, in the kernel's order.
fn gateways(wire: &Wire) -> Vec<String> {
    let shown = ip(&format!("-n {} route show 203.0.113.0/24", wire.hosts[0].name()));
    shown.lines().filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned)).collect()
}

#[test]
fn a_reload_changes_one_of_several_routes_and_the_place_of_another() {
    let wire = Wire::new();
    let mut routed = settings(Family::V4, Version::V3, 150);
    routed.routes = vec![by("192.0.2.254", None), by("192.0.2.252", Some(Beside::Last))];
    let a = wire.start(0, vec![routed.clone()]).unwrap();
    until("both are there", PATIENCE, || gateways(&wire) == ["192.0.2.254", "192.0.2.252"]).unwrap();
    // The order of the list is no matter.
    routed.routes = vec![by("192.0.2.252", Some(Beside::Last)), by("192.0.2.253", None)];
    reconfigure(&a, vec![routed.clone()]).unwrap();
    until("one is another", PATIENCE, || gateways(&wire) == ["192.0.2.253", "192.0.2.252"]).unwrap();
    routed.routes = vec![by("192.0.2.253", None), by("192.0.2.252", Some(Beside::First))];
    reconfigure(&a, vec![routed]).unwrap();
    until("the other is first", PATIENCE, || gateways(&wire) == ["192.0.2.252", "192.0.2.253"]).unwrap();
    let counted = a.snapshot.borrow()[0].counters.routes_restored;
    assert_eq!(counted, 0, "nobody else removed one");
    stop(&a);
    assert_eq!(gateways(&wire), [""; 0]);
}

#[test]
fn a_route_that_stands_alone_does_not_go_beside_that_of_somebody_else() {
    let wire = Wire::new();
    let mut routed = settings(Family::V4, Version::V3, 150);
    routed.routes = vec![by("192.0.2.254", None), by("192.0.2.252", Some(Beside::Last))];
    ip(&format!("-n {} route add 203.0.113.0/24 via 192.0.2.251", wire.hosts[0].name()));
    let a = wire.start(0, vec![routed]).unwrap();
    let both = ["192.0.2.251", "192.0.2.252"];
    until("the other one is there", PATIENCE, || gateways(&wire) == both).unwrap();
    let sent = a.snapshot.borrow()[0].counters.adverts_sent;
    until("they were held again", PATIENCE, || a.snapshot.borrow()[0].counters.adverts_sent > sent + 20).unwrap();
    assert_eq!(gateways(&wire), both);
    stop(&a);
    assert_eq!(gateways(&wire), ["192.0.2.251"]);
}

#[test]
fn routes_that_are_appended_or_prepended_stand_beside_those_of_others() {
    let wire = Wire::new();
    let name = wire.hosts[0].name();
    let mut routed = settings(Family::V4, Version::V3, 150);
    routed.routes = vec![by("192.0.2.252", Some(Beside::Last)), by("192.0.2.251", Some(Beside::First))];
    ip(&format!("-n {name} route add 203.0.113.0/24 via 192.0.2.254"));
    let gateways = || gateways(&wire);
    let a = wire.start(0, vec![routed]).unwrap();
    let all = ["192.0.2.251", "192.0.2.254", "192.0.2.252"];
    until("all are there, in order", PATIENCE, || gateways() == all).unwrap();
    let sent = a.snapshot.borrow()[0].counters.adverts_sent;
    until("they were held again", PATIENCE, || a.snapshot.borrow()[0].counters.adverts_sent > sent + 20).unwrap();
    assert_eq!(gateways(), all, "each once");
    ip(&format!("-n {name} route del 203.0.113.0/24 via 192.0.2.252"));
    until("one is back", PATIENCE, || gateways() == all).unwrap();
    stop(&a);
    assert_eq!(gateways(), ["192.0.2.254"], "that of somebody else stays");
}
