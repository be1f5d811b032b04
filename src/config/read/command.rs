//! Commands: `notify "PROGRAM ARGUMENTS" [USER [GROUP]]`, `script "PROGRAM ARGUMENTS"`.

use crate::config::command::split_command;
use crate::config::model::{Command, ScriptUser};
use crate::config::problem::{Problem, Severity};
use crate::config::tree::Statement;

/// A command after which a user and a group may stand.
pub fn notify(problems: &mut Vec<Problem>, statement: &Statement<'_>) -> Option<Command> {
    let (mut command, trailing) = split(problems, statement)?;
    let mut trailing = trailing.into_iter();
    command.user = trailing.next().map(|user| ScriptUser { user, group: trailing.next() });
    Some(command)
}

/// A command after which nothing may stand: what does is dropped, and the command runs without it.
pub fn alone(problems: &mut Vec<Problem>, statement: &Statement<'_>) -> Option<Command> {
    let (command, trailing) = split(problems, statement)?;
    if !trailing.is_empty() {
        let (program, dropped) = (command.argv.join(" "), trailing.join(" "));
        problems.push(
            Problem::new(
                "script-arguments-dropped",
                Severity::Warning,
                statement.at(),
                format!("`{program}` runs without `{dropped}`"),
            )
            .label("only the first word is the command")
            .help(format!("quote the whole command: {} \"{program} {dropped}\"", statement.keyword.text)),
        );
    }
    Some(command)
}

/// A `user USER [GROUP]` statement.
pub fn user(statement: &Statement<'_>) -> Option<ScriptUser> {
    let user = statement.arg(0)?.text.to_owned();
    Some(ScriptUser { user, group: statement.arg(1).map(|word| word.text.to_owned()) })
}

fn split(problems: &mut Vec<Problem>, statement: &Statement<'_>) -> Option<(Command, Vec<String>)> {
    // Without a word the schema has said so already.
    let first = statement.arg(0)?;
    match split_command(statement.rest) {
        Ok(split) if split.argv.first().is_some_and(|program| !program.is_empty()) => {
            Some((Command { argv: split.argv, user: None, at: statement.at() }, split.trailing))
        }
        Ok(_) => {
            let message = format!("`{}` names no program", statement.keyword.text);
            problems.push(Problem::new("empty-command", Severity::Error, first.at, message).label("empty"));
            None
        }
        Err(error) => {
            problems.push(Problem::new("bad-command", Severity::Error, statement.at(), error.to_string()));
            None
        }
    }
}
