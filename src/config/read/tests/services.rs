//! Services, real servers and their checks.

use std::time::Duration;

use super::{codes, read_text};
use crate::base::{Family, IfName};
use crate::config::model::{
    CheckerKind, GroupMember, HttpVersion, LbKind, Persistence, Protocol, VirtualServer, VirtualServerId,
};
use crate::config::problem::exit_code;

const HEAD: &str = "protocol TCP\nlb_algo rr\nlb_kind NAT";
const REAL: &str = "real_server 192.0.2.11 80 {\nweight 2\n}";

fn service(id: &str, lines: &str) -> String {
    format!("virtual_server {id} {{\n{HEAD}\n{lines}\n}}")
}

#[test]
fn values_of_services_are_read_or_refused() {
    let real = |lines: &str| format!("{REAL}\nreal_server 192.0.2.12 80 {{\n{lines}\n}}");
    let rows: [(&str, String, usize, &[&str]); 50] = [
        ("all is well", REAL.to_owned(), 1, &[]),
        ("an unknown scheduler", format!("lb_algo fastest\n{REAL}"), 1, &["unknown-word"]),
        ("a GUE tunnel", format!("lb_kind TUN type gue port 6080 csum\n{REAL}"), 1, &[]),
        ("a GUE tunnel without its port", format!("lb_kind TUN type gue\n{REAL}"), 1, &["missing-argument"]),
        ("a tunnel of another type", format!("lb_kind TUN type vxlan\n{REAL}"), 1, &["unknown-word"]),
        ("a strange word after a tunnel", format!("lb_kind TUN type gre sum\n{REAL}"), 1, &["unknown-word"]),
        ("a method in lower case", format!("lb_kind dr\n{REAL}"), 1, &["unknown-word"]),
        ("a protocol in lower case", format!("protocol udp\n{REAL}"), 1, &[]),
        ("a protocol that is none", format!("protocol ICMP\n{REAL}"), 1, &["unknown-word"]),
        ("no persistence at all", format!("persistence_timeout 0\n{REAL}"), 1, &["out-of-range"]),
        ("a netmask", format!("persistence_granularity 255.255.255.0\n{REAL}"), 1, &[]),
        ("no netmask", format!("persistence_granularity 255.0.255.0\n{REAL}"), 1, &["bad-netmask"]),
        ("ops of TCP", format!("ops\n{REAL}"), 1, &["ops-without-udp"]),
        (
            "an engine for datagrams",
            format!("protocol UDP\npersistence_timeout 60\npersistence_engine sip\n{REAL}"),
            1,
            &[],
        ),
        (
            "an engine, TCP",
            format!("persistence_timeout 60\npersistence_engine sip\n{REAL}"),
            1,
            &["engine-without-udp"],
        ),
        (
            "an engine alone",
            format!("protocol UDP\npersistence_engine sip\n{REAL}"),
            1,
            &["engine-without-persistence"],
        ),
        ("no such engine", format!("persistence_timeout 60\npersistence_engine rtp\n{REAL}"), 1, &["unknown-word"]),
        ("quorum 0", format!("quorum 0\n{REAL}"), 1, &["out-of-range"]),
        ("a quorum too high", format!("quorum 3\n{REAL}"), 1, &["quorum-above-weights"]),
        ("a hysteresis too high", format!("quorum 2\nhysteresis 2\n{REAL}"), 1, &["hysteresis-too-large"]),
        ("no real server", String::new(), 0, &["no-real-servers"]),
        (
            "a real server of IPv6",
            "real_server 2001:db8::1 80 {\n}".to_owned(),
            0,
            &["real-server-family", "no-real-servers"],
        ),
        ("a real server of IPv6 by tunnel", "lb_kind TUN\nreal_server 2001:db8::1 80 {\n}".to_owned(), 1, &[]),
        ("a real server twice", format!("{REAL}\n{REAL}"), 1, &["duplicate-real-server"]),
        ("another port by DR", "lb_kind DR\nreal_server 192.0.2.11 8080 {\n}".to_owned(), 1, &["real-port-differs"]),
        ("another port by NAT", "real_server 192.0.2.11 8080 {\n}".to_owned(), 1, &[]),
        ("a sorry server of IPv6", format!("sorry_server 2001:db8::1 80\n{REAL}"), 1, &["sorry-server-family"]),
        ("thresholds", real("uthreshold 9\nlthreshold 9"), 1, &[]),
        ("thresholds the wrong way round", real("lthreshold 9\nuthreshold 5"), 1, &["thresholds-reversed"]),
        ("a lower threshold alone", real("lthreshold 1"), 1, &["thresholds-reversed"]),
        ("a weight too high", real("weight 2147483648"), 1, &["out-of-range"]),
        ("a check without url", real("HTTP_GET {\n}"), 1, &["checker-incomplete"]),
        ("a url without path", real("HTTP_GET {\nurl {\n}\n}"), 1, &["url-without-path", "checker-incomplete"]),
        ("a bad status", real("HTTP_GET {\nurl {\npath /\nstatus_code 20-30 200\n}\n}"), 1, &["bad-status-code"]),
        ("a bad digest", real("HTTP_GET {\nurl {\npath /\ndigest 12\n}\n}"), 1, &["bad-digest"]),
        ("an old keyword", real("HTTP_GET {\nnb_get_retry 3\nurl {\npath /\n}\n}"), 1, &[]),
        ("a port to hash, and no hash", format!("sh-port\n{REAL}"), 1, &["flag-without-scheduler"]),
        ("a port to hash", format!("lb_algo mh\nmh-port\n{REAL}"), 1, &[]),
        ("the flag of any scheduler", format!("flag-2\n{REAL}"), 1, &[]),
        ("nobody to be sorry", format!("sorry_server_inhibit\n{REAL}"), 1, &["no-sorry-server"]),
        ("not yet", format!("sorry_server_inhibit\nsorry_server 192.0.2.9 80\n{REAL}"), 1, &["no-sorry-server"]),
        ("a way to nobody", format!("sorry_server_lvs_method DR\n{REAL}"), 1, &["no-sorry-server"]),
        ("a sorry server", format!("sorry_server 192.0.2.9 80\nsorry_server_inhibit\n{REAL}"), 1, &[]),
        ("the other family", format!("ip_family inet6\n{REAL}"), 1, &["wrong-family"]),
        ("its own family", format!("ip_family inet\n{REAL}"), 1, &[]),
        ("no weight at all", "real_server 192.0.2.11 80 {\nweight 0\n}".to_owned(), 1, &["quorum-above-weights"]),
        ("a source of the other family", real("TCP_CHECK {\nbindto 2001:db8::1\n}"), 1, &["wrong-family"]),
        ("a link-local target", real("TCP_CHECK {\nconnect_ip fe80::1\n}"), 1, &["link-local-without-interface"]),
        ("and its interface", real("TCP_CHECK {\nconnect_ip fe80::1\nbind_if eth0\n}"), 1, &[]),
        ("a check of mail", real("SMTP_CHECK {\nconnect_port 99999\n}"), 1, &["out-of-range"]),
    ];
    for (name, lines, left, expected) in rows {
        let text = service("192.0.2.80 80", &lines);
        let (config, problems) = read_text(&text);
        assert_eq!((codes(&problems).as_slice(), config.virtual_servers.len()), (expected, left), "{name}");
    }
}

