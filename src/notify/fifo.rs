//! What is written to the notify FIFOs: keepalived's lines, word for word.
//!
//! keepalived ends each line of its checkers with a NUL byte too many; here there is none.

use std::fmt;

use super::command::{Account, ScriptCommand};
use super::words::{NotifyState, Subject};

/// `notify_fifo`, `vrrp_notify_fifo` or `lvs_notify_fifo`, with its script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FifoSettings {
    pub path: String,
    /// Who owns it where we make it.
    pub account: Option<Account>,
    /// Reads it: it is started with the path as its last argument.
    pub script: Option<ScriptCommand>,
}

/// The FIFOs of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fifos {
    /// `notify_fifo`: everything.
    pub both: Option<FifoSettings>,
    pub vrrp: Option<FifoSettings>,
    pub lvs: Option<FifoSettings>,
}

/// What an instance or group tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    State(NotifyState),
    /// A MASTER heard an advert of lower priority.
    MasterRxLowerPri,
    /// The priority of a MASTER, or of any other, changed.
    MasterPriority,
    BackupPriority,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) => state.fmt(f),
            Self::MasterRxLowerPri => f.write_str("MASTER_RX_LOWER_PRI"),
            Self::MasterPriority => f.write_str("MASTER_PRIORITY"),
            Self::BackupPriority => f.write_str("BACKUP_PRIORITY"),
        }
    }
}

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Vrrp {
        subject: Subject,
        name: String,
        told: Told,
        /// 0 for groups.
        priority: u8,
    },
    /// A virtual server gained or lost its quorum; `service` as [`endpoint`] or `FWM 7` writes it.
    Service {
        service: String,
        up: bool,
    },
    RealServer {
        real_server: String,
        service: String,
        up: bool,
    },
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vrrp { subject, name, told, priority } => write!(f, "{subject} \"{name}\" {told} {priority}"),
            Self::Service { service, up } => write!(f, "VS {service} {}", word(*up)),
            Self::RealServer { real_server, service, up } => write!(f, "RS {real_server} {service} {}", word(*up)),
        }
    }
}

const fn word(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}

/// `[192.0.2.1]:tcp:80`.
pub fn endpoint(address: std::net::IpAddr, protocol: &str, port: u16) -> String {
    format!("[{address}]:{}:{port}", protocol.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_keepalived() {
        let vrrp = |subject, told, priority| Line::Vrrp { subject, name: "VI 1".to_owned(), told, priority };
        let service = endpoint("192.0.2.1".parse().unwrap(), "TCP", 80);
        let real_server = endpoint("2001:db8::2".parse().unwrap(), "TCP", 8080);
        let rows = [
            (vrrp(Subject::Instance, Told::State(NotifyState::Master), 150), "INSTANCE \"VI 1\" MASTER 150"),
            (vrrp(Subject::Group, Told::State(NotifyState::Fault), 0), "GROUP \"VI 1\" FAULT 0"),
            (vrrp(Subject::Instance, Told::MasterRxLowerPri, 150), "INSTANCE \"VI 1\" MASTER_RX_LOWER_PRI 150"),
            (vrrp(Subject::Instance, Told::MasterPriority, 130), "INSTANCE \"VI 1\" MASTER_PRIORITY 130"),
            (vrrp(Subject::Instance, Told::BackupPriority, 130), "INSTANCE \"VI 1\" BACKUP_PRIORITY 130"),
            (Line::Service { service: service.clone(), up: true }, "VS [192.0.2.1]:tcp:80 UP"),
            (Line::RealServer { real_server, service, up: false }, "RS [2001:db8::2]:tcp:8080 [192.0.2.1]:tcp:80 DOWN"),
        ];
        for (line, wanted) in rows {
            assert_eq!(line.to_string(), wanted);
        }
    }
}
