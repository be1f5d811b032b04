//! What one run of a check came to, in values; each prints as one plain phrase.
//!
//! It does not say what follows from it: that is `judge.rs`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent::AgentLine;
use super::dns::AnswerCode;
use super::expect::{Digest, StatusRanges};
use super::grpc::{GrpcStatus, ServingStatus};
use super::smtp::SmtpStep;
use crate::base::{Weight, WeightWish};

/// What a check was waiting for when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Connect,
    Handshake,
    /// The first byte of the answer up to the end of its header.
    Header,
    Body,
    /// The one datagram, or the next line, that is to answer ours.
    Reply,
    /// The whole run, whatever it was doing.
    Run,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connection",
            Self::Handshake => "TLS handshake",
            Self::Header | Self::Reply => "answer",
            Self::Body => "end of the answer's body",
            Self::Run => "end of the check",
        })
    }
}

/// A fault on our side: it says nothing about the real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalFault {
    /// The socket could not be made (no file descriptor, no memory).
    Socket { errno: i32 },
    /// `bindto` or `bind_port`: the address is not ours, or is taken.
    Bind { errno: i32 },
    /// `bind_if`: no such interface, or no permission.
    Interface { errno: i32 },
    /// `fwmark`: no permission.
    Mark { errno: i32 },
    /// The connection was refused by our own system (firewall, no free port).
    Connect { errno: i32 },
    /// The request cannot be written as HTTP.
    Request,
    /// TLS cannot be set up, or `sni_name` is not a name.
    Tls,
    /// A file of the `SSL` block cannot be read, or holds nothing of use.
    TlsFile { file: TlsFile },
    /// The script could not be started.
    Script { errno: i32 },
    /// The file of a `FILE_CHECK` may be there, and we could not open it.
    File { errno: i32 },
    /// It is due, and waits for others to end: so many run at once.
    NoPlace { places: usize },
    /// The account that a script should run as is not known here.
    Account,
    /// The task of the check ended without a result.
    TaskEnded,
    /// The task of the check did not come back, long after its deadline.
    TaskStuck,
}

impl fmt::Display for LocalFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, errno) = match self {
            Self::Socket { errno } => ("cannot make a socket", errno),
            Self::Bind { errno } => ("cannot bind to the source address or port", errno),
            Self::Interface { errno } => ("cannot bind to the interface", errno),
            Self::Mark { errno } => ("cannot set the firewall mark", errno),
            Self::Connect { errno } => ("this host cannot open the connection", errno),
            Self::Script { errno } => ("cannot start the script", errno),
            Self::File { errno } => ("cannot open the file", errno),
            Self::NoPlace { places } => {
                return write!(
                    f,
                    "{places} checks run at once, as many as file descriptors allow, and it waits for its turn"
                );
            }
            Self::Request => return f.write_str("the path or virtualhost cannot be sent in an HTTP request"),
            Self::Tls => return f.write_str("TLS cannot be set up with this name of the server"),
            Self::TlsFile { file } => return write!(f, "the {file} of the SSL block cannot be used"),
            Self::Account => return f.write_str("the script's user or group is not known"),
            Self::TaskEnded => return f.write_str("the check's task ended without a result"),
            Self::TaskStuck => return f.write_str("the check's task did not come back after its deadline"),
        };
        write!(f, "{what}: {}", std::io::Error::from_raw_os_error(*errno))
    }
}

/// A file of the `SSL` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsFile {
    Ca,
    Certificate,
    Key,
    /// It is encrypted, and the password is none or another.
    EncryptedKey,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ca => "CA file",
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::EncryptedKey => "encrypted key, with this password,",
        })
    }
}

