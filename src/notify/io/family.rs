//! What a process has started, and what those have: those with a session of their own too, which no signal to the process
//! group reaches.
//!
//! One that its parent has outlived already, as a daemon arranges for itself, belongs to nobody here.
#![expect(clippy::disallowed_methods, reason = "the kernel tells of processes in files")]

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A script that has started more loses what is past that.
const MEMBERS_MAX: usize = 4096;

/// Processes as they were when they were looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Family(Vec<Member>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    pid: Pid,
    /// When it began, in clock ticks: another process that has its number by now is not meant.
    began: u64,
}

impl Family {
    /// Those that descend from `ancestor`, without it.
    pub(super) fn of(ancestor: Pid) -> Self {
        let mut members: Vec<Member> = vec![];
        let mut parents = vec![ancestor];
        while let Some(parent) = parents.pop() {
            for pid in children(parent) {
                if members.len() < MEMBERS_MAX
                    && let Some(began) = began(pid)
                {
                    members.push(Member { pid, began });
                    parents.push(pid);
                }
            }
        }
        Self(members)
    }

    pub(super) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Those that are gone need no signal.
    pub(super) fn signal(&self, signal: Signal) {
        for member in self.0.iter().filter(|member| began(member.pid) == Some(member.began)) {
            kill(member.pid, signal).ok();
        }
    }
}

/// Those that it, or one of its threads, has started; none where the kernel does not tell (`CONFIG_PROC_CHILDREN`).
fn children(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let told = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    told.flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .map(Pid::from_raw)
        .collect()
}

/// Field 22 of `/proc/PID/stat` (proc(5)); the second one is a name that may hold anything.
fn began(pid: Pid) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = line.rsplit_once(") ")?;
    after_name.split(' ').nth(19)?.parse().ok()
}
