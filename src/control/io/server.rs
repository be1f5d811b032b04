//! The daemon's side: a Unix socket that answers GET and POST, and a TCP socket for what strangers may read. What the
//! answers say is `daemon/`'s affair.
#![expect(clippy::disallowed_methods, reason = "a connection that hangs must not hold up the next one")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::control::query;

/// Connections served at once; a further one waits in the kernel's backlog.
const CONNECTIONS_MAX: usize = 32;
/// A request's body above this is refused: the largest is a table to restore, 5 MB for 5,000 services of 4 servers.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A client that says nothing for this long is cut off.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(30);

/// An address that cannot be bound is tried again after this long.
const BIND_AGAIN: Duration = Duration::from_secs(5);

/// What a caller asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// What follows `?`, with `%XX` undone; empty where there is none.
    pub query: String,
    pub body: Vec<u8>,
}

/// What it gets back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub media_type: &'static str,
    pub body: String,
}

pub const JSON: &str = "application/json";
pub const PLAIN: &str = "text/plain; charset=utf-8";

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("control socket {path}: a daemon answers there already")]
    InUse { path: PathBuf },
    #[error("control socket {path}: there is something that is not a socket; remove it, or choose another --run-dir")]
    NotASocket { path: PathBuf },
    #[error("control socket {path}: {source}")]
    Bind { path: PathBuf, source: std::io::Error },
}

/// The bound socket; its file goes away with it.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

/// Where connections come from.
trait Accept: Send {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn accept(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    async fn accept(&self) -> std::io::Result<UnixStream> {
        Ok(Self::accept(self).await?.0)
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    async fn accept(&self) -> std::io::Result<TcpStream> {
        Ok(Self::accept(self).await?.0)
    }
}

impl Listener {
    /// Bind below a directory whose lock the caller holds, so that a socket nobody answers on is a leftover.
    ///
    /// # Errors
    /// [`ListenError`] where somebody answers, where the path is no socket, or where the kernel refuses.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        use std::os::unix::fs::FileTypeExt as _;
        let bind = |source| ListenError::Bind { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(bind(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(ListenError::NotASocket { path: path.to_owned() });
            }
            Ok(_) => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(ListenError::InUse { path: path.to_owned() });
                }
                std::fs::remove_file(path).map_err(bind)?;
            }
        }
        // Nobody else may connect, not even before the mode is set below.
        let umask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(path);
        nix::sys::stat::umask(umask);
        let socket = bound.map_err(bind)?;
        let listener = Self { socket, path: path.to_owned() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(bind)?;
        Ok(listener)
    }

    /// Answer for ever. Dropping the future closes the socket and every connection.
    pub async fn serve<F, A>(self, answer: F)
    where
        F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        serve(&self.socket, answer).await;
    }
}

/// The same over TCP, for all who reach `at`. Where the address cannot be bound, for it may come later, it is tried again.
pub async fn serve_tcp<F, A>(at: SocketAddr, answer: F)
where
    F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let mut told = false;
    let socket = loop {
        match TcpListener::bind(at).await {
            Ok(socket) => break socket,
            Err(error) if told => tracing::debug!(%at, %error, "still cannot listen"),
            Err(error) => tracing::warn!(%at, %error, "cannot listen; tried again every {} s", BIND_AGAIN.as_secs()),
        }
        told = true;
        tokio::time::sleep(BIND_AGAIN).await;
    };
    tracing::info!(%at, "metrics are served");
    serve(&socket, answer).await;
}

async fn serve<L, F, A>(socket: &L, answer: F)
where
    L: Accept,
    F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match socket.accept().await {
            Ok(stream) => {
                let answer = answer.clone();
                connections.spawn(async move {
                    one_connection(stream, answer).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "control socket was gone already");
        }
    }
}

async fn one_connection<S, F, A>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Asked) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let said = match Limited::new(body, BODY_BYTES_MAX).collect().await {
                Ok(body) => {
                    let asked = Asked {
                        method: parts.method.as_str().to_owned(),
                        path: parts.uri.path().to_owned(),
                        query: parts.uri.query().map(query::decode).unwrap_or_default(),
                        body: body.to_bytes().to_vec(),
                    };
                    answer(asked).await
                }
                Err(error) => {
                    let body = format!("{{\"error\":\"the request's body: {error}\"}}");
                    Answer { status: 400, media_type: JSON, body }
                }
            };
            let mut response = Response::new(Full::new(Bytes::from(said.body)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(said.media_type));
            *response.status_mut() =
                hyper::StatusCode::from_u16(said.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIME_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "control connection ended early"),
        Err(_) => tracing::debug!("control connection was idle too long"),
    }
}
