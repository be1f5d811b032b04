//! What a run of a check is to do, as values: where to connect, what to ask, what to run.
//!
//! It does nothing itself: `io/` has one file per kind.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::{DnsName, HeloName, IfName, RecordType, Secret};

use super::expect::Expect;
use super::hex::ReplyExpect;

/// Bytes of body that an HTTP check reads; a longer body is a failure.
pub const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of status line and header fields that an HTTP check reads.
pub const HEADER_MAX_BYTES: usize = 64 * 1024;
/// Header fields that an HTTP check reads.
pub const HEADER_MAX_FIELDS: usize = 256;

/// Where a connection goes, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `connect_ip` and `connect_port`, by default those of the real server.
    pub addr: SocketAddr,
    pub connect_timeout: Duration,
    /// `bindto`.
    pub bind_addr: Option<IpAddr>,
    /// `bind_port`.
    pub bind_port: Option<u16>,
    /// `bind_if`.
    pub bind_interface: Option<IfName>,
    /// `fwmark`: `SO_MARK` of the socket.
    pub mark: Option<u32>,
}

impl Endpoint {
    /// From any address of this host.
    pub const fn new(addr: SocketAddr, connect_timeout: Duration) -> Self {
        Self { addr, connect_timeout, bind_addr: None, bind_port: None, bind_interface: None, mark: None }
    }
}

/// `http_protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    #[default]
    Http10,
    /// `1.0C`: with `Connection: close`.
    Http10Close,
    Http11,
    /// `2`: by ALPN within TLS, at once without it.
    Http2,
}

/// One `url` block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    pub path: String,
    /// `virtualhost` of the url, checker, real server or service; without it the address is sent.
    pub host: Option<String>,
    pub expect: Expect,
    /// `tls_compliant` of the url or the check: an answer that ends without `close_notify` is cut short.
    pub tls_compliant: bool,
    /// `header` of the check and of the url: fields that are sent besides.
    pub headers: Vec<(String, String)>,
}

/// `HTTP_GET`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    pub endpoint: Endpoint,
    pub version: HttpVersion,
    /// The first url, and those after it in the order of the file.
    pub first: Url,
    pub more: Vec<Url>,
    /// Until it is up, a passed url is followed by the next at once instead of after `delay_loop`.
    pub fast_recovery: bool,
    /// Time for one url, from the first packet to the last byte.
    pub deadline: Duration,
}

impl HttpProbe {
    /// The deadline where the configuration has none: time to connect, to answer, and to send the body.
    ///
    /// keepalived gives each read `connect_timeout` anew, so a body that drips may take for ever.
    pub const fn default_deadline(connect_timeout: Duration) -> Duration {
        connect_timeout.saturating_mul(3)
    }

    pub fn urls(&self) -> usize {
        self.more.len().saturating_add(1)
    }

    /// The url at `index`, counted from 0; the first one where there is none.
    pub fn url(&self, index: usize) -> &Url {
        index.checked_sub(1).and_then(|index| self.more.get(index)).unwrap_or(&self.first)
    }
}

/// `SSL_GET`: the same within TLS 1.2 or 1.3. Without a CA any certificate will do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpsProbe {
    pub http: HttpProbe,
    pub tls: TlsClient,
}

/// How a check speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsClient {
    pub sni: Sni,
    pub files: TlsFiles,
    /// `tls_session_reuse`: a later run may go on with the session of an earlier one, which costs a tenth; then the
    /// certificate is not seen again for as long as the server takes the session.
    pub reuse: bool,
}

/// The `SSL` block: whom we trust, and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    /// `None`: it stands in the file of the certificate.
    pub key: Option<PathBuf>,
    /// Of the key, where that is encrypted.
    pub password: Option<Secret>,
}

/// The name that TLS tells the server first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sni {
    #[default]
    Off,
    /// `enable_sni`: the host of the url, without its port; no name where the url has none.
    Host,
    /// `sni_name`.
    Name(String),
}

/// `MISC_CHECK`: a script whose exit code decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScriptProbe {
    /// `misc_path`, split into words.
    pub argv: Vec<String>,
    pub user: Option<String>,
    pub group: Option<String>,
    /// `misc_timeout`.
    pub timeout: Duration,
    /// `misc_dynamic`: an exit code of 2 to 255 is a pass that asks for a weight of code - 2.
    pub dynamic: bool,
}

/// `UDP_CHECK`: a datagram, and what must come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UdpProbe {
    pub endpoint: Endpoint,
    /// `payload`; keepalived's default has 32 bytes, and so has [`UdpProbe::DEFAULT_PAYLOAD`].
    pub payload: Vec<u8>,
    /// `require_reply`; without it silence for `connect_timeout` is a success, and so is any answer.
    pub reply: Option<ReplyExpect>,
}

impl UdpProbe {
    pub const DEFAULT_PAYLOAD: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
}

/// `DNS_CHECK`: one query by UDP; any answer without an error code will do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsProbe {
    pub endpoint: Endpoint,
    pub name: DnsName,
    pub record: RecordType,
}

/// `SMTP_CHECK`: greeting, HELO, QUIT, each answered within `connect_timeout`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmtpProbe {
    pub endpoint: Endpoint,
    pub helo: HeloName,
}

/// `AGENT_CHECK`: one line of a program beside the server, in HAProxy's agent protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AgentProbe {
    pub endpoint: Endpoint,
    /// `agent_send`: said first.
    pub send: Vec<u8>,
}

