//! What the readers make of blocks, by rows: the statements, and the codes of the problems or a value.

mod agreement;
mod checks;
mod services;
mod unserved;

use std::time::Duration;

use super::*;
use crate::base::{Family, IfName};
use crate::config::model::{Broadcast, InitialState, KernelRule, ScriptUser, VrrpVersion};
use crate::config::source::{SourceId, Span};
use crate::config::tree::{Args, Block, Statement, Word};

fn word(text: &str, start: usize) -> Word<'_> {
    let at = |offset: usize| u32::try_from(offset).unwrap();
    let span = Span { source: SourceId(0), start: at(start), end: at(start + text.len()) };
    let quoted = text.starts_with('"');
    Word { text: text.trim_matches('"'), quoted, at: span }
}

/// One statement a line; a line that ends in `{` opens a block, `}` ends it.
pub fn tree(text: &str) -> Block<'_> {
    let mut open: Vec<Block<'_>> = vec![Block::default()];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "}" {
            let block = open.pop().unwrap();
            open.last_mut().unwrap().statements.last_mut().unwrap().block = Some(block);
            continue;
        }
        let (line, opens) = line.strip_suffix('{').map_or((line, false), |line| (line.trim(), true));
        let mut words = vec![];
        let mut rest = line;
        while !rest.is_empty() {
            let quote = rest.strip_prefix('"').and_then(|inner| inner.find('"'));
            let end = quote.map_or_else(|| rest.find(' ').unwrap_or(rest.len()), |end| end + 2);
            let (first, others) = rest.split_at(end);
            words.push(word(first, rest.as_ptr().addr() - text.as_ptr().addr()));
            rest = others.trim_start();
        }
        let keyword = words.remove(0);
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        open.last_mut().unwrap().statements.push(Statement { keyword, args: Args::new(&words), rest, block: None });
        if opens {
            open.push(Block::default());
        }
    }
    assert_eq!(open.len(), 1, "a block is open at the end");
    open.remove(0)
}

pub fn read_text(text: &str) -> (Config, Vec<Problem>) {
    let mut reader = Reader::default();
    for statement in tree(text).statements {
        if !reader.read(&statement) {
            reader.put_off(statement);
        }
    }
    reader.finish()
}

fn codes(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.code).collect()
}

/// An instance that is right, and lines to add.
fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 7\nvirtual_ipaddress {{\n192.0.2.1/24\n}}\n{lines}\n}}"
    )
}

