//! Servers that speak HTTP/2 alone, gRPC health among them.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::serve::Goes;
use super::{Behaviour, Http2Answer, Identity, Serve};

pub(super) fn behaviours() -> Vec<Behaviour> {
    let served = |name, tls, answer| Behaviour { name, serve: Serve::Http2 { tls, answer } };
    let tls = Some(Identity::Http2Only);
    vec![
        served("HTTP/2 by ALPN alone", tls, Http2Answer::Status(200)),
        served("HTTP/2 by ALPN alone, 503", tls, Http2Answer::Status(503)),
        served("HTTP/2 by ALPN alone, stream reset", tls, Http2Answer::Reset),
        served("HTTP/2 by ALPN alone, silence", tls, Http2Answer::Silence),
        served("HTTP/2 without TLS", None, Http2Answer::Status(200)),
        served("gRPC, serving", None, Http2Answer::Health(1)),
        served("gRPC, not serving", None, Http2Answer::Health(2)),
        served("gRPC, unknown service", None, Http2Answer::Grpc(5)),
        served("gRPC, no health service", None, Http2Answer::Grpc(12)),
        served("gRPC within TLS, serving", tls, Http2Answer::Health(1)),
    ]
}

pub(super) async fn serve(client: TcpStream, tls: Option<Arc<ServerConfig>>, answer: Http2Answer) -> io::Result<Goes> {
    match tls {
        None => connection(client, answer).await,
        Some(config) => connection(TlsAcceptor::from(config).accept(client).await?, answer).await,
    }
}

async fn connection(
    client: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: Http2Answer,
) -> io::Result<Goes> {
    let service = service_fn(move |request: Request<Incoming>| respond(request, answer));
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    served.serve_connection(TokioIo::new(client), service).await.map_err(io::Error::other)?;
    Ok(Goes::InOrder)
}

type Body = BoxBody<Bytes, io::Error>;

async fn respond(request: Request<Incoming>, answer: Http2Answer) -> Result<Response<Body>, Infallible> {
    let mut answered = Response::new(Body::default());
    match answer {
        Http2Answer::Silence => {
            // The request is kept, so that the stream stays open.
            let _request = request;
            pending::<()>().await;
        }
        Http2Answer::Status(status) => {
            *answered.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
            *answered.body_mut() = Full::new(Bytes::from_static(b"ok\n")).map_err(io::Error::other).boxed();
        }
        Http2Answer::Reset => {
            let frames = futures_util::stream::iter([
                Ok(Frame::data(Bytes::from_static(b"o"))),
                Err(io::Error::from(io::ErrorKind::BrokenPipe)),
            ]);
            *answered.body_mut() = BodyExt::boxed(http_body_util::StreamBody::new(frames));
        }
        Http2Answer::Health(serving) => {
            // A message of 2 bytes, not compressed: field 1, varint (grpc.health.v1.HealthCheckResponse).
            let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, serving]);
            *answered.body_mut() = trailing(message, 0);
            answered.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        }
        Http2Answer::Grpc(status) => {
            *answered.body_mut() = trailing(Bytes::new(), status);
            answered.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        }
    }
    Ok(answered)
}

fn trailing(message: Bytes, status: u8) -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
    let frames = [Frame::data(message), Frame::trailers(trailers)];
    BodyExt::boxed(http_body_util::StreamBody::new(futures_util::stream::iter(frames.map(Ok))))
}
