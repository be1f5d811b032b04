//! `HTTP_GET`: a table of answers, each with the reason that people read, and the requests as keepalived words them.

use std::net::SocketAddr;

use vipd::base::{AnswerPattern, PatternOptions, PatternPlace};
use vipd::healthcheck::expect::{Digest, Expect, StatusRanges};
use vipd::healthcheck::io::http;
use vipd::healthcheck::outcome::Outcome;
use vipd::healthcheck::probe::{BODY_MAX_BYTES, Endpoint, HEADER_MAX_BYTES, HttpProbe, HttpVersion, Url};

use super::server::{End, Server};
use super::{PATIENCE, SHORT};

fn probe(addr: SocketAddr, expect: Expect) -> HttpProbe {
    HttpProbe {
        endpoint: Endpoint::new(addr, PATIENCE),
        version: HttpVersion::Http10,
        first: Url { path: "/".to_owned(), host: None, expect, tls_compliant: false, headers: vec![] },
        more: vec![],
        fast_recovery: false,
        deadline: PATIENCE,
    }
}

fn status(range: &str) -> Expect {
    Expect { status: StatusRanges::new(vec![range.parse().unwrap()]).unwrap(), ..Expect::default() }
}

fn digest(body: &str) -> Expect {
    Expect { digest: Some(Digest::of(body.as_bytes())), ..Expect::default() }
}

/// A reply whose header and body are filled up to this many bytes.
fn long(before: &str, bytes: usize, after: &str) -> String {
    format!("{before}{}{after}", "x".repeat(bytes))
}

fn regex(text: &str, wanted: bool) -> Expect {
    let options = PatternOptions { multiline: true, ..PatternOptions::default() };
    let place = PatternPlace { no_match: !wanted, ..PatternPlace::default() };
    Expect { pattern: Some(AnswerPattern::new(text, options, place).unwrap()), ..Expect::default() }
}

