//! Results in a row to up or down, by keepalived's rule, for one checker.
//!
//! At start one failure is enough; while up it takes `retry` further failures in a row; while down one
//! success. It knows no time (`schedule.rs`) and no other checker of the real server (`board.rs`).

use serde::{Deserialize, Serialize};

use super::outcome::Verdict;
use super::settings::{CheckState, Standing};

/// What a fault of our own (no file descriptor, cannot bind) counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLocalError {
    /// It says nothing about the real server: the state and the counter stay (keepalived's way).
    #[default]
    Keep,
    Fail,
}

/// The state of one checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    state: State,
    retry: u32,
    on_local_error: OnLocalError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Untried { believed: Standing },
    Up { failures: u32 },
    Down { failures: u32 },
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// The first result, and it confirms what was believed.
    Confirmed(Standing),
    Moved(Standing),
}

impl Judge {
    /// `alpha`: believed down until the first success, else up until the first failure.
    pub const fn new(retry: u32, alpha: bool, on_local_error: OnLocalError) -> Self {
        let believed = if alpha { Standing::Down } else { Standing::Up };
        Self { state: State::Untried { believed }, retry, on_local_error }
    }

    /// The same state under other numbers, as a reload keeps it.
    #[must_use]
    pub const fn with_rules(self, retry: u32, on_local_error: OnLocalError) -> Self {
        Self { state: self.state, retry, on_local_error }
    }

    pub const fn state(&self) -> CheckState {
        match self.state {
            State::Untried { believed } => CheckState::Untried { believed },
            State::Up { .. } => CheckState::Tried { standing: Standing::Up },
            State::Down { .. } => CheckState::Tried { standing: Standing::Down },
        }
    }

    pub const fn standing(&self) -> Standing {
        self.state().standing()
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        match self.state {
            State::Untried { .. } => 0,
            State::Up { failures } | State::Down { failures } => failures,
        }
    }

    /// Whether the last failure is to be repeated soon, since it may yet be the one that counts.
    pub const fn is_retrying(&self) -> bool {
        matches!(self.state, State::Up { failures: 1.. })
    }

    /// What a result counts as under this checker's rules.
    pub const fn weigh(&self, verdict: Verdict) -> Verdict {
        match (verdict, self.on_local_error) {
            (Verdict::Local, OnLocalError::Fail) => Verdict::Fail,
            (other, OnLocalError::Fail | OnLocalError::Keep) => other,
        }
    }

    /// Take a result into account.
    pub fn observe(&mut self, verdict: Verdict) -> Change {
        let (next, change) = self.decide(self.weigh(verdict));
        self.state = next;
        change
    }

    fn decide(&self, verdict: Verdict) -> (State, Change) {
        let up = State::Up { failures: 0 };
        let first = |believed: Standing, found: Standing| {
            if believed == found { Change::Confirmed(found) } else { Change::Moved(found) }
        };
        match (self.state, verdict) {
            (state, Verdict::Local) | (state @ (State::Untried { .. } | State::Down { .. }), Verdict::Partial) => {
                (state, Change::None)
            }
            (State::Up { .. }, Verdict::Partial | Verdict::Pass) => (up, Change::None),
            (State::Untried { believed }, Verdict::Pass) => (up, first(believed, Standing::Up)),
            (State::Untried { believed }, Verdict::Fail) => {
                (State::Down { failures: 1 }, first(believed, Standing::Down))
            }
            (State::Up { failures }, Verdict::Fail) if failures < self.retry => {
                (State::Up { failures: failures.saturating_add(1) }, Change::None)
            }
            (State::Up { failures }, Verdict::Fail) => {
                (State::Down { failures: failures.saturating_add(1) }, Change::Moved(Standing::Down))
            }
            (State::Down { .. }, Verdict::Pass) => (up, Change::Moved(Standing::Up)),
            (State::Down { failures }, Verdict::Fail) => {
                (State::Down { failures: failures.saturating_add(1) }, Change::None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Change::{Confirmed, Moved};
    use super::Standing::{Down, Up};
    use super::Verdict::{Fail, Local, Partial, Pass};
    use super::*;

    const SAME: Change = Change::None;

    type Steps<'a> = &'a [(Verdict, Change)];

    #[test]
    fn results_in_a_row_decide_as_in_keepalived() {
        let rows: [(&str, u32, bool, Steps); 13] = [
            ("at start one failure is enough", 3, false, &[(Fail, Moved(Down))]),
            ("at start one success confirms", 3, false, &[(Pass, Confirmed(Up))]),
            ("alpha, success", 3, true, &[(Pass, Moved(Up))]),
            ("alpha, failure", 3, true, &[(Fail, Confirmed(Down)), (Fail, SAME), (Pass, Moved(Up))]),
            ("retry 0: the first failure", 0, false, &[(Pass, Confirmed(Up)), (Fail, Moved(Down))]),
            ("retry 1: the second", 1, false, &[(Pass, Confirmed(Up)), (Fail, SAME), (Fail, Moved(Down))]),
            ("a success between", 1, false, &[(Pass, Confirmed(Up)), (Fail, SAME), (Pass, SAME), (Fail, SAME)]),
            ("a part between", 1, false, &[(Pass, Confirmed(Up)), (Fail, SAME), (Partial, SAME), (Fail, SAME)]),
            ("down: one success", 1, false, &[(Fail, Moved(Down)), (Pass, Moved(Up))]),
            ("down: a part is not enough", 1, false, &[(Fail, Moved(Down)), (Partial, SAME), (Pass, Moved(Up))]),
            ("up again: retry counts anew", 1, false, &[(Fail, Moved(Down)), (Pass, Moved(Up)), (Fail, SAME)]),
            ("our own fault decides nothing", 1, false, &[(Local, SAME), (Pass, Confirmed(Up)), (Local, SAME)]),
            (
                "our own fault keeps the count",
                1,
                false,
                &[(Pass, Confirmed(Up)), (Fail, SAME), (Local, SAME), (Fail, Moved(Down))],
            ),
        ];
        for (name, retry, alpha, results) in rows {
            let mut judge = Judge::new(retry, alpha, OnLocalError::Keep);
            for (at, (verdict, wanted)) in results.iter().enumerate() {
                assert_eq!(judge.observe(*verdict), *wanted, "{name}, result {at}");
            }
        }
    }

    #[test]
    fn our_own_fault_can_be_made_to_count() {
        let mut judge = Judge::new(1, false, OnLocalError::Fail);
        assert_eq!(judge.observe(Local), Moved(Down));
        assert_eq!((judge.failures(), judge.is_retrying()), (1, false));
    }
}