#[test]
fn values_of_instances_are_read_or_refused() {
    let rows: [(&str, &str, &[&str]); 63] = [
        ("all is well", "state BACKUP\npriority 150\nadvert_int 2", &[]),
        ("a state in lower case", "state master", &["unknown-word"]),
        ("priority 0", "priority 0", &["out-of-range"]),
        ("priority 256", "priority 256", &["out-of-range"]),
        ("a hexadecimal priority", "priority 0x10", &["not-a-number"]),
        ("a huge priority", "priority 99999999999999999999", &["out-of-range"]),
        ("an interval below 10 ms", "version 3\nadvert_int 0.001", &["out-of-range"]),
        ("an interval of v3", "version 3\nadvert_int 0.25", &[]),
        ("half a second in v2", "advert_int 0.5", &["advert-int-rounded"]),
        ("a minute in v3", "version 3\nadvert_int 60", &["advert-int-rounded"]),
        ("version 4", "version 4", &["unknown-word"]),
        ("authentication", "authentication {\nauth_type PASS\nauth_pass 12345678\n}", &[]),
        ("a long password", "authentication {\nauth_type PASS\nauth_pass 123456789\n}", &["auth-pass-too-long"]),
        ("a password in v3", "version 3\nauthentication {\nauth_type PASS\nauth_pass x\n}", &["auth-with-v3"]),
        ("AH", "authentication {\nauth_type AH\nauth_pass x\n}", &[]),
        ("AH as master", "state MASTER\nauthentication {\nauth_type AH\nauth_pass x\n}", &["ah-with-master"]),
        ("nopreempt of a master", "state MASTER\npriority 100\nnopreempt", &["nopreempt-with-master"]),
        ("a delay that nothing uses", "nopreempt\npreempt_delay 5", &["preempt-delay-with-nopreempt"]),
        ("two versions", "version 3\nversion 2", &["version-given-twice"]),
        ("one version twice", "version 3\nversion 3", &[]),
        (
            "half of the authentication twice",
            "authentication {\nauth_type PASS\n}\nauthentication {\nauth_pass b\n}",
            &[],
        ),
        ("a weight without its number", "track_interface {\neth1 weight\n}", &["value-missing"]),
        ("a MAC address with a sign", "use_vmac vr1 02:+0:00:00:00:01", &["bad-mac"]),
        ("unicast without peers", "unicast_src_ip 192.0.2.2", &["unicast-without-peers"]),
        ("the loopback interface", "interface lo", &["bad-interface-name"]),
        ("two peers on a line", "unicast_peer {\n192.0.2.2 192.0.2.3\n}", &["unknown-word"]),
        ("an option of a peer without its value", "unicast_peer {\n192.0.2.2 min_ttl\n}", &["missing-argument"]),
        ("a peer of the other family", "unicast_peer {\n2001:db8::2\n192.0.2.3\n}", &["unicast-family"]),
        ("own interface tracked", "track_interface {\neth0\neth1 weight -5\n}", &["tracks-own-interface"]),
        ("a bad option of tracking", "track_script {\na wieght 3\n}", &["unknown-word"]),
        ("unicast without a peer", "unicast_src_ip 192.0.2.1", &["unicast-without-peers"]),
        ("the same, as a fault", "unicast_src_ip 192.0.2.1\nunicast_fault_no_peer", &[]),
        ("extra announcements everywhere, and no time", "garp_extra_if all", &["missing-argument"]),
        ("two names of an interface", "use_vmac a b", &["surplus-words"]),
        ("the MAC address of a virtual router", "use_vmac vr1 00:00:5e:00:01:07", &["bad-mac"]),
        ("a MAC address of a group", "use_vmac 01:00:5e:00:00:07", &["bad-mac"]),
        ("a MAC address", "use_vmac 02:00:00:00:00:07", &[]),
        ("all but its last byte", "use_vmac vr1 02:00:00:00:01", &[]),
        ("no interface to send by the base of", "vmac_xmit_base", &["vmac-missing"]),
        ("one, for one address", "vmac_xmit_base\nvirtual_ipaddress {\n192.0.2.2/24 use_vmac\n}", &[]),
        ("a check of peers that are none", "check_unicast_src", &["unicast-without-peers"]),
        (
            "an old checksum by another word",
            "unicast_peer {\n192.0.2.2\n}\nold_unicast_checksum always",
            &["unknown-word"],
        ),
        ("an old checksum for peers that are none", "old_unicast_checksum never", &["unicast-without-peers"]),
        ("IPv6 of IPv4", "native_ipv6", &["wrong-family"]),
        ("two devices", "virtual_ipaddress {\n192.0.2.2/24 dev eth1 dev eth1\n}", &["surplus-words"]),
        ("a peer of an address", "virtual_ipaddress {\n192.0.2.2 peer 192.0.2.3\n}", &[]),
        ("a peer of another family", "virtual_ipaddress {\n192.0.2.2 peer fe80::1\n}", &["wrong-family"]),
        ("two peers", "virtual_ipaddress {\n192.0.2.2 peer 192.0.2.3 peer 192.0.2.4\n}", &["surplus-words"]),
        ("a peer and a prefix", "virtual_ipaddress {\n192.0.2.2/24 peer 192.0.2.3\n}", &["prefix-with-peer"]),
        ("a peer that is none", "virtual_ipaddress {\n192.0.2.2 peer x\n}", &["not-an-address"]),
        ("a group and its end", "garp_master_delay 1\ngarp_extra_if all 5", &[]),
        ("no time", "garp_extra_if soon", &["not-a-number"]),
        ("a refused TTL", "unicast_ttl 256", &["out-of-range"]),
        ("an option of a peer that is none", "unicast_peer {\n192.0.2.2 ttl 5\n}", &["unknown-word", "unknown-word"]),
        ("two masters' scripts", "notify_master /bin/a\nnotify_master /bin/b", &["script-given-twice"]),
        ("a VRF and an interface", "vrf blue", &["vrf-with-interface"]),
        ("an IPv6 group beyond its link", "mcast_dst_ip ff05::12", &["not-link-local"]),
        ("a time with a sign", "version 3\nadvert_int +0.25", &[]),
        ("parts of a second", "garp_master_delay 1.5", &["not-a-number"]),
        ("no extra announcements", "garp_extra_if 0", &[]),
        ("the scope of IPv6", "virtual_ipaddress_excluded {\n2001:db8::9/64 scope link\n}", &["wrong-family"]),
        ("a scope as C writes it", "virtual_ipaddress_excluded {\n192.0.2.9/24 scope 0x10\n}", &[]),
        ("a process tracked twice", "track_process {\np\np weight 5\n}", &["tracked-twice"]),
    ];
    for (name, lines, expected) in rows {
        let text = instance(lines);
        let (config, problems) = read_text(&text);
        assert_eq!(codes(&problems), expected, "{name}");
        assert_eq!(config.instances.len(), 1, "{name}");
    }
}

