//! The CLI's side: one request, one answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::control::api::Refusal;

/// An answer above this is refused: 5,000 services of 10 servers take about 20 MB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("no daemon answers at {path} ({source}); is `vipd run` running with this --run-dir?")]
    NoDaemon { path: PathBuf, source: std::io::Error },
    #[error("no permission to use {path}; the daemon's socket is for root")]
    Permission { path: PathBuf },
    #[error("the daemon at {path} did not answer within {} s", after.as_secs())]
    Silent { path: PathBuf, after: Duration },
    #[error("the daemon's answer at {path}: {detail}")]
    Answer { path: PathBuf, detail: String },
    #[error("{said}")]
    Refused { status: u16, said: String },
}

/// Ask the daemon whose socket is `path`; the answer's body.
///
/// # Errors
/// [`CallError`]: no daemon, no permission, silence, nonsense, or the daemon's own refusal.
pub async fn call(path: &Path, method: &str, target: &str, body: Vec<u8>) -> Result<String, CallError> {
    let work = exchange(path, method, target, body);
    match tokio::time::timeout(ANSWER_TIME_MAX, work).await {
        Ok(done) => done,
        Err(_) => Err(CallError::Silent { path: path.to_owned(), after: ANSWER_TIME_MAX }),
    }
}

async fn exchange(path: &Path, method: &str, target: &str, body: Vec<u8>) -> Result<String, CallError> {
    let stream = UnixStream::connect(path).await.map_err(|source| {
        if source.kind() == std::io::ErrorKind::PermissionDenied {
            CallError::Permission { path: path.to_owned() }
        } else {
            CallError::NoDaemon { path: path.to_owned(), source }
        }
    })?;
    let wrong = |detail: String| CallError::Answer { path: path.to_owned(), detail };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| wrong(error.to_string()))?;
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "vipd")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| wrong(error.to_string()))?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(|error| wrong(error.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| wrong(error.to_string()))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if status.is_success() {
            return Ok(text);
        }
        let said = serde_json::from_str::<Refusal>(&text).map_or(text, |refusal| refusal.error);
        Err(CallError::Refused { status: status.as_u16(), said })
    };
    tokio::pin!(connection);
    tokio::pin!(talk);
    let mut connected = true;
    loop {
        tokio::select! {
            said = &mut talk => return said,
            ended = &mut connection, if connected => {
                connected = false;
                if let Err(error) = ended { return Err(wrong(error.to_string())); }
            }
        }
    }
}
