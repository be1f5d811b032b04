//! What the checks of the whole find, by rows.

use super::*;
use crate::config::check::system::{Changeable, Facts, Program};
use crate::config::problem::exit_code;
use crate::config::read::tests::read_text;

/// Codes of the checks alone: what the reader found is another table.
fn codes(text: &str) -> Vec<&'static str> {
    let (config, _) = read_text(text);
    let mut problems = Problems::default();
    check(&config, &mut problems);
    problems.finish().iter().map(|problem| problem.code).collect()
}

fn instance(name: &str, vrid: u8, addr: &str, more: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\nvirtual_ipaddress {{\n{addr}\n}}\n{more}\n}}\n"
    )
}

#[test]
fn routers_beside_each_other_are_checked() {
    let a = instance("A", 7, "192.0.2.1", "");
    let b = instance("B", 8, "192.0.2.2", "");
    let unicast = |name: &str, source: &str| {
        instance(name, 7, source, &format!("unicast_src_ip {source}\nunicast_peer {{\n192.0.2.99\n}}"))
    };
    let rows: [(&str, String, &[&str]); 12] = [
        ("two that differ", format!("{a}{b}"), &[]),
        ("a delay of its interface", format!("{a}interface_up_down_delays {{\neth0 2\neth1 9\n}}"), &[]),
        ("a long delay of it", format!("{a}interface_up_down_delays {{\neth0 2 2.1\n}}"), &["delay-shortened"]),
        ("one VRID", format!("{a}{}", instance("B", 7, "192.0.2.2", "")), &["duplicate-vrid"]),
        ("one VRID in two families", format!("{a}{}", instance("B", 7, "fe80::1", "")), &[]),
        ("one VRID from two sources", format!("{}{}", unicast("A", "192.0.2.1"), unicast("B", "192.0.2.2")), &[]),
        ("one address", format!("{a}{}", instance("B", 8, "192.0.2.1/24", "")), &["duplicate-address"]),
        ("a group of two", format!("{a}{b}vrrp_sync_group G {{\ngroup {{\nA\nB\n}}\n}}"), &[]),
        ("a group of one", format!("{a}{b}vrrp_sync_group G {{\ngroup {{\nA\n}}\n}}"), &["lonely-group"]),
        (
            "a group of none",
            format!("{a}vrrp_sync_group G {{\ngroup {{\nX\n}}\n}}"),
            &["undefined-member", "empty-group"],
        ),
        (
            "a member of two groups",
            format!("{a}{b}vrrp_sync_group G {{\ngroup {{\nA\nB\n}}\n}}\nvrrp_sync_group H {{\ngroup {{\nA\n}}\n}}"),
            &["member-of-two-groups", "empty-group"],
        ),
        (
            "an interface of the group too",
            format!(
                "{}{b}vrrp_sync_group G {{\ngroup {{\nA\nB\n}}\ntrack_interface {{\neth1\n}}\n}}",
                instance("A", 7, "192.0.2.1", "track_interface {\neth1\n}")
            ),
            &["tracked-twice"],
        ),
    ];
    for (name, text, expected) in rows {
        assert_eq!(codes(&text), expected, "{name}");
    }
}

#[test]
fn weights_are_held_against_the_priority() {
    let global = "global_defs {\nenable_script_security\n}\n";
    let script = |weight: &str| format!("{global}vrrp_script s {{\nscript /bin/true\n{weight}\n}}\n");
    let tracked = |more: &str| instance("A", 7, "192.0.2.1", &format!("track_script {{\ns\n}}\n{more}"));
    let grouped = "vrrp_sync_group G {\ngroup {\nA\nB\n}\n}\n";
    let other = instance("B", 8, "192.0.2.2", "");
    let check_of = |check: &str| {
        let service = "virtual_server 192.0.2.80 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n";
        format!("{other}{service}real_server 192.0.2.11 80 {{\n{check}\n}}\n}}")
    };
    let rows: [(&str, String, &[&str]); 17] = [
        ("no weight", format!("{}{}", script(""), tracked("")), &[]),
        ("enough to lose", format!("{}{}", script("weight -60"), tracked("priority 150")), &[]),
        (
            "not enough to lose",
            format!("{}{}", script("weight -40"), tracked("priority 150")),
            &["weight-above-default"],
        ),
        ("nothing to lose", format!("{}{}", script("weight -40"), tracked("priority 1")), &["weight-without-effect"]),
        ("nothing to win", format!("{}{}", script("weight 40"), tracked("priority 254")), &["weight-without-effect"]),
        ("the owner", format!("{}{}", script("weight -40"), tracked("priority 255")), &["weight-ignored"]),
        (
            "in a group",
            format!("{}{}{other}{grouped}", script("weight -40"), tracked("priority 100")),
            &["weight-ignored"],
        ),
        ("undefined", format!("{global}{}", tracked("")), &["undefined-script"]),
        ("unused", format!("{}{other}", script("")), &["unused-script"]),
        ("an undefined file", instance("A", 7, "192.0.2.1", "track_file {\nf\n}"), &["undefined-track-file"]),
        (
            "an undefined process",
            instance("A", 7, "192.0.2.1", "track_process {\np weight -5\n}"),
            &["undefined-track-process"],
        ),
        ("a file, of a check", check_of("FILE_CHECK {\ntrack_file f\n}"), &["undefined-track-file"]),
        ("a session, of a check", check_of("BFD_CHECK {\nname b\n}"), &["undefined-bfd"]),
        (
            "it exists",
            format!("bfd_instance b {{\nneighbor_ip 192.0.2.9\n}}\n{}", check_of("BFD_CHECK {\nname b\n}")),
            &[],
        ),
        ("an unused file", format!("{other}track_file f {{\nfile /run/f\n}}"), &["unused-track-file"]),
        ("an unused process", format!("{other}vrrp_track_process p {{\nprocess web\n}}"), &["unused-track-process"]),
        (
            "the owner, by a file",
            format!(
                "track_file f {{\nfile /run/f\n}}\n{}",
                instance("A", 7, "192.0.2.1", "priority 255\ntrack_file {\nf\n}")
            ),
            &["weight-ignored"],
        ),
    ];
    for (name, text, expected) in rows {
        assert_eq!(codes(&text), expected, "{name}");
    }
}

