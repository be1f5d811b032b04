//! `vipd reload`: what SIGHUP does, with the outcome as the exit status.

use std::process::ExitCode;

use super::print::{err, out};
use crate::base::Count;
use crate::control::api::Reloaded;
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
        Ok(answer) => {
            out(&format!("{}\n", told_of(&answer)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// A daemon of another version may answer otherwise: it reloaded all the same.
fn told_of(answer: &str) -> String {
    match serde_json::from_str(answer) {
        Ok(Reloaded { errors }) if errors > 0 => {
            format!(
                "reloaded; {} in the file: parts of it are left out (`vipd check` shows which)",
                Count(errors, "error")
            )
        }
        Ok(Reloaded { .. }) | Err(_) => "reloaded".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::told_of;

    #[test]
    fn errors_of_the_file_are_told() {
        let rows = [
            (r#"{"errors":0}"#, "reloaded"),
            (r#"{"errors":1}"#, "reloaded; 1 error in the file: parts of it are left out (`vipd check` shows which)"),
            (r#"{"reloaded":true}"#, "reloaded"),
        ];
        for (answer, told) in rows {
            assert_eq!(told_of(answer), told);
        }
    }
}
