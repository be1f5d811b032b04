//! How HTTP servers answer, and how they fail to.

use super::{Act, Behaviour, answer, stream};

/// Longer than any check reads: 5 MiB.
const HUGE_BYTES: usize = 5 * 1024 * 1024;

/// Answers that are whole.
pub(super) fn answers() -> Vec<Behaviour> {
    let hold = Some(Act::Hold);
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    vec![
        answer("200 with its length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", hold.clone()),
        answer("200 up to the close", "HTTP/1.0 200 OK\r\n\r\nok\n", None),
        answer(
            "chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n\n\r\n0\r\n\r\n",
            hold.clone(),
        ),
        answer(
            "chunked with trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\n\r\n0\r\nX-A: b\r\n\r\n",
            hold.clone(),
        ),
        stream(
            "the answer byte by byte",
            vec![Act::Request, Act::Bytewise(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n".to_vec()), Act::Hold],
        ),
        answer("another body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno\n", hold.clone()),
        answer("204 without a body", "HTTP/1.1 204 No Content\r\n\r\n", hold.clone()),
        answer("redirect", moved, hold.clone()),
        answer("404", "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n", hold.clone()),
        answer("503", "HTTP/1.1 503 Unavailable\r\nContent-Length: 3\r\n\r\nno\n", hold.clone()),
        answer(
            "100 before the answer",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
            hold.clone(),
        ),
        answer(
            "103 before the answer",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
            hold.clone(),
        ),
        answer("no reason phrase, bare LF", "HTTP/1.1 200\nContent-Length: 3\n\nok\n", hold.clone()),
        answer("a field that is none", "HTTP/1.1 200 OK\r\n???? x\r\nContent-Length: 3\r\n\r\nok\n", hold.clone()),
        answer(
            "more than the length",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\nHTTP/1.1 503 No\r\n\r\n",
            hold.clone(),
        ),
        stream(
            "answers before it is asked",
            vec![Act::Say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n".to_vec()), Act::Hold],
        ),
    ]
}

/// Answers that are not.
pub(super) fn faults() -> Vec<Behaviour> {
    let hold = Some(Act::Hold);
    let head = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let long_field = format!("{head}A: {}", "x".repeat(200_000));
    let fields = format!("{head}{}\r\n", "A: b\r\n".repeat(300));
    let huge = format!("{head}\r\n{}", "x".repeat(HUGE_BYTES));
    vec![
        answer("header that stops", "HTTP/1.1 200 OK\r\nA:", hold.clone()),
        answer("header that drips", "HTTP/1.1 200 OK\r\nA: ", Some(Act::Drip)),
        answer("closes in the header", "HTTP/1.1 200 OK\r\nA:", None),
        answer("body that stops", &format!("{head}Content-Length: 9\r\n\r\nok"), hold.clone()),
        answer("body that drips", &format!("{head}Content-Length: 100000\r\n\r\n"), Some(Act::Drip)),
        answer("body shorter than its length", &format!("{head}Content-Length: 9\r\n\r\nok\n"), None),
        answer("reset in the body", &format!("{head}Content-Length: 9\r\n\r\nok\n"), Some(Act::Reset)),
        answer("chunk that is none", &format!("{chunked}zz\r\nok\n\r\n0\r\n\r\n"), hold.clone()),
        answer("chunk of 2^64", &format!("{chunked}10000000000000000\r\nok"), hold.clone()),
        answer("closes in a chunk", &format!("{chunked}9\r\nok"), None),
        answer("no last chunk", &format!("{chunked}3\r\nok\n\r\n"), None),
        answer("two lengths", &format!("{head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nok\n"), hold.clone()),
        answer("negative length", &format!("{head}Content-Length: -1\r\n\r\nok\n"), None),
        answer(
            "length and chunks",
            &chunked.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n3\r\nok\n\r\n0\r\n\r\n"),
            None,
        ),
        answer("only 1xx", "HTTP/1.1 100 Continue\r\n\r\n", None),
        answer("huge header field", &long_field, hold.clone()),
        answer("300 header fields", &fields, hold.clone()),
        answer("body of 5 MiB", &huge, None),
        answer("HTTP/0.9: a body alone", "<html>ok</html>\n", None),
        answer("status 99999", "HTTP/1.1 99999 OK\r\n\r\n", None),
        answer("HTTP/9.9", "HTTP/9.9 200 OK\r\n\r\n", None),
        stream("another protocol talks first", vec![Act::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Act::Hold]),
        stream("binary noise", vec![Act::Some, Act::Say((0..=255).cycle().take(4096).collect()), Act::Hold]),
    ]
}
