//! `vipd reload`: what SIGHUP does, with the outcome as the exit status.

use std::process::ExitCode;

use super::print::{err, out};
use crate::control::io::client;
use crate::daemon::rundir::control_socket;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: super::RunDirArg,
}

pub fn run(args: &Args) -> ExitCode {
    let told = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime: {error}"))
        .and_then(|runtime| {
            let socket = control_socket(&args.at.run_dir);
            runtime.block_on(client::call(&socket, "POST", "/reload", vec![])).map_err(|error| {
                let refused = matches!(error, client::CallError::Refused { .. });
                let before = if refused { "not reloaded, and what ran runs on: " } else { "" };
                format!("{before}{error}")
            })
        });
    match told {
        Ok(_) => {
            out("reloaded\n");
            ExitCode::SUCCESS
        }
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
