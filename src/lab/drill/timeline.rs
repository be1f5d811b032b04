//! The timeline that a person reads while a drill runs: who owns the VIP, what the client sees.

use std::io::Write;
use std::time::Duration;

use crate::base::{Count, MonoTime};
use crate::lab::journal::Journal;
use crate::lab::pair::Seat;

/// So long without an answer is worth a line.
const SILENCE: Duration = Duration::from_millis(30);
/// Failed connections are summed up over so long: one line instead of hundreds.
const SUMMARY: Duration = Duration::from_millis(500);

/// Writes lines as things happen; keeps what it has told.
pub struct Timeline<'a> {
    out: &'a mut (dyn Write + Send),
    moves: usize,
    turns: usize,
    requests: usize,
    broken: usize,
    /// When the last answer before the present silence came.
    silent_since: Option<MonoTime>,
    failures: Failures,
}

#[derive(Debug, Default)]
struct Failures {
    since: MonoTime,
    count: usize,
    last: String,
}

impl std::fmt::Debug for Timeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timeline").field("silent_since", &self.silent_since).finish_non_exhaustive()
    }
}

impl<'a> Timeline<'a> {
    pub fn new(out: &'a mut (dyn Write + Send)) -> Self {
        let failures = Failures::default();
        Self { out, moves: 0, turns: 0, requests: 0, broken: 0, silent_since: None, failures }
    }

    /// One line: seconds since the drill began, who speaks, what happened.
    pub fn tell(&mut self, at: MonoTime, who: &str, what: &str) {
        // A reader that went away does not end a drill: its verdict is the exit status.
        writeln!(self.out, "{:>9.3}  {who:<8} {what}", at.since_start().as_secs_f64()).ok();
        self.out.flush().ok();
    }

    /// Tell what happened since the last call.
    pub fn follow(&mut self, journal: &Journal) {
        let now = journal.now();
        let mut lines: Vec<(MonoTime, &str, String)> = vec![];
        {
            let pages = journal.pages();
            for moved in pages.moves.iter().skip(self.moves) {
                let what = if moved.holds { "has the VIP" } else { "lost the VIP" };
                lines.push((moved.at, moved.seat.name(), what.to_owned()));
            }
            for turn in pages.turns.iter().skip(self.turns) {
                let towards = turn.towards.map_or("nobody", Seat::name);
                lines.push((turn.at, "client", format!("sends to {towards}")));
            }
            for broken in pages.broken.iter().skip(self.broken) {
                lines.push((broken.at, "client", format!("a long-lived connection broke: {}", broken.error)));
            }
            for request in pages.requests.iter().skip(self.requests) {
                if let Err(error) = &request.result {
                    self.failures.add(request.ended, error);
                }
            }
            (self.moves, self.turns) = (pages.moves.len(), pages.turns.len());
            (self.broken, self.requests) = (pages.broken.len(), pages.requests.len());
            let sending = pages.probes.last().is_some_and(|probe| now.since(probe.sent) < SILENCE);
            match (&pages.answered, self.silent_since) {
                (Some(answer), None) if sending && now.since(answer.at) > SILENCE => {
                    self.silent_since = Some(answer.at);
                    lines.push((answer.at, "client", "gets no answer any more".to_owned()));
                }
                (Some(answer), Some(since)) if answer.at > since => {
                    self.silent_since = None;
                    let silent_ms = answer.at.since(since).as_millis();
                    lines.push((
                        answer.at,
                        "client",
                        format!("gets answers again after {silent_ms} ms, from {}", answer.from),
                    ));
                }
                (Some(_) | None, _) => {}
            }
        }
        lines.extend(self.failures.summary(now).map(|text| (now, "client", text)));
        lines.sort_by_key(|(at, _, _)| *at);
        for (at, who, what) in lines {
            self.tell(at, who, &what);
        }
    }
}

impl Failures {
    fn add(&mut self, at: MonoTime, error: &str) {
        if self.count == 0 {
            self.since = at;
        }
        self.count += 1;
        error.clone_into(&mut self.last);
    }

    fn summary(&mut self, now: MonoTime) -> Option<String> {
        if self.count == 0 || now.since(self.since) < SUMMARY {
            return None;
        }
        let text = format!("{} failed: {}", Count(self.count, "new connection"), self.last);
        *self = Self::default();
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::records::{Move, Turn};

    #[test]
    fn what_happened_is_told_once_in_order() {
        let journal = Journal::default();
        let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
        {
            let mut pages = journal.pages();
            pages.turns.push(Turn { at: at(412), towards: Some(Seat::B) });
            pages.moves.push(Move { at: at(410), seat: Seat::B, holds: true });
            pages.moves.push(Move { at: at(2_100), seat: Seat::A, holds: false });
        }
        let mut text: Vec<u8> = vec![];
        let mut timeline = Timeline::new(&mut text);
        timeline.follow(&journal);
        timeline.follow(&journal);
        let expected =
            "    0.410  b        has the VIP\n    0.412  client   sends to b\n    2.100  a        lost the VIP\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn failures_are_summed_up() {
        let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
        let mut failures = Failures::default();
        assert_eq!(failures.summary(at(1_000)), None, "nothing failed");
        for ms in 1_000..1_020 {
            failures.add(at(ms), "no answer");
        }
        assert_eq!(failures.summary(at(1_400)), None, "too early");
        assert_eq!(failures.summary(at(1_500)).as_deref(), Some("20 new connections failed: no answer"));
        assert_eq!(failures.summary(at(9_000)), None, "told already");
    }
}
