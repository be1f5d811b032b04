//! `vipd metrics`: what `metrics_listen` serves, for those who ask through the control socket.

use std::process::ExitCode;

use super::ask::{AskError, ask};
use super::print::tell;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: super::RunDirArg,
    /// Leave out real servers and their checks.
    #[arg(long)]
    services_only: bool,
}

pub fn run(args: &Args) -> ExitCode {
    tell(metrics(args))
}

fn metrics(args: &Args) -> Result<String, AskError> {
    let target = if args.services_only { "/metrics?real_servers=0" } else { "/metrics" };
    ask(&args.at.run_dir, "GET", target, vec![])
}
