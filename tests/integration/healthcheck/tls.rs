//! `SSL_GET`: the same answers within TLS, and each way in which TLS fails.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use vipd::healthcheck::expect::{Digest, Expect};
use vipd::healthcheck::io::tls;
use vipd::healthcheck::probe::{Endpoint, HttpProbe, HttpVersion, HttpsProbe, Sni, TlsClient, TlsFiles, Url};

use super::{PATIENCE, SHORT};

fn probe(addr: SocketAddr) -> HttpsProbe {
    let expect = Expect { digest: Some(Digest::of(b"ok\n")), ..Expect::default() };
    let http = HttpProbe {
        endpoint: Endpoint::new(addr, PATIENCE),
        version: HttpVersion::Http10,
        first: Url { path: "/".to_owned(), host: None, expect, tls_compliant: false, headers: vec![] },
        more: vec![],
        fast_recovery: false,
        deadline: PATIENCE,
    };
    HttpsProbe { http, tls: TlsClient::default() }
}

fn named(sni: Sni, probe: HttpsProbe) -> HttpsProbe {
    HttpsProbe { tls: TlsClient { sni, ..probe.tls }, ..probe }
}

/// A configuration with a certificate that nobody has a reason to trust.
fn config(version: &'static SupportedProtocolVersion, asks_for_certificate: bool) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let builder = if asks_for_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
}

/// The name that a client asked for, and whether it went on with a session.
type Greeted = (Option<String>, bool);

/// Answer each client within TLS and close, with `close_notify` or without.
async fn serve(config: Arc<ServerConfig>, notify: bool) -> (SocketAddr, UnboundedReceiver<Greeted>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (sender, names) = unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let Ok(mut client) = TlsAcceptor::from(Arc::clone(&config)).accept(client).await else { continue };
            let about = client.get_ref().1;
            let resumed = about.handshake_kind() == Some(HandshakeKind::Resumed);
            sender.send((about.server_name().map(str::to_owned), resumed)).ok();
            let mut request = vec![];
            while !request.ends_with(b"\r\n\r\n") {
                request.push(client.read_u8().await.unwrap());
            }
            client.write_all(b"HTTP/1.0 200 OK\r\n\r\nok\n").await.unwrap();
            client.flush().await.unwrap();
            if notify {
                client.shutdown().await.ok();
            }
        }
    });
    (addr, names)
}

#[tokio::test]
async fn a_server_with_any_certificate_is_asked_within_tls() {
    let strict = |addr| {
        let mut strict = probe(addr);
        strict.http.first.tls_compliant = true;
        strict
    };
    for version in [&TLS12, &TLS13] {
        let (addr, mut names) = serve(config(version, false), true).await;
        assert_eq!(tls::check(&strict(addr), 0).await.to_string(), "status 200, as wanted");
        assert_eq!(names.recv().await, Some((None, false)), "no name without enable_sni");
        let with_name = named(Sni::Name("www.example.org".to_owned()), probe(addr));
        assert_eq!(tls::check(&with_name, 0).await.to_string(), "status 200, as wanted");
        assert_eq!(names.recv().await, Some((Some("www.example.org".to_owned()), false)));

        let (addr, _names) = serve(config(version, false), false).await;
        assert_eq!(tls::check(&probe(addr), 0).await.to_string(), "status 200, as wanted");
        let cut = "the server closed before its answer was complete";
        assert_eq!(tls::check(&strict(addr), 0).await.to_string(), cut, "tls_compliant");
    }
}

