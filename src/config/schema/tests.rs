//! Each kind of wrong shape, as text and as what is told.

use super::*;
use crate::config::source::{SourceId, Sources};
use crate::config::tree::{Args, Block};

fn word<'a>(text: &str, word: &'a str) -> Word<'a> {
    let start = word.as_ptr().addr() - text.as_ptr().addr();
    let at = |offset: usize| u32::try_from(offset).unwrap();
    let at = Span { source: SourceId(0), start: at(start), end: at(start + word.len()) };
    Word { text: word.trim_matches('"'), quoted: word.starts_with('"'), at }
}

/// What is wrong with the shape of these.
pub(in crate::config) fn shape(tree: Block<'_>) -> Vec<Problem> {
    let mut schema = Schema::default();
    for statement in tree.statements {
        schema.take(statement);
    }
    schema.finish()
}

/// One statement a line; a line that ends in `{` opens a block, `}` ends it.
fn tree(text: &str) -> Block<'_> {
    let mut open: Vec<Block<'_>> = vec![Block::default()];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "}" {
            let block = open.pop().unwrap();
            open.last_mut().unwrap().statements.last_mut().unwrap().block = Some(block);
            continue;
        }
        let (line, opens) = line.strip_suffix('{').map_or((line, false), |line| (line.trim(), true));
        let mut quoted = false;
        let mut words = line
            .split(|c: char| {
                quoted ^= c == '"';
                c == ' ' && !quoted
            })
            .map(|found| word(text, found));
        let keyword = words.next().unwrap();
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        let args = Args::new(&words.collect::<Vec<_>>());
        open.last_mut().unwrap().statements.push(Statement { keyword, args, rest, block: None });
        if opens {
            open.push(Block::default());
        }
    }
    assert_eq!(open.len(), 1, "a block is open at the end of {text:?}");
    open.remove(0)
}

fn problems_of(text: &str) -> Vec<Problem> {
    shape(tree(text))
}

/// Problems in words: severity, code, message; then what is underlined and the label, and the help.
fn told(text: &str) -> String {
    let mut shown = String::new();
    for problem in problems_of(text) {
        let at = text.get(Sources::range(problem.at.unwrap())).unwrap();
        let (severity, code) = (problem.severity.word(), problem.code);
        shown.push_str(&format!("{severity} {code}: {}\n  [{}] {}\n", problem.message, at, problem.label));
        if let Some(help) = problem.help {
            shown.push_str(&format!("  help: {help}\n"));
        }
    }
    shown
}

fn all_told(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, text)| format!("# {name}\n{}", told(text))).collect::<Vec<_>>().join("\n")
}

fn instance(line: &str) -> String {
    format!("vrrp_instance A {{\n{line}\n}}")
}

fn service(line: &str) -> String {
    format!("virtual_server 192.0.2.1 80 {{\n{line}\n}}")
}

#[test]
fn what_is_right_is_passed_in_silence() {
    let texts = [
        "global_defs {\nrouter_id lb1\nenable_script_security\nlvs_datapath ipvs\n}",
        &instance(
            "state BACKUP\ninterface eth0\nvirtual_router_id 7\nadvert_int 1\nnopreempt\nskip_check_adv_addr on\n\
             authentication {\nauth_type PASS\nauth_pass x\n}\nvirtual_ipaddress {\n192.0.2.1/24 dev eth0 label eth0:1\n}\n\
             notify_master \"/opt/n.sh up\" nobody nogroup\nunicast_peer {\n192.0.2.9\n}",
        ),
        &service(
            "lb_algo rr\nlb_kind DR\nprotocol TCP\npersistence_timeout\nreal_server 10.0.0.1 80 {\nTCP_CHECK {\nretry 2\n}\n}",
        ),
        "virtual_server fwmark 3 {\n}\nvirtual_server group web {\n}\nvirtual_server_group web {\n192.0.2.1-9 80\nfwmark 3\n}",
        "vrrp_sync_group G {\ngroup {\nA B\nC\n}\n}",
    ];
    for text in texts {
        assert_eq!(told(text), "");
    }
}

#[test]
fn unknown_words_are_told_with_the_one_that_was_meant() {
    let rows = [
        ("a slip", instance("prioritty 100")),
        ("a slip in a block keyword", "vrrp_instnce A {\nstate BACKUP\nfoo {\n}\n}".to_owned()),
        ("case", "VRRP_INSTANCE A {\n}".to_owned()),
        ("a missing blank", "virtual_server192.0.2.1 80 {\n}".to_owned()),
        ("a part of a keyword", service("real_server 10.0.0.1 80 {\nTCP_CHECK {\nport 80\n}\n}")),
        ("a slip in a word of another block", instance("delay_lop 6")),
        ("a check that does not exist", service("real_server 10.0.0.1 80 {\nLDAP_CHECK {\nconnect_port 389\n}\n}")),
        ("members without their block", "vrrp_sync_group G {\nVI_2\n}".to_owned()),
        ("an address without its block", instance("192.0.2.1/24")),
        ("nothing like it", instance("zebra")),
    ];
    insta::assert_snapshot!(all_told(&rows));
}

#[test]
fn misplaced_words_are_told_with_their_block() {
    let rows = [
        ("at the top", "real_server 10.0.0.1 80 {\nweight 1\n}".to_owned()),
        ("in the wrong block", instance("lb_algo rr")),
        ("a word of many blocks", "global_defs {\nweight 3\n}".to_owned()),
        ("the top level's", instance("vrrp_script x {\nscript /bin/true\n}")),
        ("what is meant here", service("real_server 10.0.0.1 80 {\nTCP_CHECK {\ntimeout 3\n}\n}")),
        (
            "a block that lost its brace",
            "vrrp_instance A\nstate BACKUP\ninterface eth0\nvirtual_router_id 7".to_owned(),
        ),
        ("two in a row", "state BACKUP\ninterface eth0".to_owned()),
    ];
    insta::assert_snapshot!(all_told(&rows));
}

