//! `MISC_CHECK`: a script that tells.

use std::time::Duration;

use super::{empty, incomplete, shared};
use crate::config::model::{Checker, CheckerKind, MiscCheck};
use crate::config::problem::Problem;
use crate::config::read::command;
use crate::config::read::value::number;
use crate::config::tree::Statement;

const TIMEOUT_MAX_S: i64 = 4294;

/// The check; `None` where no script is named.
pub fn read(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<Checker> {
    let mut checker = empty(block, CheckerKind::Tcp);
    let mut path = None;
    let mut named = false;
    let (mut timeout, mut dynamic, mut user) = (None, false, None);
    for inner in block.statements() {
        match inner.keyword.text {
            "misc_path" => {
                named = true;
                path = command::alone(problems, inner);
            }
            "misc_timeout" => {
                timeout = number(problems, inner, 0, 0..=TIMEOUT_MAX_S, "seconds").map(Duration::from_secs);
            }
            "misc_dynamic" => dynamic = true,
            "user" => user = command::user(inner),
            _ => {
                shared(inner, &mut checker, problems);
            }
        }
    }
    let Some(mut command) = path else {
        if !named {
            problems.push(incomplete(block, "misc_path"));
        }
        return None;
    };
    command.user = user;
    // keepalived takes 0 for the period of the check.
    let timeout = timeout.filter(|timeout| !timeout.is_zero());
    Some(Checker { kind: CheckerKind::Misc(Box::new(MiscCheck { command, timeout, dynamic })), ..checker })
}
