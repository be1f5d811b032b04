//! One request and its answer over a stream, in HTTP/1 or HTTP/2, by hyper.
//!
//! What is asked and what the answer means is known to `http.rs` and `grpc.rs`.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::healthcheck::outcome::{Outcome, Stage};
use crate::healthcheck::probe::{HEADER_MAX_BYTES, HEADER_MAX_FIELDS};

use super::{socket, tls};

/// What is asked; a GET has an empty body.
pub(super) type Asked = Request<Full<Bytes>>;

/// The same limit as one of `u32`, which HTTP/2 has.
const HEADER_LIST_MAX_BYTES: u32 = 64 * 1024;
const _: () = assert!(HEADER_MAX_BYTES == 64 * 1024);

/// Send the request, wait `after` for the header of the answer, and give the answer to `read` while the connection is
/// kept going.
pub(super) async fn over<T>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    two: bool,
    request: Asked,
    after: Duration,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Outcome>,
) -> Result<T, Outcome> {
    if two { over_two(stream, request, after, read).await } else { over_one(stream, request, after, read).await }
}

async fn over_one<T>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: Asked,
    after: Duration,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Outcome>,
) -> Result<T, Outcome> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_MAX_BYTES)
        .max_headers(HEADER_MAX_FIELDS)
        // As old servers and the logs of keepalived's users know them.
        .title_case_headers(true)
        // keepalived reads no field but Content-Length: a sloppy one makes no server unhealthy.
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .handshake::<_, Full<Bytes>>(TokioIo::new(AskFirst { stream, asked: false, reader: None }))
        .await
        .map_err(|error| failure(&error))?;
    // The end of the connection reaches the exchange as the error or the end of its answer.
    let drive = async {
        connection.await.ok();
        pending::<Infallible>().await
    };
    let exchange = async {
        let answer = header(after, sender.send_request(request)).await?;
        read(answer).await
    };
    tokio::select! {
        biased;
        answered = exchange => answered,
        never = drive => match never {},
    }
}

async fn over_two<T>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Asked,
    after: Duration,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Outcome>,
) -> Result<T, Outcome> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_header_list_size(HEADER_LIST_MAX_BYTES);
    let fault = Arc::new(OnceLock::new());
    let stream = Witness { stream, fault: Arc::clone(&fault) };
    let shaken = timeout(after, builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream))).await;
    let shaken = shaken.map_err(|_| Outcome::Timeout { waiting_for: Stage::Handshake, after })?;
    let (mut sender, connection) = shaken.map_err(|error| failure(&error))?;
    let mut broken = None;
    let drive = async {
        broken = connection.await.err();
        pending::<Infallible>().await
    };
    let exchange = async {
        let answer = header(after, sender.send_request(request)).await?;
        read(answer).await
    };
    let answered = tokio::select! {
        biased;
        answered = exchange => answered,
        never = drive => match never {},
    };
    answered.map_err(|outcome| {
        if outcome != Outcome::ClosedEarly {
            return outcome;
        }
        // A request that finds its connection broken knows no more than that; the connection, or the stream below, does.
        let known = broken.as_ref().map(failure).filter(|outcome| *outcome != Outcome::ClosedEarly);
        known.or_else(|| fault.get().cloned()).unwrap_or(outcome)
    })
}

/// A stream that is not read before something was written: a server that talks first is heard after the request, as by
/// keepalived, whoever was the faster.
struct AskFirst<S> {
    stream: S,
    asked: bool,
    reader: Option<Waker>,
}

impl<S: AsyncRead + Unpin> AsyncRead for AskFirst<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.asked {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AskFirst<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if written.is_ready() {
            self.asked = true;
            self.reader.take().into_iter().for_each(Waker::wake);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A stream that keeps its first error: HTTP/2 tells it on in words alone.
struct Witness<S> {
    stream: S,
    fault: Arc<OnceLock<Outcome>>,
}

impl<S> Witness<S> {
    fn saw<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| match broken_stream(&error) {
            Some(outcome) => {
                self.fault.get_or_init(|| outcome);
                io::ErrorKind::ConnectionAborted.into()
            }
            None => error,
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Witness<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf).map(|done| self.saw(done))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Witness<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf).map(|done| self.saw(done))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map(|done| self.saw(done))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What an error of the stream below says: of TLS, or of the connection.
fn broken_stream(error: &io::Error) -> Option<Outcome> {
    tls::tls_failure(error).or_else(|| error.raw_os_error().map(|_| socket::stream_failure(error)))
}

async fn header(
    after: Duration,
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<Response<Incoming>, Outcome> {
    match timeout(after, answer).await {
        Ok(answer) => answer.map_err(|error| failure(&error)),
        Err(_) => Err(Outcome::Timeout { waiting_for: Stage::Header, after }),
    }
}

/// The next piece of an answer, or its trailers; `None` at its end.
pub(super) async fn next_frame(
    answer: &mut Response<Incoming>,
    after: Duration,
) -> Result<Option<Frame<Bytes>>, Outcome> {
    match timeout(after, answer.body_mut().frame()).await {
        Ok(None) => Ok(None),
        Ok(Some(frame)) => frame.map(Some).map_err(|error| failure(&error)),
        Err(_) => Err(Outcome::Timeout { waiting_for: Stage::Body, after }),
    }
}

/// What an error of hyper says about the server.
fn failure(error: &hyper::Error) -> Outcome {
    if error.is_parse_too_large() {
        return Outcome::HeaderTooLarge { limit_bytes: HEADER_MAX_BYTES, limit_fields: HEADER_MAX_FIELDS };
    }
    if error.is_parse() {
        return Outcome::NotHttp;
    }
    if let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) {
        return second_version(error);
    }
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if let Some(outcome) = source.and_then(broken_stream) {
        return outcome;
    }
    match source {
        // A chunk that is not one, told by hyper as a kind without an errno.
        Some(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
            Outcome::NotHttp
        }
        Some(_) | None => Outcome::ClosedEarly,
    }
}

/// What an error of HTTP/2 says (RFC 9113 section 5.4).
fn second_version(error: &h2::Error) -> Outcome {
    match (error.is_reset(), error.is_library()) {
        (true, false) => Outcome::Reset,
        // We found that the server breaks the rules.
        (_, true) => Outcome::NotHttp,
        (false, false) => Outcome::ClosedEarly,
    }
}
