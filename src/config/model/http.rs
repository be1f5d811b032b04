//! `HTTP_GET`, `SSL_GET` and `SSL`.

use serde::Serialize;

use super::hexadecimal;
use crate::base::AnswerPattern;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum HttpVersion {
    #[default]
    V1_0,
    V1_0WithHost,
    V1_1,
    /// By ALPN within TLS, at once without it.
    V2,
}

/// `HTTP_GET`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HttpCheck {
    pub version: HttpVersion,
    pub virtualhost: Option<String>,
    pub urls: Vec<Url>,
    pub fast_recovery: bool,
    /// `header`: sent with every url.
    pub headers: Vec<Header>,
}

/// `header NAME VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// `SSL_GET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpsCheck {
    pub http: HttpCheck,
    pub sni: Sni,
    /// `tls_compliant`, where a url does not say.
    pub compliant: bool,
    /// `tls_session_reuse`.
    pub reuse: bool,
}

/// `GRPC_CHECK`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GrpcCheck {
    /// Empty: the server as a whole.
    pub service: String,
    pub virtualhost: Option<String>,
    /// `None`: without TLS.
    pub tls: Option<GrpcTls>,
}

/// `tls` of `GRPC_CHECK`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GrpcTls {
    pub sni: Sni,
    pub reuse: bool,
}

/// `SSL`: with a CA the certificates of servers are verified; with a certificate we show who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlsFiles {
    pub ca: Option<String>,
    pub certificate: Option<String>,
    /// `None`: it stands in the file of the certificate.
    pub key: Option<String>,
    /// Of the key, where it is encrypted.
    #[serde(skip)]
    pub password: Option<String>,
}

/// `enable_sni` and `sni_name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Sni {
    #[default]
    Off,
    /// The virtualhost, where there is one.
    Virtualhost,
    Name(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Url {
    pub path: String,
    /// MD5 of the body, 32 hexadecimal digits.
    #[serde(serialize_with = "hexadecimal")]
    pub digest: Option<[u8; 16]>,
    /// Ranges of status codes that are a success; empty: 200-299.
    pub status: Vec<(u16, u16)>,
    pub virtualhost: Option<String>,
    /// `regex`, its options and its place.
    pub pattern: Option<AnswerPattern>,
    /// `tls_compliant`; `None`: the check's.
    pub compliant: Option<bool>,
    pub headers: Vec<Header>,
}
