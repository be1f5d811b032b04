//! `vipd failover INSTANCE`: a planned hand-over.

use std::process::ExitCode;

use super::ask::{AskError, ask};
use super::print::{err, out};
use crate::control::api::{Done, FailoverRequest};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `vrrp_instance`, by its name; its whole sync group goes along.
    instance: String,
    /// Let go also where no peer takes over.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: super::RunDirArg,
}

pub fn run(args: &Args) -> ExitCode {
    match failover(args) {
        Ok(Done { said }) => {
            out(&format!("{said}; it lets its successor be until that one falls silent\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn failover(args: &Args) -> Result<Done, AskError> {
    let request = FailoverRequest { instance: args.instance.clone(), force: args.force };
    let said = ask(&args.at.run_dir, "POST", "/failover", serde_json::to_vec(&request)?)?;
    Ok(serde_json::from_str(&said)?)
}
