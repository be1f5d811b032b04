//! How long `vipd plan` and `vipd reload` take on a running daemon with 10,000 virtual servers of 4 real servers, of which
//! one has got another weight, while all 40,000 checks go on.
//!
//! `cargo bench --bench reload` as root: it makes a network namespace, in which the real servers are one listener.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measurement that cannot be made ends with a message"
)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use parts::large::generate;
use vipd::lab::{Namespace, run, until};

mod parts {
    pub mod large;
}

const SERVICES: usize = 10_000;
const ROUNDS: u32 = 7;
/// For each of the two, at most; the median counts.
const TIME_MAX: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_mins(2);

/// A daemon that does not outlive its bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn vipd(namespace: &Namespace, args: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", namespace.name())).arg(env!("CARGO_BIN_EXE_vipd")).args(args);
    command
}

/// The time of a command that must end well.
fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.output().unwrap();
    let time = start.elapsed();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    time
}

/// Every address of the real servers is here, and whoever connects is let in.
fn serve(namespace: &Namespace) {
    run("ip", &["-n", namespace.name(), "route", "add", "local", "10.2.0.0/16", "dev", "lo"]).unwrap();
    let listener = namespace.inside(|| TcpListener::bind("0.0.0.0:8080")).unwrap().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
}

/// With another weight of a server in the middle.
fn with_weight(text: &str, weight: u32) -> String {
    let (before, after) = text.split_at(text.len() / 2);
    format!("{before}{}", after.replacen("weight 1\n", &format!("weight {weight}\n"), 1))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn resident_kib(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim().to_owned()
}

fn main() -> ExitCode {
    let namespace = Namespace::create(&format!("vipd-{}-reload", std::process::id())).unwrap();
    serve(&namespace);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, next, run_dir) = (path("vipd.conf"), path("next.conf"), path("run"));
    let text = generate(SERVICES);
    fs::write(&file, &text).unwrap();
    let log = fs::File::create(path("log")).unwrap();
    let mut command = vipd(&namespace, &["run", "-f", &file, "--run-dir", &run_dir]);
    let daemon = Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    let answers = || vipd(&namespace, &["status", "--run-dir", &run_dir]).output().unwrap().status.success();
    until("the daemon answers", PATIENCE, answers).unwrap();
    // Every check has begun after one delay_loop.
    until("the checks are spread", PATIENCE, || started(Path::new(&path("log"))) > Duration::from_secs(8)).unwrap();

    let (mut plans, mut reloads) = (vec![], vec![]);
    for round in 0..ROUNDS {
        fs::write(&next, with_weight(&text, round + 2)).unwrap();
        plans.push(timed(&mut vipd(&namespace, &["plan", &next, "--run-dir", &run_dir])));
        fs::rename(&next, &file).unwrap();
        reloads.push(timed(&mut vipd(&namespace, &["reload", "--run-dir", &run_dir])));
    }
    let (plan, reload) = (median(plans), median(reloads));
    println!(
        "{SERVICES} services, one weight changed: plan {:.0} ms, reload {:.0} ms; the daemon has {} resident",
        plan.as_secs_f64() * 1e3,
        reload.as_secs_f64() * 1e3,
        resident_kib(daemon.0.id()),
    );
    let passed = plan > TIME_MAX || reload > TIME_MAX;
    if passed {
        println!("FAILED: more than {} s", TIME_MAX.as_secs());
    }
    if passed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// How long ago the daemon wrote its first line.
fn started(log: &Path) -> Duration {
    fs::metadata(log).unwrap().created().unwrap().elapsed().unwrap()
}
