//! One run of a script: own process group, own account, a time limit, bounded output.
//!
//! It decides nothing about when or why. Dropping the future kills the script with all that it has started.
#![expect(clippy::disallowed_methods, reason = "this is where scripts are started")]

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Group, Pid, Uid, User};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::family::Family;
use crate::notify::command::{Account, KILL_AFTER, OUTPUT_MAX_BYTES, ScriptCommand, ScriptEnd};

/// After KILL the kernel ends a process at once, unless it hangs in the kernel itself.
const REAP_WITHIN: Duration = Duration::from_secs(1);
/// What a script run by us must not inherit (keepalived's list).
const NOT_INHERITED: [&str; 3] = ["IFS", "LD_PRELOAD", "LD_LIBRARY_PATH"];

/// What becomes of standard output and standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Discard,
    /// The first [`OUTPUT_MAX_BYTES`] of both are kept.
    Keep,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    pub end: ScriptEnd,
    /// What was kept of its output, made readable.
    pub output: String,
    /// Its output when a process that it left behind still holds it.
    pub leftover: Option<Leftover>,
}

/// Output that somebody may still write to. Dropping it makes the next write fail, and the writer die.
#[derive(Debug)]
pub struct Leftover(Receiver);

impl Leftover {
    /// Read and drop until every writer is gone.
    pub async fn drain(mut self) {
        let mut piece = [0; 1024];
        while self.0.read(&mut piece).await.is_ok_and(|read| read > 0) {}
    }
}

/// Run `command` with `extra` after its own arguments, for `limit` at most: then TERM to it and all that it has started, and
/// KILL 2 s later.
pub async fn run(command: &ScriptCommand, extra: &[String], limit: Duration, output: Output) -> Run {
    let failed = |end| Run { end, output: String::new(), leftover: None };
    let ids = match resolve(command.account(), limit).await {
        Ok(ids) => ids,
        Err(end) => return failed(end),
    };
    match spawn(command, extra, ids, output) {
        Ok((child, pipe)) => follow(child, pipe, limit).await,
        Err(error) => failed(ScriptEnd::NotStarted { errno: error.raw_os_error().unwrap_or(0) }),
    }
}

/// User and group to run as.
type Ids = (u32, u32);

/// Who runs the scripts of a root that names nobody, where the host has this account (keepalived.conf(5), `script_user`).
const DEFAULT_USER: &str = "keepalived_script";

/// The account's numbers; `None`: ourselves. Name services may block, so they are asked on a thread that may.
async fn resolve(account: Option<&Account>, limit: Duration) -> Result<Option<Ids>, ScriptEnd> {
    let account = account.cloned();
    let found = move || match account {
        Some(account) => look_up(&account).map(Some),
        None if Uid::effective().is_root() => Ok(look_up(&Account { user: DEFAULT_USER.to_owned(), group: None }).ok()),
        None => Ok(None),
    };
    match timeout(limit, spawn_blocking(found)).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(ScriptEnd::NotStarted { errno: libc::EIO }),
        Err(_) => Err(ScriptEnd::TimedOut { after: limit, killed: false }),
    }
}

pub(super) fn look_up(account: &Account) -> Result<Ids, ScriptEnd> {
    let unknown = |name: &str| ScriptEnd::UnknownAccount { name: name.to_owned() };
    let user = User::from_name(&account.user).ok().flatten();
    let uid = user.as_ref().map(|user| user.uid.as_raw()).or_else(|| account.user.parse().ok());
    let uid = uid.ok_or_else(|| unknown(&account.user))?;
    let gid = match (&account.group, user) {
        (None, Some(user)) => user.gid.as_raw(),
        (None, None) => uid,
        (Some(name), _) => {
            let group = Group::from_name(name).ok().flatten();
            let gid = group.map(|group| group.gid.as_raw()).or_else(|| name.parse().ok());
            gid.ok_or_else(|| unknown(name))?
        }
    };
    Ok((uid, gid))
}