/// Why a server's certificate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateFault {
    Expired { ago_s: u64 },
    NotValidYet,
    UnknownIssuer,
    Other,
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { ago_s: s @ 172_800.. } => write!(f, "expired {} days ago", s / 86_400),
            Self::Expired { ago_s: s @ 7_200.. } => write!(f, "expired {} hours ago", s / 3_600),
            Self::Expired { ago_s } => write!(f, "expired {} minutes ago", ago_s / 60),
            Self::NotValidYet => f.write_str("is not valid yet"),
            Self::UnknownIssuer => f.write_str("is not signed by the CA of the SSL block"),
            Self::Other => f.write_str("cannot be verified"),
        }
    }
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Connected,
    /// One url of several answered as it should; the others follow.
    UrlPassed {
        /// Counted from 1.
        url: usize,
        of: usize,
        status: u16,
    },
    /// The answer is as wanted; of several urls the last one, and all before it passed.
    Answered {
        status: u16,
    },
    /// A script ended with 0, or with 2 to 255 under `misc_dynamic`, which asks for a weight of code - 2.
    ScriptPassed {
        weight: Option<u8>,
    },
    /// `AGENT_CHECK`: what the agent said; whether it is good news is decided with what it said before.
    Agent {
        line: AgentLine,
        usable: bool,
        wish: WeightWish,
    },
    /// The agent could not be asked, which says nothing of the server: other checks look at that.
    NoAgent {
        because: Box<Outcome>,
    },
    /// The agent's line holds no word that is known.
    NotAgent,
    /// `FILE_CHECK`: the file's number is a weight's change.
    Filed {
        value: i64,
        wish: WeightWish,
    },
    /// `FILE_CHECK`: the file's number says down.
    FiledDown {
        value: i64,
    },
    /// `BFD_CHECK`.
    SessionUp,
    /// The state and the reason are BFD's own words.
    SessionDown {
        state: String,
        because: Option<String>,
    },
    /// `BFD_CHECK`: nobody keeps this session.
    NoSession,
    /// gRPC: the service is served.
    Serving,
    NotServing {
        status: ServingStatus,
    },
    GrpcError {
        status: GrpcStatus,
    },
    NotGrpc,
    /// The server chose another protocol than HTTP/2.
    NotHttp2,
    /// `UDP_CHECK`: neither an answer nor an ICMP error came, and none is required.
    Silent {
        after: Duration,
    },
    Replied {
        bytes: usize,
    },
    Echoed,
    DnsAnswered,
    SmtpAnswered,
    Refused,
    /// ICMP says that nobody has the UDP port open.
    PortUnreachable,
    ReplyLength {
        got_bytes: usize,
        min_bytes: u16,
        max_bytes: u16,
    },
    ReplyDiffers {
        /// Counted from 0.
        offset: usize,
    },
    DnsError {
        code: AnswerCode,
    },
    NotSmtp {
        step: SmtpStep,
    },
    SmtpCode {
        step: SmtpStep,
        got: u16,
        wanted: u16,
    },
    SmtpTooLong {
        step: SmtpStep,
        limit_bytes: usize,
    },
    Timeout {
        waiting_for: Stage,
        after: Duration,
    },
    Unreachable,
    Reset,
    /// The peer closed before its answer was complete.
    ClosedEarly,
    /// The server ended TLS with this alert (RFC 8446 section 6).
    TlsAlert {
        code: u8,
    },
    Certificate {
        fault: CertificateFault,
    },
    NotTls,
    /// No version or cipher that both sides know.
    TlsIncompatible,
    /// TLS failed in another way.
    TlsBroken,
    NotHttp,
    HeaderTooLarge {
        limit_bytes: usize,
        limit_fields: usize,
    },
    BodyTooLarge {
        limit_bytes: usize,
    },
    Status {
        got: u16,
        wanted: StatusRanges,
    },
    Digest {
        got: Digest,
        wanted: Digest,
    },
    /// `regex`, or with `regex_no_match` its contrary.
    Pattern {
        matched: bool,
    },
    ScriptFailed {
        code: i32,
    },
    ScriptKilled {
        signal: i32,
    },
    /// Any other error of the connection.
    System {
        errno: i32,
    },
    Local(LocalFault),
}

/// What an outcome says about the real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// A part passed and the rest is yet to come.
    Partial,
    Fail,
    /// Nothing: the fault is ours.
    Local,
}

impl Outcome {
    pub const fn verdict(&self) -> Verdict {
        match self {
            Self::Connected
            | Self::Answered { .. }
            | Self::ScriptPassed { .. }
            | Self::Silent { .. }
            | Self::Replied { .. }
            | Self::Echoed
            | Self::DnsAnswered
            | Self::SmtpAnswered
            | Self::Serving
            | Self::SessionUp
            | Self::Filed { .. }
            | Self::Agent { usable: true, .. } => Verdict::Pass,
            Self::UrlPassed { .. } => Verdict::Partial,
            Self::Refused
            | Self::PortUnreachable
            | Self::ReplyLength { .. }
            | Self::ReplyDiffers { .. }
            | Self::DnsError { .. }
            | Self::NotSmtp { .. }
            | Self::SmtpCode { .. }
            | Self::SmtpTooLong { .. }
            | Self::Timeout { .. }
            | Self::Unreachable
            | Self::Reset
            | Self::ClosedEarly
            | Self::TlsAlert { .. }
            | Self::Certificate { .. }
            | Self::NotTls
            | Self::TlsIncompatible
            | Self::TlsBroken
            | Self::NotHttp
            | Self::HeaderTooLarge { .. }
            | Self::BodyTooLarge { .. }
            | Self::Status { .. }
            | Self::Digest { .. }
            | Self::Pattern { .. }
            | Self::ScriptFailed { .. }
            | Self::ScriptKilled { .. }
            | Self::System { .. }
            | Self::Agent { usable: false, .. }
            | Self::FiledDown { .. }
            | Self::SessionDown { .. }
            | Self::NotServing { .. }
            | Self::GrpcError { .. }
            | Self::NotGrpc
            | Self::NotHttp2 => Verdict::Fail,
            Self::Local(_) | Self::NoAgent { .. } | Self::NotAgent | Self::NoSession => Verdict::Local,
        }
    }
}

