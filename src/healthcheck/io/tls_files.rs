//! The files of the `SSL` block: whom `SSL_GET` trusts, and who it is itself.
//!
//! They are read when a check first needs them and again when one of them has changed. With a CA the chain and the
//! dates of a server's certificate are verified; its name is not, since real servers are asked by address.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::base::Secret;
use crate::healthcheck::outcome::{LocalFault, TlsFile};
use crate::healthcheck::probe::TlsFiles;

use super::tls::Anybody;

const ENCRYPTED_BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// When each of the files was last written; `None`: there is none, or it is gone.
type Stamps = [Option<SystemTime>; 3];

/// The files, when they were written, what came of them.
type Loaded = (TlsFiles, Stamps, Arc<ClientConfig>);

/// A configuration has one `SSL` block.
static LAST: Mutex<Option<Loaded>> = Mutex::new(None);

/// # Errors
/// [`LocalFault::TlsFile`] where a file cannot be read or holds nothing of use, [`LocalFault::Tls`] for any other fault.
pub(super) async fn config(files: &TlsFiles) -> Result<Arc<ClientConfig>, LocalFault> {
    let TlsFiles { ca, certificate, key, password: _ } = files;
    let stamps = [stamp(ca.as_ref()).await, stamp(certificate.as_ref()).await, stamp(key.as_ref()).await];
    let kept = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((_, _, config)) = kept.filter(|(of, at, _)| (of, *at) == (files, stamps)) {
        return Ok(config);
    }
    let config = Arc::new(load(files).await?);
    let loaded = (files.clone(), stamps, Arc::clone(&config));
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
    Ok(config)
}

async fn stamp(path: Option<&PathBuf>) -> Option<SystemTime> {
    tokio::fs::metadata(path?).await.and_then(|about| about.modified()).ok()
}

async fn load(files: &TlsFiles) -> Result<ClientConfig, LocalFault> {
    let TlsFiles { ca, certificate, key, password } = files;
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|_| LocalFault::Tls)?.dangerous();
    let builder = match ca {
        None => builder.with_custom_certificate_verifier(Arc::new(Anybody::new(provider))),
        Some(path) => {
            let trusted = certificates(path, TlsFile::Ca).await?;
            let mut roots = RootCertStore::empty();
            let unusable = |_| LocalFault::TlsFile { file: TlsFile::Ca };
            trusted.iter().try_for_each(|one| roots.add(one.clone())).map_err(unusable)?;
            let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let chain = chain.map_err(|_| LocalFault::TlsFile { file: TlsFile::Ca })?;
            builder.with_custom_certificate_verifier(Arc::new(Trusting { chain, trusted }))
        }
    };
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let own = certificates(path, TlsFile::Certificate).await?;
            let unusable = LocalFault::TlsFile { file: TlsFile::Key };
            let text = tokio::fs::read(key.as_ref().unwrap_or(path)).await.map_err(|_| unusable)?;
            let key = private_key(&text, password.as_ref())?;
            builder.with_client_auth_cert(own, key).map_err(|_| unusable)?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The key of a PEM file, which may be encrypted as PKCS #8 has it (RFC 5958 section 3).
fn private_key(text: &[u8], password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, LocalFault> {
    let plain = PrivateKeyDer::from_pem_slice(text);
    let encrypted = || {
        let text = str::from_utf8(text).ok()?;
        let (_, rest) = text.split_once(ENCRYPTED_BEGIN)?;
        let (body, _) = rest.split_once(ENCRYPTED_END)?;
        Some(format!("{ENCRYPTED_BEGIN}{body}{ENCRYPTED_END}\n"))
    };
    match (plain, encrypted()) {
        (Ok(key), _) => Ok(key),
        (Err(_), None) => Err(LocalFault::TlsFile { file: TlsFile::Key }),
        (Err(_), Some(encrypted)) => {
            let wrong = LocalFault::TlsFile { file: TlsFile::EncryptedKey };
            let (_, document) = SecretDocument::from_pem(&encrypted).map_err(|_| wrong)?;
            let sealed = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| wrong)?;
            let opened = sealed.decrypt(password.map_or("", Secret::reveal)).map_err(|_| wrong)?;
            Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec())))
        }
    }
}

/// All certificates of a PEM file; at least one.
async fn certificates(path: &PathBuf, file: TlsFile) -> Result<Vec<CertificateDer<'static>>, LocalFault> {
    let read = async {
        let text = tokio::fs::read(path).await?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        all.ok().filter(|all| !all.is_empty()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    };
    read.await.map_err(|_| LocalFault::TlsFile { file })
}

/// Trusts what the CA file vouches for, and what stands in it.
#[derive(Debug)]
struct Trusting {
    chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match &verified {
            // The name is looked at last: the chain holds.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            // A self-signed CA that serves with its own certificate; the dates are looked at before.
            Err(Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer))
                if self.trusted.contains(end_entity) =>
            {
                Ok(ServerCertVerified::assertion())
            }
            Ok(_) | Err(_) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of P-256, encrypted by `openssl pkcs8 -topk8 -v2 aes-256-cbc`.
    const SEALED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgEpVE92+nYTgICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEK1bPQX6p11np47vFvQP2HUEgZBm\n\
W5TZ1TgcP9Dsydd8sGAdP1lxwd4YThLXieen5LZQBoAM8JeTqvCV+Chqu7M/UCnO\n\
bZezw+zIlaPwCvfuuMAkvKB4QAhQuKKNJtYHtGRbJroAadN6pi6HbXF92SHPQHzp\n\
s5uI8WF089xgHg5FpwxkaxL4caywnwXQnc06beC39qtY7MqeW5qRnCvTIDaPsUs=\n\
-----END ENCRYPTED PRIVATE KEY-----\n\n";

    #[test]
    fn a_key_is_read_in_each_form_that_openssl_writes() {
        // `openssl ecparam -name prime256v1 -genkey`, which writes the curve before the key, and `openssl genrsa -traditional`.
        let sec1 = include_bytes!("sec1.pem");
        let pkcs1 = include_bytes!("pkcs1.pem");
        assert!(matches!(private_key(sec1, None), Ok(PrivateKeyDer::Sec1(_))));
        assert!(matches!(private_key(pkcs1, None), Ok(PrivateKeyDer::Pkcs1(_))));
        for text in [&sec1[..], &pkcs1[..]] {
            let key = private_key(text, None).unwrap();
            assert!(ring::sign::any_supported_type(&key).is_ok(), "it signs");
        }
    }

    #[test]
    fn an_encrypted_key_is_opened_by_its_password_alone() {
        let secret = |word: &str| Secret::new(word.to_owned());
        let wrong = Err(LocalFault::TlsFile { file: TlsFile::EncryptedKey });
        let none = Err(LocalFault::TlsFile { file: TlsFile::Key });
        let beside = format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{SEALED}");
        let rows = [
            ("its password", SEALED, Some(secret("secret")), Ok(())),
            ("beside a certificate", beside.as_str(), Some(secret("secret")), Ok(())),
            ("another", SEALED, Some(secret("Secret")), wrong),
            ("none", SEALED, None, wrong),
            ("no key", "nothing", Some(secret("secret")), none),
            ("cut", SEALED.split_at(150).0, Some(secret("secret")), none),
        ];
        for (name, text, password, wanted) in rows {
            assert_eq!(private_key(text.as_bytes(), password.as_ref()).map(drop), wanted, "{name}");
        }
    }
}
