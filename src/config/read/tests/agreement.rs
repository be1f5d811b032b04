//! What counts where a file contradicts itself: what keepalived takes, as `config show` has it.

use super::{codes, instance, read_text};
use crate::config::problem::exit_code;
use crate::config::show::show;

/// A name, the file, the codes of its problems, and lines that are shown; with a `!` in front, lines that are not.
type Row = (&'static str, String, &'static [&'static str], &'static [&'static str]);

fn hold(rows: Vec<Row>) {
    for (name, text, expected, lines) in rows {
        let (config, problems) = read_text(&text);
        assert_eq!(codes(&problems), expected, "{name}");
        let shown = show(&config);
        for line in lines {
            let (wanted, line) = line.strip_prefix('!').map_or((true, *line), |line| (false, line));
            assert_eq!(shown.lines().any(|shown| shown.trim() == line), wanted, "{name}: `{line}` in\n{shown}");
        }
        assert_eq!(exit_code(&problems), if expected.is_empty() { 0 } else { 5 }, "{name}");
    }
}

#[test]
fn of_two_the_same_counts_as_with_keepalived() {
    let file = "track_file f {\nfile /run/a\nfile /run/b\n}\n";
    let process = "vrrp_track_process p {\nprocess a\nprocess b\nweight 3\nweight 5\n}\n";
    let digest = |byte: u8| format!("digest {}\n", format!("{byte:02x}").repeat(16));
    let url = format!("url {{\npath /\n{}{}}}\n", digest(1), digest(2));
    let service = "virtual_server 192.0.2.80 80 {\nprotocol TCP\nlb_algo rr\nlb_kind NAT\n";
    hold(vec![
        ("MASTER stays", instance("state MASTER\npriority 9\nstate BACKUP"), &["state-given-twice"], &["state MASTER"]),
        ("BACKUP gives way", instance("state BACKUP\npriority 9\nstate MASTER"), &[], &["state MASTER"]),
        ("the first file", file.to_owned(), &["given-twice"], &["file /run/a"]),
        ("the first process", process.to_owned(), &["given-twice", "given-twice"], &["process a", "weight 3"]),
        (
            "the first digest",
            format!("{service}real_server 192.0.2.11 80 {{\nHTTP_GET {{\n{url}}}\n}}\n}}"),
            &["given-twice"],
            &["digest 01010101010101010101010101010101"],
        ),
        (
            "the first line of a tracker",
            instance("track_interface {\neth1\neth1 weight 5\n}\ntrack_interface {\neth1 weight 6\n}"),
            &["tracked-twice", "tracked-twice"],
            &["eth1", "!eth1 weight 5", "!eth1 weight 6"],
        ),
        ("the last time", instance("garp_extra_if 5 all 7"), &[], &["garp_extra_if all 7"]),
        ("no time", instance("garp_extra_if 1 junk"), &["not-a-number"], &["!garp_extra_if 1"]),
        (
            "the first session of a neighbour",
            ["b", "c"].map(|name| format!("bfd_instance {name} {{\nneighbor_ip 192.0.2.9\n}}\n")).concat(),
            &["duplicate-neighbour"],
            &["bfd_instance b {", "!bfd_instance c {"],
        ),
    ]);
}

#[test]
fn what_excludes_what_is_settled_as_with_keepalived() {
    let peer = "unicast_peer {\n192.0.2.3\n}";
    let group = "virtual_server_group G {\n192.0.2.80 80\n}\n";
    let service = |id: &str, lines: &str| {
        format!(
            "virtual_server {id} {{\nlb_algo rr\nlb_kind DR\n{lines}\nreal_server 192.0.2.11 {{\nTCP_CHECK {{\n}}\n}}\n}}"
        )
    };
    let bfd = |who: &str| format!("bfd_instance b {{\nneighbor_ip 192.0.2.9\n{who}\n}}\n");
    let check = |who: &str| {
        let service = service("192.0.2.80 80", "protocol TCP").replace("TCP_CHECK {", "BFD_CHECK {\nname b");
        format!("{}{service}", bfd(who))
    };
    hold(vec![
        (
            "an empty password",
            instance("authentication {\nauth_type PASS\nauth_pass \"\"\n}"),
            &["auth-pass-missing"],
            &["!authentication {"],
        ),
        (
            "strict mode, and what it does not say to others",
            instance(
                "strict_mode true\nlower_prio_no_advert false\nhigher_prio_send_advert true\ngarp_lower_prio_repeat 2",
            ),
            &["answer-in-strict", "answer-in-strict", "answer-in-strict"],
            &["lower_prio_no_advert true", "!higher_prio_send_advert true", "garp_lower_prio_repeat 0"],
        ),
        ("unicast from a VMAC", instance(&format!("use_vmac\n{peer}")), &["unicast-from-vmac"], &["vmac_xmit_base"]),
        ("a TTL for nobody", instance("unicast_ttl 5"), &["unicast-without-peers"], &["!unicast_ttl 5"]),
        (
            "a sorry server by DR",
            service("192.0.2.80 80", "protocol TCP\nsorry_server 192.0.2.9 8080"),
            &["real-port-differs"],
            &["sorry_server 192.0.2.9 80"],
        ),
        (
            "a sorry server of a mark",
            service("fwmark 3", "sorry_server 192.0.2.9 8080"),
            &["real-port-differs"],
            &["sorry_server 192.0.2.9 0"],
        ),
        (
            "a sorry server of a group",
            format!("{group}{}", service("group G", "protocol TCP\nsorry_server 192.0.2.9 8080")),
            &["real-port-differs"],
            &[],
        ),
        (
            "by NAT",
            service("192.0.2.80 80", "protocol TCP\nsorry_server 192.0.2.9 8080\nsorry_server_lvs_method NAT"),
            &[],
            &["sorry_server 192.0.2.9 8080"],
        ),
        (
            "a session for checks, tracked",
            format!("{}{}", bfd("checker"), instance("track_bfd {\nb\n}")),
            &["bfd-not-for-this"],
            &["!track_bfd {"],
        ),
        ("a session for VRRP, checked", check("vrrp"), &["bfd-not-for-this"], &["!BFD_CHECK {"]),
        ("a session for all", check(""), &[], &["BFD_CHECK {"]),
        ("hops", bfd("ttl 1\nmax_hops -1"), &["hops-above-ttl"], &["max_hops 1"]),
        ("milliseconds", bfd("min_rx 1.5"), &[], &["min_rx 1.5"]),
        (
            "a table",
            instance("virtual_routes {\n198.51.100.0/24 dev eth0 table 010\n}"),
            &[],
            &["unicast 198.51.100.0/24 dev eth0 table 8"],
        ),
        (
            "a protocol that is not tracked",
            instance("virtual_routes {\n198.51.100.0/24 dev eth0 protocol 4\n}"),
            &["protocol-of-tracked"],
            &["unicast 198.51.100.0/24 dev eth0"],
        ),
    ]);
}

#[test]
fn two_flags_are_set_whatever_follows_them() {
    let (config, problems) = read_text("global_defs {\nvrrp_strict vrrp_iptables X\nvrrp_skip_check_adv_addr x\n}");
    assert_eq!((codes(&problems), exit_code(&problems)), (vec!["not-a-boolean"; 2], 0));
    assert_eq!((config.global.strict, config.global.skip_check_adv_addr), (true, true));
}
