//! `vipd drill`: arguments in, the timeline and the table out. The drill itself is `lab::drill`.
#![expect(clippy::disallowed_methods, reason = "the command line reads the files that it names")]

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::daemon::checkers::{Checkers, Sessions};
use crate::lab::drill::detection;
use crate::lab::drill::judge::Verdict;
use crate::lab::drill::{Plan, PlanError, Report, Scenario, run as run_drill, stop_on_signals};
use crate::lab::{Daemon, LabError, Services, Stop, leftovers};

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
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("vipd drill needs root: it makes network namespaces (try sudo)")]
    NotRoot,
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot find the running program: {0}")]
    Program(#[source] io::Error),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error("starting the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot write the result: {0}")]
    Write(#[source] io::Error),
}

/// What was found: the faults, and how soon each kind of check finds that its server is gone.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    report: Report,
    /// None where only some faults were asked for.
    detection: Vec<Verdict>,
}

impl Found {
    fn kept(&self) -> bool {
        self.report.kept && self.detection.iter().all(|verdict| verdict.kept)
    }
}

/// 0: every bound holds. 1: a bound is broken. 2: the drill could not be carried out. 130: interrupted.
pub fn run(args: Args) -> ExitCode {
    match drill(args) {
        Ok(found) if found.kept() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            writeln!(io::stderr(), "vipd drill: {error}").ok();
            ExitCode::from(if matches!(error, Error::Lab(LabError::Interrupted)) { 130 } else { 2 })
        }
    }
}

fn drill(args: Args) -> Result<Found, Error> {
    let Args { config, json, keep, only } = args;
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source });
    let configs = config.iter().map(read).collect::<Result<Vec<String>, Error>>()?;
    let daemon = Daemon::Vipd { binary: env::current_exe().map_err(Error::Program)? };
    let plan = Plan::new(&configs, &daemon, Services::Forwarded, &only, keep)?;
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
    let report = run_drill(&plan, &stop, &mut *out)?;
    let detection = if only.is_empty() { detection()? } else { vec![] };
    let found = Found { report, detection };
    if json {
        let text = serde_json::to_string_pretty(&found).map_err(|error| Error::Write(error.into()))?;
        writeln!(io::stdout(), "{text}").map_err(Error::Write)?;
    } else {
        write!(out, "\n{}", found.report.table()).map_err(Error::Write)?;
        if !found.detection.is_empty() {
            write!(out, "{}", detection::table(&found.detection)).map_err(Error::Write)?;
        }
    }
    Ok(found)
}

fn detection() -> Result<Vec<Verdict>, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let measured = runtime.block_on(detection::measure(async |checks| {
        let (checkers, events, _task) = Checkers::start(Sessions::default());
        // A task that has ended tells nothing, and that is what is measured.
        checkers.configure(checks).await.ok();
        (events, checkers)
    }))?;
    Ok(measured)
}
