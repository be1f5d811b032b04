//! `vipd real-server setup`: on the real server itself, what direct routing and tunnels need.

use std::net::IpAddr;
use std::process::ExitCode;

use crate::cli::print::{err, out};
use crate::daemon::setup::{SetupError, carry_out, look};
use crate::lvs::real_server::{Method, Setup};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The virtual address that the director balances.
    #[arg(long, value_name = "ADDR")]
    vip: IpAddr,
    /// How the director sends packets: by its MAC address (dr), or in a tunnel (tun).
    #[arg(long)]
    method: By,
    /// Take it back.
    #[arg(long, conflicts_with = "check")]
    undo: bool,
    /// Change nothing; the exit status is 1 where something is missing.
    #[arg(long)]
    check: bool,
    /// Show what would be changed, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum By {
    Dr,
    Tun,
}

pub fn run(args: &Args) -> ExitCode {
    match set_up(args) {
        Ok(code) => code,
        Err(error) => {
            err(&format!("vipd: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn set_up(args: &Args) -> Result<ExitCode, SetupError> {
    let method = match args.method {
        By::Dr => Method::Route,
        By::Tun => Method::Tunnel,
    };
    let setup = Setup { vip: args.vip, method };
    let (facts, alone) = look(&setup)?;
    let changes = if args.undo { setup.undo(&facts, alone) } else { setup.changes(&facts) };
    if changes.is_empty() {
        out("nothing to change\n");
    }
    for change in &changes {
        out(&format!("{change}\n"));
        if !args.check && !args.dry_run {
            carry_out(change)?;
        }
    }
    Ok(if args.check && !changes.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
