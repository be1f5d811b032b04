//! Blocks that nobody carries out yet, and what depends on the order of blocks.

use super::{codes, instance, read_text};
use crate::config::problem::exit_code;

#[test]
fn routes_and_rules_are_checked() {
    let routes = |line: &str| instance(&format!("virtual_routes {{\n{line}\n}}"));
    let rules = |line: &str| instance(&format!("virtual_rules {{\n{line}\n}}"));
    let statics =
        |kind: &str, line: &str| format!("track_group G {{\ngroup {{\nA B\n}}\n}}\nstatic_{kind} {{\n{line}\n}}");
    let rows: [(&str, String, &[&str]); 48] = [
        ("a route", routes("192.0.2.0/24 via 192.0.2.254 dev eth1 metric 5"), &[]),
        ("the source first", routes("src 192.0.2.100 203.0.113.0/24 via 192.0.2.254 dev eth1"), &[]),
        ("the source first, and `to`", routes("src 192.0.2.100 to 203.0.113.0/24 dev eth1"), &[]),
        ("a source that is none", routes("src nowhere 203.0.113.0/24 dev eth1"), &["not-an-address"]),
        ("a default route", routes("default via inet6 2001:db8::1 dev eth1"), &[]),
        ("a locked value", routes("default via 192.0.2.1 dev eth0 mtu lock 1400 onlink"), &[]),
        ("several gateways", routes("default dev eth0 nexthop via 192.0.2.1 weight 2"), &[]),
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
        ("one of several", routes("192.0.2.0/24 dev eth0 append"), &[]),
        ("nothing after", routes("192.0.2.0/24 dev eth0 metric"), &["missing-argument"]),
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
        ("devices of next hops only", routes("default nexthop via 192.0.2.1 dev eth0"), &["route-without-device"]),
        ("a hop without weight", routes("default dev eth0 nexthop via 192.0.2.1 weight 0"), &["out-of-range"]),
        ("a table in hexadecimal", routes("192.0.2.0/24 dev eth0 table 0x64 realms 0x1/2 scope 0x10"), &[]),
        ("a table beyond 32 bits", routes("192.0.2.0/24 dev eth0 table 99999999999"), &["out-of-range"]),
        ("a type alone", routes("blackhole"), &["missing-argument"]),
        ("a source alone", routes("src 192.0.2.9"), &["missing-argument"]),
        ("nothing after `to`", routes("to"), &["missing-argument"]),
        ("another protocol, and no tracking", routes("192.0.2.0/24 dev eth0 protocol 4 no_track"), &[]),
        ("numbers as C writes them", rules("to all iif eth0 blackhole priority 0x64 fwmark 010/0xf"), &[]),
        ("a number that is none", rules("to all blackhole priority x"), &["not-a-number"]),
        ("nothing after a word", rules("to all table 3 priority 4 iif"), &["missing-argument"]),
        ("backwards", rules("to all goto 50 priority 100"), &["rule-contradiction"]),
        ("from nowhere", rules("to all goto 50"), &["rule-contradiction"]),
        ("two families", rules("from 10.0.0.0/8 to 2001:db8::/32 table 3 priority 4"), &["rule-contradiction"]),
        ("a family of its own word", rules("inet6 from 10.0.0.0/8 table 3 priority 4"), &["rule-contradiction"]),
        ("all of IPv6", rules("inet6 from all table 3 priority 4"), &[]),
        ("two actions", rules("to all table 3 nop priority 4"), &["rule-contradiction"]),
        ("realms without a table", rules("to all nop realms 3 priority 4"), &["rule-contradiction"]),
        ("table 0", rules("to all table 0 priority 4"), &["rule-contradiction"]),
        ("a protocol by its name", rules("to all table 3 priority 4 protocol static"), &["not-a-number"]),
        ("another protocol", rules("to all table 3 priority 4 protocol 5"), &["protocol-of-tracked"]),
    ];
    for (name, text, expected) in rows {
        let (_, problems) = read_text(&text);
        assert_eq!(codes(&problems), expected, "{name}");
    }
}

#[test]
fn what_is_wrong_with_a_line_says_that_it_is_left_out() {
    for (line, label) in [
        ("to all nop priority x", "not a whole number: the rule is left out"),
        ("to all nop nop priority 1", "the rule is left out"),
        ("to all goto x priority 1", "not a whole number: the rule is left out"),
    ] {
        let (config, problems) = read_text(&instance(&format!("virtual_rules {{\n{line}\n}}")));
        assert_eq!((problems[0].label.as_str(), config.instances[0].rules.len()), (label, 0), "{line}");
    }
}

#[test]
fn blocks_without_what_makes_them_are_refused() {
    let rows: [(&str, &str, &[&str], u8); 8] = [
        ("a time too fine", "bfd_instance b {\nneighbour_ip 192.0.2.9\nmin_rx 1.0005\n}", &["too-fine"], 5),
        ("a number of a file too far", "track_file f {\nfile /run/f\ninit_file 256\n}", &["out-of-range"], 5),
        ("two lists", "track_group g {\ngroup {\nA\n}\ngroup {\nB\n}\n}", &["group-given-twice"], 5),
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
