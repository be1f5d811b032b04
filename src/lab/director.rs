//! A director: a host that runs a VRRP daemon, ours or keepalived.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::error::LabError;
use super::host::Host;
use super::wait::until;
use crate::control::api::Status;

/// What a director runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Daemon {
    Vipd {
        binary: PathBuf,
    },
    /// Debian's keepalived, its VRRP part only.
    Keepalived,
}

/// Lines of the daemon's log that an error shows.
const LOG_TAIL: usize = 12;

#[derive(Debug)]
pub struct Director {
    host: Host,
    daemon: Daemon,
    directory: PathBuf,
    child: Option<Child>,
}

impl Director {
    /// Put the configuration into `directory` (made here) without starting the daemon.
    pub fn new(host: Host, daemon: Daemon, config: &str, directory: PathBuf) -> Result<Self, LabError> {
        let director = Self { host, daemon, directory, child: None };
        director.configure(config)?;
        Ok(director)
    }

    /// Replace the configuration file, and make the run directory where it is missing; the daemon is not told.
    #[expect(clippy::disallowed_methods, reason = "the lab writes the configuration of its directors")]
    pub fn configure(&self, config: &str) -> Result<(), LabError> {
        let text = match &self.daemon {
            Daemon::Vipd { .. } => config.to_owned(),
            Daemon::Keepalived => without_our_keywords(config),
        };
        let run_dir = self.run_dir();
        fs::create_dir_all(&run_dir).map_err(|source| LabError::File { action: "make", path: run_dir, source })?;
        let path = self.config_path();
        fs::write(&path, text).map_err(|source| LabError::File { action: "write", path, source })
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn name(&self) -> &str {
        self.host.role()
    }

    pub fn config_path(&self) -> PathBuf {
        self.directory.join("keepalived.conf")
    }

    /// The daemon's `--run-dir`: its socket and its pins.
    pub fn run_dir(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// Where everything is that its daemon reads and writes.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Start the daemon, in a process group of its own, its words going to [`Director::log_path`].
    pub fn start(&mut self) -> Result<(), LabError> {
        let path = self.log_path();
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.map_err(|source| LabError::File { action: "open", path: path.clone(), source })?;
        let errors = log.try_clone().map_err(|source| LabError::File { action: "open", path, source })?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        self.child = Some(self.host.spawn(command)?);
        Ok(())
    }

    /// SIGTERM: the orderly stop. Returns at once; see [`Director::wait_for_end`].
    pub fn terminate(&self) -> Result<(), LabError> {
        let pid = self.pid()?;
        kill(pid, Signal::SIGTERM).map_err(|source| LabError::Signal { signal: "SIGTERM", pid: pid.as_raw(), source })
    }

    pub const fn is_vipd(&self) -> bool {
        matches!(self.daemon, Daemon::Vipd { .. })
    }

    /// Take the configuration file anew; vipd is waited for, keepalived gets a SIGHUP.
    pub fn reload(&self) -> Result<(), LabError> {
        match &self.daemon {
            Daemon::Vipd { binary } => {
                let (binary, run_dir) = (binary.display().to_string(), self.run_dir().display().to_string());
                self.host.run(&binary, &["reload", "--run-dir", &run_dir]).map(drop)
            }
            Daemon::Keepalived => {
                let pid = self.pid()?;
                let failed = |source| LabError::Signal { signal: "SIGHUP", pid: pid.as_raw(), source };
                kill(pid, Signal::SIGHUP).map_err(failed)
            }
        }
    }

    /// SIGSTOP to every process of the daemon, or SIGCONT.
    pub fn freeze(&self, frozen: bool) -> Result<(), LabError> {
        self.pid()?;
        let (signal, name) = if frozen { (Signal::SIGSTOP, "SIGSTOP") } else { (Signal::SIGCONT, "SIGCONT") };
        for pid in self.host.processes() {
            kill(pid, signal).map_err(|source| LabError::Signal { signal: name, pid: pid.as_raw(), source })?;
        }
        Ok(())
    }

    /// `vipd maintenance`, waited for: when it begins, the peer has taken over. keepalived has no such thing.
    pub fn maintenance(&self, on: bool) -> Result<(), LabError> {
        let Daemon::Vipd { binary } = &self.daemon else { return Ok(()) };
        let (binary, run_dir) = (binary.display().to_string(), self.run_dir().display().to_string());
        let switch = if on { "on" } else { "off" };
        self.host.run(&binary, &["maintenance", switch, "--run-dir", &run_dir]).map(drop)
    }

    /// Wait until the daemon ended by itself.
    pub fn wait_for_end(&mut self, deadline: Duration) -> Result<(), LabError> {
        let what = format!("{} ends", self.name());
        until(&what, deadline, || !self.is_running())?;
        self.child = None;
        Ok(())
    }

    /// Kill -9 of the daemon and of every process that it started; gives how many there were.
    pub fn kill(&mut self) -> Result<usize, LabError> {
        self.pid()?;
        let killed = self.host.kill_all();
        self.wait_for_end(Duration::from_secs(5))?;
        Ok(killed)
    }

    /// Remove keepalived's pid files: one that was killed and is not yet off the process table is running, to the next.
    pub fn forget_pids(&self) {
        for name in ["keepalived.pid", "vrrp.pid"] {
            // Gone is gone.
            fs::remove_file(self.run_dir().join(name)).ok();
        }
    }

    /// The kinds of bad packets that vipd has counted, in the words of `vipd status`.
    pub fn discards(&self) -> Result<BTreeSet<String>, LabError> {
        let Daemon::Vipd { binary } = &self.daemon else { return Ok(BTreeSet::new()) };
        let (program, run_dir) = (binary.display().to_string(), self.run_dir().display().to_string());
        let said = self.host.run(&program, &["status", "--json", "--run-dir", &run_dir])?;
        let status: Status = serde_json::from_str(&said).map_err(|error| LabError::Command {
            command: format!("{program} status --json"),
            status: "answers something else".to_owned(),
            stderr: error.to_string(),
        })?;
        let own = status.instances.iter().flat_map(|one| one.discards.keys());
        Ok(own.chain(status.strangers.values().flat_map(BTreeMap::keys)).cloned().collect())
    }

    /// How many lines the daemon wrote.
    pub fn log_lines(&self) -> usize {
        self.log().lines().count()
    }

    /// The last lines that the daemon wrote.
    pub fn log_tail(&self) -> Vec<String> {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(LOG_TAIL)).map(|&line| line.to_owned()).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "the lab shows the log of its directors")]
    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn pid(&self) -> Result<Pid, LabError> {
        let pid = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        pid.map(Pid::from_raw).ok_or_else(|| LabError::NotRunning { name: self.name().to_owned() })
    }

