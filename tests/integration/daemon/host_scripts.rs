//! `startup_script` and `shutdown_script`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use vipd::lab::until;

use super::{Host, INSTANCE, PATIENCE};

impl Host {
    /// A script that appends its name to the file of [`Host::words`], and what it does then.
    fn script(&self, name: &str, then: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let words = self.dir.path().join("words");
        fs::write(&path, format!("#!/bin/sh\necho {name} >> {}\n{then}\n", words.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Which scripts have begun, one a line.
    fn words(&self) -> String {
        fs::read_to_string(self.dir.path().join("words")).unwrap_or_default()
    }

    fn config_around(&self, startup: &Path, shutdown: &Path) -> PathBuf {
        let (startup, shutdown) = (startup.display(), shutdown.display());
        self.config(&format!(
            "global_defs {{\n script_user root\n startup_script {startup}\n startup_script_timeout 1000\n \
             shutdown_script {shutdown}\n}}\n{INSTANCE}"
        ))
    }
}

#[test]
fn one_script_runs_before_all_else_and_one_after_it() {
    let host = Host::new();
    // What it finds is logged, since it fails; that holds nobody up.
    let (startup, shutdown) = (host.script("startup", "ip -o address show; exit 3"), host.script("shutdown", ""));
    let mut running = host.start(&host.config_around(&startup, &shutdown));
    assert_eq!(host.words(), "startup\n");
    assert!(host.log().contains("ended with 3"), "{}", host.log());
    assert!(!host.log().contains("inet 192.0.2.100"), "{}", host.log());
    running.signal(Signal::SIGTERM);
    assert!(running.ended().success());
    assert_eq!(host.words(), "startup\nshutdown\n");
    let log = host.log();
    let (stopped, last) = (log.find("INFO stopped"), log.find("shutdown_script"));
    assert!(stopped.is_some() && stopped < last, "{log}");
}

#[test]
fn a_daemon_that_is_told_to_stop_waits_for_no_startup_script() {
    let host = Host::new();
    let (startup, shutdown) = (host.script("startup", "exec sleep 900"), host.script("shutdown", ""));
    let mut running = host.spawn(&host.config_around(&startup, &shutdown));
    until("it runs its script", PATIENCE, || host.words() == "startup\n").unwrap_or_else(|error| panic!("{error}"));
    running.signal(Signal::SIGTERM);
    assert!(running.ended().success());
    assert_eq!(host.words(), "startup\nshutdown\n", "{}", host.log());
}
