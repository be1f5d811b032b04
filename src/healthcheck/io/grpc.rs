//! `GRPC_CHECK`: one call of `grpc.health.v1.Health/Check`, over HTTP/2, within TLS or without.
//!
//! The messages are in `grpc.rs` of the room.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE};
use hyper::{Request, Response, Version};

use crate::healthcheck::grpc::{ANSWER_MAX_BYTES, judge, request as message};
use crate::healthcheck::outcome::{LocalFault, Outcome};
use crate::healthcheck::probe::GrpcProbe;

use super::exchange::{self, Asked, next_frame};
use super::http::authority;
use super::{tcp, tls};

/// One run; to connect, the handshakes, the header and each piece may take `connect_timeout` each.
pub async fn check(probe: &GrpcProbe) -> Outcome {
    ask(probe).await.unwrap_or_else(|failure| failure)
}

async fn ask(probe: &GrpcProbe) -> Result<Outcome, Outcome> {
    let request = request(probe)?;
    let after = probe.endpoint.connect_timeout;
    let read = async |answer| read(answer, after).await;
    match &probe.tls {
        None => exchange::over(tcp::connect(&probe.endpoint).await?, true, request, after, read).await,
        Some(client) => {
            let stream = tls::connect(&probe.endpoint, client, probe.host.as_deref(), true).await?;
            exchange::over(stream, true, request, after, read).await
        }
    }
}

fn request(probe: &GrpcProbe) -> Result<Asked, Outcome> {
    let scheme = if probe.tls.is_some() { "https" } else { "http" };
    let host = probe.host.clone().unwrap_or_else(|| authority(probe.endpoint.addr));
    Request::post(format!("{scheme}://{host}/grpc.health.v1.Health/Check"))
        .version(Version::HTTP_2)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(Bytes::from(message(&probe.service))))
        .map_err(|_| Outcome::Local(LocalFault::Request))
}

/// The status stands in the trailers; where there is no body, in the header.
async fn read(mut answer: Response<Incoming>, after: std::time::Duration) -> Result<Outcome, Outcome> {
    let mut status = status(answer.headers());
    let mut body = vec![];
    while let Some(frame) = next_frame(&mut answer, after).await? {
        if let Some(trailers) = frame.trailers_ref() {
            status = self::status(trailers).or(status);
        }
        if let Some(piece) = frame.data_ref() {
            body.extend_from_slice(piece);
        }
        if body.len() > ANSWER_MAX_BYTES {
            return Err(Outcome::BodyTooLarge { limit_bytes: ANSWER_MAX_BYTES });
        }
    }
    Ok(judge(status, &body))
}

fn status(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
