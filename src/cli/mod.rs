//! The command line: one file per verb, no logic. What people read goes to stdout, what went wrong to stderr.

mod drill;
mod print;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Where the socket and the lock are unless `--run-dir` says otherwise.
pub const RUN_DIR: &str = "/run/vipd";

/// Owns virtual IPs by VRRP, checks real servers, and balances to them by IPVS or eBPF. Reads keepalived.conf.
#[derive(Debug, Parser)]
#[command(name = "vipd", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what the running daemon owns, checks and forwards.
    Status(status::Args),
    /// Break a pair of directors in every planned way, in throw-away network namespaces, and measure what a client felt.
    Drill(drill::Args),
}

/// Where the running daemon is.
#[derive(Clone, Debug, clap::Args)]
struct RunDirArg {
    /// The daemon's run directory: its socket and its lock.
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
}

pub fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Status(args) => status::run(&args),
        Verb::Drill(args) => drill::run(args),
    }
}