#[tokio::test]
async fn a_session_goes_on_with_the_server_that_it_began_with() {
    let name = || "www.example.org".to_owned();
    for version in [&TLS12, &TLS13] {
        for reuse in [true, false] {
            // Two real servers of one service: they have one name, and nothing of each other's sessions.
            let mut servers = [serve(config(version, false), true).await, serve(config(version, false), true).await];
            for round in 0..3 {
                for (addr, greeted) in &mut servers {
                    let asked = named(Sni::Name(name()), probe(*addr));
                    let asked = HttpsProbe { tls: TlsClient { reuse, ..asked.tls }, ..asked };
                    assert_eq!(tls::check(&asked, 0).await.to_string(), "status 200, as wanted");
                    let resumed = reuse && round > 0;
                    assert_eq!(greeted.recv().await, Some((Some(name()), resumed)), "{version:?}, round {round}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_answer_is_told_as_without_tls() {
    let (addr, _names) = serve(config(&TLS13, false), true).await;
    let mut probe = probe(addr);
    probe.http.first.expect.digest = Some(Digest::of(b""));
    let got = tls::check(&probe, 0).await.to_string();
    assert_eq!(got, "digest eff5bc1ef8ec9d03e640fc4370f5eacd, wanted d41d8cd98f00b204e9800998ecf8427e");
}

#[tokio::test]
async fn a_server_that_wants_our_certificate_says_so() {
    for version in [&TLS12, &TLS13] {
        let (addr, _names) = serve(config(version, true), true).await;
        let got = tls::check(&probe(addr), 0).await.to_string();
        assert_eq!(got, "the server ended TLS by alert 116 (certificate_required)");
    }
}

#[tokio::test]
async fn what_is_not_tls_has_its_reason() {
    let alert: &[u8] = b"\x15\x03\x03\0\x02\x02\x28";
    let rows: [(&str, &[u8], bool, &str); 5] = [
        ("an alert", alert, true, "the server ended TLS by alert 40 (handshake_failure)"),
        ("plain HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n", true, "the answer is not TLS"),
        ("silence", b"", true, "no TLS handshake within 500ms"),
        ("half a record", b"\x16\x03", true, "no TLS handshake within 500ms"),
        ("closed", b"", false, "the server closed before its answer was complete"),
    ];
    for (name, reply, holds, wanted) in rows {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut probe = probe(listener.local_addr().unwrap());
        if wanted.ends_with("500ms") {
            probe.http.endpoint.connect_timeout = SHORT;
        }
        let server = async {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut hello = [0; 4096];
            let length = client.read(&mut hello).await.unwrap();
            assert_eq!(hello[0], 22, "a handshake record of {length} bytes");
            client.write_all(reply).await.unwrap();
            if holds {
                while client.read(&mut hello).await.is_ok_and(|length| length > 0) {}
            }
        };
        let (outcome, ()) = tokio::join!(tls::check(&probe, 0), server);
        assert_eq!(outcome.to_string(), wanted, "{name}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unnamed = named(Sni::Name("not a name".to_owned()), probe(listener.local_addr().unwrap()));
    let got = tls::check(&unnamed, 0).await.to_string();
    assert_eq!(got, "TLS cannot be set up with this name of the server");
}

/// A CA; it signs certificates from one month to another.
struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self { issuer: rcgen::CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    fn server(&self, from: (i32, u8), to: (i32, u8)) -> Arc<ServerConfig> {
        let mut params = rcgen::CertificateParams::new(vec!["www.example.org".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, 1);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

#[tokio::test]
async fn with_a_ca_the_chain_and_the_dates_count_and_the_name_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(), Authority::new());
    let good = ours.server((2020, 1), (4000, 1));
    let rows = [
        ("signed by it", Arc::clone(&good), "status 200, as wanted"),
        ("not valid yet", ours.server((3000, 1), (4000, 1)), "the certificate is not valid yet"),
        (
            "signed by another",
            other.server((2020, 1), (4000, 1)),
            "the certificate is not signed by the CA of the SSL block",
        ),
        ("self-signed", config(&TLS13, false), "the certificate is not signed by the CA of the SSL block"),
    ];
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, ours.issuer.pem()).unwrap();
    let trusting = |addr| HttpsProbe {
        tls: TlsClient { files: TlsFiles { ca: Some(ca.clone()), ..TlsFiles::default() }, ..TlsClient::default() },
        ..probe(addr)
    };
    for (name, server, wanted) in rows {
        let (addr, _names) = serve(server, true).await;
        assert_eq!(tls::check(&trusting(addr), 0).await.to_string(), wanted, "{name}");
    }
    let (addr, _names) = serve(ours.server((2020, 1), (2021, 1)), true).await;
    let expired = tls::check(&trusting(addr), 0).await.to_string();
    assert!(expired.starts_with("the certificate expired ") && expired.ends_with(" days ago"), "{expired}");

    let (addr, _names) = serve(good, true).await;
    let mut lost = trusting(addr);
    lost.tls.files.ca = Some(dir.path().join("none.pem"));
    assert_eq!(tls::check(&lost, 0).await.to_string(), "the CA file of the SSL block cannot be used");
    lost.tls.files = TlsFiles { certificate: Some(ca.clone()), ..TlsFiles::default() };
    assert_eq!(tls::check(&lost, 0).await.to_string(), "the key of the SSL block cannot be used");
}

#[tokio::test]
async fn a_server_of_many_names_is_asked_by_the_name_of_the_url() {
    let provider = ring::default_provider();
    let made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certified = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider).unwrap();
    let mut names = ResolvesServerCertUsingSni::new();
    names.add("www.example.org", certified).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let (addr, _names) = serve(Arc::new(builder.with_cert_resolver(Arc::new(names))), true).await;
    let asked = |sni, host: Option<&str>| {
        let mut probe = named(sni, probe(addr));
        probe.http.first.host = host.map(str::to_owned);
        probe
    };
    let refused = "the server ended TLS by alert 49";
    let rows = [
        ("no name", asked(Sni::Off, Some("www.example.org")), refused),
        ("the virtualhost", asked(Sni::Host, Some("www.example.org")), "status 200, as wanted"),
        ("with its port", asked(Sni::Host, Some("www.example.org:8443")), "status 200, as wanted"),
        ("no virtualhost is no name", asked(Sni::Host, None), refused),
        ("another name", asked(Sni::Name("b.example".to_owned()), None), refused),
    ];
    for (name, probe, wanted) in rows {
        assert_eq!(tls::check(&probe, 0).await.to_string(), wanted, "{name}");
    }
}
