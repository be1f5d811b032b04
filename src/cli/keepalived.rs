//! `vipd keepalived`, and vipd started under the name `keepalived`: keepalived's own command line.
//!
//! Everything that can be wrong is looked for before the process leaves the terminal.

mod options;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::stat::{Mode, umask};

use super::print::{err, out};
use crate::config::expand::Strictness;
use crate::config::io::loader::{LoadOptions, Loaded};
use crate::config::problem::{Problem, Severity};
use crate::config::schema::umask as umask_of;
use crate::config::show;
use crate::daemon::detach::detach;
use crate::daemon::loading::load;
use crate::daemon::log::LogTo;
use crate::daemon::pidfile::{self, PidFile, PidFileError};
use crate::daemon::supervisor::{self, Options, Parts};
use options::{Given, Opt, UsageError};

const FILE: &str = "/etc/keepalived/keepalived.conf";
const PID_FILE: &str = "/run/keepalived.pid";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    work: Work,
    file: PathBuf,
    load: LoadOptions,
    parts: Parts,
    fork: bool,
    console: bool,
    detail: u8,
    dump_conf: bool,
    umask: Option<u32>,
    pid_files: Vec<PathBuf>,
    run_dir: PathBuf,
    /// Lines for stderr: what has no effect.
    notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Work {
    Run,
    /// The messages go to the file, or to stderr.
    Test(Option<PathBuf>),
    /// Print it.
    Tell {
        to_stderr: String,
    },
    Signum(i32),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("{name}: {why}")]
    Refused { name: String, why: &'static str },
    #[error("Unknown sigfunc {got}")]
    Signum { got: String },
    #[error("Invalid umask {got}")]
    Umask { got: String },
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error("leaving the terminal: {0}")]
    Detach(std::io::Error),
    #[error("the path of {path}: {source}")]
    Path { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Run(#[from] supervisor::RunError),
}

/// keepalived's exit status: 0, 1 where it cannot run; of a test 2, 4, 5 or 6 for what is wrong.
pub fn run(arguments: &[String]) -> ExitCode {
    let asked = match read(arguments) {
        Ok(asked) => asked,
        Err(error) => {
            err(&format!("{error}\n"));
            return ExitCode::FAILURE;
        }
    };
    for note in &asked.notes {
        err(&format!("vipd: {note}\n"));
    }
    match &asked.work {
        Work::Tell { to_stderr } => {
            err(to_stderr);
            ExitCode::SUCCESS
        }
        Work::Signum(number) => {
            out(&format!("{number}\n"));
            ExitCode::SUCCESS
        }
        Work::Test(log) => test(&asked, log.as_deref()),
        Work::Run => match start(asked) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                err(&format!("vipd: {error}\n"));
                ExitCode::FAILURE
            }
        },
    }
}

fn read(arguments: &[String]) -> Result<Asked, AskError> {
    let (given, surplus) = options::read(arguments)?;
    let mut asked = Asked {
        work: Work::Run,
        file: PathBuf::from(FILE),
        load: LoadOptions::default(),
        parts: Parts::default(),
        fork: true,
        console: false,
        detail: 0,
        dump_conf: false,
        umask: None,
        pid_files: vec![],
        run_dir: PathBuf::from(super::RUN_DIR),
        notes: vec![],
    };
    let (mut vrrp, mut checkers, mut pid) = (false, false, PathBuf::from(PID_FILE));
    for Given { opt, name, value } in given {
        let value = value.unwrap_or_default();
        match opt {
            Opt::File => asked.file = PathBuf::from(value),
            Opt::VrrpOnly => vrrp = true,
            Opt::CheckersOnly => checkers = true,
            Opt::LogConsole => asked.console = true,
            Opt::LogDetail => asked.detail = asked.detail.saturating_add(1),
            Opt::Umask => asked.umask = Some(umask_of(&value).ok_or(AskError::Umask { got: value })?),
            Opt::DontFork => asked.fork = false,
            Opt::Pid => pid = PathBuf::from(value),
            Opt::VrrpPid | Opt::CheckersPid => asked.pid_files.push(PathBuf::from(value)),
            Opt::AllConfig => asked.load.strictness = Strictness::ALL,
            Opt::ConfigId => asked.load.config_id = Some(value),
            Opt::Signum => asked.work = Work::Signum(signum(&value)?),
            Opt::ConfigTest => asked.work = Work::Test(Some(PathBuf::from(value)).filter(|path| path != Path::new(""))),
            Opt::Version => asked.work = tell(format!("Keepalived: vipd v{}\n", env!("CARGO_PKG_VERSION"))),
            Opt::Help => asked.work = tell(options::usage()),
            Opt::DumpConf => asked.dump_conf = true,
            Opt::RunDir => asked.run_dir = PathBuf::from(value),
            Opt::Always => {}
            Opt::NoEffect(why) => asked.notes.push(format!("{name} has no effect: {why}")),
            Opt::Refused(why) => return Err(AskError::Refused { name, why }),
        }
        // keepalived prints these at once, whatever follows.
        if matches!(asked.work, Work::Tell { .. } | Work::Signum(_)) {
            return Ok(asked);
        }
    }
    if vrrp != checkers {
        asked.parts = Parts { vrrp, checkers };
    }
    asked.pid_files.insert(0, pid);
    if !surplus.is_empty() {
        asked.notes.push(format!("Unexpected argument(s): {}", surplus.join(" ")));
    }
    Ok(asked)
}

