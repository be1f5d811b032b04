//! The book that all threads of a drill write into.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pair::Seat;
use super::records::{Advert, Answer, Broken, Claim, Flow, Move, Probe, Reply, Request, Turn, Window};
use super::wait::Clock;
use crate::base::MonoTime;

/// Probes at most: half an hour at 500 a second. Then the client falls silent, and the drill says so.
pub const PROBES_MAX: usize = 1_000_000;

/// How far before a fault its window reaches back.
pub const BEFORE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Journal {
    clock: Clock,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
pub struct Pages {
    pub probes: Vec<Probe>,
    pub requests: Vec<Request>,
    pub broken: Vec<Broken>,
    pub moves: Vec<Move>,
    pub turns: Vec<Turn>,
    pub adverts: Vec<Advert>,
    pub claims: Vec<Claim>,
    pub replies: Vec<Reply>,
    /// The last answer to a probe.
    pub answered: Option<Answer>,
    names: BTreeMap<String, Arc<str>>,
}

impl Journal {
    pub fn clock(&self) -> Clock {
        self.clock
    }

    pub fn now(&self) -> MonoTime {
        self.clock.now()
    }

    /// Read or write several things at one moment. The threads that write have to wait: be quick.
    pub fn pages(&self) -> MutexGuard<'_, Pages> {
        // A thread that panicked in between leaves whole records behind.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Note a probe that goes out now; gives its number, none when the book is full.
    pub fn probe(&self, flow: Flow) -> Option<usize> {
        let sent = self.now();
        let mut pages = self.pages();
        let number = pages.probes.len();
        if number >= PROBES_MAX {
            return None;
        }
        pages.probes.push(Probe { flow, sent, answer: None });
        Some(number)
    }

    pub fn answer(&self, number: usize, from: &str) {
        let at = self.now();
        let mut pages = self.pages();
        let answer = Answer { at, from: pages.name(from) };
        pages.answered = Some(answer.clone());
        if let Some(probe) = pages.probes.get_mut(number) {
            // The first answer counts.
            probe.answer.get_or_insert(answer);
        }
    }

    pub fn request(&self, flow: Flow, started: MonoTime, result: Result<String, String>) {
        let ended = self.now();
        let mut pages = self.pages();
        let result = result.map(|name| pages.name(&name));
        if pages.requests.len() < PROBES_MAX {
            pages.requests.push(Request { flow, started, ended, result });
        }
    }

    pub fn broken(&self, error: String) {
        let at = self.now();
        let mut pages = self.pages();
        if pages.broken.len() < PROBES_MAX {
            pages.broken.push(Broken { at, error });
        }
    }

    /// What lies between [`BEFORE`] the fault at `from` and `to`.
    pub fn window(&self, from: MonoTime, to: MonoTime) -> Window {
        let begin = MonoTime::from_start(from.since_start().saturating_sub(BEFORE));
        let inside = |at: MonoTime| at >= begin && at < to;
        let pages = self.pages();
        let holds = |seat: &Seat| {
            let before = pages.moves.iter().rev().find(|moved| moved.seat == *seat && moved.at < begin);
            before.is_some_and(|moved| moved.holds)
        };
        Window {
            begin,
            from,
            to,
            probes: pages.probes.iter().filter(|probe| inside(probe.sent)).cloned().collect(),
            requests: pages.requests.iter().filter(|request| inside(request.started)).cloned().collect(),
            broken: pages.broken.iter().filter(|broken| inside(broken.at)).cloned().collect(),
            moves: pages.moves.iter().filter(|moved| inside(moved.at)).copied().collect(),
            turns: pages.turns.iter().filter(|turn| inside(turn.at)).copied().collect(),
            adverts: pages.adverts.iter().filter(|advert| inside(advert.at)).copied().collect(),
            claims: pages.claims.iter().filter(|claim| inside(claim.at)).copied().collect(),
            replies: pages.replies.iter().filter(|reply| inside(reply.at)).copied().collect(),
            held_at_begin: Seat::BOTH.into_iter().filter(holds).collect(),
            towards_at_begin: pages.turns.iter().rev().find(|turn| turn.at < begin).and_then(|turn| turn.towards),
        }
    }
}

impl Pages {
    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let fresh: Arc<str> = Arc::from(name);
        self.names.insert(name.to_owned(), Arc::clone(&fresh));
        fresh
    }
}
