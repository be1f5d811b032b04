//! Changes by a table, and the law that they leave nothing to change.

use proptest::prelude::*;

use super::*;

fn words(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

fn setup(vip: &str, method: Method) -> Setup {
    Setup { vip: vip.parse().unwrap(), method, program: false, persist: None }
}

/// A host with eth0 and the kernel's defaults, some sysctls aside.
fn facts(sysctls: &[(&str, &str)]) -> Facts {
    let defaults = keys(["eth0", "tunl0"]).into_iter().map(|key| (key, "0".to_owned()));
    let mut facts = Facts {
        held_on: vec![],
        others: 0,
        device: Device::Down,
        decapsulated: BTreeSet::new(),
        program_on: vec![],
        interfaces: vec!["eth0".to_owned()],
        sysctls: defaults.collect(),
        persisted: None,
    };
    facts.sysctls.extend(sysctls.iter().map(|(key, value)| (format!("net/ipv4/conf/{key}"), (*value).to_owned())));
    facts
}

#[test]
fn only_what_differs_is_changed_and_arp_is_quiet_before_the_address_comes() {
    const QUIET: [(&str, &str); 2] = [("all/arp_ignore", "1"), ("all/arp_announce", "2")];
    let dr = setup("192.0.2.100", Method::Route);
    let tun = setup("192.0.2.100", Method::Tunnel);
    let dr6 = setup("fd00::1", Method::Route);
    let on_lo = "ip address add 192.0.2.100/32 dev lo label lo:vipd";
    let on_tunnel = "ip address add 192.0.2.100/32 dev tunl0 label tunl0:vipd";
    let [quiet, announce] =
        ["sysctl net.ipv4.conf.all.arp_ignore = 1 (is 0)", "sysctl net.ipv4.conf.all.arp_announce = 2 (is 0)"];
    let done = Facts { held_on: vec!["lo".to_owned()], ..facts(&QUIET) };
    let rows: [(&str, &Setup, Facts, &[&str]); 10] = [
        ("done already", &dr, done.clone(), &[]),
        ("from nothing", &dr, facts(&[]), &[announce, quiet, on_lo]),
        ("stricter values stay", &dr, facts(&[("all/arp_ignore", "8"), ("all/arp_announce", "2")]), &[on_lo]),
        (
            "a value that answers for global addresses",
            &dr,
            facts(&[("all/arp_ignore", "1"), ("all/arp_announce", "2"), ("eth0/arp_ignore", "3")]),
            &["sysctl net.ipv4.conf.eth0.arp_ignore = 1 (is 3)", on_lo],
        ),
        ("IPv6 needs no sysctl", &dr6, facts(&[]), &["ip address add fd00::1/128 dev lo"]),
        (
            "a tunnel, strict everywhere",
            &tun,
            facts(&[("all/arp_ignore", "1"), ("all/arp_announce", "2"), ("all/rp_filter", "1")]),
            &["ip link set tunl0 up", "sysctl net.ipv4.conf.tunl0.rp_filter = 2 (is 0)", on_tunnel],
        ),
        (
            "a module to load",
            &tun,
            Facts { device: Device::Loadable, ..facts(&QUIET) },
            &["modprobe ipip", "ip link set tunl0 up", on_tunnel],
        ),
        (
            "no device",
            &tun,
            Facts {
                device: Device::Absent,
                ..facts(&[("all/arp_ignore", "1"), ("all/arp_announce", "2"), ("eth0/rp_filter", "1")])
            },
            &[
                "sysctl net.ipv4.conf.eth0.rp_filter = 2 (is 1)",
                "eBPF program on eth0: takes IPIP for 192.0.2.100 out of its tunnel",
                on_lo,
            ],
        ),
        (
            "the program is not on a new interface yet",
            &tun,
            Facts { device: Device::Absent, decapsulated: [tun.vip].into(), ..done.clone() },
            &["eBPF program on eth0: takes IPIP for 192.0.2.100 out of its tunnel"],
        ),
        ("a tunnel where the address is on lo", &tun, Facts { device: Device::Up, ..done }, &[]),
    ];
    for (name, setup, facts, wanted) in rows {
        assert_eq!(words(&setup.changes(&facts).unwrap()), wanted, "{name}");
    }
}

#[test]
fn a_host_that_is_no_real_server_is_refused() {
    let elsewhere = Facts { held_on: vec!["eth0".to_owned()], ..facts(&[]) };
    let refused = setup("192.0.2.100", Method::Route).changes(&elsewhere).unwrap_err();
    assert!(matches!(refused, Unfit::Elsewhere { .. }), "{refused}");
    let absent = Facts { device: Device::Absent, ..facts(&[]) };
    let refused = setup("fd00::1", Method::Tunnel).changes(&absent).unwrap_err();
    assert!(matches!(refused, Unfit::NoTunnel { .. }), "{refused}");
}

#[test]
fn undo_lets_arp_speak_only_after_the_last_vip() {
    let mut tun = setup("192.0.2.100", Method::Tunnel);
    tun.persist = Some("/f".into());
    let mut held = facts(&[("all/arp_ignore", "1"), ("all/arp_announce", "2")]);
    held.held_on = vec!["tunl0".to_owned()];
    (held.device, held.persisted) = (Device::Up, Some(String::new()));
    let delete = "ip address delete 192.0.2.100/32 dev tunl0";
    assert_eq!(words(&tun.undo(&Facts { others: 1, ..held.clone() })), [delete]);
    assert_eq!(
        words(&tun.undo(&held)),
        [
            delete,
            "ip link set tunl0 down",
            "sysctl net.ipv4.conf.all.arp_ignore = 0 (is 1)",
            "sysctl net.ipv4.conf.all.arp_announce = 0 (is 2)",
            "remove /f",
        ]
    );
}

#[test]
fn the_file_keeps_what_another_vip_needed() {
    let mut dr = setup("192.0.2.100", Method::Route);
    dr.persist = Some("/f".into());
    let had = format!("{HEAD}-net.ipv4.conf.tunl0.rp_filter = 2\n");
    let changes = dr.changes(&Facts { persisted: Some(had), ..facts(&[]) }).unwrap();
    let Some(Change::WriteFile { text, .. }) = changes.last() else { panic!("{changes:?}") };
    let lines =
        "-net.ipv4.conf.tunl0.rp_filter = 2\nnet.ipv4.conf.all.arp_announce = 2\nnet.ipv4.conf.all.arp_ignore = 1\n";
    assert_eq!(*text, format!("{HEAD}{lines}"));
}

/// What carrying it out makes of the host.
fn after(mut facts: Facts, changes: &[Change]) -> Facts {
    for change in changes {
        match change.clone() {
            Change::LoadModule { .. } | Change::LinkDown { .. } => facts.device = Device::Down,
            Change::LinkUp { .. } => facts.device = Device::Up,
            Change::Sysctl { key, from, to } => assert_eq!(facts.sysctls.insert(key, to), Some(from)),
            Change::Decapsulate { addr, interfaces } => {
                facts.decapsulated.insert(addr);
                facts.program_on = interfaces;
            }
            Change::StopDecapsulating { addr } => assert!(facts.decapsulated.remove(&addr)),
            Change::AddAddress { interface, .. } => facts.held_on.push(interface.to_owned()),
            Change::DeleteAddress { interface, .. } => facts.held_on.retain(|held| *held != interface),
            Change::WriteFile { text, .. } => facts.persisted = Some(text),
            Change::RemoveFile { .. } => facts.persisted = None,
        }
    }
    facts
}

proptest! {
    #[test]
    fn a_second_run_changes_nothing_and_undo_leaves_no_address(
        values in prop::collection::vec(0u8..9, 9),
        device in 0usize..4,
        program: bool,
        tunnel: bool,
        others in 0usize..2,
        persist: bool,
    ) {
        let mut setup = setup("192.0.2.100", if tunnel { Method::Tunnel } else { Method::Route });
        setup.program = program;
        setup.persist = persist.then(|| "/f".into());
        let mut facts = facts(&[]);
        facts.device = [Device::Up, Device::Down, Device::Loadable, Device::Absent][device];
        facts.others = others;
        for (value, held) in values.iter().zip(facts.sysctls.values_mut()) {
            *held = (value % 4).to_string();
        }
        let changes = setup.changes(&facts).unwrap();
        let facts = after(facts, &changes);
        prop_assert_eq!(words(&setup.changes(&facts).unwrap()), Vec::<String>::new());
        let undone = setup.undo(&facts);
        let facts = after(facts, &undone);
        prop_assert!(facts.held_on.is_empty() && facts.decapsulated.is_empty());
        prop_assert_eq!(words(&setup.undo(&facts)), Vec::<String>::new());
    }
}
