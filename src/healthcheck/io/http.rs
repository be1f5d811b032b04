//! `HTTP_GET`: one GET on a fresh connection, and the whole answer read within limits.
//!
//! Redirects are not followed; `tls.rs` puts TLS below, `exchange.rs` carries the request. A body longer than
//! [`BODY_MAX_BYTES`] is a failure; its MD5 is kept while it is read, and the answer itself only where there is a
//! pattern to hold it against, or a person.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use crate::healthcheck::expect::RunningDigest;
use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::{BODY_MAX_BYTES, HttpProbe, HttpVersion, Url};

use super::exchange::{self, Asked, next_frame};
use super::tcp;

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
    let request = request(probe, url, "http")?;
    let stream = tcp::connect(&probe.endpoint).await?;
    ask_over(stream, probe, url, request).await
}

/// Ask the first url over a stream that is there already, whatever it answers; what a fuzzer feeds.
pub async fn check_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, probe: &HttpProbe) -> Outcome {
    let asked = async {
        let request = request(probe, &probe.first, "http")?;
        ask_over(stream, probe, &probe.first, request).await
    };
    match timeout(probe.deadline, asked).await {
        Ok(Ok(status)) => Outcome::Answered { status },
        Ok(Err(failure)) => failure,
        Err(_) => Outcome::Timeout { waiting_for: Stage::Run, after: probe.deadline },
    }
}

/// Send the request over a fresh stream and judge the answer.
pub(super) async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    probe: &HttpProbe,
    url: &Url,
    request: Asked,
) -> Result<u16, Outcome> {
    let keep = url.expect.pattern.is_some();
    let page = fetch_over(stream, probe, request, keep).await?;
    let kept: Vec<u8> = if keep { [page.head, page.body].concat() } else { vec![] };
    match url.expect.failure(page.status, page.digest.finish(), &kept) {
        None => Ok(page.status),
        Some(failure) => Err(failure),
    }
}

/// A whole answer; head and body where they are asked for.
#[derive(Clone, Debug)]
pub struct Page {
    pub status: u16,
    pub digest: RunningDigest,
    /// The status line and the fields as a server would write them.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    /// From the connection, or the TLS within it, to the last byte.
    pub took: Duration,
}

/// Send the request over a fresh stream and read the answer.
pub(super) async fn fetch_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    probe: &HttpProbe,
    request: Asked,
    keep: bool,
) -> Result<Page, Outcome> {
    let (after, started) = (probe.endpoint.connect_timeout, Instant::now());
    let two = probe.version == HttpVersion::Http2;
    exchange::over(stream, two, request, after, async |answer| {
        let status = answer.status().as_u16();
        let head = if keep { head(&answer) } else { vec![] };
        let (digest, body) = read_body(probe, answer, keep).await?;
        Ok(Page { status, digest, head, body, took: started.elapsed() })
    })
    .await
}

/// The page at the url, kept whole: for `vipd genhash`.
///
/// # Errors
/// The outcome of the run, where there is none.
pub async fn fetch(probe: &HttpProbe, url: &Url) -> Result<Page, Outcome> {
    let request = request(probe, url, "http")?;
    let stream = tcp::connect(&probe.endpoint).await?;
    fetch_over(stream, probe, request, true).await
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
    keep: bool,
) -> Result<(RunningDigest, Vec<u8>), Outcome> {
    let after = probe.endpoint.connect_timeout;
    let (mut digest, mut kept) = (RunningDigest::default(), vec![]);
    let mut read_bytes: usize = 0;
    while let Some(frame) = next_frame(&mut answer, after).await? {
        if let Some(piece) = frame.data_ref() {
            read_bytes = read_bytes.saturating_add(piece.len());
            if read_bytes > BODY_MAX_BYTES {
                return Err(Outcome::BodyTooLarge { limit_bytes: BODY_MAX_BYTES });
            }
            digest.feed(piece);
            if keep {
                kept.extend_from_slice(piece);
            }
        }
    }
    Ok((digest, kept))
}

pub(super) fn request(probe: &HttpProbe, url: &Url, scheme: &str) -> Result<Asked, Outcome> {
    let host = url.host.clone().unwrap_or_else(|| authority(probe.endpoint.addr));
    let two = probe.version == HttpVersion::Http2;
    // HTTP/2 has no Host: the address is whole.
    let uri = if two { format!("{scheme}://{host}{}", url.path) } else { url.path.clone() };
    let request = Request::get(uri).header(USER_AGENT, AGENT);
    // 1.1 closes too: each run has a connection of its own.
    let mut request = match probe.version {
        HttpVersion::Http10 => request.version(Version::HTTP_10),
        HttpVersion::Http10Close => request.version(Version::HTTP_10).header(CONNECTION, "close"),
        HttpVersion::Http11 => request.version(Version::HTTP_11).header(CONNECTION, "close"),
        HttpVersion::Http2 => request.version(Version::HTTP_2),
    };
    let own_host = url.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    if !two && !own_host {
        request = request.header(HOST, host);
    }
    for (name, value) in &url.headers {
        request = request.header(name.as_str(), value.as_str());
    }
    request.body(Full::new(Bytes::new())).map_err(|_| Outcome::Local(LocalFault::Request))
}

/// `ADDR:PORT`, without the scope of a link-local address: it means nothing to the server.
pub(super) fn authority(addr: SocketAddr) -> String {
    SocketAddr::new(addr.ip(), addr.port()).to_string()
}
