//! `notify_*` of an instance or a sync group.

use super::command;
use super::value::flag;
use crate::config::model::{Command, Notify, OnDeletion};
use crate::config::problem::{Problem, Severity};
use crate::config::tree::Statement;

/// Read the statement if it is one of them; false: it is another.
pub fn read(statement: &Statement<'_>, notify: &mut Notify, problems: &mut Vec<Problem>) -> bool {
    let place = match statement.keyword.text {
        "notify_master" => &mut notify.master,
        "notify_backup" => &mut notify.backup,
        "notify_fault" => &mut notify.fault,
        "notify_stop" => &mut notify.stop,
        "notify" => &mut notify.any,
        "notify_master_rx_lower_pri" => &mut notify.lower_prio,
        "notify_deleted" => {
            let command = if statement.arg(0).is_some() { command::notify(problems, statement) } else { None };
            notify.deleted = OnDeletion::Deleted(command.map(Box::new));
            return true;
        }
        "smtp_alert" => {
            notify.mail = flag(problems, statement);
            return true;
        }
        "notify_priority_changes" => {
            notify.priority_changes = flag(problems, statement);
            return true;
        }
        _ => return false,
    };
    first_only(place, statement, problems);
    true
}

/// Keep the first command of a kind, and complain about another.
pub fn first_only(place: &mut Option<Box<Command>>, statement: &Statement<'_>, problems: &mut Vec<Problem>) {
    let Some(command) = command::notify(problems, statement) else { return };
    match place {
        None => *place = Some(Box::new(command)),
        Some(first) => {
            let keyword = statement.keyword.text;
            problems.push(
                Problem::new(
                    "script-given-twice",
                    Severity::Error,
                    statement.at(),
                    format!("`{keyword}` is given already, and this one is left out"),
                )
                .label("left out")
                .help("one script can do both")
                .related(first.at, "this one is kept"),
            );
        }
    }
}
