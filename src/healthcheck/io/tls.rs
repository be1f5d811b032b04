//! `SSL_GET`: the TLS below an HTTP check.
//!
//! It asks whether the service works, not who runs it: without an `SSL` block (`tls_files.rs`) no certificate is
//! checked, as in keepalived. TLS 1.2 and 1.3; each run makes a full handshake, as a new client would, unless
//! `tls_session_reuse` says otherwise.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::healthcheck::outcome::{CertificateFault, LocalFault, Outcome, Stage};
use crate::healthcheck::probe::{Endpoint, HttpVersion, HttpsProbe, Sni, TlsClient, TlsFiles, Url};

use super::http::{self, Page};
use super::{socket, tcp, tls_files, tls_sessions};

/// Ask the url at `index`, counted from 0. It ends within the deadline of the probe.
pub async fn check(probe: &HttpsProbe, index: usize) -> Outcome {
    match timeout(probe.http.deadline, ask(probe, probe.http.url(index))).await {
        Ok(Ok(status)) => Outcome::Answered { status },
        Ok(Err(failure)) => failure,
        Err(_) => Outcome::Timeout { waiting_for: Stage::Run, after: probe.http.deadline },
    }
}

async fn ask(probe: &HttpsProbe, url: &Url) -> Result<u16, Outcome> {
    let request = http::request(&probe.http, url, "https")?;
    let stream = connect_for(probe, url).await?;
    http::ask_over(EndOfStream { stream, strict: url.tls_compliant }, &probe.http, url, request).await
}

/// The page at the url, kept whole: for `vipd genhash`.
///
/// # Errors
/// The outcome of the run, where there is none.
pub async fn fetch(probe: &HttpsProbe, url: &Url) -> Result<Page, Outcome> {
    let request = http::request(&probe.http, url, "https")?;
    let stream = connect_for(probe, url).await?;
    http::fetch_over(EndOfStream { stream, strict: false }, &probe.http, request, true).await
}

async fn connect_for(probe: &HttpsProbe, url: &Url) -> Result<TlsStream<TcpStream>, Outcome> {
    let two = probe.http.version == HttpVersion::Http2;
    connect(&probe.http.endpoint, &probe.tls, url.host.as_deref(), two).await
}

/// A stream within TLS; with `two` the server must choose HTTP/2.
pub(super) async fn connect(
    endpoint: &Endpoint,
    client: &TlsClient,
    host: Option<&str>,
    two: bool,
) -> Result<TlsStream<TcpStream>, Outcome> {
    let ours = || Outcome::Local(LocalFault::Tls);
    let config = configured(endpoint.addr, client, two).await?;
    let name = server_name(client, host, endpoint.addr).ok_or_else(ours)?;
    let stream = tcp::connect(endpoint).await?;
    let after = endpoint.connect_timeout;
    let stream = match timeout(after, TlsConnector::from(config).connect(name, stream)).await {
        Ok(stream) => stream.map_err(|error| handshake_failure(&error))?,
        Err(_) => return Err(Outcome::Timeout { waiting_for: Stage::Handshake, after }),
    };
    if two && stream.get_ref().1.alpn_protocol() != Some(HTTP_2) {
        return Err(Outcome::NotHttp2);
    }
    Ok(stream)
}

async fn configured(server: SocketAddr, client: &TlsClient, two: bool) -> Result<Arc<ClientConfig>, Outcome> {
    let config = if client.files == TlsFiles::default() {
        CONFIG.clone().ok_or(Outcome::Local(LocalFault::Tls))?
    } else {
        tls_files::config(&client.files).await.map_err(Outcome::Local)?
    };
    if !two && !client.reuse {
        return Ok(config);
    }
    let mut config = ClientConfig::clone(&config);
    if two {
        config.alpn_protocols = vec![HTTP_2.to_vec()];
    }
    if client.reuse {
        config.resumption = tls_sessions::of(server);
    }
    Ok(Arc::new(config))
}

/// An address is not sent as a name (RFC 6066 section 3).
fn server_name(client: &TlsClient, host: Option<&str>, addr: SocketAddr) -> Option<ServerName<'static>> {
    let name = match &client.sni {
        Sni::Off => None,
        Sni::Host => host.map(without_port),
        Sni::Name(name) => Some(name.as_str()),
    };
    match name {
        Some(name) => ServerName::try_from(name.to_owned()).ok(),
        None => Some(ServerName::from(addr.ip())),
    }
}

/// `www.example.org:8443`, `192.0.2.1:443`, `[2001:db8::1]:443`: what stands before the port.
fn without_port(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    match host.split_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// The name of HTTP/2 in ALPN (RFC 9113 section 3.2).
const HTTP_2: &[u8] = b"h2";

static CONFIG: LazyLock<Option<Arc<ClientConfig>>> = LazyLock::new(trusting_anybody);

fn trusting_anybody() -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let anybody = Arc::new(Anybody(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Some(Arc::new(config))
}

/// Takes every certificate for good.
#[derive(Debug)]
pub(super) struct Anybody(Arc<CryptoProvider>);

impl Anybody {
    pub(super) const fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    // A signature proves the possession of a key that nobody asked for; checking it would refuse old certificates
    // (X.509 version 1) that keepalived takes.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What an error of the handshake says about the server.
fn handshake_failure(error: &io::Error) -> Outcome {
    match tls_failure(error) {
        Some(outcome) => outcome,
        None if error.raw_os_error().is_some() => socket::stream_failure(error),
        None => Outcome::ClosedEarly,
    }
}

/// What an error of TLS itself says about the server; in TLS 1.3 an alert may follow the handshake. `None` where the
/// error is another.
pub(super) fn tls_failure(error: &io::Error) -> Option<Outcome> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    if let Error::AlertReceived(alert) = error {
        return Some(Outcome::TlsAlert { code: (*alert).into() });
    }
    if let Error::InvalidCertificate(why) = error {
        return Some(Outcome::Certificate { fault: certificate_fault(why) });
    }
    let is_garbage = matches!(error, Error::InvalidMessage(_));
    let is_incompatible = matches!(error, Error::PeerIncompatible(_));
    Some(match (is_garbage, is_incompatible) {
        (true, _) => Outcome::NotTls,
        (false, true) => Outcome::TlsIncompatible,
        (false, false) => Outcome::TlsBroken,
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is rustls's, and may grow")]
fn certificate_fault(why: &CertificateError) -> CertificateFault {
    match why {
        CertificateError::ExpiredContext { time, not_after } => {
            CertificateFault::Expired { ago_s: time.as_secs().saturating_sub(not_after.as_secs()) }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => CertificateFault::NotValidYet,
        // A signature that does not hold: another CA with the name of ours.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => CertificateFault::UnknownIssuer,
        _ => CertificateFault::Other,
    }
}

/// A stream whose end without `close_notify` is an end like any other, unless `strict`.
struct EndOfStream<S> {
    stream: S,
    strict: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for EndOfStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let strict = self.strict;
        Pin::new(&mut self.stream).poll_read(cx, buf).map(|read| match read {
            Err(ref error) if error.kind() == io::ErrorKind::UnexpectedEof && !strict => Ok(()),
            Ok(()) | Err(_) => read,
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EndOfStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
