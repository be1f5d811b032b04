//! Connections that are being made: since when, and until when each is waited for.
//!
//! It knows neither socket nor clock: `S` is whatever stands for the connection, and `io/connector.rs` has the sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::MonoTime;

use super::board::RunId;

/// One connection that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight<S> {
    pub connection: S,
    pub began: MonoTime,
    /// How long it is waited for.
    pub patience: Duration,
}

impl<S> Flight<S> {
    fn overdue(&self) -> MonoTime {
        self.began + self.patience
    }
}

/// All of them; no more than [`super::board::RUNS_MAX`], since each is a run of the board.
#[derive(Debug)]
pub struct Flights<S> {
    by_run: BTreeMap<RunId, Flight<S>>,
    overdue: BTreeSet<(MonoTime, RunId)>,
}

impl<S> Default for Flights<S> {
    fn default() -> Self {
        Self { by_run: BTreeMap::new(), overdue: BTreeSet::new() }
    }
}

impl<S> Flights<S> {
    pub fn begin(&mut self, run: RunId, flight: Flight<S>) {
        self.overdue.insert((flight.overdue(), run));
        self.by_run.insert(run, flight);
    }

    /// It ended, however it did; `None` where it had ended before.
    pub fn end(&mut self, run: RunId) -> Option<Flight<S>> {
        let flight = self.by_run.remove(&run)?;
        self.overdue.remove(&(flight.overdue(), run));
        Some(flight)
    }

    /// End one that has been waited for long enough, the longest overdue first.
    pub fn expire(&mut self, now: MonoTime) -> Option<(RunId, Flight<S>)> {
        let (at, run) = self.overdue.first().copied()?;
        if now < at {
            return None;
        }
        Some((run, self.end(run)?))
    }

    /// When [`Flights::expire`] has something to end.
    pub fn deadline(&self) -> Option<MonoTime> {
        self.overdue.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_start(Duration::from_millis(millis))
    }

    /// At `at`, which only grows, a connection begins that is answered after `answer`, where it is answered at all.
    #[derive(Clone, Copy, Debug)]
    struct Attempt {
        at: u64,
        patience: u64,
        answer: Option<u64>,
    }

    fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
        let attempt = (0..20_u64, 1..50_u64, proptest::option::of(0..100_u64));
        proptest::collection::vec(attempt, 0..60).prop_map(|drawn| {
            let mut at = 0;
            let place = |(pause, patience, answer)| {
                at += pause;
                Attempt { at, patience, answer }
            };
            drawn.into_iter().map(place).collect()
        })
    }

    proptest! {
        #[test]
        fn each_ends_once_answered_in_time_or_at_its_deadline(attempts in attempts()) {
            let mut flights = Flights::default();
            let mut ended: Vec<Option<(u64, bool)>> = vec![None; attempts.len()];
            for now in 0..2_000 {
                for (n, attempt) in attempts.iter().enumerate() {
                    let run = RunId::from(n as u64);
                    if attempt.at == now {
                        let patience = Duration::from_millis(attempt.patience);
                        flights.begin(run, Flight { connection: n, began: at(now), patience });
                    }
                    if attempt.answer.is_some_and(|after| attempt.at + after == now)
                        && let Some(flight) = flights.end(run)
                    {
                        prop_assert_eq!((flight.connection, flight.began), (n, at(attempt.at)));
                        prop_assert_eq!(ended[n].replace((now, true)), None);
                    }
                }
                while let Some((_, flight)) = flights.expire(at(now)) {
                    prop_assert_eq!(ended[flight.connection].replace((now, false)), None);
                }
                prop_assert!(flights.deadline().is_none_or(|deadline| deadline > at(now)));
            }
            prop_assert_eq!(flights.deadline(), None);
            for (attempt, ended) in attempts.iter().zip(ended) {
                let answered = attempt.answer.filter(|after| *after <= attempt.patience);
                let wanted = (attempt.at + answered.unwrap_or(attempt.patience), answered.is_some());
                prop_assert_eq!(ended, Some(wanted), "{:?}", attempt);
            }
        }
    }
}
