//! How fast a large configuration is read, and with how much memory: `vipd check --no-system` beside
//! `keepalived --config-test` on the same machine in the same minute.
//!
//! `cargo bench --bench config` generates files of 1,000 and 10,000 virtual servers with 4 real servers each, runs both
//! programs in alternation, prints the medians, and fails where a limit below is passed. Without keepalived it fails.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that cannot be made ends with a message"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use parts::large::generate;

mod parts {
    pub mod large;
}

const SMALL: usize = 1_000;
const LARGE: usize = 10_000;
const ROUNDS: usize = 11;
/// keepalived's time over ours, at least.
const RATIO_MIN: f64 = 4.0;
/// Our time for the large file over that for the small one, at most: ten would be exactly linear.
const GROWTH_MAX: f64 = 12.0;
/// Set in the child that runs one program and tells its peak memory.
const ONE: &str = "VIPD_BENCH_ONE";

/// One run of a program.
#[derive(Clone, Copy, Debug)]
struct Run {
    time: Duration,
    /// Peak of resident memory.
    peak_kib: i64,
}

/// Runs the program in a child of its own, since the kernel tells the peak of all children of a process together.
fn run(program: &[&str]) -> Run {
    let output = Command::new(std::env::current_exe().unwrap())
        .env(ONE, "1")
        .args(program)
        .output()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<i64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [micros, peak_kib] = numbers[..] else {
        panic!("{program:?}: {text}{}", String::from_utf8_lossy(&output.stderr))
    };
    Run { time: Duration::from_micros(micros.try_into().unwrap()), peak_kib }
}

/// The child's part: microseconds and KiB on stdout.
fn one(program: &[String]) -> ExitCode {
    let (name, arguments) = program.split_first().unwrap();
    let start = Instant::now();
    let status = Command::new(name).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let time = start.elapsed();
    match status {
        Ok(status) if status.success() => {
            println!("{} {}", time.as_micros(), getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss());
            ExitCode::SUCCESS
        }
        Ok(status) => {
            println!("{name} ended with {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{name} is not started: {error}");
            ExitCode::FAILURE
        }
    }
}

fn median(mut runs: Vec<Run>) -> Run {
    runs.sort_by_key(|run| run.time);
    let peak_kib = runs.iter().map(|run| run.peak_kib).max().unwrap();
    Run { peak_kib, ..runs[runs.len() / 2] }
}

/// Both programs on one file: ours, keepalived's.
fn compare(file: &Path) -> (Run, Run) {
    let file = file.to_str().unwrap();
    let ours = [env!("CARGO_BIN_EXE_vipd"), "check", "--no-system", file];
    let theirs = ["keepalived", "--config-test", "--use-file", file];
    let pairs: Vec<(Run, Run)> = (0..ROUNDS).map(|_| (run(&ours), run(&theirs))).collect();
    let (ours, theirs) = pairs.into_iter().unzip();
    (median(ours), median(theirs))
}

fn ratio(long: Duration, short: Duration) -> f64 {
    long.as_secs_f64() / short.as_secs_f64()
}

fn main() -> ExitCode {
    if std::env::var_os(ONE).is_some() {
        return one(&std::env::args().skip(1).collect::<Vec<_>>());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut found: Vec<(usize, Run, Run)> = vec![];
    for services in [SMALL, LARGE] {
        let path: PathBuf = dir.path().join(format!("{services}.conf"));
        std::fs::write(&path, generate(services)).unwrap();
        let (ours, theirs) = compare(&path);
        println!(
            "{services:>6} services: vipd {:>7.1} ms {:>6} KiB, keepalived {:>7.1} ms {:>6} KiB, {:.1} times faster",
            ours.time.as_secs_f64() * 1e3,
            ours.peak_kib,
            theirs.time.as_secs_f64() * 1e3,
            theirs.peak_kib,
            ratio(theirs.time, ours.time),
        );
        found.push((services, ours, theirs));
    }
    let [(_, small, _), (_, ours, theirs)] = found[..] else { unreachable!("two files were measured") };
    let growth = ratio(ours.time, small.time);
    println!("{LARGE} services take {growth:.1} times the time of {SMALL}");
    let limits = [
        (ratio(theirs.time, ours.time) >= RATIO_MIN, format!("less than {RATIO_MIN} times faster than keepalived")),
        (ours.peak_kib <= theirs.peak_kib, "more memory than keepalived".to_owned()),
        (growth <= GROWTH_MAX, format!("{LARGE} services take more than {GROWTH_MAX} times the time of {SMALL}")),
    ];
    let passed: Vec<&String> = limits.iter().filter(|(holds, _)| !holds).map(|(_, words)| words).collect();
    for words in &passed {
        println!("FAILED: {words}");
    }
    if passed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