#[test]
fn a_service_has_a_name_that_exists() {
    let group = "virtual_server_group G {\n2001:db8::1-3 80\nfwmark 7\n}\n";
    let rows: [(&str, String, &[&str], usize); 11] = [
        ("an address and a port", service("192.0.2.80 80", REAL), &[], 1),
        ("a port too high", service("192.0.2.80 99999", REAL), &["out-of-range"], 0),
        ("a name", service("www.example.net 80", REAL), &["not-an-address"], 0),
        ("an undefined group", service("group G", REAL), &["undefined-group"], 0),
        ("a group", format!("{}{}", group, service("group G", "real_server 2001:db8::9 80 {\n}")), &[], 1),
        ("a mark that is not named", service("fwmark", REAL), &["missing-argument"], 0),
        ("a group that is not named", service("group", REAL), &["missing-argument"], 0),
        ("all ports", service("192.0.2.80 0", REAL), &["persistence-missing"], 1),
        ("all ports of a client together", service("192.0.2.80", &format!("persistence_timeout 60\n{REAL}")), &[], 1),
        ("a mark with a protocol", service("fwmark 3", REAL), &["protocol-with-fwmark"], 1),
        (
            "one service twice",
            format!("{}\n{}", service("192.0.2.80 80", REAL), service("192.0.2.80 80", REAL)),
            &["duplicate-name"],
            1,
        ),
    ];
    for (name, text, expected, left) in rows {
        let (config, problems) = read_text(&text);
        assert_eq!((codes(&problems).as_slice(), config.virtual_servers.len()), (expected, left), "{name}");
    }
}