#[tokio::test]
async fn every_answer_has_its_outcome_and_reason() {
    let any = Expect::default;
    let bytes = |text: &str| text.as_bytes().to_vec();
    let closes = "the server closed before its answer was complete";
    let too_long = format!("the answer's header exceeds {HEADER_MAX_BYTES} bytes or 256 fields");
    let too_big = format!("the answer's body exceeds {BODY_MAX_BYTES} bytes");
    let ok = "HTTP/1.1 200 OK\r\n";
    let rows: Vec<(&str, Expect, Vec<u8>, End, &str)> = vec![
        ("200", any(), bytes("HTTP/1.0 200 OK\r\n\r\nok\n"), End::Close, "status 200, as wanted"),
        ("204", any(), bytes("HTTP/1.1 204 No Content\r\n\r\n"), End::Hold, "status 204, as wanted"),
        ("404", any(), bytes("HTTP/1.0 404 No\r\n\r\n"), End::Close, "status 404, wanted 200-299"),
        ("404 is wanted", status("404"), bytes("HTTP/1.0 404 No\r\n\r\n"), End::Close, "status 404, as wanted"),
        ("low end", status("301-304"), bytes("HTTP/1.0 301 M\r\n\r\n"), End::Close, "status 301, as wanted"),
        ("past it", status("301-304"), bytes("HTTP/1.0 305 M\r\n\r\n"), End::Close, "status 305, wanted 301-304"),
        (
            "a redirect is not followed",
            any(),
            bytes("HTTP/1.0 302 F\r\nLocation: http://127.0.0.1:1/\r\n\r\n"),
            End::Close,
            "status 302, wanted 200-299",
        ),
        (
            "a regex of the body",
            regex("^ok$", true),
            bytes("HTTP/1.0 200 OK\r\n\r\nok"),
            End::Close,
            "status 200, as wanted",
        ),
        (
            "a regex of the header",
            regex("^HTTP/1.1 200 OK\r\nX-Up: 1", true),
            bytes("HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: 0\r\n\r\n"),
            End::Hold,
            "status 200, as wanted",
        ),
        (
            "no match",
            regex("up", true),
            bytes("HTTP/1.0 200 OK\r\n\r\ndown"),
            End::Close,
            "the answer does not match the regex",
        ),
        (
            "a match that must not be",
            regex("down", false),
            bytes("HTTP/1.0 200 OK\r\n\r\ndown"),
            End::Close,
            "the answer matches the regex, and must not",
        ),
        ("digest, closed", digest("ok\n"), bytes("HTTP/1.0 200 OK\r\n\r\nok\n"), End::Close, "status 200, as wanted"),
        (
            "digest, by length",
            digest("ok\n"),
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"),
            End::Hold,
            "status 200, as wanted",
        ),
        (
            "digest, in chunks",
            digest("ok\n"),
            bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n\n\r\n0\r\n\r\n"),
            End::Hold,
            "status 200, as wanted",
        ),
        (
            "digest of an empty body",
            digest(""),
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            End::Hold,
            "status 200, as wanted",
        ),
        (
            "wrong digest",
            digest("ok\n"),
            bytes("HTTP/1.0 200 OK\r\n\r\nno\n"),
            End::Close,
            "digest e4ac654ba9b61686c2dc854a1128a323, wanted eff5bc1ef8ec9d03e640fc4370f5eacd",
        ),
        (
            "1xx before the answer",
            any(),
            bytes(&format!("HTTP/1.1 103 E\r\n\r\n{ok}\r\n")),
            End::Close,
            "status 200, as wanted",
        ),
        ("no reason phrase, bare LF", any(), bytes("HTTP/1.1 200\nA: b\n\n"), End::Close, "status 200, as wanted"),
        (
            "a field that is none",
            any(),
            bytes(&format!("{ok}???? not a field\r\nA : b\r\n\r\n")),
            End::Close,
            "status 200, as wanted",
        ),
        ("closed at once", any(), vec![], End::Close, closes),
        ("closed in the header", any(), bytes("HTTP/1.1 200 OK\r\nA:"), End::Close, closes),
        ("closed in the body", any(), bytes(&format!("{ok}Content-Length: 9\r\n\r\nok\n")), End::Close, closes),
        (
            "closed in a chunk",
            any(),
            bytes(&format!("{ok}Transfer-Encoding: chunked\r\n\r\n9\r\nok")),
            End::Close,
            closes,
        ),
        ("reset at once", any(), vec![], End::Reset, "connection reset by the server"),
        (
            "reset in the body",
            any(),
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
            End::Reset,
            "connection reset by the server",
        ),
        ("garbage", any(), bytes("SSH-2.0-OpenSSH_9.2\r\n"), End::Hold, "the answer is not HTTP"),
        ("bytes", any(), vec![0, 255, 13, 10, 13, 10], End::Hold, "the answer is not HTTP"),
        ("HTTP/2", any(), bytes("HTTP/2 200 OK\r\n\r\n"), End::Hold, "the answer is not HTTP"),
        (
            "a chunk that is none",
            any(),
            bytes(&format!("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n")),
            End::Hold,
            "the answer is not HTTP",
        ),
        (
            "a long header",
            any(),
            bytes(&long("HTTP/1.1 200 OK\r\nA: ", 60_000, "\r\n\r\n")),
            End::Close,
            "status 200, as wanted",
        ),
        (
            "a huge header",
            any(),
            bytes(&long("HTTP/1.1 200 OK\r\nA: ", 2 * HEADER_MAX_BYTES, "")),
            End::Hold,
            &too_long,
        ),
        ("many fields", any(), bytes(&format!("{ok}{}\r\n", "A: b\r\n".repeat(300))), End::Hold, &too_long),
        (
            "the longest body",
            any(),
            bytes(&long("HTTP/1.0 200 OK\r\n\r\n", BODY_MAX_BYTES, "")),
            End::Close,
            "status 200, as wanted",
        ),
        ("a longer body", any(), bytes(&long("HTTP/1.0 200 OK\r\n\r\n", BODY_MAX_BYTES, "x")), End::Hold, &too_big),
    ];
    for (name, expect, reply, end, wanted) in rows {
        let server = Server::replying(reply, end).await;
        let outcome = http::check(&probe(server.addr, expect), 0).await;
        assert_eq!(outcome.to_string(), wanted, "{name}");
        server.stop().await;
    }
}

