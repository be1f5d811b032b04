//! Plans: two shown whole, the rest by rows; and what holds for any two models.

use proptest::prelude::*;

use super::*;
use crate::config::io::loader::{LoadOptions, load_text};
use crate::config::show::tests::random::any_config;

fn read(text: &str) -> Config {
    load_text("a.conf", text, &LoadOptions { system: false, ..LoadOptions::default() }).config
}

fn instance(name: &str, lines: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id 51\n{lines}\nvirtual_ipaddress {{\n192.0.2.1/24\n}}\n}}\n"
    )
}

const BEFORE: &str = "
global_defs {
    vrrp_garp_master_refresh 60
}
vrrp_script chk {
    script \"/bin/check\"
    weight -20
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 150
    authentication {
        auth_type PASS
        auth_pass secret
    }
    virtual_ipaddress {
        192.0.2.1/24
        192.0.2.2/24 dev eth1
    }
}
vrrp_instance VI_2 {
    interface eth1
    virtual_router_id 52
    virtual_ipaddress {
        192.0.2.9/24
    }
}
virtual_server 192.0.2.1 80 {
    protocol TCP
    lb_algo wrr
    lb_kind NAT
    real_server 10.0.0.1 80 {
        TCP_CHECK {
        }
    }
    real_server 10.0.0.2 80 {
        weight 2
    }
}
virtual_server 192.0.2.1 443 {
    protocol TCP
    lb_algo wrr
    lb_kind NAT
    real_server 10.0.0.1 443 {
    }
}
";

#[test]
fn a_plan_is_read_object_by_object() {
    let after = BEFORE
        .replace("refresh 60", "refresh 30")
        .replace("priority 150", "priority 90")
        .replace("secret", "other")
        .replace("dev eth1", "dev eth2")
        .replace("virtual_router_id 52", "virtual_router_id 53")
        .replace("    real_server 10.0.0.2 80 {\n        weight 2", "    real_server 10.0.0.3 80 {\n        weight 2")
        .replace("TCP_CHECK {\n", "TCP_CHECK {\nconnect_timeout 2\n")
        .replace("192.0.2.1 443", "192.0.2.2 443")
        .replace("wrr\n    lb_kind NAT\n    real_server 10.0.0.1 443", "rr\nlb_kind DR\nreal_server 10.0.0.1 443");
    let plan = plan(&read(BEFORE), &read(&after), Flaws::default());
    insta::assert_snapshot!(plan.render(false));
    insta::assert_snapshot!("a_plan_as_json", serde_json::to_string_pretty(&plan).unwrap());
    let colourless = plan.render(true).replace(ANSI_END, "");
    assert!(colourless.contains("\x1b[31m- virtual_server 192.0.2.1 443 {"), "{colourless}");
}

const ANSI_END: &str = "\x1b[0m";

