//! Tracked processes: which ones are meant, and whether enough of them run. Reading `/proc` is `io/process.rs`.

use std::time::Duration;

use crate::base::MonoTime;

/// The longest name of a program that the kernel keeps (`TASK_COMM_LEN` of `linux/sched.h`, less its end).
const NAME_MAX: usize = 15;

/// Which processes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// A path, or the name of a program.
    pub program: String,
    pub arguments: Vec<String>,
    pub comparison: Comparison,
    /// The command line counts, and not the name of the program.
    pub full_command: bool,
}

/// How arguments are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Any,
    /// All of them, and no other.
    Exact,
    /// The last one may be longer, and more may follow.
    Initial,
    /// More may follow.
    Partial,
}

/// What `/proc` tells of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// `comm`: the name of the program, at most 15 bytes.
    pub name: Vec<u8>,
    /// `cmdline`; empty for threads of the kernel, and where it is not read.
    pub argv: Vec<Vec<u8>>,
}

impl Pattern {
    /// Whether the command line has to be read at all.
    pub fn needs_command_line(&self) -> bool {
        self.full_command || self.comparison != Comparison::Any || self.program.contains('/')
    }

    pub fn matches(&self, process: &Running) -> bool {
        if !self.needs_command_line() {
            let wanted = self.program.as_bytes();
            return process.name == wanted.get(..NAME_MAX).unwrap_or(wanted);
        }
        let Some((program, arguments)) = process.argv.split_first() else { return false };
        program == self.program.as_bytes() && self.arguments_match(arguments)
    }

    fn arguments_match(&self, given: &[Vec<u8>]) -> bool {
        let wanted = &self.arguments;
        let same = |(wanted, given): (&String, &Vec<u8>)| wanted.as_bytes() == given.as_slice();
        match self.comparison {
            Comparison::Any => true,
            Comparison::Exact => wanted.len() == given.len() && wanted.iter().zip(given).all(same),
            Comparison::Partial => wanted.len() <= given.len() && wanted.iter().zip(given).all(same),
            Comparison::Initial => {
                let Some((last, before)) = wanted.split_last() else { return true };
                let at_last = given.get(before.len()).is_some_and(|given| given.starts_with(last.as_bytes()));
                at_last && before.iter().zip(given).all(same)
            }
        }
    }
}

/// How many have to run, and how long a change has to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At least so many; without meaning where `most` is 0.
    pub least: u16,
    /// At most so many; 0: none may run.
    pub most: Option<u16>,
    /// After processes ended.
    pub terminate_delay: Duration,
    /// After processes started.
    pub fork_delay: Duration,
}

impl Limits {
    fn holds(&self, count: usize) -> bool {
        let most = self.most.map(usize::from);
        let enough = most == Some(0) || count >= usize::from(self.least);
        enough && most.is_none_or(|most| count <= most)
    }
}

/// Whether enough run, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    limits: Limits,
    count: usize,
    /// `None`: not counted yet.
    told: Option<bool>,
    /// What will be told then if nothing changes.
    turns_at: Option<MonoTime>,
}

impl Quorum {
    pub const fn new(limits: Limits) -> Self {
        Self { limits, count: 0, told: None, turns_at: None }
    }

    /// Other limits; what was told and counted stays.
    #[must_use]
    pub const fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    pub const fn count(&self) -> usize {
        self.count
    }

    pub const fn told(&self) -> Option<bool> {
        self.told
    }

    pub const fn deadline(&self) -> Option<MonoTime> {
        self.turns_at
    }

    /// So many run now; the new verdict where there is one. The first is told at once.
    pub fn observe(&mut self, now: MonoTime, count: usize) -> Option<bool> {
        let delay = if count < self.count { self.limits.terminate_delay } else { self.limits.fork_delay };
        self.count = count;
        let good = self.limits.holds(count);
        match self.told {
            None => self.tell(good),
            Some(told) if told == good => {
                self.turns_at = None;
                None
            }
            Some(_) => {
                let at = *self.turns_at.get_or_insert(now + delay);
                if at <= now { self.tell(good) } else { None }
            }
        }
    }

