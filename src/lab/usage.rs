//! What processes cost: CPU time and memory, as `/proc` has it.
#![expect(clippy::disallowed_methods, reason = "what a process costs is a file")]

use std::fs;
use std::time::Duration;

use nix::unistd::{Pid, SysconfVar, sysconf};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system, of all threads.
    pub cpu: Duration,
    /// Proportional set size: what is shared counts by its share.
    pub memory_kib: u64,
    /// Of it, what no file has: heap and stacks. The rest is programs and libraries, which the page cache holds anyway.
    pub anonymous_kib: u64,
}

impl Usage {
    /// Of all together; one that has ended costs nothing.
    pub fn of(processes: &[Pid]) -> Self {
        let mut sum = Self::default();
        for pid in processes {
            let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            sum.cpu += cpu(&read("stat"), ticks_per_second()).unwrap_or_default();
            let rollup = read("smaps_rollup");
            sum.memory_kib += memory(&rollup, "Pss:").unwrap_or_default();
            sum.anonymous_kib += memory(&rollup, "Pss_Anon:").unwrap_or_default();
        }
        sum
    }

    /// The CPU time since `before`, the memory of now.
    #[must_use]
    pub fn since(self, before: &Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(before.cpu), ..self }
    }
}

fn ticks_per_second() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    ticks.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// `utime` and `stime` of `/proc/PID/stat`; the name before them may contain blanks.
fn cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_micros(ticks * 1_000_000 / ticks_per_second))
}

/// `Pss:  123 kB` of `/proc/PID/smaps_rollup`.
fn memory(rollup: &str, field: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_read() {
        let stat = "12 (a b) c) S 1 12 12 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 3 0 100 1000 200";
        assert_eq!(cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(cpu("12 (x) S", 100), None);
        let rollup = "55d-7ff ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  4321 kB\nPss_Anon:    77 kB\n";
        assert_eq!(memory(rollup, "Pss:"), Some(4321));
        assert_eq!(memory(rollup, "Pss_Anon:"), Some(77));
        assert_eq!(memory(rollup, "Pss_File:"), None);
    }

    #[test]
    fn this_process_costs_something() {
        let usage = Usage::of(&[Pid::this()]);
        assert!(usage.anonymous_kib > 0 && usage.memory_kib > usage.anonymous_kib, "{usage:?}");
    }
}