#[test]
fn transitions_follow_interface_family_and_vrid() {
    let plain = instance("VI_1", "");
    let v3 = instance("VI_1", "version 3");
    let chk = "vrrp_script chk {\nscript \"/bin/check\"\nweight 0\n}\n";
    let other = "vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 9\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
    let rows = [
        ("nothing", plain.clone(), plain.clone(), "VI_1: no transition"),
        ("new", String::new(), plain.clone(), "VI_1: starts: BACKUP"),
        (
            "new, as master",
            String::new(),
            instance("VI_1", "state MASTER\npriority 150"),
            "VI_1: starts: MASTER after one interval, unless it hears a better peer",
        ),
        ("gone", plain.clone(), String::new(), "VI_1: hands over: removed"),
        (
            "an owner comes",
            String::new(),
            instance("VI_1", "priority 255"),
            "VI_1: starts: MASTER at once, as the owner of the addresses",
        ),
        ("renamed", plain.clone(), instance("A", ""), "A: no transition (its name was VI_1)"),
        (
            "another VRID",
            plain.clone(),
            other.to_owned(),
            "VI_1: hands over: it becomes IPv4 VRID 9 on eth0 | VI_1: starts: BACKUP",
        ),
        (
            "raised",
            plain.clone(),
            instance("VI_1", "priority 150"),
            "VI_1: no transition; priority 100 -> 150: it may take over from a peer between the two",
        ),
        (
            "lowered",
            plain.clone(),
            instance("VI_1", "priority 50"),
            "VI_1: no transition; priority 100 -> 50: a peer between the two may take over",
        ),
        (
            "tracking",
            format!("{chk}{plain}"),
            format!("{chk}{}", instance("VI_1", "track_script {\nchk\n}")),
            "VI_1: no transition; what it tracks changes: a failed one may lower its priority or be a fault",
        ),
        ("version", plain.clone(), v3.clone(), "VI_1: no transition; adverts change (version): change the peers alike"),
        (
            "interval of version 2",
            plain.clone(),
            instance("VI_1", "advert_int 2"),
            "VI_1: no transition; adverts change (advert_int): change the peers alike",
        ),
        ("interval of version 3", v3, instance("VI_1", "version 3\nadvert_int 2"), "VI_1: no transition"),
        (
            "unicast",
            plain.clone(),
            instance("VI_1", "unicast_peer {\n192.0.2.9\n}"),
            "VI_1: no transition; adverts change (unicast or multicast): change the peers alike",
        ),
        (
            "group",
            plain.clone(),
            format!("global_defs {{\nvrrp_mcast_group4 224.0.0.19\n}}\n{plain}"),
            "VI_1: no transition; adverts change (multicast group): change the peers alike",
        ),
    ];
    for (name, old, new, expected) in rows {
        let told: Vec<String> =
            plan(&read(&old), &read(&new), Flaws::default()).transitions.iter().map(ToString::to_string).collect();
        assert_eq!(told.join(" | "), expected, "{name}");
    }
}

#[test]
fn statements_find_their_counterparts() {
    let service = |group: &str, servers: &str| {
        format!(
            "virtual_server_group g {{\n{group}\n}}\nvirtual_server group g {{\nprotocol TCP\nlb_algo rr\nlb_kind NAT\n{servers}\n}}\n"
        )
    };
    let real = |n: u8, more: &str| format!("real_server 10.0.0.{n} 80 {{\n{more}\n}}\n");
    let group = "192.0.2.1 80\n192.0.2.1 443\nfwmark 7";
    let before = service(group, &(real(1, "TCP_CHECK {\n}") + &real(2, "")));
    let rows = [
        ("nothing", before.clone(), "nothing changes"),
        (
            "the first of two alike goes",
            service("192.0.2.1 443\nfwmark 7", &(real(1, "TCP_CHECK {\n}") + &real(2, ""))),
            "~ virtual_server_group g|    - 192.0.2.1 80||0 added, 1 changed, 0 removed",
        ),
        (
            "a value with a keyword that repeats",
            service("192.0.2.1 80\n192.0.2.1 444\nfwmark 7", &(real(1, "TCP_CHECK {\n}") + &real(2, ""))),
            "~ virtual_server_group g|    ~ 192.0.2.1 443 -> 444||0 added, 1 changed, 0 removed",
        ),
        (
            "another order",
            service(group, &(real(2, "") + &real(1, "TCP_CHECK {\n}"))),
            "~ virtual_server group g: another order||0 added, 1 changed, 0 removed",
        ),
        (
            "a flag and a check",
            service(group, &(real(1, "TCP_CHECK {\n}\nTCP_CHECK {\nconnect_port 81\n}") + &real(2, "alpha"))),
            "~ virtual_server group g|    ~ real_server 10.0.0.1 80|        + TCP_CHECK {|        +     connect_port 81|        + }|    ~ real_server 10.0.0.2 80|        + alpha true||0 added, 1 changed, 0 removed",
        ),
    ];
    for (name, after, expected) in rows {
        let told = plan(&read(&before), &read(&after), Flaws::default()).render(false);
        assert_eq!(told.trim_end().replace('\n', "|"), expected, "{name}");
    }
}

