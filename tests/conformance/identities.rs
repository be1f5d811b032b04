//! A CA, and servers that it signed, or did not.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ResolvesServerCertUsingSni, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use vipd::lab::conformance::{Identities, Identity};

const NAME: &str = "www.example.org";

pub struct Authority {
    issuer: Arc<rcgen::CertifiedIssuer<'static, rcgen::KeyPair>>,
    dir: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer: Arc::new(issuer), dir }
    }

    /// Its certificate as a file.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub fn identities(&self) -> Identities {
        let issuer = Arc::clone(&self.issuer);
        Arc::new(move |identity| Arc::new(config(&issuer, identity)))
    }
}

fn config(issuer: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>, identity: Identity) -> ServerConfig {
    let mut params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let (from, to) = match identity {
        // So long ago that the number of days is the same for years: the text says days, and the table rounds none.
        Identity::Expired => (2000, 2001),
        Identity::NotYetValid => (3000, 3001),
        _ => (2020, 3000),
    };
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = match identity {
        Identity::SelfSigned => params.self_signed(&key),
        _ => params.signed_by(&key, issuer),
    };
    let chain: Vec<CertificateDer<'static>> = vec![certificate.unwrap().der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let versions: &[_] = if identity == Identity::Tls12 { &[&TLS12] } else { &[&TLS13, &TLS12] };
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = match identity {
        Identity::WantsClient => {
            let mut roots = RootCertStore::empty();
            roots.add(issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap()
        }
        Identity::NeedsName => {
            let mut names = ResolvesServerCertUsingSni::new();
            names.add(NAME, CertifiedKey::from_der(chain, key, &provider).unwrap()).unwrap();
            builder.with_no_client_auth().with_cert_resolver(Arc::new(names))
        }
        _ => builder.with_no_client_auth().with_single_cert(chain, key).unwrap(),
    };
    if identity == Identity::Http2Only {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    config
}
