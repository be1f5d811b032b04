//! What the checks of each kind say: their own words, and what is wrong with them.

use super::{codes, read_text, tree};
use crate::config::model::{
    Checker, CheckerKind, DnsCheck, GrpcCheck, GrpcTls, Header, HttpVersion, HttpsCheck, Sni, UdpCheck,
};
use crate::config::problem::Problem;
use crate::config::schema::tests::shape;

/// The checks of one real server; each is told without a note that it is not carried out.
fn checks(blocks: &str) -> (Vec<Checker>, Vec<Problem>) {
    let text = format!(
        "virtual_server 192.0.2.80 80 {{\nprotocol TCP\nlb_algo rr\nlb_kind NAT\nreal_server 192.0.2.11 80 {{\n{blocks}\n}}\n}}"
    );
    let (mut config, mut problems) = read_text(&text);
    problems.extend(shape(tree(&text)));
    let checkers = std::mem::take(&mut config.virtual_servers[0].real_servers[0].checkers);
    (checkers, problems)
}

#[test]
fn a_query_is_read_or_the_root_is_asked() {
    let dns = |name: &str, record: &str| {
        CheckerKind::Dns(DnsCheck { name: name.parse().unwrap(), record: record.parse().unwrap() })
    };
    let rows: [(&str, &str, CheckerKind, &[&str]); 4] = [
        ("nothing said", "", dns(".", "SOA"), &[]),
        ("a type in lower case", "type aaaa\nname www.example.org", dns("www.example.org", "AAAA"), &[]),
        ("a type that is none", "type PTR", dns(".", "SOA"), &["unknown-word"]),
        ("a name that is none", "name a..b", dns(".", "SOA"), &["bad-dns-name"]),
    ];
    for (name, lines, kind, expected) in rows {
        let (checks, problems) = checks(&format!("DNS_CHECK {{\n{lines}\n}}"));
        assert_eq!((&checks[0].kind, codes(&problems).as_slice()), (&kind, expected), "{name}");
    }
}

#[test]
fn a_datagram_is_read_with_what_must_come_back() {
    let pattern = |text: &str| Some(text.parse().unwrap());
    let rows: [(&str, &str, UdpCheck, &[&str]); 6] = [
        ("nothing said", "", UdpCheck::default(), &[]),
        ("a payload", "payload 00 1f2", UdpCheck { payload: Some(vec![0, 0x1f, 2]), ..UdpCheck::default() }, &[]),
        ("any reply", "require_reply", UdpCheck { reply_required: true, ..UdpCheck::default() }, &[]),
        (
            "this reply",
            "require_reply 4x\nmin_reply_length 1\nmax_reply_length 9",
            UdpCheck {
                reply_required: true,
                reply: pattern("4x"),
                reply_min_bytes: Some(1),
                reply_max_bytes: Some(9),
                ..UdpCheck::default()
            },
            &[],
        ),
        ("any payload", "payload 1x", UdpCheck::default(), &["not-hexadecimal"]),
        (
            "never",
            "min_reply_length 256",
            UdpCheck { reply_min_bytes: Some(256), ..UdpCheck::default() },
            &["reply-length"],
        ),
    ];
    for (name, lines, udp, expected) in rows {
        let (checks, problems) = checks(&format!("UDP_CHECK {{\n{lines}\n}}"));
        assert_eq!(
            (&checks[0].kind, codes(&problems).as_slice()),
            (&CheckerKind::Udp(Box::new(udp)), expected),
            "{name}"
        );
    }
}

#[test]
fn each_host_of_mail_is_a_check() {
    let (read, problems) = checks(
        "SMTP_CHECK {\nhelo_name a.example\nretry 4\nhost {\nconnect_ip 192.0.2.5\n}\nhost {\nconnect_port 587\nretry 5\n}\nconnect_port 26\n}\nSMTP_CHECK {\n}\nPING_CHECK {\n}",
    );
    assert_eq!(codes(&problems), Vec::<&str>::new());
    let said: Vec<_> = read
        .iter()
        .map(|check| (check.connect_ip.map(|addr| addr.to_string()), check.connect_port, check.check.retry))
        .collect();
    assert_eq!(
        said,
        [
            (Some("192.0.2.5".to_owned()), Some(26), Some(4)),
            (None, Some(587), Some(5)),
            (None, None, None),
            (None, None, None)
        ]
    );
    let helo = |name: &str| CheckerKind::Smtp { helo: name.parse().unwrap() };
    let kinds: Vec<_> = read.into_iter().map(|check| check.kind).collect();
    assert_eq!(kinds, [helo("a.example"), helo("a.example"), helo("smtpchecker.keepalived.org"), CheckerKind::Ping]);
    let (_, problems) = checks("SMTP_CHECK {\nhelo_name \"a b\"\n}");
    assert_eq!(codes(&problems), ["bad-helo-name"]);
}