#[test]
fn a_reload_that_would_hurt_is_refused() {
    let router = |name: &str, vrid: u8| {
        format!(
            "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\nvirtual_ipaddress {{\n192.0.2.{vrid}/24\n}}\n}}\n"
        )
    };
    let both = router("A", 1) + &router("B", 2);
    let of = |new: &str, errors, unclosed| refusal(&read(&both), &read(new), Flaws { errors, unclosed });
    let loses = |errors| Some(Refusal::Loses { errors, lost: "vrrp_instance B".to_owned() });
    let rows = [
        ("all stays, with errors", of(&both, 3, false), None),
        ("one goes", of(&router("A", 1), 0, false), None),
        ("one goes, with an error", of(&router("A", 1), 1, false), loses(1)),
        ("all goes", of("global_defs {\n}\n", 0, false), Some(Refusal::Empty)),
        ("saved halfway", of(&both, 1, true), Some(Refusal::Unclosed)),
        ("another name of the same router", of(&(router("C", 1) + &router("D", 2)), 1, false), None),
    ];
    for (name, found, expected) in rows {
        assert_eq!(found, expected, "{name}");
    }
    assert!(loses(1).unwrap().to_string().starts_with("the file has 1 error, and no `vrrp_instance B`"));
}

#[test]
fn what_a_reload_cannot_do_is_said() {
    let service =
        "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlb_algo rr\nlb_kind NAT\nreal_server 10.0.0.1 80 {\n}\n}\n";
    let (ebpf, ipvs) = (String::new(), "global_defs {\nlvs_datapath ipvs\nlvs_flush\n}\n".to_owned());
    let told = |old: &str, new: &str| plan(&read(old), &read(new), Flaws::default());
    assert!(told(&(ebpf.clone() + service), &(ipvs.clone() + service)).refused.is_some());
    assert!(told(&ebpf, &(ipvs.clone() + service)).refused.is_none(), "no plane is open yet");
    assert_eq!(told(&ebpf, &ipvs).at_next_start, ["lvs_flush"]);
    assert!(told(&(ebpf + service), &(ipvs + service)).render(false).contains("REFUSES"));
}

proptest! {
    #[test]
    fn a_plan_is_empty_only_between_equals(a in any_config(), b in any_config()) {
        prop_assert_eq!(plan(&a, &a, Flaws::default()).changes, vec![]);
        let sorted = |config: &Config| {
            let every: Vec<_> = config.virtual_servers.iter().collect();
            let mut all: Vec<String> = statements(config, &every).iter().map(ToString::to_string).collect();
            all.sort_unstable();
            all
        };
        prop_assert_eq!(plan(&a, &b, Flaws::default()).changes.is_empty(), sorted(&a) == sorted(&b));
    }

    #[test]
    fn a_plan_back_swaps_what_is_added_and_removed(a in any_config(), b in any_config()) {
        let count = |plan: &Plan| {
            let added = plan.changes.iter().filter(|change| matches!(change, Change::Added { .. })).count();
            let removed = plan.changes.iter().filter(|change| matches!(change, Change::Removed { .. })).count();
            (added, removed)
        };
        let ((added, removed), back) = (count(&plan(&a, &b, Flaws::default())), count(&plan(&b, &a, Flaws::default())));
        prop_assert_eq!((removed, added), back);
    }
}

#[test]
fn what_stands_behind_a_name_and_in_a_group_is_a_risk_too() {
    let two = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.1\n}\ntrack_script {\ns\n}\n}\n\
               vrrp_instance B {\ninterface eth1\nvirtual_router_id 2\nvirtual_ipaddress {\n192.0.2.2\n}\n}\n";
    let script = |command: &str, weight: i32| format!("vrrp_script s {{\nscript {command}\nweight {weight}\n}}\n{two}");
    let group = "vrrp_sync_group G {\ngroup {\nA\nB\n}\n}\n";
    let before = script("/bin/true", 10);
    let rows = [
        (before.clone(), "A: no transition"),
        (
            script("/bin/false", 10),
            "A: no transition; what it tracks changes: a failed one may lower its priority or be a fault",
        ),
        (
            format!("{before}{group}"),
            "A: no transition; what it tracks changes: a failed one may lower its priority or be a fault; it follows the sync group G, \
             as that is now",
        ),
    ];
    for (after, told) in rows {
        let transitions = plan(&read(&before), &read(&after), Flaws::default()).transitions;
        assert_eq!(transitions[0].to_string(), told, "{after}");
    }
}