/// `GRPC_CHECK`: `grpc.health.v1.Health/Check`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrpcProbe {
    pub endpoint: Endpoint,
    /// `service`; empty: the server as a whole.
    pub service: String,
    /// `virtualhost`; without it the address is sent.
    pub host: Option<String>,
    /// `tls`; `None`: HTTP/2 without it.
    pub tls: Option<TlsClient>,
}

/// `FILE_CHECK`: the number in a file, times `weight`, is added to the server's weight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileProbe {
    pub path: PathBuf,
    /// -254..=254, negative where it is reversed; 0: a number other than 0 is down.
    pub weight: i16,
}

impl FileProbe {
    /// To read a few bytes, be the disk as slow as it may.
    pub const DEADLINE: Duration = Duration::from_secs(5);
}

/// `BFD_CHECK`: the state of a session, which others keep.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BfdProbe {
    /// `name`: of the `bfd_instance`.
    pub session: String,
}

impl BfdProbe {
    /// A session that was never up is waited for so long: it begins with a packet a second (RFC 5880 section 6.8.3).
    pub const FIRST_UP: Duration = Duration::from_secs(5);
}

/// What a run looks at besides the server, and what may change between two runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    File(&'a Path),
    Session(&'a str),
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    Tcp(Endpoint),
    Http(HttpProbe),
    Https(HttpsProbe),
    Script(ScriptProbe),
    Smtp(SmtpProbe),
    Dns(DnsProbe),
    Udp(UdpProbe),
    /// `PING_CHECK`; the port means nothing.
    Ping(Endpoint),
    Agent(AgentProbe),
    Grpc(GrpcProbe),
    File(FileProbe),
    Bfd(BfdProbe),
}

impl Probe {
    /// The configuration's keyword.
    pub const fn keyword(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "TCP_CHECK",
            Self::Http(_) => "HTTP_GET",
            Self::Https(_) => "SSL_GET",
            Self::Script(_) => "MISC_CHECK",
            Self::Smtp(_) => "SMTP_CHECK",
            Self::Dns(_) => "DNS_CHECK",
            Self::Udp(_) => "UDP_CHECK",
            Self::Ping(_) => "PING_CHECK",
            Self::Agent(_) => "AGENT_CHECK",
            Self::Grpc(_) => "GRPC_CHECK",
            Self::File(_) => "FILE_CHECK",
            Self::Bfd(_) => "BFD_CHECK",
        }
    }

    /// Time after which one run must have come to an end by its own means.
    pub const fn deadline(&self) -> Duration {
        match self {
            Self::Tcp(endpoint)
            | Self::Ping(endpoint)
            | Self::Udp(UdpProbe { endpoint, .. })
            | Self::Dns(DnsProbe { endpoint, .. }) => endpoint.connect_timeout,
            // To connect, and for one line; to connect, for the handshake and for the answer.
            Self::Agent(AgentProbe { endpoint, .. }) => endpoint.connect_timeout.saturating_mul(2),
            Self::Grpc(grpc) => grpc.endpoint.connect_timeout.saturating_mul(3),
            Self::File(_) => FileProbe::DEADLINE,
            Self::Bfd(_) => BfdProbe::FIRST_UP,
            // To connect, and for three answers.
            Self::Smtp(smtp) => smtp.endpoint.connect_timeout.saturating_mul(4),
            Self::Http(http) | Self::Https(HttpsProbe { http, .. }) => http.deadline,
            // TERM at the timeout, KILL 2 s later, and a second for the kernel to end it.
            Self::Script(script) => script.timeout.saturating_add(Duration::from_secs(3)),
        }
    }

    /// Whether it reads this.
    pub fn reads(&self, source: Source<'_>) -> bool {
        match (self, source) {
            (Self::File(file), Source::File(path)) => file.path == path,
            (Self::Bfd(bfd), Source::Session(name)) => bfd.session == name,
            (
                Self::Tcp(_)
                | Self::Http(_)
                | Self::Https(_)
                | Self::Script(_)
                | Self::Smtp(_)
                | Self::Dns(_)
                | Self::Udp(_)
                | Self::Ping(_)
                | Self::Agent(_)
                | Self::Grpc(_)
                | Self::File(_)
                | Self::Bfd(_),
                Source::File(_) | Source::Session(_),
            ) => false,
        }
    }

    /// Whether what passed is followed by the next part at once, until the checker is up.
    pub const fn fast_recovery(&self) -> bool {
        match self {
            Self::Http(http) | Self::Https(HttpsProbe { http, .. }) => http.fast_recovery,
            Self::Tcp(_)
            | Self::Script(_)
            | Self::Smtp(_)
            | Self::Dns(_)
            | Self::Udp(_)
            | Self::Ping(_)
            | Self::Agent(_)
            | Self::Grpc(_)
            | Self::File(_)
            | Self::Bfd(_) => false,
        }
    }

    /// Parts that a full pass consists of: urls, else 1.
    pub fn parts(&self) -> usize {
        match self {
            Self::Http(http) | Self::Https(HttpsProbe { http, .. }) => http.urls(),
            Self::Tcp(_)
            | Self::Script(_)
            | Self::Smtp(_)
            | Self::Dns(_)
            | Self::Udp(_)
            | Self::Ping(_)
            | Self::Agent(_)
            | Self::Grpc(_)
            | Self::File(_)
            | Self::Bfd(_) => 1,
        }
    }
}