const fn tell(to_stderr: String) -> Work {
    Work::Tell { to_stderr }
}

/// The numbers of the signals that a running daemon takes.
fn signum(function: &str) -> Result<i32, AskError> {
    match function {
        "STOP" => Ok(supervisor::signals::STOP),
        "RELOAD" => Ok(supervisor::signals::RELOAD),
        "DATA" => Ok(supervisor::signals::DATA),
        "STATS" => Ok(supervisor::signals::STATS),
        "STATS_CLEAR" => Ok(supervisor::signals::stats_clear()),
        "JSON" => Ok(supervisor::signals::json()),
        got => Err(AskError::Signum { got: got.to_owned() }),
    }
}

fn test(asked: &Asked, log: Option<&Path>) -> ExitCode {
    let loaded = load(&asked.file, &asked.load);
    let text = messages(&loaded);
    match log {
        None => err(&text),
        Some(path) => {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
                err(&format!("vipd: {}: {error}\n{text}", path.display()));
            }
        }
    }
    ExitCode::from(test_status(&loaded.problems))
}

/// keepalived's exit status of `--config-test`: 2 and 6 where reading stops at once, at a missing argument and at a
/// strict include; else the class that is seen and highest in its order, which is not that of `vipd check`.
fn test_status(problems: &[Problem]) -> u8 {
    let stops = |problem: &&Problem| problem.severity == Severity::Fatal;
    match problems.iter().find(stops).map(|problem| problem.code) {
        Some("missing-argument") => return 2,
        Some("include-failed") => return 6,
        Some(_) | None => {}
    }
    let seen = |severity| problems.iter().any(|problem| problem.severity == severity);
    match () {
        () if seen(Severity::ScriptSecurity) => 6,
        () if seen(Severity::Error) => 5,
        () if seen(Severity::Fatal) => 4,
        () => 0,
    }
}

/// `(FILE: Line N) text`, one line each.
fn messages(loaded: &Loaded) -> String {
    let mut text = String::new();
    for problem in loaded.problems.iter().filter(|problem| problem.severity != Severity::Note) {
        let view = problem.view(&loaded.sources);
        let place = if view.line == 0 { String::new() } else { format!("({}: Line {}) ", view.file, view.line) };
        let help = view.help.map_or_else(String::new, |help| format!(" ({})", help.replace('\n', "; ")));
        text.push_str(&format!("{place}{}{help}\n", view.message));
    }
    text
}

fn start(asked: Asked) -> Result<(), StartError> {
    let absolute =
        |path: &PathBuf| std::path::absolute(path).map_err(|source| StartError::Path { path: path.clone(), source });
    // The directory is another one after the fork.
    let (file, run_dir) = (absolute(&asked.file)?, absolute(&asked.run_dir)?);
    let pid_files = asked.pid_files.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
    for path in &pid_files {
        pidfile::check(path)?;
    }
    let loaded = load(&file, &asked.load);
    if loaded.is_fatal() {
        err(&messages(&loaded));
        let fatal = loaded.problems.iter().filter(|problem| problem.severity == Severity::Fatal).count();
        return Err(supervisor::RunError::Config { file, fatal }.into());
    }
    if asked.dump_conf {
        out(&show::show(&loaded.config));
    }
    drop(loaded);
    if let Some(mask) = asked.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if asked.fork {
        detach(asked.console).map_err(StartError::Detach)?;
    }
    let _held = pid_files.iter().map(|path| PidFile::write(path)).collect::<Result<Vec<_>, _>>()?;
    let level = match asked.detail {
        0 | 1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let log_to = if asked.fork && !asked.console { LogTo::Syslog } else { LogTo::Stderr };
    let (load, parts) = (asked.load, asked.parts);
    Ok(supervisor::run(Options {
        file,
        state_dir: super::state_dir(None, &run_dir),
        run_dir,
        load,
        log: level.to_owned(),
        log_to,
        parts,
    })?)
}

#[cfg(test)]
mod tests;
