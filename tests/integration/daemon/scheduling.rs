//! How the heartbeat gets the processor, and what becomes of it where the system refuses or a thread does not pause.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal;
use vipd::lab::until;

use super::{Host, INSTANCE, PATIENCE, Running};

/// Of `sched_setscheduler`(2).
const OTHER: i32 = 0;
const ROUND_ROBIN: i32 = 2;

/// Policy and nice value of the thread with this name.
fn scheduled(running: &Running, thread: &str) -> Option<(i32, i32)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.0.id())).unwrap();
    let named = |dir: &std::path::PathBuf| fs::read_to_string(dir.join("comm")).is_ok_and(|name| name.trim() == thread);
    let dir = tasks.map(|entry| entry.unwrap().path()).find(named)?;
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    // Behind the name, which may hold blanks: `state` is the first field, `nice` the 17th, `policy` the 39th (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields[38].parse().unwrap(), fields[16].parse().unwrap()))
}

/// The nice value of whoever runs the tests is not known.
fn policy(running: &Running, thread: &str) -> Option<i32> {
    scheduled(running, thread).map(|(policy, _)| policy)
}

#[test]
fn the_heartbeat_is_real_time_and_the_rest_is_not() {
    let host = Host::new();
    let running = host.start(&host.config(INSTANCE));
    for thread in ["heartbeat", "addresses", "bfd"] {
        assert_eq!(policy(&running, thread), Some(ROUND_ROBIN), "{thread}");
    }
    assert_eq!(policy(&running, "vipd"), Some(OTHER));
    let status = host.status().unwrap();
    assert_eq!(status["scheduling"]["heartbeat"], "real-time, priority 2");
    assert!(status["scheduling"]["refused"].is_null(), "{status}");

    // As the kernel says it of a thread that does not pause.
    running.signal(Signal::SIGXCPU);
    until("it steps back", PATIENCE, || scheduled(&running, "heartbeat") == Some((OTHER, -20))).unwrap();
    let refused = || host.status().unwrap()["scheduling"]["refused"].as_str().map(str::to_owned);
    until("status says so", PATIENCE, || refused().is_some_and(|why| why.contains("did not pause"))).unwrap();
    assert!(host.log().contains("does not pause"), "{}", host.log());
}

#[test]
fn what_the_system_refuses_is_told() {
    let host = Host::new();
    let config = host.config(INSTANCE);
    let mut command = host.inside();
    command.args(["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice", env!("CARGO_BIN_EXE_vipd")]);
    command.args(["run", "-f"]).arg(&config).arg("--run-dir").arg(host.run_dir());
    let log = fs::File::create(host.dir.path().join("log")).unwrap();
    let running = Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    until("the daemon answers", PATIENCE, || host.status().is_some()).unwrap_or_else(|error| {
        panic!("{error}\n{}", host.log());
    });
    assert_eq!(policy(&running, "heartbeat"), Some(OTHER));
    let status = host.status().unwrap();
    assert_eq!(status["scheduling"]["heartbeat"], "ordinary, nice 0", "{status}");
    assert!(host.log().contains("CAP_SYS_NICE"), "{}", host.log());
    let doctor = host.vipd(&["doctor", "--run-dir"]).arg(host.run_dir()).output().unwrap();
    let text = String::from_utf8_lossy(&doctor.stdout);
    assert!(text.starts_with("scheduling: ") && doctor.status.code() == Some(1), "{text}");
}

#[test]
fn a_nice_value_is_what_it_has_instead_of_real_time() {
    let host = Host::new();
    let running = host.start(&host.config(&format!("global_defs {{\n vrrp_priority -5\n}}\n{INSTANCE}")));
    assert_eq!(scheduled(&running, "heartbeat"), Some((OTHER, -5)));
    assert_eq!(host.status().unwrap()["scheduling"]["heartbeat"], "ordinary, nice -5");
}
