//! `HTTP_GET`: one GET on a fresh connection, and the whole answer read within limits.
//!
//! Redirects are not followed and nothing is kept between runs; `tls.rs` puts TLS below. A body longer than
//! [`BODY_MAX_BYTES`] is a failure; its MD5 is kept while it is read, and
//! the answer itself only where there is a pattern to hold it against.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::pending;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::healthcheck::expect::RunningDigest;
use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::{BODY_MAX_BYTES, HEADER_MAX_BYTES, HEADER_MAX_FIELDS, HttpProbe, HttpVersion, Url};

use super::{socket, tcp, tls};

/// keepalived's own: people filter their access logs by it.
const AGENT: &str = "KeepAliveClient";

/// Ask the url at `index`, counted from 0. It ends within the deadline of the probe.
pub async fn check(probe: &HttpProbe, index: usize) -> Outcome {
    match timeout(probe.deadline, ask(probe, probe.url(index))).await {
        Ok(Ok(status)) => Outcome::Answered { status },
        Ok(Err(failure)) => failure,
        Err(_) => Outcome::Timeout { waiting_for: Stage::Run, after: probe.deadline },
    }
}

async fn ask(probe: &HttpProbe, url: &Url) -> Result<u16, Outcome> {
    let request = request(probe, url)?;
    let stream = tcp::connect(&probe.endpoint).await?;
    ask_over(stream, probe, url, request).await
}

/// Send the request over a fresh stream and judge the answer.
pub(super) async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    probe: &HttpProbe,
    url: &Url,
    request: Request<Empty<Bytes>>,
) -> Result<u16, Outcome> {
    let (sender, connection) = Builder::new()
        .max_buf_size(HEADER_MAX_BYTES)
        .max_headers(HEADER_MAX_FIELDS)
        // As old servers and the logs of keepalived's users know them.
        .title_case_headers(true)
        // keepalived reads no field but Content-Length: a sloppy one makes no server unhealthy.
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&error))?;
    // The end of the connection reaches the exchange as the error or the end of its answer.
    let drive = async {
        connection.await.ok();
        pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        answered = exchange(probe, url, sender, request) => answered,
        never = drive => match never {},
    }
}

async fn exchange(
    probe: &HttpProbe,
    url: &Url,
    mut sender: SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<u16, Outcome> {
    let after = probe.endpoint.connect_timeout;
    let answer = match timeout(after, sender.send_request(request)).await {
        Ok(answer) => answer.map_err(|error| failure(&error))?,
        Err(_) => return Err(Outcome::Timeout { waiting_for: Stage::Header, after }),
    };
    let status = answer.status().as_u16();
    // The answer is kept only for a pattern.
    let mut kept = url.expect.pattern.is_some().then(|| head(&answer));
    let digest = read_body(probe, answer, kept.as_mut()).await?;
    match url.expect.failure(status, digest.finish(), kept.as_deref().unwrap_or_default()) {
        None => Ok(status),
        Some(failure) => Err(failure),
    }
}

/// The status line and the fields as a server would write them: hyper keeps neither their spelling nor their blanks.
fn head(answer: &Response<Incoming>) -> Vec<u8> {
    let mut head = format!("{:?} {}\r\n", answer.version(), answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        for part in name.as_str().split_inclusive('-') {
            let mut letters = part.bytes();
            head.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            head.extend(letters);
        }
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Each piece has `connect_timeout` to come, and the run as a whole its deadline.
async fn read_body(
    probe: &HttpProbe,
    mut answer: Response<Incoming>,
    mut kept: Option<&mut Vec<u8>>,
) -> Result<RunningDigest, Outcome> {
    let after = probe.endpoint.connect_timeout;
    let mut digest = RunningDigest::default();
    let mut read_bytes: usize = 0;
    loop {
        let frame = match timeout(after, answer.body_mut().frame()).await {
            Ok(None) => return Ok(digest),
            Ok(Some(frame)) => frame.map_err(|error| failure(&error))?,
            Err(_) => return Err(Outcome::Timeout { waiting_for: Stage::Body, after }),
        };
        if let Some(piece) = frame.data_ref() {
            read_bytes = read_bytes.saturating_add(piece.len());
            if read_bytes > BODY_MAX_BYTES {
                return Err(Outcome::BodyTooLarge { limit_bytes: BODY_MAX_BYTES });
            }
            digest.feed(piece);
            if let Some(kept) = &mut kept {
                kept.extend_from_slice(piece);
            }
        }
    }
}

pub(super) fn request(probe: &HttpProbe, url: &Url) -> Result<Request<Empty<Bytes>>, Outcome> {
    let host = url.host.clone().unwrap_or_else(|| authority(probe.endpoint.addr));
    let request = Request::get(url.path.as_str()).header(USER_AGENT, AGENT);
    // 1.1 closes too: each run has a connection of its own.
    let request = match probe.version {
        HttpVersion::Http10 => request.version(Version::HTTP_10),
        HttpVersion::Http10Close => request.version(Version::HTTP_10).header(CONNECTION, "close"),
        HttpVersion::Http11 => request.version(Version::HTTP_11).header(CONNECTION, "close"),
    };
    request.header(HOST, host).body(Empty::new()).map_err(|_| Outcome::Local(LocalFault::Request))
}

/// `ADDR:PORT`, without the scope of a link-local address: it means nothing to the server.
fn authority(addr: SocketAddr) -> String {
    SocketAddr::new(addr.ip(), addr.port()).to_string()
}

/// What an error of hyper says about the server.
fn failure(error: &hyper::Error) -> Outcome {
    if error.is_parse_too_large() {
        return Outcome::HeaderTooLarge { limit_bytes: HEADER_MAX_BYTES, limit_fields: HEADER_MAX_FIELDS };
    }
    if error.is_parse() {
        return Outcome::NotHttp;
    }
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if let Some(outcome) = source.and_then(tls::tls_failure) {
        return outcome;
    }
    match source {
        Some(error) if error.raw_os_error().is_some() => socket::stream_failure(error),
        // A chunk that is not one, told by hyper as a kind without an errno.
        Some(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            Outcome::NotHttp
        }
        Some(_) | None => Outcome::ClosedEarly,
    }
}
