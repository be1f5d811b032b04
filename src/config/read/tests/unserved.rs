//! Blocks that nobody carries out yet, and what depends on the order of blocks.

use super::{codes, instance, read_text};
use crate::config::problem::exit_code;

#[test]
fn routes_and_rules_are_checked() {
    let routes = |line: &str| instance(&format!("virtual_routes {{\n{line}\n}}"));
    let rules = |line: &str| instance(&format!("virtual_rules {{\n{line}\n}}"));
    let statics =
        |kind: &str, line: &str| format!("track_group G {{\ngroup {{\nA B\n}}\n}}\nstatic_{kind} {{\n{line}\n}}");
    let rows: [(&str, String, &[&str]); 26] = [
        ("a route", routes("192.0.2.0/24 via 192.0.2.254 dev eth1 metric 5"), &[]),
        ("the source first", routes("src 192.0.2.100 203.0.113.0/24 via 192.0.2.254 dev eth1"), &[]),
        ("the source first, and `to`", routes("src 192.0.2.100 to 203.0.113.0/24 dev eth1"), &[]),
        ("a source that is none", routes("src nowhere 203.0.113.0/24 dev eth1"), &["not-an-address"]),
        ("a default route", routes("default via inet6 2001:db8::1 dev eth1"), &[]),
        ("a locked value", routes("default via 192.0.2.1 dev eth0 mtu lock 1400 onlink"), &[]),
        ("several gateways", routes("default nexthop via 192.0.2.1 dev eth0 weight 2"), &[]),
        ("no device", routes("192.0.2.0/24 via 192.0.2.254"), &["route-without-device"]),
        ("no device, and no wish to track", routes("192.0.2.0/24 via 192.0.2.254 no_track"), &[]),
        ("old words", routes("default gw 192.0.2.1 dev eth0"), &["deprecated-keyword"]),
        ("a slip", routes("192.0.2.0/24 vai dev eth0"), &["unknown-word"]),
        ("static, without device", "static_routes {\ndefault via 192.0.2.1\n}".to_owned(), &["route-without-device"]),
        ("a rule", rules("from 192.0.2.0/24 table 1 preference 9"), &[]),
        ("a rule without preference", rules("to all table 1"), &["rule-without-preference"]),
        ("a bad network", rules("to 192.0.2./24 table 1 priority 3"), &["not-an-address"]),
        ("a rule that does nothing", rules("to 192.0.2.0/24 priority 3"), &["rule-without-action"]),
        ("a table by name", rules("to all table blue priority 3"), &["unknown-word"]),
        ("a tunnel", routes("default encap ip id 7 dst 192.0.2.9 dev eth0"), &["option-not-served"]),
        ("nothing after", routes("192.0.2.0/24 dev eth0 metric"), &["value-missing"]),
        ("a static address, tracked", statics("ipaddress", "192.0.2.9/24 track_group G"), &[]),
        ("a static route, tracked", statics("routes", "default dev eth1 track_group G"), &[]),
        (
            "tracked through nothing",
            statics("routes", "default via 192.0.2.1 track_group G"),
            &["route-without-device"],
        ),
        ("a static rule, tracked", statics("rules", "iif eth1 table 1 preference 3 track_group G"), &[]),
        ("by nothing", statics("rules", "to all table 1 preference 3 track_group G"), &["rule-without-device"]),
        ("by a group that is none", statics("ipaddress", "192.0.2.9/24 track_group H"), &["undefined-track-group"]),
        ("not static", routes("192.0.2.0/24 dev eth1 track_group G"), &["unknown-word"]),
    ];
    for (name, text, expected) in rows {
        let (_, problems) = read_text(&text);
        assert_eq!(codes(&problems), expected, "{name}");
    }
}

#[test]
fn blocks_without_what_makes_them_are_refused() {
    let rows: [(&str, &str, &[&str], u8); 5] = [
        ("a session", "bfd_instance b {\nneighbour_ip 192.0.2.9\n}", &[], 0),
        ("a session with nobody", "bfd_instance b {\nmin_rx 10\n}", &["block-incomplete"], 5),
        ("a file", "vrrp_track_file f {\nfile /run/f\n}", &[], 0),
        ("a file without path", "track_file f {\nweight 1\n}", &["block-incomplete"], 5),
        ("a process without name", "vrrp_track_process p {\nquorum 1\n}", &["block-incomplete"], 5),
    ];
    for (name, text, expected, exit) in rows {
        let (_, problems) = read_text(text);
        assert_eq!((codes(&problems).as_slice(), exit_code(&problems)), (expected, exit), "{name}");
    }
}

#[test]
fn a_script_is_defined_before_it_is_tracked() {
    let script = "vrrp_script s {\nscript /bin/true\n}\n";
    let tracking = instance("track_script {\ns\n}");
    let (_, problems) = read_text(&format!("{tracking}\n{script}"));
    assert_eq!(codes(&problems), ["script-defined-later"]);
    let (_, problems) = read_text(&format!("{script}{tracking}"));
    assert_eq!(codes(&problems), Vec::<&str>::new());
}
