//! The checks of a real server.

use super::node::{Node, Nodes, boolean, escaped_word, word};
use super::service::times;
use crate::base::{AnswerPattern, PatternOptions, PatternPlace};
use crate::config::model::{
    Checker, CheckerKind, Command, DnsCheck, GrpcCheck, GrpcTls, Header, HttpCheck, HttpVersion, HttpsCheck, MiscCheck,
    Sni, TlsFiles, TrackEntry, UdpCheck, Url,
};

/// Status codes of one line: it stays far below the limit of a line.
const STATUS_CODES: usize = 64;

pub(super) fn checker(checker: &Checker) -> Node {
    let Checker {
        at: _,
        kind,
        check,
        connect_ip,
        connect_port,
        bind_ip,
        bind_port,
        bind_if,
        fwmark,
        alpha,
        log_all_failures,
    } = checker;
    let mut nodes = Nodes::default();
    let name = match kind {
        CheckerKind::Tcp => "TCP_CHECK",
        CheckerKind::Http(_) => "HTTP_GET",
        CheckerKind::Https(_) => "SSL_GET",
        CheckerKind::Misc(_) => "MISC_CHECK",
        CheckerKind::Smtp { .. } => "SMTP_CHECK",
        CheckerKind::Dns(_) => "DNS_CHECK",
        CheckerKind::Udp(_) => "UDP_CHECK",
        CheckerKind::Ping => "PING_CHECK",
        CheckerKind::Agent { .. } => "AGENT_CHECK",
        CheckerKind::Grpc(_) => "GRPC_CHECK",
        CheckerKind::File(_) => "FILE_CHECK",
        CheckerKind::Bfd { .. } => "BFD_CHECK",
    };
    match kind {
        CheckerKind::Tcp | CheckerKind::Ping => {}
        CheckerKind::Http(check) => http(&mut nodes, check),
        CheckerKind::Https(check) => https(&mut nodes, check),
        CheckerKind::Misc(check) => misc(&mut nodes, check),
        CheckerKind::Smtp { helo } => nodes.put(Node::word("helo_name", helo.as_str())),
        CheckerKind::Dns(check) => dns(&mut nodes, check),
        CheckerKind::Udp(check) => udp(&mut nodes, check),
        CheckerKind::Agent { send } => nodes.word("agent_send", send.as_ref()),
        CheckerKind::Grpc(check) => grpc(&mut nodes, check),
        CheckerKind::File(entry) => file(&mut nodes, entry),
        CheckerKind::Bfd { session, at: _ } => nodes.word("name", Some(session)),
    }
    nodes.plain("connect_ip", *connect_ip);
    nodes.plain("connect_port", *connect_port);
    nodes.plain("bindto", *bind_ip);
    nodes.plain("bind_port", *bind_port);
    nodes.word("bind_if", bind_if.as_ref().map(|name| name.as_str().to_owned()).as_ref());
    nodes.plain("fwmark", *fwmark);
    times(&mut nodes, check);
    nodes.plain("alpha", alpha.map(boolean));
    nodes.plain("log_all_failures", log_all_failures.map(boolean));
    Node::block(name, String::new(), nodes.0)
}

fn http(nodes: &mut Nodes, check: &HttpCheck) {
    let HttpCheck { version, virtualhost, urls, fast_recovery, headers: sent } = check;
    match version {
        HttpVersion::V1_0 => {}
        HttpVersion::V1_0WithHost => nodes.put(Node::plain("http_protocol", "1.0C")),
        HttpVersion::V1_1 => nodes.put(Node::plain("http_protocol", "1.1")),
        HttpVersion::V2 => nodes.put(Node::plain("http_protocol", "2")),
    }
    headers(nodes, sent);
    nodes.word("virtualhost", virtualhost.as_ref());
    for each in urls {
        nodes.put(url(each));
    }
    nodes.flag("fast_recovery", *fast_recovery);
}

fn url(url: &Url) -> Node {
    let Url { path, digest, status, virtualhost, pattern, compliant, headers: sent } = url;
    let mut nodes = Nodes::default();
    nodes.put(Node::word("path", path));
    nodes.plain("digest", digest.map(|bytes| bytes.map(|byte| format!("{byte:02x}")).concat()));
    let range = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    for some in status.chunks(STATUS_CODES) {
        let codes: Vec<String> = some.iter().map(range).collect();
        nodes.put(Node::plain("status_code", codes.join(" ")));
    }
    nodes.word("virtualhost", virtualhost.as_ref());
    if let Some(pattern) = pattern {
        regex(&mut nodes, pattern);
    }
    nodes.plain("tls_compliant", compliant.map(boolean));
    headers(&mut nodes, sent);
    Node::block("url", String::new(), nodes.0)
}