fn spawn(
    command: &ScriptCommand,
    extra: &[String],
    ids: Option<Ids>,
    output: Output,
) -> io::Result<(Child, Option<Receiver>)> {
    let start = |program: &str, script: Option<&str>| {
        let mut process = Command::new(program);
        process.args(script).args(command.args()).args(extra).stdin(Stdio::null()).process_group(0);
        for name in NOT_INHERITED {
            process.env_remove(name);
        }
        if let Some((uid, gid)) = ids {
            process.uid(uid).gid(gid);
        }
        let pipe = match output {
            Output::Discard => {
                process.stdout(Stdio::null()).stderr(Stdio::null());
                None
            }
            Output::Keep => {
                let (reader, writer) = io::pipe()?;
                process.stdout(writer.try_clone()?).stderr(writer);
                Some(Receiver::from_owned_fd(OwnedFd::from(reader))?)
            }
        };
        process.spawn().map(|child| (child, pipe))
    };
    match start(command.program(), None) {
        // A file without `#!`: keepalived hands it to the shell, as execvp(3) would.
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => start("/bin/sh", Some(command.program())),
        started => started,
    }
}

/// A script that runs, with all that it starts. Dropped before it has ended, it takes them along.
struct Tree {
    /// Of the script, and the number of its process group.
    leader: Option<Pid>,
    /// What it had started when it was signalled: without it, nobody finds them.
    family: Family,
}

impl Tree {
    fn of(child: &Child) -> Self {
        let leader = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        Self { leader, family: Family::default() }
    }

    /// Find what it has started, as long as it is there itself.
    fn look(&mut self) {
        if let Some(leader) = self.leader {
            self.family.join(Family::of(leader));
        }
    }

    /// What is gone already needs no signal.
    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            killpg(leader, signal).ok();
            self.family.signal(signal);
        }
    }

    /// The leader has ended by itself; what it left behind is meant to stay.
    fn release(&mut self) {
        self.leader = None;
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.look();
        self.signal(Signal::SIGKILL);
    }
}

async fn follow(mut child: Child, mut pipe: Option<Receiver>, limit: Duration) -> Run {
    let mut tree = Tree::of(&child);
    let mut kept = vec![];
    let end = match timeout(limit, read_until_ended(&mut child, &mut pipe, &mut kept)).await {
        Ok(Ok(status)) => {
            tree.release();
            ended(status)
        }
        Ok(Err(error)) => ScriptEnd::Lost { errno: error.raw_os_error().unwrap_or(0) },
        Err(_) => {
            tree.look();
            tree.signal(Signal::SIGTERM);
            let killed = timeout(KILL_AFTER, child.wait()).await.is_err();
            if killed {
                tree.look();
            }
            // Also where the leader obeyed: what it started may not have.
            tree.signal(Signal::SIGKILL);
            if !killed || timeout(REAP_WITHIN, child.wait()).await.is_ok() {
                tree.release();
            }
            ScriptEnd::TimedOut { after: limit, killed }
        }
    };
    let leftover = pipe.and_then(|pipe| read_the_rest(pipe, &mut kept));
    Run { end, output: String::from_utf8_lossy(&kept).into_owned(), leftover }
}

async fn read_until_ended(
    child: &mut Child,
    pipe: &mut Option<Receiver>,
    kept: &mut Vec<u8>,
) -> io::Result<ExitStatus> {
    let mut piece = [0; 4096];
    loop {
        let Some(open) = pipe else { return child.wait().await };
        tokio::select! {
            status = child.wait() => return status,
            read = open.read(&mut piece) => match read {
                Ok(read) if read > 0 => keep(kept, piece.get(..read).unwrap_or_default()),
                Ok(_) | Err(_) => *pipe = None,
            },
        }
    }
}

/// What the pipe holds now, without waiting; the pipe itself where a writer is left.
fn read_the_rest(pipe: Receiver, kept: &mut Vec<u8>) -> Option<Leftover> {
    let mut piece = [0; 4096];
    loop {
        match nix::unistd::read(pipe.as_fd(), &mut piece) {
            Ok(0) => return None,
            Ok(read) if kept.len() < OUTPUT_MAX_BYTES => keep(kept, piece.get(..read).unwrap_or_default()),
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return Some(Leftover(pipe)),
        }
    }
}

fn keep(kept: &mut Vec<u8>, piece: &[u8]) {
    let room = OUTPUT_MAX_BYTES.saturating_sub(kept.len());
    kept.extend(piece.iter().take(room));
}

fn ended(status: ExitStatus) -> ScriptEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => ScriptEnd::Exited { code },
        (None, Some(signal)) => ScriptEnd::Signalled { signal },
        (None, None) => ScriptEnd::Lost { errno: 0 },
    }
}
