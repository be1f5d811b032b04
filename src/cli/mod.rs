//! The command line: one file per verb, no logic. What people read goes to stdout, what went wrong to stderr.

mod ask;
mod check;
mod config;
mod doctor;
mod drill;
mod explain;
mod failover;
mod genhash;
mod ipvsadm;
mod keepalived;
mod maintenance;
mod metrics;
mod plan;
mod print;
mod real_server;
mod reload;
mod run;
mod scan;
mod status;
mod when;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::io::loader::LoadOptions;

/// Where the socket and the lock are unless `--run-dir` says otherwise.
pub const RUN_DIR: &str = "/run/vipd";
/// What outlives a reboot, unless `--state-dir` says otherwise.
pub const STATE_DIR: &str = "/var/lib/vipd";

/// A daemon with a run directory of its own keeps everything there, unless told otherwise.
fn state_dir(given: Option<PathBuf>, run_dir: &Path) -> PathBuf {
    given.unwrap_or_else(|| if run_dir == Path::new(RUN_DIR) { STATE_DIR.into() } else { run_dir.to_owned() })
}

/// Owns virtual IPs by VRRP, checks real servers, and balances to them by IPVS or eBPF. Reads keepalived.conf.
#[derive(Debug, Parser)]
#[command(name = "vipd", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon in the foreground. SIGTERM stops it in good order, SIGQUIT leaves all to the next one, SIGHUP reloads the file.
    Run(run::Args),
    /// Read a configuration and show every problem with its place.
    ///
    /// Exit status: 0 clean, 4 it would not run, 5 it would run with problems, 6 only the script security warning.
    Check(check::Args),
    /// Show a configuration as vipd understood it.
    Config(config::Args),
    /// Show what loading a configuration would change in the running daemon, object by object.
    ///
    /// Exit status: 0 whether or not something would change, 4 where the file would not run, 1 where no daemon answers.
    Plan(plan::Args),
    /// Look for what keeps the running daemon, or a configuration, from working on this host.
    ///
    /// Exit status: 0 nothing is wrong, 1 something is.
    Doctor(doctor::Args),
    /// Let the running daemon read its configuration again: all of it is taken up, or nothing.
    Reload(reload::Args),
    /// Show what the running daemon owns, checks and forwards.
    Status(status::Args),
    /// Print what Prometheus would read, in its format; `metrics_listen` in `global_defs` serves the same over TCP.
    Metrics(metrics::Args),
    /// Drain, disable or weigh a real server of the running daemon.
    RealServer(real_server::Args),
    /// Say why a virtual router is what it is, what would change it, and what it lived through lately.
    Explain(explain::Args),
    /// Let the peer be MASTER of a virtual router, without losing a packet; refused where no peer takes over.
    Failover(failover::Args),
    /// Let a director hold no virtual address, also over restarts and reboots; what is MASTER is handed over first.
    Maintenance(maintenance::Args),
    /// Listen on an interface: which VRIDs are in use, who speaks for them, which are free. Needs no daemon.
    Scan(scan::Args),
    /// Read and change a forwarding plane with ipvsadm's command line; `vipd ipvsadm -h` explains it.
    Ipvsadm(ipvsadm::Args),
    /// Take keepalived's own command line: `vipd keepalived --help` lists it. A link named `keepalived` does the same.
    #[command(disable_help_flag = true)]
    Keepalived {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        arguments: Vec<String>,
    },
    /// Print the digest of a page, for the keyword digest of a check.
    Genhash(genhash::Args),
    /// Break a pair of directors in every planned way, in throw-away network namespaces, and measure what a client felt.
    Drill(drill::Args),
}

/// `vipd genhash` under its old name.
#[derive(Debug, Parser)]
#[command(name = "keepalived --genhash", max_term_width = 100)]
struct Genhash {
    #[command(flatten)]
    args: genhash::Args,
}

/// Where the running daemon is.
#[derive(Clone, Debug, clap::Args)]
struct RunDirArg {
    /// The daemon's run directory: its socket and its lock.
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
}

/// How a configuration is loaded.
#[derive(Clone, Debug, clap::Args)]
struct LoadArgs {
    /// Do not look at this machine's interfaces, users and script files.
    #[arg(long)]
    no_system: bool,
    /// What `@ID` lines are compared with; the host's name by default.
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
}

impl LoadArgs {
    fn options(&self) -> LoadOptions {
        LoadOptions { system: !self.no_system, config_id: self.config_id.clone(), ..LoadOptions::default() }
    }
}

pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if words.next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "keepalived")) {
        let arguments: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        return as_keepalived(&arguments);
    }
    match Arguments::parse().verb {
        Verb::Run(args) => run::run(args),
        Verb::Check(args) => check::run(&args),
        Verb::Config(args) => config::run(&args),
        Verb::Plan(args) => plan::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Reload(args) => reload::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Metrics(args) => metrics::run(&args),
        Verb::RealServer(args) => real_server::run(args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Failover(args) => failover::run(&args),
        Verb::Maintenance(args) => maintenance::run(&args),
        Verb::Scan(args) => scan::run(&args),
        Verb::Ipvsadm(args) => ipvsadm::run(args),
        Verb::Keepalived { arguments } => as_keepalived(&arguments),
        Verb::Genhash(args) => genhash::run(&args),
        Verb::Drill(args) => drill::run(args),
    }
}

/// keepalived's own command line; `-T` first makes it genhash.
fn as_keepalived(arguments: &[String]) -> ExitCode {
    match arguments.split_first() {
        Some((first, rest)) if first == "-T" || first == "--genhash" => {
            let words = std::iter::once("keepalived --genhash").chain(rest.iter().map(String::as_str));
            genhash::run(&Genhash::parse_from(words).args)
        }
        Some(_) | None => keepalived::run(arguments),
    }
}
