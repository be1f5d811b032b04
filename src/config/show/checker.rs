//! The checks of a real server.

use super::node::{Node, Nodes};
use super::service::times;
use crate::config::model::{Checker, CheckerKind, Command, HttpCheck, HttpVersion, MiscCheck, Url};

/// Status codes of one line: it stays far below the limit of a line.
const STATUS_CODES: usize = 64;

pub(super) fn checker(checker: &Checker) -> Node {
    let Checker { at: _, kind, check, connect_ip, connect_port, bind_ip, bind_port, bind_if, fwmark, alpha } = checker;
    let mut nodes = Nodes::default();
    let name = match kind {
        CheckerKind::Tcp => "TCP_CHECK",
        CheckerKind::Http(_) => "HTTP_GET",
        CheckerKind::Misc(_) => "MISC_CHECK",
    };
    match kind {
        CheckerKind::Tcp => {}
        CheckerKind::Http(check) => http(&mut nodes, check),
        CheckerKind::Misc(check) => misc(&mut nodes, check),
    }
    nodes.plain("connect_ip", *connect_ip);
    nodes.plain("connect_port", *connect_port);
    nodes.plain("bindto", *bind_ip);
    nodes.plain("bind_port", *bind_port);
    nodes.word("bind_if", bind_if.as_ref().map(|name| name.as_str().to_owned()).as_ref());
    nodes.plain("fwmark", *fwmark);
    times(&mut nodes, check);
    nodes.flag("alpha", *alpha);
    Node::block(name, String::new(), nodes.0)
}

fn http(nodes: &mut Nodes, check: &HttpCheck) {
    let HttpCheck { version, virtualhost, urls, fast_recovery } = check;
    match version {
        HttpVersion::V1_0 => {}
        HttpVersion::V1_0WithHost => nodes.put(Node::plain("http_protocol", "1.0C")),
        HttpVersion::V1_1 => nodes.put(Node::plain("http_protocol", "1.1")),
    }
    nodes.word("virtualhost", virtualhost.as_ref());
    for each in urls {
        nodes.put(url(each));
    }
    nodes.flag("fast_recovery", *fast_recovery);
}

fn url(url: &Url) -> Node {
    let Url { path, digest, status, virtualhost } = url;
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
    Node::block("url", String::new(), nodes.0)
}

fn misc(nodes: &mut Nodes, check: &MiscCheck) {
    let MiscCheck { command, timeout, dynamic } = check;
    let alone = Command { user: None, ..command.clone() };
    nodes.command("misc_path", Some(&alone));
    nodes.time("misc_timeout", *timeout);
    nodes.flag("misc_dynamic", *dynamic);
    nodes.user("user", command.user.as_ref());
}
