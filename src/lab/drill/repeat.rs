//! A drill again and again: median and maximum of what was measured, with a pair of keepalived in the same run beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use serde::Serialize;

use super::judge::{Amount, OUTAGE, Verdict};
use super::{FaultReport, Plan, Report, Scenario, run};
use crate::lab::director::Daemon;
use crate::lab::error::LabError;
use crate::lab::pair::Seat;
use crate::lab::wait::Stop;

/// What all runs of a drill measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    pub runs: u32,
    pub rows: Vec<Row>,
    /// Every bound was kept in every run of ours; keepalived's are only told.
    pub kept: bool,
    /// Our last run.
    pub last: Report,
}

/// One promise for one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub fault: String,
    pub promise: String,
    /// None: told beside the promises.
    pub limit: Option<Amount>,
    pub ours: Spread,
    pub keepalived: Option<Spread>,
}

/// Of several measures; `None`: one that did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    pub median: Option<Amount>,
    pub maximum: Option<Amount>,
    /// How many runs broke the bound.
    pub broken: usize,
}

/// Run `plan` so many times, each followed by the same for two keepalived where there are two of ours.
///
/// # Errors
/// As [`run`], of our own runs.
pub fn repeat(plan: &Plan, runs: u32, stop: &Stop, out: &mut (dyn Write + Send)) -> Result<Comparison, LabError> {
    let mut theirs = plan.clone().with_keepalived_on(&Seat::BOTH);
    // Measured beside keepalived as they are.
    theirs.scenarios.retain(|scenario| !matches!(scenario, Scenario::Routers));
    theirs.keep = false;
    let beside = plan.setup.daemon_a != Daemon::Keepalived && !theirs.scenarios.is_empty();
    let (mut ours, mut keepalived) = (vec![], vec![]);
    for number in 1..=runs {
        // A reader that went away does not end a drill.
        writeln!(out, "\n== run {number} of {runs}").ok();
        ours.push(run(plan, stop, out)?);
        if beside {
            writeln!(out, "\n== run {number} of {runs}, keepalived").ok();
            match run(&theirs, stop, out) {
                Ok(report) => keepalived.push(report),
                Err(LabError::Interrupted) => return Err(LabError::Interrupted),
                // What keepalived does not stand is no reason to measure ours no more.
                Err(error) => _ = writeln!(out, "this run of keepalived came to no end: {error}"),
            }
        }
    }
    Ok(Comparison::of(ours, &keepalived))
}

type Measures = BTreeMap<(String, String), Vec<(Option<Amount>, bool)>>;

fn measures(reports: &[Report]) -> Measures {
    let mut all = Measures::new();
    for fault in reports.iter().flat_map(|report| &report.faults) {
        for Measure { promise, limit: _, measured, kept } in measured(fault) {
            all.entry((fault.fault.clone(), promise)).or_default().push((measured, kept));
        }
    }
    all
}

/// One line of a fault.
struct Measure {
    promise: String,
    limit: Option<Amount>,
    measured: Option<Amount>,
    kept: bool,
}

/// The promises of a fault; the outage too, where none is about it.
fn measured(fault: &FaultReport) -> Vec<Measure> {
    let of_verdict = |verdict: &Verdict| Measure {
        promise: label(&verdict.promise),
        limit: Some(verdict.limit),
        measured: verdict.measured,
        kept: verdict.kept,
    };
    let mut all: Vec<Measure> = fault.verdicts.iter().map(of_verdict).collect();
    if fault.picture.is_some() && !all.iter().any(|measure| measure.promise == OUTAGE) {
        all.push(Measure { promise: OUTAGE.to_owned(), limit: None, measured: fault.outage, kept: true });
    }
    all
}

/// The same for both, whether connections end on real servers or on the directors.
fn label(promise: &str) -> String {
    promise.strip_suffix(", no connection failed").unwrap_or(promise).to_owned()
}