    #[expect(clippy::disallowed_methods, reason = "the lab starts the daemons of its directors")]
    fn command(&self) -> Command {
        let below = |name: &str| -> PathBuf { Path::new(&self.directory).join("run").join(name) };
        match &self.daemon {
            Daemon::Vipd { binary } => {
                let mut command = Command::new(binary);
                command.arg("run").arg("-f").arg(self.config_path()).arg("--run-dir").arg(self.run_dir());
                command
            }
            Daemon::Keepalived => {
                let mut command = Command::new("keepalived");
                // Where no syslogd runs, libc would write each message to the machine's console: a serial one holds a CPU up.
                command.args(["--dont-fork", "--log-console", "--no-syslog", "--vrrp"]);
                command.arg("--use-file").arg(self.config_path());
                command.arg("--pid").arg(below("keepalived.pid")).arg("--vrrp_pid").arg(below("vrrp.pid"));
                command
            }
        }
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        self.host.kill_all();
        if let Some(child) = &mut self.child {
            // Killed a line above; this makes sure of it, and takes it off the process table.
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}

/// The text without the lines that keepalived does not know.
fn without_our_keywords(config: &str) -> String {
    const OURS: [&str; 3] = ["lvs_datapath", "lvs_sysctl", "vip_fence"];
    let ours = |line: &&str| !OURS.iter().any(|word| line.trim_start().starts_with(word));
    config.lines().filter(ours).fold(String::new(), |text, line| text + line + "\n")
}