#[test]
fn a_check_within_tls_says_which_name_it_asks_for() {
    let rows = [
        ("nothing said", "", Sni::Off, false, None),
        ("the virtualhost", "enable_sni", Sni::Virtualhost, false, None),
        ("a name", "sni_name b.example", Sni::Name("b.example".to_owned()), false, None),
        ("no name is the virtualhost", "sni_name", Sni::Virtualhost, false, None),
        ("a proper end", "tls_compliant", Sni::Off, true, None),
        ("not for this url", "tls_compliant", Sni::Off, true, Some(false)),
    ];
    for (name, lines, sni, compliant, of_url) in rows {
        let own = of_url.map_or(String::new(), |own| format!("tls_compliant {own}"));
        let (checks, problems) = checks(&format!("SSL_GET {{\n{lines}\nurl {{\npath /\n{own}\n}}\n}}"));
        assert_eq!(codes(&problems), Vec::<&str>::new(), "{name}");
        let CheckerKind::Https(check) = &checks[0].kind else { panic!("{name}: not SSL_GET") };
        let HttpsCheck { http, sni: got, compliant: strict, reuse: false } = &**check else {
            panic!("{name}: no word of it")
        };
        assert_eq!((got, *strict, http.urls[0].compliant), (&sni, compliant, of_url), "{name}");
    }
}

#[test]
fn a_regex_is_read_or_refused() {
    let rows: [(&str, &str, bool, &[&str]); 6] = [
        ("a pattern", "regex \"all is (up|well)\"\nregex_options caseless dotall", true, &[]),
        ("its place", "regex_min_offset 3\nregex_max_offset 9\nregex_no_match\nregex up", true, &[]),
        ("look-ahead", "regex \"up(?=.)\"", false, &["bad-regex"]),
        ("an open bracket", "regex \"(\"", false, &["bad-regex"]),
        ("another option", "regex up\nregex_options firstline", true, &["regex-option"]),
        ("a bad place", "regex up\nregex_min_offset -1", true, &["out-of-range"]),
    ];
    for (name, lines, given, expected) in rows {
        let (checks, problems) = checks(&format!("HTTP_GET {{\nurl {{\npath /\n{lines}\n}}\n}}"));
        let CheckerKind::Http(http) = &checks[0].kind else { panic!("{name}: not HTTP_GET") };
        assert_eq!((http.urls[0].pattern.is_some(), codes(&problems).as_slice()), (given, expected), "{name}");
    }
}

#[test]
fn agents_grpc_files_and_headers_are_read() {
    let agent = "AGENT_CHECK {\nconnect_port 9999\nagent_send web1\n}\n";
    let grpc = "GRPC_CHECK {\nservice a.B\nvirtualhost h\ntls\nenable_sni\ntls_session_reuse\n}\nGRPC_CHECK {\n}\n";
    let file = "FILE_CHECK {\ntrack_file f\nweight 2 reverse\n}\n";
    let https = "SSL_GET {\nhttp_protocol 2\nheader X-A \"b c\"\nurl {\npath /\nheader X-B d\n}\n}\n";
    let (read, problems) = checks(&[agent, grpc, file, https].concat());
    assert_eq!(codes(&problems), Vec::<&str>::new(), "that the file is not defined is seen later");
    let kinds: Vec<CheckerKind> = read.into_iter().map(|check| check.kind).collect();
    let CheckerKind::Https(secure) = &kinds[4] else { panic!("SSL_GET comes last") };
    assert_eq!(secure.http.version, HttpVersion::V2);
    let header = |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned() };
    assert_eq!(secure.http.headers, [header("X-A", "b c")]);
    assert_eq!(secure.http.urls[0].headers, [header("X-B", "d")]);
    let CheckerKind::File(entry) = &kinds[3] else { panic!("FILE_CHECK comes fourth") };
    assert_eq!((entry.name.as_str(), entry.weight, entry.reverse), ("f", Some(2), true));
    let tls = Some(GrpcTls { sni: Sni::Virtualhost, reuse: true });
    let wanted = [
        CheckerKind::Agent { send: Some("web1".to_owned()) },
        CheckerKind::Grpc(Box::new(GrpcCheck { service: "a.B".to_owned(), virtualhost: Some("h".to_owned()), tls })),
        CheckerKind::Grpc(Box::default()),
    ];
    assert_eq!(kinds[..3], wanted);
}

#[test]
fn what_no_agent_file_or_header_can_be_is_left_out() {
    let long = "x".repeat(128);
    let rows = [
        ("a header's name", "HTTP_GET {\nheader \"a b\" c\nurl {\npath /\n}\n}".to_owned(), "bad-header"),
        ("a header's value", "HTTP_GET {\nurl {\npath /\nheader a \"é\"\n}\n}".to_owned(), "bad-header"),
        ("a long service", format!("GRPC_CHECK {{\nservice {long}\n}}"), "value-too-long"),
        ("no file", "FILE_CHECK {\n}".to_owned(), "checker-incomplete"),
        ("a weight", "FILE_CHECK {\ntrack_file f\nweight 900\n}".to_owned(), "out-of-range"),
    ];
    for (name, text, wanted) in rows {
        assert_eq!(codes(&checks(&text).1), [wanted], "{name}");
    }
}