fn headers(nodes: &mut Nodes, headers: &[Header]) {
    for Header { name, value } in headers {
        nodes.put(Node::plain("header", format!("{} {}", word(name), word(value))));
    }
}

fn grpc(nodes: &mut Nodes, check: &GrpcCheck) {
    let GrpcCheck { service, virtualhost, tls } = check;
    nodes.word("service", Some(service).filter(|service| !service.is_empty()));
    nodes.word("virtualhost", virtualhost.as_ref());
    let Some(GrpcTls { sni, reuse }) = tls else { return };
    nodes.flag("tls", true);
    sni_words(nodes, sni);
    nodes.flag("tls_session_reuse", *reuse);
}

fn file(nodes: &mut Nodes, entry: &TrackEntry) {
    let TrackEntry { name, weight, reverse, at: _ } = entry;
    nodes.put(Node::word("track_file", name));
    let reverse = if *reverse { " reverse" } else { "" };
    nodes.plain("weight", weight.map(|weight| format!("{weight}{reverse}")));
}

fn regex(nodes: &mut Nodes, pattern: &AnswerPattern) {
    let PatternOptions { caseless, dotall, extended, multiline, ungreedy, unicode } = pattern.options();
    let PatternPlace { min_offset, max_offset, no_match } = pattern.place();
    nodes.put(Node::plain("regex", escaped_word(pattern.text())));
    let options = [
        ("caseless", caseless),
        ("dotall", dotall),
        ("extended", extended),
        ("multiline", multiline),
        ("ungreedy", ungreedy),
        ("utf", unicode),
    ];
    let options: Vec<&str> = options.into_iter().filter(|(_, on)| *on).map(|(option, _)| option).collect();
    nodes.plain("regex_options", Some(options.join(" ")).filter(|options| !options.is_empty()));
    nodes.plain("regex_min_offset", Some(min_offset).filter(|offset| *offset > 0));
    nodes.plain("regex_max_offset", max_offset);
    nodes.flag("regex_no_match", no_match);
}

/// The `SSL` block, where it says something.
pub(super) fn ssl(files: &TlsFiles) -> Option<Node> {
    let TlsFiles { ca, certificate, key, password } = files;
    let mut nodes = Nodes::default();
    nodes.word("ca", ca.as_ref());
    nodes.word("certificate", certificate.as_ref());
    nodes.word("key", key.as_ref());
    nodes.word("password", password.as_ref());
    (*files != TlsFiles::default()).then(|| Node::block("SSL", String::new(), nodes.0))
}

fn https(nodes: &mut Nodes, check: &HttpsCheck) {
    let HttpsCheck { http: check, sni, compliant, reuse } = check;
    http(nodes, check);
    sni_words(nodes, sni);
    nodes.flag("tls_compliant", *compliant);
    nodes.flag("tls_session_reuse", *reuse);
}

fn sni_words(nodes: &mut Nodes, sni: &Sni) {
    match sni {
        Sni::Off => {}
        Sni::Virtualhost => nodes.flag("enable_sni", true),
        Sni::Name(name) => nodes.put(Node::word("sni_name", name)),
    }
}

fn dns(nodes: &mut Nodes, check: &DnsCheck) {
    let DnsCheck { name, record } = check;
    nodes.put(Node::plain("type", record));
    nodes.put(Node::word("name", &name.to_string()));
}

fn udp(nodes: &mut Nodes, check: &UdpCheck) {
    let UdpCheck { payload, reply_required, reply, reply_min_bytes, reply_max_bytes } = check;
    let bytes = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    nodes.plain("payload", payload.as_ref().map(bytes));
    if *reply_required || reply.is_some() {
        nodes.put(Node::plain("require_reply", reply.as_ref().map_or_else(String::new, ToString::to_string)));
    }
    nodes.plain("min_reply_length", *reply_min_bytes);
    nodes.plain("max_reply_length", *reply_max_bytes);
}

fn misc(nodes: &mut Nodes, check: &MiscCheck) {
    let MiscCheck { command, timeout, dynamic } = check;
    let alone = Command { user: None, ..command.clone() };
    nodes.command("misc_path", Some(&alone));
    nodes.time("misc_timeout", *timeout);
    nodes.flag("misc_dynamic", *dynamic);
    nodes.user("user", command.user.as_ref());
}