impl Comparison {
    fn of(ours: Vec<Report>, keepalived: &[Report]) -> Self {
        let (mine, theirs) = (measures(&ours), measures(keepalived));
        let kept = ours.iter().all(|report| report.kept);
        let runs = u32::try_from(ours.len()).unwrap_or(u32::MAX);
        let last = ours.into_iter().next_back().unwrap_or_else(|| Report::new(vec![], 0));
        // In the order of the drill.
        let rows = last.faults.iter().flat_map(|fault: &FaultReport| {
            measured(fault).into_iter().map(|Measure { promise, limit, measured: _, kept: _ }| {
                let key = (fault.fault.clone(), promise);
                let keepalived = theirs.get(&key).map(|measures| Spread::of(measures));
                let ours = mine.get(&key).map_or_else(|| Spread::of(&[]), |measures| Spread::of(measures));
                Row { fault: key.0, promise: key.1, limit, ours, keepalived }
            })
        });
        Self { runs, rows: rows.collect(), kept, last }
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} runs{:<38} {:>10} {:>10} {:>10} {:>14} {:>10}\n",
            self.runs, "", "bound", "median", "maximum", "keepalived:", "maximum"
        );
        let mut fault = "";
        for row in &self.rows {
            if row.fault != fault {
                fault = &row.fault;
                // Writing to a String cannot fail.
                writeln!(text, "\n{fault}").ok();
            }
            let [median, maximum] = row.ours.text();
            let [their_median, their_maximum] =
                row.keepalived.map_or_else(|| ["-".to_owned(), "-".to_owned()], Spread::text);
            let broken =
                if row.ours.broken > 0 { format!("  BROKEN {} times", row.ours.broken) } else { String::new() };
            let (promise, bound) = (&row.promise, row.limit.map_or_else(|| "-".to_owned(), Amount::text));
            writeln!(
                text,
                "  {promise:<43} {bound:>10} {median:>10} {maximum:>10} {their_median:>14} {their_maximum:>10}{broken}"
            )
            .ok();
        }
        let end = if self.kept { "All bounds hold in every run." } else { "BROKEN in some runs." };
        writeln!(text, "\n{end}").ok();
        text
    }
}

impl Spread {
    fn of(measures: &[(Option<Amount>, bool)]) -> Self {
        let mut amounts: Vec<Option<Amount>> = measures.iter().map(|(amount, _)| *amount).collect();
        // What did not end is longer than all that did.
        amounts.sort_by_key(|amount| (amount.is_none(), *amount));
        let middle = amounts.len().saturating_sub(1) / 2;
        Self {
            median: amounts.get(middle).copied().flatten(),
            maximum: amounts.last().copied().flatten(),
            broken: measures.iter().filter(|(_, kept)| !kept).count(),
        }
    }

    fn text(self) -> [String; 2] {
        [self.median, self.maximum].map(|amount| amount.map_or_else(|| "no end".to_owned(), Amount::text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MonoTime;

    fn report(promise: &str, measured_ms: Option<u64>) -> Report {
        let amount = |ms: u64| Amount::Microseconds(ms * 1000);
        let verdict = Verdict {
            promise: promise.to_owned(),
            formula: "x".to_owned(),
            limit: amount(380),
            measured: measured_ms.map(amount),
            kept: measured_ms.is_some_and(|ms| ms <= 380),
        };
        Report::new(vec![FaultReport::measured("kill -9 of the master a".to_owned(), MonoTime::ZERO, vec![verdict])], 1)
    }

    #[test]
    fn the_table_shows_median_and_maximum_of_both() {
        let outage = "clients without an answer";
        let ours = [340, 350, 361].map(|ms| report(outage, Some(ms))).to_vec();
        let keepalived = [Some(3_000), None, None].map(|ms| report(outage, ms));
        let comparison = Comparison::of(ours, &keepalived);
        assert!(comparison.kept);
        insta::assert_snapshot!(comparison.table());
    }

    #[test]
    fn what_did_not_end_is_the_longest() {
        let measures = [(None, false), (Some(Amount::Count(1)), true), (Some(Amount::Count(3)), false)];
        let wanted = Spread { median: Some(Amount::Count(3)), maximum: None, broken: 2 };
        assert_eq!(Spread::of(&measures), wanted);
    }

    #[test]
    fn promises_of_both_kinds_of_services_are_one_row() {
        let ours = vec![report("no probe lost, no connection failed", Some(1))];
        let comparison = Comparison::of(ours, &[report("no probe lost", Some(7))]);
        assert_eq!(comparison.rows[0].keepalived.unwrap().median, Some(Amount::Microseconds(7_000)));
    }
}
