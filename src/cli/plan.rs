//! `vipd plan`: what loading a file would change, in the running daemon or against another file. Nothing is touched.

use std::path::PathBuf;
use std::process::ExitCode;

use super::print::{colour, err, out};
use super::{LoadArgs, RunDirArg, check};
use crate::base::Count;
use crate::config::change::{Plan, plan};
use crate::config::io::loader::{LoadOptions, Loaded, load_text};
use crate::config::model::Config;
use crate::control::io::client;
use crate::daemon::loading::load;
use crate::daemon::rundir::control_socket;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration that would be loaded.
    file: PathBuf,
    /// Compare with this file instead of the running daemon.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The plan as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    at: RunDirArg,
}

#[derive(Debug, thiserror::Error)]
enum PlanError {
    /// Shown as `vipd check` shows it.
    #[error("{shown}")]
    Fatal { shown: String },
    #[error("vipd: starting the runtime: {0}\n")]
    Runtime(std::io::Error),
    #[error("vipd: {0}\n      to compare with a file instead: --from FILE\n")]
    Call(#[from] client::CallError),
    #[error("vipd: the daemon's configuration cannot be read back; is it of another version?\n{shown}")]
    Answer { shown: String },
    #[error("vipd: {0}\n")]
    Json(#[from] serde_json::Error),
}

impl PlanError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Fatal { .. } => 4,
            Self::Runtime(_) | Self::Call(_) | Self::Answer { .. } | Self::Json(_) => 1,
        }
    }
}

pub fn run(args: &Args) -> ExitCode {
    match work(args) {
        Ok(text) => {
            out(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            // A program that asked for JSON reads it from where it asked.
            let tell = if args.json && matches!(error, PlanError::Fatal { .. }) { out } else { err };
            tell(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

fn work(args: &Args) -> Result<String, PlanError> {
    let wanted = runnable(load(&args.file, &args.load.options()), args.json)?;
    let running = match &args.from {
        Some(from) => runnable(load(from, &args.load.options()), args.json)?.config,
        None => ask(args)?,
    };
    let plan = plan(&running, &wanted.config, wanted.flaws());
    if args.json {
        return Ok(serde_json::to_string_pretty(&plan)? + "\n");
    }
    Ok(shown(&plan, &wanted, colour()))
}

/// The plan, and a word on problems that would not keep it from being loaded.
fn shown(plan: &Plan, wanted: &Loaded, colour: bool) -> String {
    let errors = wanted.flaws().errors;
    let hint = match errors {
        0 => String::new(),
        _ => format!("{} in the file: parts of it are left out (`vipd check` shows which)\n", Count(errors, "error")),
    };
    plan.render(colour) + &hint
}

fn runnable(loaded: Loaded, json: bool) -> Result<Loaded, PlanError> {
    if !loaded.is_fatal() {
        return Ok(loaded);
    }
    let shown = if json { check::json(&loaded) } else { check::text(&loaded, false) };
    Err(PlanError::Fatal { shown })
}

/// The configuration in force.
fn ask(args: &Args) -> Result<Config, PlanError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PlanError::Runtime)?;
    let socket = control_socket(&args.at.run_dir);
    let text = runtime.block_on(client::call(&socket, "GET", "/config", vec![]))?;
    let loaded = load_text("running", &text, &LoadOptions { system: false, ..LoadOptions::default() });
    if loaded.is_fatal() {
        return Err(PlanError::Answer { shown: check::text(&loaded, false) });
    }
    Ok(loaded.config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_file_are_told_beside_the_plan() {
        let options = LoadOptions { system: false, ..LoadOptions::default() };
        let good =
            "vrrp_instance VI_1 {\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {\n192.0.2.1/24\n}\n}\n";
        let old = load_text("old", good, &options);
        let new = load_text("new", &good.replace("51", "51\npriority 999\ndont_track_primary"), &options);
        insta::assert_snapshot!(shown(&plan(&old.config, &new.config, new.flaws()), &new, false));
    }

    #[test]
    fn a_file_that_would_not_run_is_shown_as_check_shows_it() {
        let loaded = load_text(
            "new",
            "include_check\nincludea /no/such\n",
            &LoadOptions { system: false, ..LoadOptions::default() },
        );
        let error = runnable(loaded.clone(), false).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("it would NOT run"), "{error}");
        let error = runnable(loaded, true).unwrap_err().to_string();
        let json: serde_json::Value = serde_json::from_str(&error).unwrap();
        assert_eq!(json["exit_code"], 4);
        assert!(json["problems"].as_array().unwrap().iter().any(|problem| problem["code"] == "include-failed"));
    }
}
