//! The check blocks of a real server; HTTP's own parts are in `http.rs`.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use super::{CheckDefaults, Command, GrpcCheck, HttpCheck, HttpsCheck, TrackEntry, hexadecimal, seconds};
use crate::base::{DnsName, HeloName, IfName, Pattern, RecordType};
use crate::config::source::Span;

/// One check block of a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checker {
    #[serde(skip)]
    pub at: Span,
    pub kind: CheckerKind,
    pub check: CheckDefaults,
    /// `connect_ip`, `connect_port`: instead of the real server's own.
    pub connect_ip: Option<IpAddr>,
    pub connect_port: Option<u16>,
    pub bind_ip: Option<IpAddr>,
    pub bind_port: Option<u16>,
    pub bind_if: Option<IfName>,
    pub fwmark: Option<NonZeroU32>,
    /// `None`: the real server's.
    pub alpha: Option<bool>,
    /// `None`: `checker_log_all_failures`.
    pub log_all_failures: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum CheckerKind {
    Tcp,
    Http(Box<HttpCheck>),
    Https(Box<HttpsCheck>),
    Misc(Box<MiscCheck>),
    /// `SMTP_CHECK`; each `host` block of one is a check of its own.
    Smtp {
        helo: HeloName,
    },
    Dns(DnsCheck),
    Udp(Box<UdpCheck>),
    Ping,
    /// `AGENT_CHECK`; what is said first.
    Agent {
        send: Option<String>,
    },
    Grpc(Box<GrpcCheck>),
    /// `FILE_CHECK`: the `track_file`, and a weight in place of its own.
    File(TrackEntry),
    /// `BFD_CHECK`: the `bfd_instance`.
    Bfd {
        session: String,
        #[serde(skip)]
        at: Span,
    },
}

/// `DNS_CHECK`: by default the SOA record of the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DnsCheck {
    pub name: DnsName,
    pub record: RecordType,
}

/// `UDP_CHECK`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UdpCheck {
    /// `None`: keepalived's 32 bytes, or ours.
    #[serde(serialize_with = "hexadecimal")]
    pub payload: Option<Vec<u8>>,
    /// `require_reply`.
    pub reply_required: bool,
    /// What the reply begins with.
    pub reply: Option<Pattern>,
    pub reply_min_bytes: Option<u16>,
    pub reply_max_bytes: Option<u16>,
}

impl UdpCheck {
    /// keepalived's `max_reply_length` where there is none.
    pub const REPLY_MAX_BYTES: u16 = 255;
}

/// `MISC_CHECK`: exit status 0 is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MiscCheck {
    pub command: Command,
    /// `misc_timeout`; `None`: the period of the check.
    #[serde(serialize_with = "seconds")]
    pub timeout: Option<Duration>,
    /// `misc_dynamic`: exit status 2 to 255 sets the weight to it less 2.
    pub dynamic: bool,
}
