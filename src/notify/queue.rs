//! Whose scripts run now, and whose wait: one job at a time for each subject, and the last state wins.
//!
//! It runs nothing: `daemon/notifier.rs` carries out what [`Queue`] hands out.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::words::Invocation;

/// Jobs at one time, over all subjects.
pub const RUNNING_MAX: usize = 64;
/// Subjects with a job running or waiting; further ones are refused.
pub const SUBJECTS_MAX: usize = 65_536;

/// Whose jobs must not overtake one another: an instance, a group, a real server, a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotifyKey(pub String);

impl fmt::Display for NotifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The scripts of one state; they run side by side, as keepalived runs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Strictly increasing over all subjects, from 1.
    pub sequence: u64,
    pub invocations: Vec<Invocation>,
}

/// What became of a job that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    Waits,
    /// It took the place of one that had not begun: that state is over already.
    Replaced,
    /// It equals the one that runs, and nothing else waits.
    Repeats,
    /// [`SUBJECTS_MAX`] is reached.
    Refused,
}

/// At most one job running and one waiting for each subject.
#[derive(Debug, Default)]
pub struct Queue {
    subjects: BTreeMap<NotifyKey, Slot>,
    /// Subjects that wait and have nothing running, oldest first.
    ready: VecDeque<NotifyKey>,
    running: usize,
    last_sequence: u64,
}

#[derive(Debug)]
enum Slot {
    Ready(Job),
    Running { current: Vec<Invocation>, waiting: Option<Job> },
}

impl Queue {
    /// Put a job in. Call [`Queue::start`] afterwards.
    pub fn push(&mut self, key: NotifyKey, invocations: Vec<Invocation>) -> Queued {
        let full = self.subjects.len() >= SUBJECTS_MAX;
        let sequence = self.last_sequence.wrapping_add(1);
        let job = Job { sequence, invocations };
        let queued = match self.subjects.get_mut(&key) {
            None if full => return Queued::Refused,
            None => {
                self.subjects.insert(key.clone(), Slot::Ready(job));
                self.ready.push_back(key);
                Queued::Waits
            }
            Some(Slot::Ready(waiting)) => {
                *waiting = job;
                Queued::Replaced
            }
            // What runs is the state that counts again: whatever waited is over.
            Some(Slot::Running { current, waiting }) if *current == job.invocations => {
                if waiting.take().is_some() {
                    Queued::Replaced
                } else {
                    Queued::Repeats
                }
            }
            Some(Slot::Running { waiting, .. }) => {
                if waiting.replace(job).is_some() {
                    Queued::Replaced
                } else {
                    Queued::Waits
                }
            }
        };
        self.last_sequence = sequence;
        queued
    }

    /// The next job that may run now. Tell its end by [`Queue::finish`].
    pub fn start(&mut self) -> Option<(NotifyKey, Job)> {
        if self.running >= RUNNING_MAX {
            return None;
        }
        let key = self.ready.pop_front()?;
        let slot = self.subjects.get_mut(&key)?;
        let Slot::Ready(job) = slot else { return None };
        let job = job.clone();
        *slot = Slot::Running { current: job.invocations.clone(), waiting: None };
        self.running = self.running.saturating_add(1);
        Some((key, job))
    }

    /// The running job of this subject has ended. Call [`Queue::start`] afterwards.
    pub fn finish(&mut self, key: &NotifyKey) {
        match self.subjects.remove(key) {
            Some(Slot::Running { waiting, .. }) => {
                self.running = self.running.saturating_sub(1);
                if let Some(job) = waiting {
                    self.subjects.insert(key.clone(), Slot::Ready(job));
                    self.ready.push_back(key.clone());
                }
            }
            Some(ready @ Slot::Ready(_)) => {
                self.subjects.insert(key.clone(), ready);
            }
            None => {}
        }
    }

    /// Nothing runs and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.subjects.is_empty()
    }

    pub const fn running(&self) -> usize {
        self.running
    }

    /// Jobs that have not begun.
    pub fn waiting(&self) -> usize {
        let waits = |slot: &&Slot| matches!(slot, Slot::Ready(_) | Slot::Running { waiting: Some(_), .. });
        self.subjects.values().filter(waits).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::notify::command::ScriptCommand;

    fn key(name: &str) -> NotifyKey {
        NotifyKey(name.to_owned())
    }

    fn job(state: u8) -> Vec<Invocation> {
        vec![Invocation::plain(ScriptCommand::new([state.to_string()], None).unwrap())]
    }

    #[test]
    fn of_the_states_that_wait_the_last_one_wins() {
        let mut queue = Queue::default();
        assert_eq!(queue.push(key("a"), job(1)), Queued::Waits);
        assert_eq!(queue.push(key("a"), job(2)), Queued::Replaced);
        assert_eq!(queue.start(), Some((key("a"), Job { sequence: 2, invocations: job(2) })));
        assert_eq!(queue.push(key("a"), job(2)), Queued::Repeats);
        assert_eq!(queue.push(key("a"), job(3)), Queued::Waits);
        assert_eq!(queue.start(), None, "one at a time");
        assert_eq!(queue.push(key("a"), job(4)), Queued::Replaced);
        assert_eq!((queue.running(), queue.waiting()), (1, 1));
        queue.finish(&key("a"));
        assert_eq!(queue.start().map(|(_, job)| job.invocations), Some(job(4)));
        queue.push(key("a"), job(5));
        assert_eq!(queue.push(key("a"), job(4)), Queued::Replaced, "back to the state whose script runs");
        queue.finish(&key("a"));
        assert!(queue.is_idle());
    }

    #[test]
    fn at_the_limit_of_running_jobs_the_others_wait_in_order() {
        let mut queue = Queue::default();
        for at in 0..=RUNNING_MAX {
            queue.push(key(&format!("{at:03}")), job(1));
        }
        for at in 0..RUNNING_MAX {
            assert_eq!(queue.start().map(|(key, _)| key), Some(key(&format!("{at:03}"))));
        }
        assert_eq!(queue.start(), None);
        queue.finish(&key("007"));
        assert_eq!(queue.start().map(|(key, _)| key), Some(key(&format!("{RUNNING_MAX:03}"))));
    }

    proptest! {
        #[test]
        fn the_last_job_run_is_the_last_state_and_sequences_rise(ops in vec((0_u8..3, 0_u8..4), 0..200)) {
            let mut queue = Queue::default();
            let mut last_pushed = BTreeMap::new();
            let mut last_run: BTreeMap<NotifyKey, Job> = BTreeMap::new();
            let mut running: Vec<NotifyKey> = vec![];
            let mut run = |queue: &mut Queue, running: &mut Vec<NotifyKey>| {
                while let Some((key, job)) = queue.start() {
                    let before = last_run.insert(key.clone(), job.clone());
                    assert!(before.is_none_or(|before| before.sequence < job.sequence));
                    assert!(!running.contains(&key));
                    running.push(key);
                }
            };
            for (subject, op) in ops {
                let key = key(&subject.to_string());
                if op == 3 {
                    if let Some(at) = running.iter().position(|running| *running == key) {
                        running.remove(at);
                        queue.finish(&key);
                    }
                } else {
                    queue.push(key.clone(), job(op));
                    last_pushed.insert(key, job(op));
                }
                run(&mut queue, &mut running);
            }
            while let Some(key) = running.pop() {
                queue.finish(&key);
                run(&mut queue, &mut running);
            }
            prop_assert!(queue.is_idle());
            for (key, job) in last_pushed {
                prop_assert_eq!(&last_run[&key].invocations, &job);
            }
        }
    }
}