#[test]
fn a_group_of_both_families_names_who_serves_one_of_them_alone() {
    let group = "virtual_server_group G {\n192.0.2.80 80\n2001:db8::1 80\n}\n";
    let rows: [(&str, String, &[&str], bool); 4] = [
        ("a server of each", format!("{REAL}\nreal_server 2001:db8::9 80 {{\n}}"), &["real-server-family"; 2], false),
        ("a tunnel", format!("lb_kind TUN\n{REAL}"), &[], false),
        ("a server of the second", "real_server 2001:db8::9 80 {\n}".to_owned(), &["real-server-family"], false),
        (
            "a sorry server of the second",
            format!("lb_kind TUN\n{REAL}\nsorry_server 2001:db8::9 80\nsorry_server_lvs_method NAT"),
            &["sorry-server-family"],
            true,
        ),
    ];
    for (name, lines, expected, sorry) in rows {
        let (config, problems) = read_text(&format!("{group}{}", service("group G", &lines)));
        assert_eq!(codes(&problems), expected, "{name}");
        let [server] = config.virtual_servers.as_slice() else { panic!("{name}: the service is there") };
        let named = lines.matches("real_server").count();
        assert_eq!((server.real_servers.len(), server.sorry_server.is_some()), (named, sorry), "{name}");
    }
}

#[test]
fn what_is_not_said_is_the_default_with_a_complaint() {
    let text = format!("virtual_server 192.0.2.80 80 {{\n{REAL}\n}}");
    let (config, problems) = read_text(&text);
    assert_eq!(codes(&problems), ["scheduler-missing", "method-missing", "protocol-missing"]);
    assert_eq!(exit_code(&problems), 5);
    let VirtualServer { lb_algo, lb_kind, protocol, quorum, hysteresis, persistence, family, .. } =
        &config.virtual_servers[0];
    assert_eq!((*lb_algo, *lb_kind, *protocol, *family), ("wlc", LbKind::Nat, Protocol::Udp, Family::V4));
    assert_eq!((*quorum, *hysteresis, *persistence), (1, 0, None));
}

#[test]
fn a_service_of_all_ports_is_persistent() {
    let text = service("192.0.2.80", "real_server 192.0.2.11 {\n}");
    let (config, problems) = read_text(&text);
    assert_eq!(codes(&problems), ["persistence-missing"]);
    let read = &config.virtual_servers[0];
    assert_eq!(read.id, VirtualServerId::Address { addr: "192.0.2.80".parse().unwrap(), port: 0 });
    assert_eq!(read.persistence, Some(Persistence { timeout_s: 360, prefix_len: None, sip: false }));
}

#[test]
fn checks_are_read_with_what_is_their_own() {
    let text = service(
        "192.0.2.80 80",
        "delay_loop 2.5\nretry 4\nreal_server 192.0.2.11 80 {\nHTTP_GET {\nretry 0\nhttp_protocol 1.1\nconnect_port 8080\nbind_if eth1\nvirtualhost a\nurl {\npath /x\nstatus_code 200 301-302\ndigest 00112233445566778899aAbBcCdDeEfF\nvirtualhost b\n}\n}\nMISC_CHECK {\nmisc_path \"/bin/c 1\"\nmisc_timeout 3\nmisc_dynamic\nuser nobody\n}\nTCP_CHECK {\n}\n}",
    );
    let (config, problems) = read_text(&text);
    assert_eq!(codes(&problems), Vec::<&str>::new());
    let read = &config.virtual_servers[0];
    assert_eq!((read.check.delay_loop, read.check.retry), (Some(Duration::from_millis(2500)), Some(4)));
    let [http, misc, tcp] = read.real_servers[0].checkers.as_slice() else { panic!("three checks") };
    assert_eq!(
        (http.check.retry, http.connect_port, http.bind_if.as_ref().map(IfName::as_str)),
        (Some(0), Some(8080), Some("eth1"))
    );
    let CheckerKind::Http(check) = &http.kind else { panic!("HTTP_GET comes first") };
    assert_eq!((check.version, check.virtualhost.as_deref()), (HttpVersion::V1_1, Some("a")));
    let url = &check.urls[0];
    assert_eq!(
        (url.path.as_str(), url.status.as_slice(), url.virtualhost.as_deref()),
        ("/x", [(200, 200), (301, 302)].as_slice(), Some("b"))
    );
    assert_eq!(url.digest.map(|digest| (digest[1], digest[15])), Some((0x11, 0xff)));
    let CheckerKind::Misc(script) = &misc.kind else { panic!("MISC_CHECK comes second") };
    assert_eq!(
        (script.command.argv.join(" ").as_str(), script.timeout, script.dynamic),
        ("/bin/c 1", Some(Duration::from_secs(3)), true)
    );
    assert_eq!((&tcp.kind, tcp.check.retry), (&CheckerKind::Tcp, None));
}

