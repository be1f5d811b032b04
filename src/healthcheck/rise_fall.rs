//! The result of a `vrrp_script`: `rise` successes or `fall` failures in a row turn it; the first result
//! decides at once.
//!
//! It starts no script (`notify/io/script.rs`) and knows no interval (`daemon/trackers.rs`).

use std::num::NonZeroU32;

/// Counts results in a row. The state is unknown until the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RiseFall {
    rise: NonZeroU32,
    fall: NonZeroU32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Good { failures: u32 },
    Bad { successes: u32 },
}

impl RiseFall {
    pub const fn new(rise: NonZeroU32, fall: NonZeroU32) -> Self {
        Self { rise, fall, state: State::Unknown }
    }

    /// The same result under other numbers, as a reload keeps it; the row begins anew.
    #[must_use]
    pub const fn with_limits(self, rise: NonZeroU32, fall: NonZeroU32) -> Self {
        let state = match self.state {
            State::Unknown => State::Unknown,
            State::Good { .. } => State::Good { failures: 0 },
            State::Bad { .. } => State::Bad { successes: 0 },
        };
        Self { rise, fall, state }
    }

    /// `None` until the first result.
    pub const fn good(&self) -> Option<bool> {
        match self.state {
            State::Unknown => None,
            State::Good { .. } => Some(true),
            State::Bad { .. } => Some(false),
        }
    }

    /// Take a result into account; `Some` where it turned the state or is the first.
    pub fn observe(&mut self, success: bool) -> Option<bool> {
        let before = self.good();
        self.state = match (self.state, success) {
            (State::Unknown | State::Good { .. }, true) => State::Good { failures: 0 },
            (State::Unknown | State::Bad { .. }, false) => State::Bad { successes: 0 },
            (State::Good { failures }, false) => match failures.saturating_add(1) {
                failures if failures < self.fall.get() => State::Good { failures },
                _ => State::Bad { successes: 0 },
            },
            (State::Bad { successes }, true) => match successes.saturating_add(1) {
                successes if successes < self.rise.get() => State::Bad { successes },
                _ => State::Good { failures: 0 },
            },
        };
        if self.good() == before { None } else { self.good() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rise_and_fall_count_in_a_row_and_the_first_result_decides() {
        let rows: [(&str, u32, u32, &str, &str); 8] = [
            ("the first success decides", 3, 3, "+", "G"),
            ("the first failure decides", 3, 3, "-", "B"),
            ("rise 1, fall 1", 1, 1, "+-+", "GBG"),
            ("fall 2", 1, 2, "+--", "G.B"),
            ("fall 2, a success between", 1, 2, "+-+-", "G..."),
            ("rise 2", 2, 1, "-++", "B.G"),
            ("rise 2, a failure between", 2, 1, "-+-+", "B..."),
            ("rise 3, fall 2, there and back", 3, 2, "+--+++-+--", "G.B..G...B"),
        ];
        for (name, rise, fall, results, wanted) in rows {
            let limit = |limit| NonZeroU32::new(limit).unwrap();
            let mut state = RiseFall::new(limit(rise), limit(fall));
            let letter = |turned| match turned {
                Some(true) => 'G',
                Some(false) => 'B',
                None => '.',
            };
            let got: String = results.chars().map(|result| letter(state.observe(result == '+'))).collect();
            assert_eq!(got, wanted, "{name}");
        }
    }

    #[test]
    fn a_reload_keeps_the_result_and_starts_the_row_anew() {
        let (one, two) = (NonZeroU32::MIN, NonZeroU32::MIN.saturating_add(1));
        let mut state = RiseFall::new(one, two);
        state.observe(true);
        state.observe(false);
        let mut state = state.with_limits(one, two);
        assert_eq!((state.good(), state.observe(false), state.observe(false)), (Some(true), None, Some(false)));
    }
}
