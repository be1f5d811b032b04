//! `vipd real-server setup`: on the real server itself, what direct routing and tunnels need.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::print::{err, out};
use crate::daemon::rundir::PATIENCE;
use crate::daemon::setup::{SetupError, carry_out, hold, look, remember};
use crate::lvs::real_server::{Change, Kept, Method, Record, Setup, Unfit};

/// Where `--persist` writes without a name.
const SYSCTL_FILE: &str = "/etc/sysctl.d/60-vipd-real-server.conf";

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
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
    /// Let the host set the sysctls when it boots, too; with --undo the file is removed after the last VIP.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = SYSCTL_FILE)]
    persist: Option<PathBuf>,
    /// Take packets out of their tunnel by an eBPF program even where the kernel has a device for it.
    #[arg(long)]
    ebpf: bool,
    /// The eBPF program is pinned below it.
    #[command(flatten)]
    at: crate::cli::RunDirArg,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Unfit(#[from] Unfit),
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

fn set_up(args: &Args) -> Result<ExitCode, Failed> {
    let method = match args.method {
        By::Dr => Method::Route,
        By::Tun => Method::Tunnel,
    };
    let setup = Setup { vip: args.vip, method, program: args.ebpf, persist: args.persist.clone() };
    let changes_nothing = args.check || args.dry_run;
    let _held = if changes_nothing { None } else { Some(hold(&args.at.run_dir, PATIENCE, say_waiting)?) };
    let facts = look(&setup, &args.at.run_dir)?;
    let changes = if args.undo { setup.undo(&facts) } else { setup.changes(&facts)? };
    if changes.is_empty() {
        out("nothing to change\n");
    }
    let mut record = facts.record.clone();
    for change in &changes {
        out(&format!("{change}\n"));
        match (changes_nothing, args.undo) {
            (true, _) => {}
            (_, true) => take_back(change, record.as_mut(), &args.at.run_dir)?,
            (_, false) => make(change, &mut record, &args.at.run_dir)?,
        }
    }
    let kept = if args.undo { setup.kept(&facts) } else { vec![] };
    kept.iter().map(Kept::to_string).for_each(|kept| err(&format!("vipd: {kept}\n")));
    Ok(if args.check && !changes.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Who is killed between the two leaves a change that is known, never one that is not; what fails was none.
fn make(change: &Change, record: &mut Option<Record>, run_dir: &Path) -> Result<(), SetupError> {
    let before = record.clone();
    record.get_or_insert_default().note(change);
    remember(record.as_ref(), run_dir)?;
    carry_out(change, run_dir).map_err(|failed| match remember(before.as_ref(), run_dir) {
        Ok(()) => failed,
        Err(forgetting) => SetupError::Remembered { failed: Box::new(failed), forgetting: Box::new(forgetting) },
    })
}

/// An undo without a record leaves none: a later one is to say so again.
fn take_back(change: &Change, record: Option<&mut Record>, run_dir: &Path) -> Result<(), SetupError> {
    carry_out(change, run_dir)?;
    let Some(record) = record else { return Ok(()) };
    record.note(change);
    remember(Some(record), run_dir)
}

fn say_waiting(lock: &Path) {
    err(&format!("vipd: another `vipd real-server setup` is at work ({}): waiting for it\n", lock.display()));
}