#[test]
fn the_last_byte_of_a_mac_address_may_be_the_vrid() {
    let mac = |lines: &str| read_text(&instance(lines)).0.instances[0].vmac.clone().unwrap().mac;
    assert_eq!(mac("use_vmac 02:00:00:00:01"), Some([2, 0, 0, 0, 1, 7]));
    assert_eq!(mac("use_vmac 02:00:00:00:01:09"), Some([2, 0, 0, 0, 1, 9]));
    assert_eq!(mac("use_vmac"), None);
}

#[test]
fn an_instance_that_could_not_run_is_left_out() {
    let vip = "virtual_ipaddress {\n192.0.2.1/24\n}";
    let rows = [
        ("no interface", format!("virtual_router_id 7\n{vip}"), "interface-missing", 0),
        ("nothing behind it", format!("interface eth0\nvirtual_router_id\n{vip}"), "vrid-missing", 0),
        ("no VRID", format!("interface eth0\n{vip}"), "vrid-missing", 0),
        ("no address in v3", "version 3\ninterface eth0\nvirtual_router_id 7".to_owned(), "address-missing", 0),
        ("no address in v2", "interface eth0\nvirtual_router_id 7".to_owned(), "address-missing", 1),
    ];
    for (name, lines, code, left) in rows {
        let text = format!("vrrp_instance A {{\n{lines}\n}}");
        let (config, problems) = read_text(&text);
        assert_eq!((codes(&problems), config.instances.len()), (vec![code], left), "{name}");
    }
}

#[test]
fn defaults_are_those_of_keepalived() {
    let rows = [
        ("nothing given", "", InitialState::Backup, 100),
        ("a master without priority owns the addresses", "state MASTER", InitialState::Master, 255),
        ("priority 255 makes a master", "priority 255", InitialState::Master, 255),
        ("a bad priority is the default", "priority 300", InitialState::Backup, 100),
    ];
    for (name, lines, state, priority) in rows {
        let text = instance(lines);
        let (config, _) = read_text(&text);
        let read = &config.instances[0];
        assert_eq!((read.state, read.priority.get()), (state, priority), "{name}");
        assert_eq!(
            (read.version, read.interval.centis(), read.down_timer_adverts),
            (VrrpVersion::V2, 100, 3),
            "{name}"
        );
        assert!(read.preempt, "{name}");
    }
}

#[test]
fn addresses_of_the_other_family_are_held_and_not_advertised() {
    let (config, problems) = read_text(
        "vrrp_instance A {\ninterface eth0\nvirtual_router_id 7\nvirtual_ipaddress {\nfe80::1/64\n192.0.2.1/24 dev eth1 label eth1:v brd + scope link\n}\n}",
    );
    assert_eq!(codes(&problems), ["mixed-families"]);
    let read = &config.instances[0];
    assert_eq!((read.family, read.version), (Family::V6, VrrpVersion::V3));
    let held = &read.excluded_addresses[0];
    assert_eq!((held.cidr.to_string().as_str(), held.label.as_deref()), ("192.0.2.1/24", Some("eth1:v")));
    assert_eq!(
        (held.broadcast, held.scope, held.dev.as_ref().map(IfName::as_str)),
        (Some(Broadcast::Ones), 253, Some("eth1"))
    );
}

