//! A fault as a picture's data: who had the VIP when, what the client missed, what was said on the wire. Pure.

use std::time::Duration;

use serde::Serialize;

use crate::base::MonoTime;
use crate::lab::pair::Seat;
use crate::lab::records::{Claim, Window};

/// Adverts, and claims, that a picture shows at most; of more it shows the first.
const MARKS_MAX: usize = 2000;
/// Failures of a client with less than this between them are one span.
const TOGETHER: Duration = Duration::from_millis(50);

/// A span of time, in microseconds since the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    pub begin_us: i64,
    pub end_us: i64,
}

/// Times are microseconds since the fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Picture {
    pub whole: Span,
    pub held_by_a: Vec<Span>,
    pub held_by_b: Vec<Span>,
    pub client_sends_to_a: Vec<Span>,
    pub client_sends_to_b: Vec<Span>,
    pub probes_lost: Vec<Span>,
    pub connections_failed: Vec<Span>,
    pub adverts_of_a: Vec<i64>,
    pub adverts_of_b: Vec<i64>,
    pub claims_of_a: Vec<i64>,
    pub claims_of_b: Vec<i64>,
}

impl Picture {
    pub fn of(window: &Window) -> Self {
        let us = |at| since(window.from, at);
        let whole = Span { begin_us: us(window.begin), end_us: us(window.to) };
        let held = |seat: Seat| {
            let moves = window.moves.iter().filter(move |moved| moved.seat == seat);
            spans(whole, window.held_at_begin.contains(&seat), moves.map(|moved| (us(moved.at), moved.holds)))
        };
        let towards = |seat: Seat| {
            let turns = window.turns.iter().map(|turn| (us(turn.at), turn.towards == Some(seat)));
            spans(whole, window.towards_at_begin == Some(seat), turns)
        };
        let adverts = |seat: Seat| {
            let own = window.adverts.iter().filter(move |advert| advert.seat == seat);
            own.map(|advert| us(advert.at)).take(MARKS_MAX).collect()
        };
        let claims = |seat: Seat| {
            let own = window.claims.iter().filter(move |claim: &&Claim| claim.seat == seat);
            own.map(|claim| us(claim.at)).take(MARKS_MAX).collect()
        };
        let lost = window.probes.iter().filter(|probe| probe.answer.is_none());
        let failed = window.requests.iter().filter(|request| request.result.is_err());
        Self {
            whole,
            held_by_a: held(Seat::A),
            held_by_b: held(Seat::B),
            client_sends_to_a: towards(Seat::A),
            client_sends_to_b: towards(Seat::B),
            probes_lost: joined(lost.map(|probe| us(probe.sent))),
            connections_failed: joined(failed.map(|request| us(request.started))),
            adverts_of_a: adverts(Seat::A),
            adverts_of_b: adverts(Seat::B),
            claims_of_a: claims(Seat::A),
            claims_of_b: claims(Seat::B),
        }
    }
}

fn since(from: MonoTime, at: MonoTime) -> i64 {
    let us = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    if at >= from { us(at.since(from)) } else { -us(from.since(at)) }
}

/// The spans in which something is on, of what it is at the begin and how it changes.
fn spans(whole: Span, at_begin: bool, changes: impl Iterator<Item = (i64, bool)>) -> Vec<Span> {
    let mut on = at_begin.then_some(whole.begin_us);
    let mut all = vec![];
    for (at, is_on) in changes {
        match (on, is_on) {
            (Some(begin_us), false) => {
                all.push(Span { begin_us, end_us: at });
                on = None;
            }
            (None, true) => on = Some(at),
            (Some(_), true) | (None, false) => {}
        }
    }
    all.extend(on.map(|begin_us| Span { begin_us, end_us: whole.end_us }));
    all
}

/// Moments that lie close together as spans.
fn joined(moments: impl Iterator<Item = i64>) -> Vec<Span> {
    let together = i64::try_from(TOGETHER.as_micros()).unwrap_or(i64::MAX);
    let mut all: Vec<Span> = vec![];
    for at in moments {
        match all.last_mut() {
            Some(last) if at - last.end_us <= together => last.end_us = at,
            Some(_) | None => all.push(Span { begin_us: at, end_us: at }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::records::{Advert, Move, Turn};

    #[test]
    fn a_takeover_becomes_spans() {
        let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
        let mut window = Window::empty(at(9_000), at(10_000), at(12_000));
        window.held_at_begin = vec![Seat::A];
        window.towards_at_begin = Some(Seat::A);
        window.moves = vec![
            Move { at: at(10_350), seat: Seat::B, holds: true },
            Move { at: at(11_900), seat: Seat::A, holds: false },
        ];
        window.turns = vec![Turn { at: at(10_360), towards: Some(Seat::B) }];
        window.adverts = vec![Advert { at: at(9_950), seat: Seat::A, vrid: 1, priority: 1 }];
        let span = |begin_ms: i64, end_ms: i64| vec![Span { begin_us: begin_ms * 1000, end_us: end_ms * 1000 }];
        let picture = Picture::of(&window);
        assert_eq!((picture.held_by_a, picture.held_by_b), (span(-1_000, 1_900), span(350, 2_000)));
        assert_eq!((picture.client_sends_to_a, picture.client_sends_to_b), (span(-1_000, 360), span(360, 2_000)));
        assert_eq!((picture.adverts_of_a, picture.adverts_of_b), (vec![-50_000], vec![]));
    }

    #[test]
    fn failures_close_together_are_one_span() {
        let moments = [1_000, 3_000, 40_000, 200_000];
        let wanted = [Span { begin_us: 1_000, end_us: 40_000 }, Span { begin_us: 200_000, end_us: 200_000 }];
        assert_eq!(joined(moments.into_iter()), wanted);
    }
}
