//! What a command line asks for, and how it is refused.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::lvs::table::{ServiceKey, Step};
use crate::lvs::view::Listing;

const TRY_HELP: &str = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";

/// `-n`: whether addresses and ports are printed as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    Numbers,
    Names,
}

/// What `-L` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// All services, or one of them.
    Services {
        service: Option<ServiceKey>,
        listing: Listing,
        sorted: bool,
    },
    /// `-c`, with `--persistent-conn` the persistence engine's data too.
    Connections {
        engine: bool,
    },
    Timeouts,
    Daemons,
}

/// One command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Change(Change),
    List {
        what: Listed,
        spelling: Spelling,
    },
    Save {
        spelling: Spelling,
    },
    /// Lines of standard input are command lines.
    Restore,
    Help,
    Version,
}

/// What changes a plane. A step is strict here: adding what is there is refused, so is editing what is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    Step(Step),
    Clear,
    Zero(Option<ServiceKey>),
    Set(Timeouts),
    StartDaemon(SyncDaemon),
    StopDaemon(SyncRole),
}

/// `--set tcp tcpfin udp`, in seconds; in a request 0 leaves the value as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    pub tcp_s: u32,
    pub tcp_fin_s: u32,
    pub udp_s: u32,
}

impl Timeouts {
    /// Of a plane that nobody told others (`tcp_timeouts`, `ip_vs_proto_tcp.c`; `udp_timeouts`, `ip_vs_proto_udp.c`).
    pub const DEFAULT: Self = Self { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 };
}

/// Which of the kernel's two sync daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncRole {
    Master,
    Backup,
}

/// A sync daemon of IPVS; 0 and `None` stand for the kernel's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemon {
    pub role: SyncRole,
    pub interface: String,
    pub sync_id: u8,
    /// Bytes of a message.
    pub max_len: u16,
    pub group: Option<IpAddr>,
    pub port: u16,
    pub ttl: u8,
}

/// Why a command is not carried out: what stderr says, and the exit status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub text: String,
    pub status: u8,
}

impl Refusal {
    /// ipvsadm's own complaint.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 2 }
    }

    /// What the kernel refuses: ipvsadm ends with -1.
    pub fn kernel(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 255 }
    }

    /// A command line that is none.
    pub fn try_help() -> Self {
        Self::kernel(TRY_HELP)
    }

    /// Whether a line of a restore that is refused so ends it: ipvsadm exits, or goes on with the next line.
    pub fn ends_restore(&self) -> bool {
        self.status == 2 || self.text == TRY_HELP
    }

    /// What no ipvsadm knows of: a plane's limits, a daemon that does not answer.
    pub fn ours(text: impl Into<String>) -> Self {
        Self { text: text.into(), status: 1 }
    }
}