#[test]
fn lines_of_virtual_ipaddress_are_read_or_refused() {
    let rows: [(&str, &str, usize, &[&str]); 8] = [
        ("a prefix", "192.0.2.2/24", 2, &[]),
        ("no prefix", "192.0.2.2", 2, &[]),
        ("three octets", "192.0.2/24", 1, &["not-an-address"]),
        ("a name", "vip.example.net", 1, &["not-an-address"]),
        ("a long prefix", "192.0.2.2/33", 2, &["bad-prefix"]),
        ("an unknown option", "192.0.2.2 dve eth1", 2, &["unknown-word", "unknown-word"]),
        ("an option without value", "192.0.2.2 dev", 2, &["value-missing"]),
        ("a label of 16 bytes", "192.0.2.2 label 0123456789abcdef", 2, &["label-too-long"]),
    ];
    for (name, line, count, expected) in rows {
        let text = instance(&format!("virtual_ipaddress {{\n{line}\n}}"));
        let (config, problems) = read_text(&text);
        assert_eq!((codes(&problems).as_slice(), config.instances[0].addresses.len()), (expected, count), "{name}");
    }
}

#[test]
fn scripts_and_groups_are_read() {
    let (config, problems) = read_text(
        "vrrp_sync_group G {\ngroup {\nA B\nC\n}\nnotify \"/bin/n up\" nobody nogroup\n}\nvrrp_script s {\nscript \"/bin/s -v\"\ninterval 0.5\nweight -20 reverse\nfall 3\nuser nobody\n}",
    );
    assert_eq!(codes(&problems), Vec::<&str>::new());
    assert_eq!(config.sync_groups[0].members, ["A", "B", "C"]);
    let notify = config.sync_groups[0].notify.any.as_ref().unwrap();
    let nobody = |group: Option<&str>| Some(ScriptUser { user: "nobody".to_owned(), group: group.map(str::to_owned) });
    assert_eq!(
        (notify.argv.as_slice(), &notify.user),
        (["/bin/n".to_owned(), "up".to_owned()].as_slice(), &nobody(Some("nogroup")))
    );
    let script = &config.scripts[0];
    assert_eq!(script.command.argv, ["/bin/s", "-v"]);
    assert_eq!((script.interval, script.timeout), (Duration::from_millis(500), Duration::from_millis(500)));
    assert_eq!(
        (script.weight, script.reverse, script.rise, script.fall, &script.command.user),
        (-20, true, 1, 3, &nobody(None))
    );
}

#[test]
fn a_script_without_a_command_is_left_out() {
    let (config, problems) =
        read_text("vrrp_script s {\ninterval 1\n}\nvrrp_script t {\nscript /bin/t -v\nweight 300\n}");
    assert_eq!(codes(&problems), ["script-without-command", "script-arguments-dropped", "out-of-range"]);
    assert_eq!(config.scripts.iter().map(|script| script.name.as_str()).collect::<Vec<_>>(), ["t"]);
}

