//! `TCP_CHECK`, thousands of them at once: connections that one thread makes, watches and closes.
//!
//! A run is `socket`, `connect`, `epoll_ctl` and `close`, and a share of an `epoll_wait`; there is no task and no timer of
//! its own. It sends nothing and reads nothing. A fault of our own (no descriptor, cannot bind) is an outcome apart from
//! what the server did.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;

use crate::base::MonoTime;
use crate::healthcheck::board::RunId;
use crate::healthcheck::flights::{Flight, Flights, Ticket};
use crate::healthcheck::outcome::{LocalFault, Outcome, Stage};
use crate::healthcheck::probe::Endpoint;

use super::socket;

/// Events of one `epoll_wait`; the next one gets the others.
const EVENTS_MAX: usize = 256;
/// What epoll says of the descriptor that wakes us; no flight has this ticket, since there are not so many places.
const WAKE: u64 = u64::MAX;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub run: RunId,
    pub outcome: Outcome,
    pub latency: Duration,
}

/// Connections that are being made, and one descriptor that may end the wait for them.
pub struct Connector {
    epoll: Epoll,
    flights: Flights<Socket>,
    events: [EpollEvent; EVENTS_MAX],
    /// How many of `events` the last wait brought.
    ready: usize,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("flights", &self.flights).finish_non_exhaustive()
    }
}

impl Connector {
    /// # Errors
    /// Of `epoll_create1(2)`.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, flights: Flights::default(), events: [EpollEvent::empty(); EVENTS_MAX], ready: 0 })
    }

    /// Let what becomes readable here end [`Connector::wait`]; it need not be read for that to happen again.
    ///
    /// # Errors
    /// Of `epoll_ctl(2)`.
    pub fn wake_by(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, WAKE))?)
    }

    /// Begin a run; its end is told by [`Connector::ended`], within `connect_timeout`.
    ///
    /// # Errors
    /// The outcome of the run, where it ended at once.
    pub fn begin(&mut self, now: MonoTime, run: RunId, endpoint: &Endpoint) -> Result<(), Outcome> {
        let connection = socket::connecting(endpoint)?;
        // Told once is enough: it is closed then, which ends the watch as well.
        let event = EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLET, self.flights.upcoming().into());
        let watched = self.epoll.add(&connection, event);
        watched.map_err(|errno| {
            Outcome::Local(LocalFault::Socket { errno: io::Error::from(errno).raw_os_error().unwrap_or(0) })
        })?;
        self.flights.begin(run, Flight { connection, began: now, patience: endpoint.connect_timeout });
        Ok(())
    }

    /// End a run without a result; whether there was one.
    pub fn abort(&mut self, run: RunId) -> bool {
        self.flights.abort(run).is_some()
    }

    /// When [`Connector::ended`] is to be called next, if nothing happens.
    pub fn deadline(&self) -> Option<MonoTime> {
        self.flights.deadline()
    }

    /// Wait until something happened, for `limit` at most, in whole milliseconds; `None`: for as long as it takes. Whether
    /// the descriptor of [`Connector::wake_by`] did it.
    ///
    /// # Errors
    /// Of `epoll_wait(2)`; a signal is none.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<bool> {
        self.ready = match self.epoll.wait(&mut self.events, limit.map_or(EpollTimeout::NONE, whole_millis)) {
            Err(Errno::EINTR) => 0,
            waited => waited?,
        };
        Ok(self.events.iter().take(self.ready).any(|event| event.data() == WAKE))
    }

    /// What has ended by the last wait, and what took too long.
    pub fn ended(&mut self, now: MonoTime, ended: &mut VecDeque<Ended>) {
        for event in self.events.iter().take(self.ready) {
            // Where there is none, it was aborted since, or this is what woke us.
            let Some((run, flight)) = self.flights.end(Ticket::from(event.data())) else { continue };
            let outcome = outcome(&flight.connection, event.events());
            ended.push_back(Ended { run, outcome, latency: now.since(flight.began) });
        }
        // Of those that took too long some may have an answer that we are too slow to hear: they are heard first.
        if self.ready < EVENTS_MAX {
            self.flights.expire(now, |run, Flight { began, patience, .. }| {
                let outcome = Outcome::Timeout { waiting_for: Stage::Connect, after: patience };
                ended.push_back(Ended { run, outcome, latency: now.since(began) });
            });
        }
        self.ready = 0;
    }
}

/// Only where epoll tells of an error there is one to ask for: there may be thousands of checks a second, and each call
/// counts.
fn outcome(connection: &Socket, events: EpollFlags) -> Outcome {
    if !events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP) {
        return Outcome::Connected;
    }
    match connection.take_error() {
        Ok(None) => Outcome::Connected,
        Ok(Some(error)) | Err(error) => socket::connect_failure(&error),
    }
}

/// Never sooner: who waits for a time does not find it yet to come.
fn whole_millis(limit: Duration) -> EpollTimeout {
    let millis = limit.as_secs().saturating_mul(1000).saturating_add(limit.subsec_nanos().div_ceil(1_000_000).into());
    EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_shorter_than_asked_for() {
        let rows = [
            (Duration::ZERO, EpollTimeout::ZERO),
            (Duration::from_nanos(1), EpollTimeout::from(1_u8)),
            (Duration::from_millis(1500), EpollTimeout::from(1500_u16)),
            (Duration::new(1, 500_000_001), EpollTimeout::from(1501_u16)),
            (Duration::MAX, EpollTimeout::MAX),
        ];
        for (limit, wanted) in rows {
            assert_eq!(whole_millis(limit), wanted, "{limit:?}");
        }
    }
}
