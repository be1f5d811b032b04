//! Connections that are being made: since when, and until when each is waited for.
//!
//! It knows neither socket nor clock: `S` is whatever stands for the connection, and `io/connector.rs` has the sockets.

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

/// Where a flight is found, without a search: its place, and which of those that had the place after one another it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    place: u32,
    holder: u32,
}

impl From<Ticket> for u64 {
    fn from(ticket: Ticket) -> Self {
        Self::from(ticket.holder) << 32 | Self::from(ticket.place)
    }
}

impl From<u64> for Ticket {
    fn from(number: u64) -> Self {
        let half = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self { place: half(number), holder: half(number >> 32) }
    }
}

#[derive(Debug)]
struct Place<S> {
    /// Of the flight that is here, or of the next one.
    holder: u32,
    flight: Option<(RunId, Flight<S>)>,
}

/// All of them; no more than [`super::board::RUNS_MAX`], since each is a run of the board.
///
/// There may be thousands of checks a second, so that a flight costs no search, and no order is kept: all are looked
/// through when the first of them may be overdue, which is once in a `connect_timeout` where servers answer.
#[derive(Debug)]
pub struct Flights<S> {
    places: Vec<Place<S>>,
    free: Vec<u32>,
    /// None is overdue before that.
    look_at: MonoTime,
}

impl<S> Default for Flights<S> {
    fn default() -> Self {
        Self { places: vec![], free: vec![], look_at: MonoTime::ZERO }
    }
}

impl<S> Flights<S> {
    /// What the next flight will be found by.
    pub fn upcoming(&mut self) -> Ticket {
        let free = self.free.last().copied();
        let place = free.unwrap_or_else(|| {
            let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
            self.places.push(Place { holder: 0, flight: None });
            self.free.push(place);
            place
        });
        let holder = self.at(place).map_or(0, |place| place.holder);
        Ticket { place, holder }
    }

    /// It is found by what [`Flights::upcoming`] gave.
    pub fn begin(&mut self, run: RunId, flight: Flight<S>) {
        let Ticket { place, .. } = self.upcoming();
        let overdue = flight.overdue();
        self.look_at = if self.is_empty() { overdue } else { self.look_at.min(overdue) };
        if let Some(place) = self.at(place) {
            place.flight = Some((run, flight));
        }
        self.free.pop();
    }

    /// It ended, however it did; `None` where it had ended before.
    pub fn end(&mut self, ticket: Ticket) -> Option<(RunId, Flight<S>)> {
        let place = self.at(ticket.place).filter(|place| place.holder == ticket.holder)?;
        let ended = place.flight.take()?;
        place.holder = place.holder.wrapping_add(1);
        self.free.push(ticket.place);
        Some(ended)
    }

    /// End the flight of this run; `None` where there is none. It is searched for.
    pub fn abort(&mut self, run: RunId) -> Option<Flight<S>> {
        let is_it = |place: &Place<S>| place.flight.as_ref().is_some_and(|(of, _)| *of == run);
        let (place, holder) =
            (0..).zip(&self.places).find(|(_, place)| is_it(place)).map(|(n, place)| (n, place.holder))?;
        self.end(Ticket { place, holder }).map(|(_, flight)| flight)
    }

    /// End those that have been waited for long enough.
    pub fn expire(&mut self, now: MonoTime, mut each: impl FnMut(RunId, Flight<S>)) {
        if self.is_empty() || now < self.look_at {
            return;
        }
        let mut first: Option<MonoTime> = None;
        for (n, place) in (0..).zip(&mut self.places) {
            match place.flight.take_if(|(_, flight)| flight.overdue() <= now) {
                Some((run, flight)) => {
                    place.holder = place.holder.wrapping_add(1);
                    self.free.push(n);
                    each(run, flight);
                }
                None => first = place.flight.iter().map(|(_, flight)| flight.overdue()).chain(first).min(),
            }
        }
        self.look_at = first.unwrap_or(MonoTime::ZERO);
    }

    /// When [`Flights::expire`] is to look, which may be in vain; `None` where there is no flight.
    pub fn deadline(&self) -> Option<MonoTime> {
        (!self.is_empty()).then_some(self.look_at)
    }

    fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    fn at(&mut self, place: u32) -> Option<&mut Place<S>> {
        self.places.get_mut(usize::try_from(place).ok()?)
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
            let mut tickets: Vec<Option<Ticket>> = vec![None; attempts.len()];
            for now in 0..2_000 {
                for (n, attempt) in attempts.iter().enumerate() {
                    let run = RunId::from(n as u64);
                    if attempt.at == now {
                        let patience = Duration::from_millis(attempt.patience);
                        tickets[n] = Some(Ticket::from(u64::from(flights.upcoming())));
                        flights.begin(run, Flight { connection: n, began: at(now), patience });
                    }
                    let ticket = tickets[n].filter(|_| attempt.answer.is_some_and(|after| attempt.at + after == now));
                    let Some(ticket) = ticket else { continue };
                    // Half of them are told apart by their run.
                    let found =
                        if n % 2 == 0 { flights.end(ticket) } else { flights.abort(run).map(|flight| (run, flight)) };
                    if let Some((of, flight)) = found {
                        prop_assert_eq!((of, flight.connection, flight.began), (run, n, at(attempt.at)));
                        prop_assert_eq!(ended[n].replace((now, true)), None);
                    }
                }
                let mut expired = vec![];
                flights.expire(at(now), |run, flight| expired.push((run, flight.connection)));
                for (run, n) in expired {
                    prop_assert_eq!(run, RunId::from(n as u64));
                    prop_assert_eq!(ended[n].replace((now, false)), None);
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
