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
        labelled_on: vec![],
        others: 0,
        record: Some(Record::default()),
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
fn a_file_that_somebody_else_wrote_is_neither_changed_nor_removed() {
    let mut dr = setup("192.0.2.100", Method::Route);
    dr.persist = Some("/f".into());
    let host = Facts { persisted: Some("# mine\nvm.swappiness = 10\n".to_owned()), ..facts(&[]) };
    assert_eq!(dr.changes(&host).unwrap_err(), Unfit::ForeignFile { path: "/f".into() });
    assert_eq!((words(&dr.undo(&host)), dr.kept(&host)), (vec![], vec![Kept::File { path: "/f".into() }]));
}

#[test]
fn undo_lets_arp_speak_only_after_the_last_vip() {
    let mut tun = setup("192.0.2.100", Method::Tunnel);
    tun.persist = Some("/f".into());
    let host = facts(&[]);
    let held = after(host.clone(), &tun.changes(&host).unwrap());
    let delete = "ip address delete 192.0.2.100/32 dev tunl0";
    let needed = Facts { others: 1, ..held.clone() };
    assert_eq!((words(&tun.undo(&needed)), tun.kept(&needed)), (vec![delete.to_owned()], vec![Kept::Needed]));
    assert_eq!(
        words(&tun.undo(&held)),
        [
            delete,
            "ip link set tunl0 down",
            "sysctl net.ipv4.conf.all.arp_announce = 0 (is 2)",
            "sysctl net.ipv4.conf.all.arp_ignore = 0 (is 1)",
            "remove /f",
        ]
    );
}

#[test]
fn undo_takes_back_what_setup_set_and_nothing_else() {
    let dr = setup("192.0.2.100", Method::Route);
    let admins = facts(&[("all/arp_ignore", "1")]);
    let done = after(admins, &dr.changes(&facts(&[("all/arp_ignore", "1")])).unwrap());
    let delete = "ip address delete 192.0.2.100/32 dev lo";
    let announce = "sysctl net.ipv4.conf.all.arp_announce = 0 (is 2)";
    let by_hand = Facts { held_on: vec!["lo".to_owned()], ..facts(&[]) };
    let stays = Kept::Address { addr: dr.vip, interface: "lo".to_owned() };
    let mut changed = done.clone();
    changed.sysctls.insert(conf("all", "arp_announce"), "1".to_owned());
    let older = Facts { record: None, ..done.clone() };
    let labelled = Facts { labelled_on: vec!["lo".to_owned()], ..older.clone() };
    let rows: [(&str, Facts, &[&str], Vec<Kept>); 5] = [
        ("a sysctl that was so before", done, &[delete, announce], vec![]),
        ("an address that was there before", by_hand, &[], vec![stays.clone()]),
        ("a sysctl that was changed since", changed, &[delete], vec![]),
        ("by an older version", older, &[], vec![stays, Kept::Unrecorded]),
        ("by an older version, with a label", labelled, &[delete], vec![Kept::Unrecorded]),
    ];
    for (name, facts, wanted, kept) in rows {
        assert_eq!(
            (words(&dr.undo(&facts)), dr.kept(&facts)),
            (wanted.iter().map(|word| (*word).to_owned()).collect(), kept),
            "{name}"
        );
    }
}

#[test]
fn an_address_that_is_not_unicast_is_no_vip() {
    for vip in
        ["0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "169.254.1.1", "::", "::1", "ff02::1", "fe80::1"]
    {
        let refused = setup(vip, Method::Route).changes(&facts(&[])).unwrap_err();
        assert_eq!(refused, Unfit::NotUnicast { vip: vip.parse().unwrap() });
    }
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
        facts.record.iter_mut().for_each(|record| record.note(change));
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
    fn a_second_run_changes_nothing_and_undo_leaves_the_host_as_it_was(
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
        let before = facts.clone();
        let changes = setup.changes(&facts).unwrap();
        let facts = after(facts, &changes);
        prop_assert_eq!(words(&setup.changes(&facts).unwrap()), Vec::<String>::new());
        let undone = setup.undo(&facts);
        let facts = after(facts, &undone);
        prop_assert!(facts.held_on.is_empty() && facts.decapsulated.is_empty());
        if others == 0 {
            prop_assert_eq!((&facts.sysctls, &facts.record), (&before.sysctls, &before.record));
        }
        prop_assert_eq!(words(&setup.undo(&facts)), Vec::<String>::new());
    }
}