#[test]
fn global_values_are_read_or_refused() {
    let rows: [(&str, &str, &[&str]); 34] = [
        (
            "nothing amiss",
            "router_id lb\nvrrp_version 3\nlvs_datapath ipvs\nlvs_ebpf_mode tc\nvrrp_garp_master_delay 1",
            &[],
        ),
        ("an interval of zero", "vrrp_garp_interval 0\nvrrp_gna_interval 0", &["out-of-range", "out-of-range"]),
        ("a plane that is none", "lvs_datapath xdp", &["unknown-word"]),
        ("a hook that is none", "lvs_ebpf_mode generic", &["unknown-word"]),
        ("connections", "lvs_ebpf_connections 8388608\nlvs_expire_quiescent_template no", &[]),
        (
            "too few connections, too many",
            "lvs_ebpf_connections 1023\nlvs_ebpf_connections 8388609",
            &["out-of-range", "out-of-range"],
        ),
        ("neither leaves nor stays", "lvs_expire_quiescent_template 2", &["not-a-boolean"]),
        ("settings that are set", "lvs_sysctl auto", &[]),
        ("settings that are neither", "lvs_sysctl yes", &["unknown-word"]),
        ("version 1", "vrrp_version 1", &["unknown-word"]),
        ("a unicast group", "vrrp_mcast_group4 192.0.2.1", &["not-multicast"]),
        ("a group of the other family", "vrrp_mcast_group6 224.0.0.18", &["wrong-family"]),
        ("no time for a mail", "smtp_connect_timeout 0", &["out-of-range"]),
        ("a mail server that cannot be", "smtp_server not..a..host", &["not-a-host"]),
        ("mail servers", "smtp_server mail.example.net. 25\nsmtp_server 2001:db8::25\nsmtp_server localhost", &[]),
        ("includes that are looked at", "include_check readable", &["unknown-word"]),
        ("looked at by kinds", "include_check +match -read", &[]),
        ("interfaces that change", "dynamic_interfaces allow_changes", &["unknown-word"]),
        ("a seed", "random_seed x", &["not-a-number"]),
        ("a flag that is none", "vrrp_strict TRUE", &["not-a-boolean"]),
        ("seven decimals", "vrrp_garp_interval 0.1234567", &["too-fine"]),
        ("a negative time", "vrrp_garp_master_delay -1", &["out-of-range"]),
        ("a long datagram", "lvs_sync_daemon eth0 id 3 maxlen 120000", &["out-of-range"]),
        ("a sync daemon of the old form", "lvs_sync_daemon eth0 VI_1 7", &["deprecated-keyword"]),
        ("a strange word", "lvs_sync_daemon eth0 inst VI_1 syncid 7", &["unknown-word"]),
        ("a group that is no address", "lvs_sync_daemon eth0 group x", &["not-an-address"]),
        ("a name without its value", "lvs_sync_daemon eth0 inst", &["missing-argument"]),
        ("timeouts", "lvs_timeouts tcp 60 udp 5", &[]),
        ("a timeout of two months", "lvs_timeouts tcp 60 udp 5000000", &["out-of-range"]),
        ("a timeout of nothing", "lvs_timeouts tcp", &["missing-argument"]),
        ("a timeout of something else", "lvs_timeouts sctp 3", &["unknown-word"]),
        ("a group beyond its link", "vrrp_mcast_group6 ff05::12", &["not-link-local"]),
        ("no extra announcements", "vrrp_garp_extra_if 0", &["out-of-range"]),
        ("parts of a second", "vrrp_garp_master_refresh 1.5", &["not-a-number"]),
    ];
    for (name, lines, expected) in rows {
        let text = format!("global_defs {{\n{lines}\n}}");
        let (_, problems) = read_text(&text);
        assert_eq!(codes(&problems), expected, "{name}");
    }
}

#[test]
fn the_sync_daemon_is_that_of_global_defs_or_of_the_first_instance_that_names_one() {
    let instance = |name, vrid| {
        format!(
            "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\nlvs_sync_daemon_interface eth1\n\
             virtual_ipaddress {{\n192.0.2.{vrid}\n}}\n}}\n"
        )
    };
    let both = [instance("A", 1), instance("B", 2)].concat();
    let (config, problems) = read_text(&both);
    let daemon = config.global.sync_daemon.unwrap();
    assert_eq!((daemon.interface.as_str(), daemon.instance.as_deref(), daemon.id), ("eth1", Some("A"), None));
    assert_eq!(codes(&problems), ["second-sync-daemon"]);
    let text = format!("global_defs {{\nlvs_sync_daemon eth1 inst B id 9 ttl 2 group 224.0.0.82\n}}\n{both}");
    let (config, problems) = read_text(&text);
    let daemon = config.global.sync_daemon.unwrap();
    assert_eq!((daemon.instance.as_deref(), daemon.id, daemon.ttl), (Some("B"), Some(9), Some(2)));
    assert_eq!((daemon.group, daemon.port), (Some("224.0.0.82".parse().unwrap()), None));
    assert_eq!(codes(&problems), ["second-sync-daemon"], "of instance A");
}

#[test]
fn rules_without_a_preference_get_one_in_order_and_by_family() {
    let body = "virtual_ipaddress {\n192.0.2.2\n}\nvirtual_rules {\nfrom 192.0.2.7 table 7\nfrom 2001:db8::7 table 7\n\
                from 192.0.2.8 table 7 preference 9\nfrom 192.0.2.9 table 7\n}";
    let (config, _) = read_text(&format!("{}\nstatic_rules {{\nfrom 192.0.2.6 table 7\n}}", instance(body)));
    let of = |rules: &[KernelRule]| rules.iter().map(|rule| rule.rule.preference.unwrap()).collect::<Vec<_>>();
    assert_eq!(of(&config.statics.rules), [16384]);
    assert_eq!(of(&config.instances[0].rules), [16383, 16384, 9, 16382]);
}
