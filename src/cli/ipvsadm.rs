//! `vipd ipvsadm`: ipvsadm's command line on whichever plane.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::print::{err, out};
use crate::daemon::ipvsadm::{Outcome, PlaneName, Request, run as carry_out};

#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct Args {
    /// `--run-dir DIR`, `--plane ipvs|ebpf` and `--json`, then ipvsadm's own arguments; `-h` explains them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<String>,
}

pub fn run(args: Args) -> ExitCode {
    let outcome = match request(args.args) {
        Ok(request) => tokio::runtime::Builder::new_current_thread().enable_all().build().map_or_else(
            |error| refused(format!("vipd: starting the runtime: {error}\n")),
            |runtime| runtime.block_on(carry_out(&request, rules)),
        ),
        Err(said) => refused(said),
    };
    out(&outcome.stdout);
    err(&outcome.stderr);
    ExitCode::from(outcome.status)
}

/// As much as a restore takes: 400,000 rules.
const RULES_MAX: u64 = 32 << 20;

/// The rules of a restore. Bytes that are no UTF-8 make the word refused in which they are, as ipvsadm does.
fn rules() -> std::io::Result<String> {
    let mut bytes = vec![];
    std::io::stdin().lock().take(RULES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > RULES_MAX) {
        return Err(std::io::Error::other("more than 32 MiB; restore them in parts"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

const fn refused(stderr: String) -> Outcome {
    Outcome { stdout: String::new(), stderr, status: 2 }
}

/// Our own options stand first; the rest is ipvsadm's.
fn request(args: Vec<String>) -> Result<Request, String> {
    let mut request = Request { run_dir: PathBuf::from(super::RUN_DIR), plane: None, json: false, args: vec![] };
    let mut args = args.into_iter().peekable();
    while let Some(word) = args.peek().cloned() {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if name == "--json" && attached.is_none() {
            request.json = true;
            args.next();
            continue;
        }
        if name != "--run-dir" && name != "--plane" {
            break;
        }
        args.next();
        let value = attached.or_else(|| args.next()).ok_or_else(|| format!("vipd: {name} needs a value\n"))?;
        match (name.as_str(), value.as_str()) {
            ("--run-dir", _) => request.run_dir = PathBuf::from(value),
            (_, "ipvs") => request.plane = Some(PlaneName::Ipvs),
            (_, "ebpf") => request.plane = Some(PlaneName::Ebpf),
            (_, other) => return Err(format!("vipd: --plane is ipvs or ebpf, not `{other}`\n")),
        }
    }
    request.args = args.collect();
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_options_stand_before_ipvsadms() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let asked = request(words("--plane ebpf --run-dir=/x --json -L --plane ipvs")).unwrap();
        assert_eq!((asked.plane, asked.json), (Some(PlaneName::Ebpf), true));
        assert_eq!((asked.run_dir, asked.args), (PathBuf::from("/x"), words("-L --plane ipvs")));
        let plain = request(words("-Ln")).unwrap();
        assert_eq!((plain.plane, plain.args), (None, words("-Ln")));
        assert!(request(words("--plane other")).is_err());
        assert!(request(words("--run-dir")).is_err());
    }
}
