//! `vipd run`: the daemon in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;

use super::print::err;
use crate::config::io::loader::LoadOptions;
use crate::daemon::log::LogTo;
use crate::daemon::supervisor::{self, Parts};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, as keepalived.conf has it.
    #[arg(short = 'f', long = "use-file", value_name = "FILE", default_value = "/etc/keepalived/keepalived.conf")]
    file: PathBuf,
    #[command(flatten)]
    at: super::RunDirArg,
    /// What outlives a reboot: the maintenance that an operator set. `/var/lib/vipd`, or the run directory where that
    /// is not the default one.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// What `@ID` lines of the configuration are compared with; the host's name by default.
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
    /// How much to log: error, warn, info, debug or trace. `VIPD_LOG` overrides it.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log: String,
}

pub fn run(args: Args) -> ExitCode {
    let options = supervisor::Options {
        file: args.file,
        state_dir: super::state_dir(args.state_dir, &args.at.run_dir),
        run_dir: args.at.run_dir,
        load: LoadOptions { config_id: args.config_id, ..LoadOptions::default() },
        log: args.log,
        log_to: LogTo::Stderr,
        parts: Parts::default(),
    };
    match supervisor::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::from(error.exit_code())
        }
    }
}