impl Outcome {
    /// The weight that it asks for.
    pub fn wish(&self) -> Option<WeightWish> {
        if let Self::Agent { wish, .. } | Self::Filed { wish, .. } = self {
            return Some(*wish);
        }
        let Self::ScriptPassed { weight: Some(weight) } = self else { return None };
        Weight::new(u32::from(*weight)).ok().map(WeightWish::Exactly)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::UrlPassed { url, of, status } => write!(f, "status {status} from url {url} of {of}"),
            Self::Answered { status } => write!(f, "status {status}, as wanted"),
            Self::ScriptPassed { weight: None } => f.write_str("script passed"),
            Self::ScriptPassed { weight: Some(weight) } => write!(f, "script passed and asks for weight {weight}"),
            Self::Agent { line, .. } => line.fmt(f),
            Self::NoAgent { because } => write!(f, "no word of the agent: {because}"),
            Self::NotAgent => f.write_str("no word of the agent: its line holds none"),
            Self::Filed { value, wish } => write!(f, "the file says {value}: weight {wish}"),
            Self::FiledDown { value } => write!(f, "the file says {value}, which is down"),
            Self::SessionUp => f.write_str("BFD session up"),
            Self::SessionDown { state, because: None } => write!(f, "BFD session {state}"),
            Self::SessionDown { state, because: Some(why) } => write!(f, "BFD session {state}: {why}"),
            Self::NoSession => f.write_str("no such BFD session is kept"),
            Self::Serving => f.write_str("serving"),
            Self::NotServing { status } => write!(f, "the server answers {status}"),
            Self::GrpcError { status } => write!(f, "the gRPC server answers {status}"),
            Self::NotGrpc => f.write_str("the answer is not gRPC"),
            Self::NotHttp2 => f.write_str("the server does not choose HTTP/2"),
            Self::Silent { after } => write!(f, "no ICMP error within {after:?}"),
            Self::Replied { bytes: 1 } => f.write_str("answered with 1 byte"),
            Self::Replied { bytes } => write!(f, "answered with {bytes} bytes"),
            Self::Echoed => f.write_str("answers pings"),
            Self::DnsAnswered => f.write_str("answered without an error"),
            Self::SmtpAnswered => f.write_str("talks SMTP"),
            Self::Refused => f.write_str("connection refused"),
            Self::PortUnreachable => f.write_str("port unreachable"),
            Self::ReplyLength { got_bytes, min_bytes, max_bytes } => {
                write!(f, "the answer has {got_bytes} bytes, wanted {min_bytes} to {max_bytes}")
            }
            Self::ReplyDiffers { offset } => write!(f, "the answer differs from the wanted one at byte {offset}"),
            Self::DnsError { code } => write!(f, "the DNS server answers {code}"),
            Self::NotSmtp { step } => write!(f, "{step} is not SMTP"),
            Self::SmtpCode { step, got, wanted } => write!(f, "code {got} in {step}, wanted {wanted}"),
            Self::SmtpTooLong { step, limit_bytes } => write!(f, "{step} exceeds {limit_bytes} bytes"),
            Self::Timeout { waiting_for, after } => write!(f, "no {waiting_for} within {after:?}"),
            Self::Unreachable => f.write_str("no route to the server"),
            Self::Reset => f.write_str("connection reset by the server"),
            Self::ClosedEarly => f.write_str("the server closed before its answer was complete"),
            Self::TlsAlert { code } => write!(f, "the server ended TLS by alert {code}{}", alert_word(*code)),
            Self::Certificate { fault } => write!(f, "the certificate {fault}"),
            Self::NotTls => f.write_str("the answer is not TLS"),
            Self::TlsIncompatible => f.write_str("no common version or cipher of TLS (1.2 and 1.3 are offered)"),
            Self::TlsBroken => f.write_str("the server breaks the rules of TLS"),
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::HeaderTooLarge { limit_bytes, limit_fields } => {
                write!(f, "the answer's header exceeds {limit_bytes} bytes or {limit_fields} fields")
            }
            Self::BodyTooLarge { limit_bytes } => write!(f, "the answer's body exceeds {limit_bytes} bytes"),
            Self::Status { got, wanted } => write!(f, "status {got}, wanted {wanted}"),
            Self::Digest { got, wanted } => write!(f, "digest {got}, wanted {wanted}"),
            Self::Pattern { matched: false } => f.write_str("the answer does not match the regex"),
            Self::Pattern { matched: true } => f.write_str("the answer matches the regex, and must not"),
            Self::ScriptFailed { code } => write!(f, "script ended with {code}"),
            Self::ScriptKilled { signal } => write!(f, "script ended by signal {signal}"),
            Self::System { errno } => write!(f, "connection failed: {}", std::io::Error::from_raw_os_error(*errno)),
            Self::Local(fault) => fault.fmt(f),
        }
    }
}

/// The alerts that a client meets (RFC 8446 appendix B.2).
const fn alert_word(code: u8) -> &'static str {
    match code {
        40 => " (handshake_failure)",
        70 => " (protocol_version)",
        71 => " (insufficient_security)",
        80 => " (internal_error)",
        109 => " (missing_extension)",
        112 => " (unrecognized_name)",
        116 => " (certificate_required)",
        120 => " (no_application_protocol)",
        _ => "",
    }
}
