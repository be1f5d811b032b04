//! `vipd doctor`: one line for each thing that keeps the configuration from working on this host.

use std::path::PathBuf;
use std::process::ExitCode;

use super::print::{err, out};
use super::{LoadArgs, RunDirArg};
use crate::daemon::doctor::{Diagnosis, DoctorError, of_daemon, of_file};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration to look at, instead of the running daemon's.
    file: Option<PathBuf>,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    at: RunDirArg,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("starting the runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

pub fn run(args: &Args) -> ExitCode {
    match examine(args) {
        Ok(code) => code,
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn examine(args: &Args) -> Result<ExitCode, Failed> {
    let found = if let Some(file) = &args.file {
        of_file(file, &args.load.options())?
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failed::Runtime)?;
        runtime.block_on(of_daemon(&args.at.run_dir))?
    };
    if args.json {
        out(&(serde_json::to_string_pretty(&found)? + "\n"));
    } else {
        out(&text(&found));
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(found: &[Diagnosis]) -> String {
    if found.is_empty() {
        return "nothing is wrong\n".to_owned();
    }
    let line = |Diagnosis { about, problem, remedy }: &Diagnosis| format!("{about}: {problem}. Remedy: {remedy}\n");
    found.iter().map(line).collect()
}