#[tokio::test]
async fn each_part_of_an_answer_has_its_time() {
    let partial = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let rows: [(&str, &[u8], End, &str); 5] = [
        ("silence", b"", End::Hold, "no answer within 500ms"),
        ("half a header", b"HTTP/1.1 200 OK\r\nA:", End::Hold, "no answer within 500ms"),
        ("a header that drips", b"HTTP/1.1 200 OK\r\nA: ", End::Drip, "no answer within 500ms"),
        ("half a body", partial, End::Hold, "no end of the answer's body within 500ms"),
        ("a body that drips", partial, End::Drip, "no end of the check within 1.5s"),
    ];
    for (name, reply, end, wanted) in rows {
        let server = Server::replying(reply.to_vec(), end).await;
        let mut probe = probe(server.addr, Expect::default());
        probe.endpoint.connect_timeout = SHORT;
        probe.deadline = HttpProbe::default_deadline(SHORT);
        assert_eq!(http::check(&probe, 0).await.to_string(), wanted, "{name}");
    }
}

#[tokio::test]
async fn a_request_is_worded_as_by_keepalived() {
    let host = |host: &str| Some(host.to_owned());
    let v6 = "[::1]:0";
    let rows = [
        ("1.0", "127.0.0.1:0", HttpVersion::Http10, None, "1.0", ""),
        ("1.0C", "127.0.0.1:0", HttpVersion::Http10Close, None, "1.0", "Connection: close\r\n"),
        ("1.1", "127.0.0.1:0", HttpVersion::Http11, None, "1.1", "Connection: close\r\n"),
        ("virtualhost", "127.0.0.1:0", HttpVersion::Http10, host("www.example.org"), "1.0", ""),
        ("IPv6", v6, HttpVersion::Http11, None, "1.1", "Connection: close\r\n"),
        ("IPv6, virtualhost", v6, HttpVersion::Http11, host("[::2]"), "1.1", "Connection: close\r\n"),
    ];
    for (name, addr, version, host, number, connection) in rows {
        let mut server = Server::on(addr, b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), End::Close).await;
        let mut probe = probe(server.addr, Expect::default());
        probe.version = version;
        probe.first.path = "/a?b=%20".to_owned();
        probe.first.host.clone_from(&host);
        assert_eq!(http::check(&probe, 0).await, Outcome::Answered { status: 200 }, "{name}");
        let host = host.unwrap_or_else(|| server.addr.to_string());
        let wanted =
            format!("GET /a?b=%20 HTTP/{number}\r\nUser-Agent: KeepAliveClient\r\n{connection}Host: {host}\r\n\r\n");
        assert_eq!(server.requests.recv().await, Some(wanted), "{name}");
    }
}

#[tokio::test]
async fn a_connection_that_fails_is_told_as_by_tcp_check() {
    let server = Server::replying(vec![], End::Close).await;
    let probe = probe(server.addr, Expect::default());
    server.stop().await;
    assert_eq!(http::check(&probe, 0).await, Outcome::Refused);
}

#[tokio::test]
async fn a_url_that_http_cannot_carry_is_no_fault_of_the_server() {
    let server = Server::replying(b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), End::Close).await;
    for (path, host) in [("/a b", None), ("/", Some("a\r\nX-Injected: b".to_owned()))] {
        let mut probe = probe(server.addr, Expect::default());
        probe.first =
            Url { path: path.to_owned(), host, expect: Expect::default(), tls_compliant: false, headers: vec![] };
        let outcome = http::check(&probe, 0).await;
        assert_eq!(outcome.to_string(), "the path or virtualhost cannot be sent in an HTTP request", "{path}");
    }
}