#[test]
fn words_too_few_and_too_many_are_told() {
    let rows = [
        ("a value is missing, keepalived stops", instance("priority")),
        ("a value is missing, keepalived complains", "global_defs {\nrouter_id\n}".to_owned()),
        (
            "one of two is missing",
            service("real_server 10.0.0.1 80 {\nHTTP_GET {\nurl {\npath /\nregex_stack 1\n}\n}\n}"),
        ),
        ("a name is missing, keepalived complains", "vrrp_instance {\n}".to_owned()),
        ("a name is missing, keepalived stops", "vrrp_script {\n}".to_owned()),
        ("an address is missing", "virtual_server {\n}".to_owned()),
        ("one too many", instance("priority 100 junk")),
        ("a statement on the line of another", instance("interface eth0 virtual_router_id 5")),
        ("a flag that is not switched off", instance("nopreempt no")),
        ("a flag with a word", instance("dont_track_primary please")),
        ("a value that wants quotes", "global_defs {\nrouter_id my first box\n}".to_owned()),
        ("a name of two words", "vrrp_instance A B {\n}".to_owned()),
        ("a name too many that is dropped", "vrrp_script A B {\n}".to_owned()),
        ("words before a list", instance("virtual_ipaddress eth0 {\n192.0.2.1\n}")),
        ("arguments taken for a user", instance("notify_master /opt/n.sh -v up")),
        ("three words after a command", instance("notify \"/opt/n.sh a\" root root more")),
    ];
    insta::assert_snapshot!(all_told(&rows));
}

#[test]
fn a_missing_block_is_told() {
    let rows = [
        ("none where one is needed", "vrrp_instance A".to_owned()),
        ("none where a list is needed", instance("virtual_ipaddress")),
    ];
    insta::assert_snapshot!(all_told(&rows));
}

#[test]
fn what_is_not_obeyed_is_told_once() {
    let rows = [
        ("gone", service("nat_mask 255.255.255.0")),
        ("gone by another name", "global_defs {\nlvs_id 3\n}".to_owned()),
        ("deprecated", service("real_server 10.0.0.1 80 {\nHTTP_GET {\nnb_get_retry 3\n}\n}")),
        ("an old name", "vrrp_track_file f {\nfile /tmp/f\n}".to_owned()),
        ("without effect, three times", instance("debug 1\ndebug 2\ndebug 3")),
        ("not served: the block, not what is in it", "bfd_instance b {\nneighbor_ip 192.0.2.1\nmin_rx 5\n}".to_owned()),
        ("not served, and wrong inside", "bfd_instance b {\nneigbor_ip 192.0.2.1\n}".to_owned()),
    ];
    insta::assert_snapshot!(all_told(&rows));
}

/// A shower of lines at the wrong place has one cause.
#[test]
fn many_strangers_in_a_row_are_one_problem() {
    let text = "delay_loop 6\n".repeat(20_000);
    let problems = problems_of(&text);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].label, "this and the next 19999 statements are not known here");
}

/// As keepalived 2.2.7 does it, which complains of each.
#[test]
fn values_of_what_is_not_carried_out_are_held_to_their_form() {
    let rows = [
        ("child_wait_time soon", "not-a-number"),
        ("global_defs {\nchecker_priority 20\n}", "out-of-range"),
        ("global_defs {\nbfd_rlimit_rttime 0\n}", "out-of-range"),
        ("global_defs {\nnftables_priority first\n}", "not-a-number"),
        ("global_defs {\nnftables_priority 4294967296\n}", "out-of-range"),
        ("global_defs {\nvrrp_cpu_affinity 0 4096\n}", "out-of-range"),
        ("global_defs {\nlvs_netlink_cmd_rcv_bufs_force maybe\n}", "not-a-boolean"),
        ("global_defs {\nlvs_flush_on_stop all\n}", "unknown-word"),
        ("global_defs {\nprocess_name keepalived-of-the-rack\n}", "too-long-a-word"),
        ("global_defs {\nvrrp_rx_bufs_policy LARGE\n}", "not-a-number"),
        ("global_defs {\nmax_auto_priority 100\n}", "out-of-range"),
        ("global_defs {\numask 999\n}", "bad-umask"),
        ("global_defs {\numask 0x200\n}", "bad-umask"),
        ("global_defs {\numask IWGRP|IWALL\n}", "bad-umask"),
        ("global_defs {\njson_version 3\n}", "unknown-word"),
        ("global_defs {\nsnmp_vs_stats_update_interval 31\n}", "out-of-range"),
    ];
    for (text, code) in rows {
        let problems = problems_of(text);
        let codes: Vec<_> =
            problems.iter().filter(|told| told.severity == Severity::Error).map(|told| told.code).collect();
        assert_eq!(codes, [code], "{text}");
    }
    for text in [
        "umask 022",
        "umask 18",
        "umask IWGRP|IWOTH",
        "umask IWGRP | IWOTH",
        "lvs_flush_on_stop",
        "json_version 2",
        "vrrp_rx_bufs_policy MTU",
        "vrrp_cpu_affinity 0 1",
        "max_auto_priority",
    ] {
        let problems = problems_of(&format!("global_defs {{\n{text}\n}}"));
        assert!(problems.iter().all(|told| told.severity == Severity::Note), "{text}: {problems:?}");
    }
}
