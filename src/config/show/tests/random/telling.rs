//! Who is told of what: scripts, mails, FIFOs.

use std::time::Duration;

use super::Choices;
use crate::config::model::*;

impl Choices<'_> {
    pub(super) fn notify(&mut self) -> Notify {
        Notify {
            master: self.maybe(|choose| Box::new(choose.command(true))),
            backup: self.maybe(|choose| Box::new(choose.command(true))),
            fault: self.maybe(|choose| Box::new(choose.command(true))),
            stop: self.maybe(|choose| Box::new(choose.command(true))),
            any: self.maybe(|choose| Box::new(choose.command(true))),
            lower_prio: None,
            deleted: OnDeletion::Fault,
            priority_changes: self.maybe(Self::yes),
            mail: self.maybe(Self::yes),
        }
    }

    pub(super) fn mail(&mut self) -> Mail {
        let server = self.maybe(|choose| choose.of(&["192.0.2.25", "mail.example.org"]).to_owned());
        Mail {
            to: self.maybe(|_| vec!["a@example.org".to_owned(), "b@example.org".to_owned()]).unwrap_or_default(),
            from: self.maybe(|_| "vipd@example.org".to_owned()),
            port: server.is_some().then(|| self.maybe(|choose| choose.of(&[25, 65_535]))).flatten(),
            server,
            helo: self.maybe(|_| "lb1".to_owned()),
            timeout: self.maybe(|_| std::time::Duration::from_secs(7)),
            alert: self.maybe(Self::yes),
            alert_vrrp: self.maybe(Self::yes),
            alert_checker: self.maybe(Self::yes),
            no_faults: self.seldom(),
        }
    }

    pub(super) fn host_script(&mut self) -> HostScript {
        HostScript {
            command: self.maybe(|choose| Box::new(choose.command(true))),
            timeout: self.maybe(|choose| Duration::from_secs(choose.of(&[1, 1000]))),
        }
    }

    pub(super) fn fifo(&mut self) -> NotifyFifo {
        let path = self.maybe(|choose| choose.of(&["/run/fifo", "/run/a fifo"]).to_owned());
        let owner = path.is_some().then(|| self.maybe(Self::user)).flatten();
        NotifyFifo { path, owner, script: self.maybe(|choose| Box::new(choose.command(true))) }
    }

    pub(super) fn extra_garp(&mut self) -> ExtraGarp {
        ExtraGarp { all: self.yes(), interval: self.of(&[Duration::from_secs(1), Duration::from_hours(24)]) }
    }
}
