//! A command of the configuration, split into words, and how a run of it ended.
//!
//! It starts nothing: `io/script.rs` does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Between TERM and KILL of a script that had its time (keepalived's rule).
pub const KILL_AFTER: Duration = Duration::from_secs(2);
/// Bytes of output that are kept of one run; the rest is read and dropped.
pub const OUTPUT_MAX_BYTES: usize = 4096;

/// Who a script runs as, by name or number. Without a group, the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    pub user: String,
    pub group: Option<String>,
}

/// A program, its arguments, and who runs it. No shell is involved. Shared: most instances have none of their seven.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScriptCommand(Arc<Words>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Words {
    program: String,
    args: Vec<String>,
    account: Option<Account>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the command is empty")]
    Empty,
    #[error("the command holds a NUL byte")]
    Nul,
}

impl ScriptCommand {
    /// # Errors
    /// [`CommandError`] where there is no program, or a word that no program can be given.
    pub fn new(words: impl IntoIterator<Item = String>, account: Option<Account>) -> Result<Self, CommandError> {
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty()).ok_or(CommandError::Empty)?;
        let args: Vec<String> = words.collect();
        if program.contains('\0') || args.iter().any(|arg| arg.contains('\0')) {
            return Err(CommandError::Nul);
        }
        Ok(Self(Arc::new(Words { program, args, account })))
    }

    pub fn program(&self) -> &str {
        &self.0.program
    }

    pub fn args(&self) -> &[String] {
        &self.0.args
    }

    pub fn account(&self) -> Option<&Account> {
        self.0.account.as_ref()
    }
}

impl fmt::Display for ScriptCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())?;
        self.args().iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptEnd {
    Exited {
        code: i32,
    },
    Signalled {
        signal: i32,
    },
    /// Its process group got TERM; `killed` where KILL had to follow.
    TimedOut {
        after: Duration,
        killed: bool,
    },
    NotStarted {
        errno: i32,
    },
    UnknownAccount {
        name: String,
    },
    /// The system did not tell how it ended.
    Lost {
        errno: i32,
    },
}

impl ScriptEnd {
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }
}

impl fmt::Display for ScriptEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = |errno: &i32| std::io::Error::from_raw_os_error(*errno);
        match self {
            Self::Exited { code: 0 } => f.write_str("ended well"),
            Self::Exited { code } => write!(f, "ended with {code}"),
            Self::Signalled { signal } => write!(f, "ended by signal {signal}"),
            Self::TimedOut { after, killed: false } => write!(f, "did not end within {after:?}"),
            Self::TimedOut { after, killed: true } => {
                write!(f, "did not end within {after:?}, nor on TERM: killed")
            }
            Self::NotStarted { errno } => write!(f, "could not be started: {}", system(errno)),
            Self::UnknownAccount { name } => write!(f, "could not be started: no user or group `{name}`"),
            Self::Lost { errno } => write!(f, "was lost: {}", system(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_a_program() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let rows: [(&[&str], Result<&str, CommandError>); 5] = [
            (&["/bin/x", "a b", ""], Ok("/bin/x a b ")),
            (&["x"], Ok("x")),
            (&[], Err(CommandError::Empty)),
            (&["", "a"], Err(CommandError::Empty)),
            (&["x", "a\0b"], Err(CommandError::Nul)),
        ];
        for (argv, wanted) in rows {
            let got = ScriptCommand::new(words(argv), None).map(|command| command.to_string());
            assert_eq!(got, wanted.map(str::to_owned), "{argv:?}");
        }
    }
}