#[test]
fn scripts_without_protection_are_one_problem() {
    let notify = "notify_master /bin/a\nnotify_backup /bin/b";
    let rows: [(&str, String, &[&str]); 4] = [
        ("two scripts", instance("A", 7, "192.0.2.1", notify), &["script-security"]),
        (
            "protected",
            format!("global_defs {{\nenable_script_security\n}}\n{}", instance("A", 7, "192.0.2.1", notify)),
            &[],
        ),
        ("a script of nobody", "vrrp_script s {\nscript /bin/a\n}".to_owned(), &["unused-script"]),
        (
            "only opened",
            format!("vrrp_script s {{\nscript </tmp/x\n}}\n{}", instance("A", 7, "192.0.2.1", "track_script {\ns\n}")),
            &[],
        ),
    ];
    for (name, text, expected) in rows {
        assert_eq!(codes(&text), expected, "{name}");
    }
}

#[test]
fn the_system_is_held_against_facts() {
    let protected = "global_defs {\nenable_script_security\nscript_user root\n}\n";
    let text = format!("{protected}{}", instance("A", 7, "192.0.2.1 dev eth1", "notify /opt/n nobody"));
    let rooted = format!("{protected}{}", instance("A", 7, "192.0.2.1", "notify /opt/n"));
    let unnamed =
        format!("global_defs {{\nenable_script_security\n}}\n{}", instance("A", 7, "192.0.2.1", "notify /opt/n"));
    let program = |executable, changeable: Option<&str>| {
        [(
            "/opt/n".to_owned(),
            Program {
                executable,
                changeable: changeable.map(|part| Changeable {
                    part: part.to_owned(),
                    owner: "deploy".to_owned(),
                    group: "100".to_owned(),
                    mode: 0o775,
                }),
            },
        )]
        .into()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let all = Facts {
        interfaces: names(&["eth0", "eth1"]),
        programs: program(true, None),
        users: names(&["nobody", "root"]),
        ..Facts::default()
    };
    let plain = instance("A", 7, "192.0.2.1", "");
    let dynamic = format!("global_defs {{\ndynamic_interfaces\n}}\n{plain}");
    let fixed = "static_ipaddress {\n192.0.2.9/24\n}\n";
    let none = || Facts { interfaces: names(&["lo"]), ..all.clone() };
    let rows: [(&str, &str, Facts, &[&str], u8); 12] = [
        ("no interface", &plain, none(), &["no-such-interface"], 4),
        ("no interface yet", &dynamic, none(), &["no-such-interface"], 0),
        ("no delayed interface", "interface_up_down_delays {\neth0 1\n}\n", none(), &["no-such-interface"], 5),
        ("no default interface", fixed, none(), &["no-such-interface"], 5),
        ("all is there", &text, all.clone(), &[], 0),
        ("no device", &text, Facts { interfaces: names(&["eth0"]), ..all.clone() }, &["no-such-interface"], 5),
        ("no script", &text, Facts { programs: [].into(), ..all.clone() }, &["script-not-found"], 5),
        (
            "no right to run",
            &text,
            Facts { programs: program(false, None), ..all.clone() },
            &["script-not-executable"],
            5,
        ),
        ("open, and not root's", &text, Facts { programs: program(true, Some("/opt")), ..all.clone() }, &[], 0),
        (
            "open, and root's",
            &rooted,
            Facts { programs: program(true, Some("/opt")), ..all.clone() },
            &["script-insecure"],
            5,
        ),
        ("no account at all", &unnamed, all.clone(), &["no-default-user"], 5),
        ("no account", &text, Facts { users: names(&["root"]), ..all.clone() }, &["no-such-user"], 5),
    ];
    for (name, text, facts, expected, exit) in rows {
        let (config, _) = read_text(text);
        let mut problems = Problems::default();
        system::check(&config, &facts, &mut problems);
        let problems = problems.finish();
        let found: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!((found.as_slice(), exit_code(&problems)), (expected, exit), "{name}");
    }
}
