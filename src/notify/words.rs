//! The words that notify scripts get, exactly as keepalived gives them.
//!
//! `daemon/` makes a [`Notice`] from what VRRP did; what is run for it is decided here.

use std::fmt;
use std::time::Duration;

use super::command::ScriptCommand;

/// Time for a notify script, except at stop. keepalived has no limit; here the next state waits for it.
pub const NOTIFY_LIMIT: Duration = Duration::from_mins(1);
/// Time for the scripts of `STOP` (keepalived's rule).
pub const STOP_LIMIT: Duration = Duration::from_secs(1);

/// What the notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Instance,
    Group,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instance => "INSTANCE",
            Self::Group => "GROUP",
        })
    }
}

/// The states that keepalived users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotifyState {
    Master,
    Backup,
    Fault,
    Stop,
    /// Removed by a reload: told as FAULT unless `notify_deleted` is set.
    Deleted,
}

impl fmt::Display for NotifyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
        })
    }
}

/// An instance or group entered a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub subject: Subject,
    pub name: String,
    pub state: NotifyState,
    /// The priority in force, 0 to 255; a group tells 0 whatever this is.
    pub priority: u8,
}

/// `notify_deleted`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnDeletion {
    #[default]
    TellFault,
    TellDeleted(Option<ScriptCommand>),
}

/// The notify commands of an instance or group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateScripts {
    pub master: Option<ScriptCommand>,
    pub backup: Option<ScriptCommand>,
    pub fault: Option<ScriptCommand>,
    pub stop: Option<ScriptCommand>,
    /// `notify_master_rx_lower_pri`: run as it is.
    pub lower_prio: Option<ScriptCommand>,
    pub deleted: OnDeletion,
    /// `notify`: run on every state, with four more arguments.
    pub every: Option<ScriptCommand>,
}

/// One command to run, with the arguments that follow its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    pub command: ScriptCommand,
    pub extra: Vec<String>,
    pub limit: Duration,
}

impl Invocation {
    /// As the configuration gives it: `notify_up`, `notify_down`, `quorum_up`, `quorum_down`.
    pub const fn plain(command: ScriptCommand) -> Self {
        Self { command, extra: vec![], limit: NOTIFY_LIMIT }
    }
}

impl StateScripts {
    /// The word of a state: one that is removed may be told as FAULT.
    pub const fn told(&self, state: NotifyState) -> NotifyState {
        match (state, &self.deleted) {
            (NotifyState::Deleted, OnDeletion::TellFault) => NotifyState::Fault,
            (state, OnDeletion::TellFault | OnDeletion::TellDeleted(_)) => state,
        }
    }

    /// The commands of one notice: that of the state, then `notify`.
    pub fn invocations(&self, notice: &Notice) -> Vec<Invocation> {
        let state = self.told(notice.state);
        let own = match state {
            NotifyState::Master => self.master.as_ref(),
            NotifyState::Backup => self.backup.as_ref(),
            NotifyState::Fault => self.fault.as_ref(),
            NotifyState::Stop => self.stop.as_ref(),
            NotifyState::Deleted => match &self.deleted {
                OnDeletion::TellDeleted(command) => command.as_ref(),
                OnDeletion::TellFault => None,
            },
        };
        let limit = if state == NotifyState::Stop { STOP_LIMIT } else { NOTIFY_LIMIT };
        let own = own.map(|command| Invocation { command: command.clone(), extra: vec![], limit });
        let every = self.every.as_ref().map(|command| {
            let priority = match notice.subject {
                Subject::Instance => notice.priority,
                Subject::Group => 0,
            };
            let extra = vec![notice.subject.to_string(), notice.name.clone(), state.to_string(), priority.to_string()];
            Invocation { command: command.clone(), extra, limit }
        });
        own.into_iter().chain(every).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = (&'a str, &'a StateScripts, (Subject, NotifyState), &'a [&'a str]);

    fn script(line: &str) -> ScriptCommand {
        ScriptCommand::new(line.split(' ').map(str::to_owned), None).unwrap()
    }

    #[test]
    fn each_state_runs_its_own_command_and_then_notify_with_four_more_words() {
        let all = StateScripts {
            master: Some(script("/m -x")),
            backup: Some(script("/b")),
            fault: Some(script("/f")),
            stop: Some(script("/s")),
            lower_prio: None,
            deleted: OnDeletion::TellFault,
            every: Some(script("/n arg")),
        };
        let telling = StateScripts { deleted: OnDeletion::TellDeleted(Some(script("/d"))), ..all.clone() };
        let mute = StateScripts { deleted: OnDeletion::TellDeleted(None), ..StateScripts::default() };
        let only = StateScripts { every: Some(script("/n")), ..StateScripts::default() };
        let instance = |state| (Subject::Instance, state);
        let rows: [Row; 9] = [
            ("master", &all, instance(NotifyState::Master), &["/m -x", "/n arg INSTANCE VI 1 MASTER 150"]),
            ("backup", &all, instance(NotifyState::Backup), &["/b", "/n arg INSTANCE VI 1 BACKUP 150"]),
            ("fault", &all, instance(NotifyState::Fault), &["/f", "/n arg INSTANCE VI 1 FAULT 150"]),
            ("stop", &all, instance(NotifyState::Stop), &["/s", "/n arg INSTANCE VI 1 STOP 150"]),
            ("removed", &all, instance(NotifyState::Deleted), &["/f", "/n arg INSTANCE VI 1 FAULT 150"]),
            ("told", &telling, instance(NotifyState::Deleted), &["/d", "/n arg INSTANCE VI 1 DELETED 150"]),
            ("nothing set", &mute, instance(NotifyState::Deleted), &[]),
            ("notify alone", &only, instance(NotifyState::Master), &["/n INSTANCE VI 1 MASTER 150"]),
            ("a group", &only, (Subject::Group, NotifyState::Backup), &["/n GROUP VI 1 BACKUP 0"]),
        ];
        for (name, scripts, (subject, state), wanted) in rows {
            let notice = Notice { subject, name: "VI 1".to_owned(), state, priority: 150 };
            let invocations = scripts.invocations(&notice);
            let line = |run: &Invocation| [vec![run.command.to_string()], run.extra.clone()].concat().join(" ");
            assert_eq!(invocations.iter().map(line).collect::<Vec<_>>(), wanted, "{name}");
            assert!(invocations.iter().all(|run| run.extra.len() % 4 == 0), "{name}: a name is one word");
            let limit = if state == NotifyState::Stop { STOP_LIMIT } else { NOTIFY_LIMIT };
            assert!(invocations.iter().all(|run| run.limit == limit), "{name}");
        }
    }
}
