//! Alert mails: to whom, and keepalived's words.
//!
//! Nothing is sent here: `io/mail.rs` does, `daemon/mailer.rs` is the task.

use std::time::Duration;

use super::words::{NotifyState, Subject};

/// Where alerts go. What is `None` is made of the host's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// A name or an address.
    pub server: String,
    pub port: u16,
    pub to: Vec<String>,
    /// `notification_email_from`.
    pub from: Option<String>,
    /// `smtp_helo_name`.
    pub helo: Option<String>,
    /// `smtp_connect_timeout`: for each step of the conversation.
    pub timeout: Duration,
    /// What stands in front of every subject.
    pub router_id: Option<String>,
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Without the router's name in front.
    pub subject: String,
    pub body: String,
}

/// An instance or a group entered a state; nothing is sent for a stop.
pub fn state(subject: Subject, name: &str, state: NotifyState, because: &str) -> Option<Mail> {
    let kind = match subject {
        Subject::Instance => "Instance",
        Subject::Group => "Group",
    };
    let owns = match state {
        NotifyState::Master => "is now owning VRRP VIPs",
        NotifyState::Backup | NotifyState::Fault => "is no longer owning VRRP VIPs",
        NotifyState::Stop | NotifyState::Deleted => return None,
    };
    Some(Mail {
        subject: format!("VRRP {kind} {name} - Entering {state} state"),
        body: format!("=> VRRP {kind} {owns} <=\n\n{because}\n"),
    })
}

/// A real server is up or down.
pub fn real_server(real_server: &str, service: &str, up: bool) -> Mail {
    let (word, said) = if up { ("UP", "succeed") } else { ("DOWN", "failed") };
    Mail {
        subject: format!("Realserver {real_server} of virtual server {service} - {word}"),
        body: format!("=> CHECK {said} on service <=\n"),
    }
}

/// A virtual server gained or lost its quorum.
pub fn service(service: &str, up: bool) -> Mail {
    let (word, said) = if up { ("UP", "has gained") } else { ("DOWN", "has lost") };
    Mail { subject: format!("Virtualserver {service} - {word}"), body: format!("=> {service} {said} its quorum <=\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_those_of_keepalived() {
        let instance = |at| state(Subject::Instance, "VI_1", at, "").map(|mail| mail.subject);
        let rows = [
            (instance(NotifyState::Master), Some("VRRP Instance VI_1 - Entering MASTER state")),
            (instance(NotifyState::Stop), None),
            (
                state(Subject::Group, "G", NotifyState::Fault, "").map(|mail| mail.subject),
                Some("VRRP Group G - Entering FAULT state"),
            ),
            (
                Some(real_server("[10.0.0.1]:tcp:80", "[10.0.0.9]:tcp:80", false).subject),
                Some("Realserver [10.0.0.1]:tcp:80 of virtual server [10.0.0.9]:tcp:80 - DOWN"),
            ),
            (Some(service("FWM 7", true).subject), Some("Virtualserver FWM 7 - UP")),
        ];
        for (got, wanted) in rows {
            assert_eq!(got.as_deref(), wanted);
        }
    }
}
