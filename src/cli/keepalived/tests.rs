//! What keepalived's command line is taken for, and what a test of a configuration prints.

use super::*;
use crate::config::io::loader::load_text;

fn words(line: &str) -> Vec<String> {
    line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn asked(line: &str) -> Asked {
    read(&words(line)).unwrap()
}

#[test]
fn a_command_line_is_taken_for_what_it_means() {
    let plain = asked("");
    assert_eq!((plain.work, plain.fork, plain.parts), (Work::Run, true, Parts::default()));
    assert_eq!((plain.file, plain.pid_files), (PathBuf::from(FILE), vec![PathBuf::from(PID_FILE)]));
    let debian = asked("--dont-fork -D -f a.conf -p k -r v -c h -i lb1 -e");
    assert_eq!((debian.fork, debian.detail, debian.file), (false, 1, PathBuf::from("a.conf")));
    assert_eq!(debian.pid_files, ["k", "v", "h"].map(PathBuf::from));
    assert_eq!((debian.load.config_id.as_deref(), debian.load.strictness), (Some("lb1"), Strictness::ALL));
    let parts = |line: &str| (asked(line).parts.vrrp, asked(line).parts.checkers);
    assert_eq!(["-P", "-C", "-P -C"].map(parts), [(true, false), (false, true), (true, true)]);
    assert_eq!(asked("-t").work, Work::Test(None));
    assert_eq!(asked("--config-test=log").work, Work::Test(Some(PathBuf::from("log"))));
    assert_eq!(asked("-u 022").umask, Some(0o022));
    assert_eq!((asked("-u 0x12").umask, asked("-u 18").umask), (Some(0x12), Some(18)));
}

#[test]
fn numbers_of_signals_are_those_of_keepalived() {
    let rows = [("STOP", 15), ("RELOAD", 1), ("DATA", 10), ("STATS", 12), ("STATS_CLEAR", 63), ("JSON", 36)];
    for (function, number) in rows {
        assert_eq!(asked(&format!("--signum={function}")).work, Work::Signum(number), "{function}");
    }
}

#[test]
fn what_has_no_meaning_says_so() {
    let notes = |line: &str| asked(line).notes.join(" | ");
    assert_eq!(notes("-R x y"), "-R has no effect: vipd is one process | Unexpected argument(s): x y");
    assert_eq!(notes("--snmp"), "--snmp has no effect: vipd has no SNMP");
    assert_eq!(notes("-X"), "", "done in any case");
    assert_eq!(notes("-B"), "-B has no effect: BFD sessions run where the configuration names them");
    let refused = |line: &str| read(&words(line)).unwrap_err().to_string();
    assert!(refused("-s blue").starts_with("-s: vipd does not enter a network namespace"));
    assert!(refused("-T").starts_with("-T: it must be the first option"));
    assert_eq!(refused("--signum=FOO"), "Unknown sigfunc FOO");
    assert_eq!(refused("-u 9999"), "Invalid umask 9999");
    assert_eq!(refused("--bogus"), "Unknown option --bogus");
}

#[test]
fn messages_of_a_test_have_the_form_of_keepalived() {
    let text = "global_defs {\n    bogus 3\n}\nvrrp_instance VI_1 {\n    interface eth0\n    prioritty 150\n    virtual_router_id 300\n}\n";
    let options = LoadOptions { system: false, ..LoadOptions::default() };
    let loaded = load_text("/etc/keepalived/keepalived.conf", text, &options);
    insta::assert_snapshot!(messages(&loaded));
    let missing = load(Path::new("/no/such.conf"), &options);
    assert_eq!(missing.exit_code(), 4);
    assert!(messages(&missing).contains("/no/such.conf"));
}