    fn tell(&mut self, good: bool) -> Option<bool> {
        self.turns_at = None;
        self.told = Some(good);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(name: &str, argv: &[&str]) -> Running {
        Running { name: name.into(), argv: argv.iter().map(|word| (*word).into()).collect() }
    }

    #[test]
    fn processes_are_found_by_name_or_by_command_line() {
        use Comparison::{Any, Exact, Initial, Partial};
        let pattern = |program: &str, arguments: &[&str], comparison, full_command| Pattern {
            program: program.to_owned(),
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            comparison,
            full_command,
        };
        let haproxy = running("haproxy", &["/usr/sbin/haproxy", "-f", "/etc/h.cfg"]);
        let rows = [
            ("by name", pattern("haproxy", &[], Any, false), &haproxy, true),
            ("another name", pattern("haprox", &[], Any, false), &haproxy, false),
            ("a path", pattern("/usr/sbin/haproxy", &[], Any, false), &haproxy, true),
            ("the whole line", pattern("haproxy", &[], Any, true), &haproxy, false),
            ("no argument", pattern("/usr/sbin/haproxy", &[], Exact, true), &haproxy, false),
            ("all arguments", pattern("/usr/sbin/haproxy", &["-f", "/etc/h.cfg"], Exact, true), &haproxy, true),
            ("some, exactly", pattern("/usr/sbin/haproxy", &["-f"], Exact, true), &haproxy, false),
            ("the first", pattern("/usr/sbin/haproxy", &["-f"], Partial, true), &haproxy, true),
            (
                "more than there are",
                pattern("/usr/sbin/haproxy", &["-f", "/etc/h.cfg", "-D"], Partial, true),
                &haproxy,
                false,
            ),
            ("a beginning", pattern("/usr/sbin/haproxy", &["-f", "/etc"], Initial, true), &haproxy, true),
            ("no beginning", pattern("/usr/sbin/haproxy", &["-", "/etc"], Initial, true), &haproxy, false),
            ("no beginning at all", pattern("/usr/sbin/haproxy", &[], Initial, true), &haproxy, true),
            ("of the kernel", pattern("kswapd0", &[], Any, false), &running("kswapd0", &[]), true),
            ("of the kernel, in full", pattern("kswapd0", &[], Any, true), &running("kswapd0", &[]), false),
            ("cut", pattern("a-very-long-name", &[], Any, false), &running("a-very-long-nam", &[]), true),
        ];
        for (name, pattern, process, expected) in rows {
            assert_eq!(pattern.matches(process), expected, "{name}");
        }
    }

    #[test]
    fn a_quorum_turns_after_its_delay_and_only_if_it_lasts() {
        let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
        let delay = Duration::from_millis(100);
        let limits = Limits { least: 2, most: Some(3), terminate_delay: delay, fork_delay: Duration::ZERO };
        let mut quorum = Quorum::new(limits);
        let rows = [
            ("the first is told", 0, 2, Some(true)),
            ("too many, told at once", 10, 4, Some(false)),
            ("fewer again, with delay", 20, 3, None),
            ("not yet", 119, 3, None),
            ("now", 120, 3, Some(true)),
            ("too few", 200, 1, None),
            ("back before the delay", 250, 2, None),
            ("too few again", 260, 1, None),
            ("counted from then", 359, 0, None),
            ("lost", 360, 0, Some(false)),
        ];
        for (name, ms, count, expected) in rows {
            assert_eq!(quorum.observe(at(ms), count), expected, "{name}");
        }
        let mut forbidden = Quorum::new(Limits { most: Some(0), ..limits });
        assert_eq!(forbidden.observe(at(0), 0), Some(true));
        assert_eq!(forbidden.observe(at(1), 1), Some(false));
    }
}
