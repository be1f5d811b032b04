//! What a drill found: as data, and as a table for people.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::judge::{Amount, Promise, Verdict, failed, lost, outage, slowest};
use super::picture::Picture;
use crate::base::MonoTime;
use crate::lab::client::PROBE_INTERVAL;
use crate::lab::records::Window;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub faults: Vec<FaultReport>,
    /// Every promise of every fault was kept, and every fault was tried.
    pub kept: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    pub fault: String,
    /// Since the drill began.
    pub at: Amount,
    /// Longest time without any answer, less the probe interval; none where it did not end.
    pub outage: Option<Amount>,
    /// The slowest answer to a probe: one that waited in a queue is late, not lost.
    pub slowest: Amount,
    pub probes: usize,
    pub probes_lost: usize,
    pub connections: usize,
    pub connections_failed: usize,
    /// Of the long-lived ones; each is made anew after.
    pub connections_broken: usize,
    pub verdicts: Vec<Verdict>,
    /// `None` where the pair is not watched through a client.
    pub picture: Option<Picture>,
    /// What the drill waited for in vain.
    pub stuck: Option<String>,
    pub kept: bool,
}

impl FaultReport {
    /// `flows` is how many source addresses share the probes.
    pub fn new(fault: String, window: &Window, promises: &[Promise], flows: u32, stuck: Option<String>) -> Self {
        let verdicts: Vec<Verdict> =
            promises.iter().map(|promise| promise.judge(window, PROBE_INTERVAL, flows)).collect();
        Self {
            fault,
            at: window.from.since_start().into(),
            outage: outage(window.from, window.probes_after(), PROBE_INTERVAL).map(Amount::from),
            slowest: slowest(window).into(),
            probes: window.probes_after().count(),
            probes_lost: lost(window, |_| true),
            connections: window.requests_after().count(),
            connections_failed: failed(window, |_| true),
            connections_broken: window.broken_after().count(),
            kept: stuck.is_none() && verdicts.iter().all(|verdict| verdict.kept),
            verdicts,
            picture: Some(Picture::of(window)),
            stuck,
        }
    }

    /// Of a lab with no client that keeps asking.
    pub fn measured(fault: String, at: MonoTime, verdicts: Vec<Verdict>) -> Self {
        Self {
            fault,
            at: at.since_start().into(),
            outage: None,
            slowest: Amount::Microseconds(0),
            probes: 0,
            probes_lost: 0,
            connections: 0,
            connections_failed: 0,
            connections_broken: 0,
            kept: verdicts.iter().all(|verdict| verdict.kept),
            verdicts,
            picture: None,
            stuck: None,
        }
    }
}

impl Report {
    pub fn new(faults: Vec<FaultReport>, planned: usize) -> Self {
        let kept = faults.len() == planned && faults.iter().all(|fault| fault.kept);
        Self { faults, kept }
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<42} {:>9} {:>9} {:>12} {:>13} {:>7}\n{:<42} {:>9} {:>9} {:>12} {:>13} {:>7}\n",
            "fault",
            "outage",
            "slowest",
            "probes",
            "connections",
            "long",
            "",
            "",
            "answer",
            "lost / sent",
            "failed / new",
            "broken"
        );
        for fault in &self.faults {
            fault.write(&mut text);
        }
        let broken = self.faults.iter().flat_map(|fault| &fault.verdicts).filter(|verdict| !verdict.kept).count();
        let promises: usize = self.faults.iter().map(|fault| fault.verdicts.len()).sum();
        let stuck = self.faults.iter().filter(|fault| fault.stuck.is_some()).count();
        let end = match (self.kept, broken, stuck) {
            (true, _, _) => format!("All {promises} bounds hold."),
            (false, 0, 0) => "BROKEN: the drill did not come to its end.".to_owned(),
            (false, _, _) => {
                format!("{broken} of {promises} bounds BROKEN; {stuck} of {} faults did not settle.", self.faults.len())
            }
        };
        // Writing to a String cannot fail.
        writeln!(text, "\n{end}").ok();
        text
    }
}

impl FaultReport {
    fn write(&self, text: &mut String) {
        let Self { fault, outage, probes, probes_lost, connections, connections_failed, connections_broken, .. } = self;
        let watched = self.picture.is_some() || *probes > 0;
        let outage = outage.map_or_else(|| if watched { "no end" } else { "-" }.to_owned(), Amount::text);
        let (lost, failed) = (format!("{probes_lost} / {probes}"), format!("{connections_failed} / {connections}"));
        let slowest = self.slowest.text();
        writeln!(text, "\n{fault:<42} {outage:>9} {slowest:>9} {lost:>12} {failed:>13} {connections_broken:>7}").ok();
        if let Some(what) = &self.stuck {
            writeln!(text, "  BROKEN  waited in vain for: {what}").ok();
        }
        for verdict in &self.verdicts {
            writeln!(text, "  {verdict}").ok();
        }
    }
}

impl Amount {
    /// For people: a time in milliseconds or seconds, or a number.
    pub fn text(self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Kibibytes(size) => format!("{size} KiB"),
            Self::Microseconds(us) => match Duration::from_micros(us) {
                span if span >= Duration::from_secs(1) => format!("{:.3} s", span.as_secs_f64()),
                span => format!("{} ms", span.as_micros().div_ceil(1000)),
            },
        }
    }
}

impl std::fmt::Display for Verdict {
    /// `ok      PROMISE: MEASURED <= FORMULA = LIMIT`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.kept { "ok" } else { "BROKEN" };
        let measured = self.measured.map_or_else(|| "no end".to_owned(), Amount::text);
        write!(f, "{word:<6}  {}: {measured}", self.promise)?;
        let limit = self.limit.text();
        match self.formula.as_str() {
            "" => write!(f, "; bound {limit}"),
            formula => write!(f, "; bound {formula} = {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_like_this() {
        let verdict = |promise: &str, formula: &str, limit, measured, kept| Verdict {
            promise: promise.to_owned(),
            formula: formula.to_owned(),
            limit,
            measured,
            kept,
        };
        let fault = FaultReport {
            fault: "kill -9 of the master a".to_owned(),
            at: Amount::Microseconds(0),
            outage: Some(Amount::Microseconds(312_400)),
            slowest: Amount::Microseconds(1_200),
            probes: 2500,
            probes_lost: 156,
            connections: 1000,
            connections_failed: 62,
            connections_broken: 1,
            verdicts: vec![
                verdict(
                    "clients without an answer",
                    "3 * 0.10 + 156/256 * 0.10 + 0.02 s",
                    Amount::Microseconds(380_937),
                    Some(Amount::Microseconds(312_400)),
                    true,
                ),
                verdict("VIP gone", "ceil(0.361) + 1 + 0.5 s", Amount::Microseconds(2_500_000), None, false),
                verdict("no probe lost, no connection failed", "", Amount::Count(0), Some(Amount::Count(3)), false),
            ],
            picture: None,
            stuck: Some("b owns the VIP alone".to_owned()),
            kept: false,
        };
        insta::assert_snapshot!(Report::new(vec![fault], 1).table());
    }

    #[test]
    fn a_drill_that_ended_early_is_broken() {
        let report = Report::new(vec![], 2);
        assert!(!report.kept);
        assert!(report.table().contains("BROKEN"));
    }
}
