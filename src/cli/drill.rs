//! `vipd drill`: arguments in; the timeline, the table and the page out. The drill itself is `lab::drill`.
#![expect(clippy::disallowed_methods, reason = "the command line reads and writes the files that it names")]

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum as _;
use serde::Serialize;

use crate::base::AdvertInterval;
use crate::daemon::checkers::alone;
use crate::lab::drill::judge::Verdict;
use crate::lab::drill::{Plan, PlanError, Scenario, page, repeat as repeat_drill, run as run_drill, stop_on_signals};
use crate::lab::drill::{Report, detection};
use crate::lab::{Daemon, LabError, Seat, Services, Stop, leftovers};

/// Break a pair of directors in every planned way, in throw-away network namespaces of this machine, and hold what
/// a client saw against theory. Exits with 0 if every bound holds.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration for both directors (the backup's priority is lowered by 50); given twice: the master's, then
    /// the backup's. Without it: the pair of conf/.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// The result as JSON on standard output; the timeline goes to standard error.
    #[arg(long)]
    json: bool,
    /// Leave the lab standing after the last fault, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Only these faults.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<Scenario>,
    /// Every fault: some minutes.
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// Another `advert_int` for both, in seconds, e.g. 0.02.
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    advert_int: Option<AdvertInterval>,
    /// What the backup runs; with keepalived the directors themselves answer, since it forwards by IPVS only.
    #[arg(long, value_name = "DAEMON", value_enum)]
    peer: Option<Peer>,
    /// The vipd that is drilled; this one without it.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Run it so many times, each followed by the same for two keepalived; tells median and maximum.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "keep")]
    repeat: Option<u32>,
    /// Write the result as one page for a browser, with a picture of each fault.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    Vipd,
    Keepalived,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("vipd drill needs root: it makes network namespaces (try sudo)")]
    NotRoot,
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot find the program to drill: {0}")]
    Program(#[source] io::Error),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error("cannot write {}: {source}", path.display())]
    Report { path: PathBuf, source: io::Error },
    #[error("cannot write the result: {0}")]
    Write(#[source] io::Error),
}

/// 0: every bound holds. 1: a bound is broken. 2: the drill could not be carried out. 130: interrupted.
pub fn run(args: Args) -> ExitCode {
    match drill(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            writeln!(io::stderr(), "vipd drill: {error}").ok();
            ExitCode::from(if matches!(error, Error::Lab(LabError::Interrupted)) { 130 } else { 2 })
        }
    }
}

/// Whether every bound holds.
fn drill(args: Args) -> Result<bool, Error> {
    let Args { config, json, keep, only, all, advert_int, peer, binary, repeat, report } = args;
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source });
    let configs = config.iter().map(read).collect::<Result<Vec<String>, Error>>()?;
    let binary = binary.map_or_else(env::current_exe, fs::canonicalize).map_err(Error::Program)?;
    let daemon = Daemon::Vipd { binary };
    let scenarios = if all { Scenario::value_variants() } else { &only };
    let mut plan = Plan::new(&configs, &daemon, Services::Forwarded, scenarios, keep)?;
    if let Some(interval) = advert_int {
        plan = plan.with_interval(interval);
    }
    if peer == Some(Peer::Keepalived) {
        plan = plan.with_keepalived_on(&[Seat::B]);
    }
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let (removed, failed) = leftovers::remove();
    let mut out: Box<dyn Write + Send> = if json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    for name in removed {
        writeln!(out, "removed {name}, left by a killed drill").map_err(Error::Write)?;
    }
    for error in failed {
        writeln!(out, "left by a killed drill, and it stays: {error}").map_err(Error::Write)?;
    }
    let told = if let Some(runs) = repeat {
        let comparison = repeat_drill(&plan, runs, &stop, &mut *out)?;
        let page = page(&comparison.last, Some(&comparison));
        Told { json: to_json(&comparison), table: comparison.table(), page, kept: comparison.kept }
    } else {
        let report = run_drill(&plan, &stop, &mut *out)?;
        let found = Found { detection: if only.is_empty() { detection()? } else { vec![] }, report };
        Told { json: to_json(&found), table: found.table(), page: page(&found.report, None), kept: found.kept() }
    };
    if let Some(path) = report {
        fs::write(&path, told.page).map_err(|source| Error::Report { path: path.clone(), source })?;
        writeln!(out, "\nwritten: {}", path.display()).map_err(Error::Write)?;
    }
    if json {
        writeln!(io::stdout(), "{}", told.json.map_err(Error::Write)?).map_err(Error::Write)?;
    } else {
        write!(out, "\n{}", told.table).map_err(Error::Write)?;
    }
    Ok(told.kept)
}

fn interval(text: &str) -> Result<AdvertInterval, String> {
    let span = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let centis = span.and_then(|span| u16::try_from(span.as_millis() / 10).ok());
    let centis = centis.ok_or_else(|| format!("`{text}` is no number of seconds up to 40.95"))?;
    AdvertInterval::from_centis(centis).map_err(|error| error.to_string())
}

/// What one drill found: the faults, and how soon each kind of check finds that its server is gone.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    report: Report,
    /// Empty where only some faults were asked for.
    detection: Vec<Verdict>,
}

impl Found {
    fn kept(&self) -> bool {
        self.report.kept && self.detection.iter().all(|verdict| verdict.kept)
    }

    fn table(&self) -> String {
        let checks = if self.detection.is_empty() { String::new() } else { detection::table(&self.detection) };
        self.report.table() + &checks
    }
}

fn detection() -> Result<Vec<Verdict>, Error> {
    Ok(detection::measure(alone::start)?)
}

/// What one drill, or several, say in the end.
struct Told {
    json: io::Result<String>,
    table: String,
    page: String,
    kept: bool,
}

fn to_json(what: &impl serde::Serialize) -> io::Result<String> {
    serde_json::to_string_pretty(what).map_err(io::Error::from)
}
