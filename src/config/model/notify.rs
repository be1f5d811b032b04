//! Who is told of what happens: scripts, FIFOs, mails.

use std::time::Duration;

use serde::Serialize;

use super::{Command, ScriptUser, seconds};

/// `notify_*` of an instance or a sync group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notify {
    pub master: Option<Box<Command>>,
    pub backup: Option<Box<Command>>,
    pub fault: Option<Box<Command>>,
    pub stop: Option<Box<Command>>,
    /// `notify`: gets type, name, state and priority as arguments.
    pub any: Option<Box<Command>>,
    /// `notify_master_rx_lower_pri`.
    pub lower_prio: Option<Box<Command>>,
    /// `notify_deleted`.
    pub deleted: OnDeletion,
    /// `notify_priority_changes`; `None`: the sync group's, then the global one.
    pub priority_changes: Option<bool>,
    /// `smtp_alert`; `None`: the global ones, off at last.
    pub mail: Option<bool>,
}

/// `notify_deleted [COMMAND]`: what an instance that a reload removes tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum OnDeletion {
    #[default]
    Fault,
    Deleted(Option<Box<Command>>),
}

/// `startup_script` or `shutdown_script`: run once, before anything is started or after all of it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostScript {
    pub command: Option<Box<Command>>,
    /// `startup_script_timeout`, `shutdown_script_timeout`; 10 s where none is given.
    #[serde(serialize_with = "seconds")]
    pub timeout: Option<Duration>,
}

/// Alert mails: `notification_email` and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mail {
    pub to: Vec<String>,
    /// `notification_email_from`.
    pub from: Option<String>,
    /// `smtp_server ADDRESS|HOST [PORT]`; without it no mail is sent.
    pub server: Option<String>,
    pub port: Option<u16>,
    /// `smtp_helo_name`.
    pub helo: Option<String>,
    /// `smtp_connect_timeout`; 30 s where none is given.
    #[serde(serialize_with = "seconds")]
    pub timeout: Option<Duration>,
    /// `smtp_alert`: for all that does not say otherwise.
    pub alert: Option<bool>,
    /// `smtp_alert_vrrp`.
    pub alert_vrrp: Option<bool>,
    /// `smtp_alert_checker`.
    pub alert_checker: Option<bool>,
    /// `no_email_faults`.
    pub no_faults: bool,
}

/// `notify_fifo`, `vrrp_notify_fifo` or `lvs_notify_fifo`, and its script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NotifyFifo {
    pub path: Option<String>,
    pub owner: Option<ScriptUser>,
    pub script: Option<Box<Command>>,
}
