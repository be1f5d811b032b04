//! `vipd maintenance on|off [INSTANCE]`.

use std::process::ExitCode;

use super::ask::{AskError, ask};
use super::print::{err, out};
use crate::control::api::{Done, MaintenanceRequest};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    switch: Switch,
    /// Only this `vrrp_instance`; without it, every one.
    instance: Option<String>,
    /// Begin it also where no peer takes over.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: super::RunDirArg,
}

pub fn run(args: &Args) -> ExitCode {
    match maintenance(args) {
        Ok(Done { said }) => {
            out(&format!("{said}\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn maintenance(args: &Args) -> Result<Done, AskError> {
    let on = args.switch == Switch::On;
    let request = MaintenanceRequest { on, instance: args.instance.clone(), force: args.force };
    let said = ask(&args.at.run_dir, "POST", "/maintenance", serde_json::to_vec(&request)?)?;
    Ok(serde_json::from_str(&said)?)
}