#[test]
fn a_bfd_check_names_a_session() {
    let rows: [(&str, &str, &[&str], usize); 2] =
        [("a session", "name f\nalpha", &[], 1), ("none", "alpha", &["checker-incomplete"], 0)];
    for (name, lines, expected, left) in rows {
        let text = service("192.0.2.80 80", &format!("real_server 192.0.2.11 80 {{\nBFD_CHECK {{\n{lines}\n}}\n}}"));
        let (config, problems) = read_text(&text);
        let checkers = &config.virtual_servers[0].real_servers[0].checkers;
        assert_eq!((codes(&problems).as_slice(), checkers.len()), (expected, left), "{name}");
        assert!(checkers.iter().all(|one| matches!(&one.kind, CheckerKind::Bfd { session, .. } if session == "f")));
    }
}

#[test]
fn ports_of_a_group_are_one_or_a_range() {
    type Read<'a> = Result<(usize, std::ops::RangeInclusive<u16>), &'a str>;
    let rows: [(&str, Read<'_>); 9] = [
        ("192.0.2.5", Ok((1, 0..=0))),
        ("192.0.2.5 80", Ok((1, 80..=80))),
        ("192.0.2.5 80-90", Ok((1, 80..=90))),
        ("2001:db8::1-3 8000-8000", Ok((3, 8000..=8000))),
        ("192.0.2.0/24 1-256", Ok((256, 1..=256))),
        ("192.0.2.0/24 1-257", Err("bad-range")),
        ("192.0.2.5 90-80", Err("bad-range")),
        ("192.0.2.5 0-80", Err("bad-range")),
        ("192.0.2.5 80-65536", Err("bad-range")),
    ];
    for (line, expected) in rows {
        let (config, problems) = read_text(&format!("virtual_server_group G {{\n{line}\n}}\n"));
        let member = config.virtual_server_groups.first().and_then(|group| group.members.first());
        let read = member.map(|member| match member {
            GroupMember::Addresses { addresses, ports } => (addresses.len(), ports.clone()),
            GroupMember::Fwmark(_) => panic!("{line}: an address"),
        });
        assert_eq!(read.ok_or_else(|| codes(&problems).concat()), expected.map_err(str::to_owned), "{line}");
    }
}

#[test]
fn what_a_line_of_a_group_has_too_many_is_told() {
    for (line, expected) in [
        ("192.0.2.5 80", vec![]),
        ("fwmark 3 inet6", vec![]),
        ("192.0.2.5 80 192.0.2.6 80", vec!["surplus-words"]),
        ("fwmark 3 inet6 4", vec!["surplus-words"]),
        ("fwmark 3 junk", vec!["surplus-words"]),
    ] {
        let (config, problems) = read_text(&format!("virtual_server_group G {{\n{line}\n}}\n"));
        assert_eq!((codes(&problems), config.virtual_server_groups.len()), (expected, 1), "{line}");
    }
}

#[test]
fn a_line_of_mail_addresses_has_one_or_several() {
    let (config, problems) = read_text("global_defs {\nnotification_email {\na@b c@d\ne@f\n}\n}\n");
    assert_eq!((codes(&problems), config.global.mail.to), (vec![], vec!["a@b".to_owned(), "c@d".into(), "e@f".into()]));
}
