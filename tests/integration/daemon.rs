//! The daemon as users start it: what it says when it cannot run, that nothing is left then, reload, status, stop.
//!
//! Needs root: every test has a network namespace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

#[cfg(feature = "ebpf")]
#[path = "daemon/fence.rs"]
mod fence;
#[cfg(feature = "ebpf")]
#[path = "daemon/hooks.rs"]
mod hooks;
#[path = "daemon/host_scripts.rs"]
mod host_scripts;
#[path = "daemon/leaving.rs"]
mod leaving;
#[path = "daemon/notifying.rs"]
mod notifying;
#[path = "daemon/owning.rs"]
mod owning;
#[path = "daemon/scheduling.rs"]
mod scheduling;
#[path = "daemon/scraping.rs"]
mod scraping;
#[path = "daemon/tracking.rs"]
mod tracking;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vipd::lab::{Directory, Namespace, until};

/// Far more than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const INSTANCE: &str = "vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 7
    priority 100
    version 3
    advert_int 0.1
    virtual_ipaddress {
        192.0.2.100/24
    }
}
";

const SERVER: &str = "virtual_server 192.0.2.100 80 {
    protocol TCP
    lb_algo rr
    lb_kind DR
    delay_loop 1
    warmup 0
    real_server 127.0.0.1 80 {
        TCP_CHECK {
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }
    }
}
";

/// A host with one interface, and files of its own.
struct Host {
    namespace: Namespace,
    dir: Directory,
}

impl Host {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("vipd-{}-{}-daemon", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace::create(&name).expect("needs root and iproute2");
        let host = Self { namespace, dir: Directory::temporary().unwrap() };
        host.ip("link add eth0 type veth peer name far0");
        host.ip("link set far0 up");
        host.ip("link set eth0 up");
        host.ip("address add 192.0.2.2/24 dev eth0");
        host
    }

    fn ip(&self, line: &str) -> String {
        let args = ["-n", self.namespace.name()].into_iter().chain(line.split(' '));
        let output = Command::new("ip").args(args).output().unwrap();
        assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn config(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("vipd.conf");
        fs::write(&path, text).unwrap();
        path
    }

    fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    fn vipd(&self, args: &[&str]) -> Command {
        let mut command = self.inside();
        command.arg(env!("CARGO_BIN_EXE_vipd")).args(args);
        command
    }

    /// A command that runs on this host: in its network namespace, with our view of the files.
    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace.name()));
        command
    }

    fn run_command(&self, config: &Path) -> Command {
        let mut command = self.vipd(&["run", "-f"]);
        command.arg(config).arg("--run-dir").arg(self.run_dir());
        command
    }

    /// Start the daemon.
    fn spawn(&self, config: &Path) -> Running {
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        Running(self.run_command(config).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// Start the daemon and wait until it answers.
    fn start(&self, config: &Path) -> Running {
        let running = self.spawn(config);
        until("the daemon answers", PATIENCE, || self.status().is_some()).unwrap_or_else(|error| {
            panic!("{error}\n{}", self.log());
        });
        running
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn status(&self) -> Option<serde_json::Value> {
        let output = self.vipd(&["status", "--json", "--run-dir"]).arg(self.run_dir()).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    fn holds(&self, address: &str) -> bool {
        self.ip("-o address show").contains(address)
    }

    /// One clear line and not more than a handful of others; no address, no socket, no program stays.
    fn refuses(&self, name: &str, mut command: Command, code: i32, said: &str) {
        let Output { status, stderr, .. } = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(code), "{name}: {stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("vipd: ") && last.contains(said), "{name}: wanted `{said}`:\n{stderr}");
        assert!(!stderr.contains("panicked"), "{name}: {stderr}");
        assert!(!self.holds("192.0.2.100"), "{name}: the address stays");
        let left: Vec<_> = fs::read_dir(self.run_dir()).into_iter().flatten().map(|e| e.unwrap().file_name()).collect();
        assert!(
            left.iter().all(|file| file == "lock" || file == "control.sock" && name == "socket"),
            "{name}: {left:?}"
        );
    }
}

/// A daemon that does not outlive its test.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// The exit status, waited for.
    fn ended(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        until("the daemon ends", PATIENCE, || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .unwrap();
        status.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_cannot_run_says_why_in_one_line_and_leaves_nothing() {
    let host = Host::new();
    let elsewhere = INSTANCE.replace("eth0", "eth7");
    let ipvs = format!("global_defs {{\n lvs_datapath ipvs\n}}\n{INSTANCE}{SERVER}");
    let rows = [
        ("broken", "vrrp_instance VI_1 {\n    interface\n}\n", 4, "fatal"),
        ("no interface", elsewhere.as_str(), 4, "fatal"),
        ("no IPVS", ipvs.as_str(), 1, "ip_vs"),
    ];
    for (name, text, code, said) in rows {
        let config = host.config(text);
        host.refuses(name, host.run_command(&config), code, said);
    }
    host.refuses("no file", host.run_command(Path::new("/nonexistent.conf")), 4, "nonexistent");
    let config = host.config(INSTANCE);
    fs::create_dir_all(host.run_dir()).unwrap();
    fs::write(host.run_dir().join("control.sock"), "").unwrap();
    host.refuses("socket", host.run_command(&config), 1, "not a socket");
}

#[test]
fn without_permission_it_says_which_one_is_missing() {
    let host = Host::new();
    let config = host.config(INSTANCE);
    let mut command = host.inside();
    command.args(["setpriv", "--reuid=65534", "--clear-groups"]);
    command.args(["--inh-caps=-all", "--bounding-set=-all", env!("CARGO_BIN_EXE_vipd"), "run", "-f"]);
    // nobody may not pass the temporary directory, so both paths are handed over by what it may read.
    let shared = Path::new("/dev/shm").join(format!("vipd-test-{}", std::process::id()));
    fs::create_dir_all(&shared).unwrap();
    fs::copy(&config, shared.join("vipd.conf")).unwrap();
    fs::create_dir_all(shared.join("run")).unwrap();
    nix::unistd::chown(&shared.join("run"), Some(65534.into()), None).unwrap();
    command.arg(shared.join("vipd.conf")).arg("--run-dir").arg(shared.join("run"));
    host.refuses("nobody", command, 1, "CAP_NET");
    fs::remove_dir_all(&shared).unwrap();
}

#[test]
fn a_second_daemon_in_the_same_run_directory_is_refused_and_the_first_goes_on() {
    let host = Host::new();
    let config = host.config(INSTANCE);
    let mut first = host.start(&config);
    until("the address is held", PATIENCE, || host.holds("192.0.2.100")).unwrap();
    let Output { status, stderr, .. } = host.run_command(&config).output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("another vipd (pid "), "{stderr}");
    assert!(host.holds("192.0.2.100"));
    first.signal(Signal::SIGTERM);
    assert_eq!(first.ended().code(), Some(0), "{}", host.log());
    assert!(!host.holds("192.0.2.100"), "{}", host.log());
    assert!(!host.run_dir().join("control.sock").exists());
    assert!(host.log().contains("Entering MASTER STATE"), "{}", host.log());
}

#[test]
fn two_daemons_with_two_run_directories_do_not_meet() {
    let (one, two) = (Host::new(), Host::new());
    let _first = one.start(&one.config(INSTANCE));
    let _second = two.start(&two.config(INSTANCE));
    for host in [&one, &two] {
        until("the address is held", PATIENCE, || host.holds("192.0.2.100")).unwrap();
    }
}

#[test]
fn a_reload_takes_all_of_a_file_or_nothing() {
    let host = Host::new();
    let config = host.config(INSTANCE);
    let running = host.start(&config);
    until("the address is held", PATIENCE, || host.holds("192.0.2.100")).unwrap();

    host.config(&INSTANCE.replace("192.0.2.100/24", "192.0.2.100/24\n 192.0.2.101/24"));
    running.signal(Signal::SIGHUP);
    until("the second address is held", PATIENCE, || host.holds("192.0.2.101")).unwrap();

    host.config(&INSTANCE.replace("eth0", "eth7").replace("192.0.2.100", "192.0.2.102"));
    let output = host.vipd(&["reload", "--run-dir"]).arg(host.run_dir()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let status = host.status().unwrap();
    assert_eq!(status["config"]["failed_reloads"], 1, "{status}");
    assert_eq!(status["instances"][0]["transitions"], 2, "INIT to BACKUP to MASTER, and no more: {status}");
    assert!(host.holds("192.0.2.101") && host.holds("192.0.2.100") && !host.holds("192.0.2.102"));
}

#[test]
fn a_dead_real_server_leaves_the_plane_and_the_status_says_why() {
    let host = Host::new();
    let config = host.config(&format!("{INSTANCE}{SERVER}"));
    let mut running = host.start(&config);
    let server = |status: &serde_json::Value| status["virtual_servers"][0]["real_servers"][0].clone();
    let mut last = serde_json::Value::Null;
    until("the real server is down", PATIENCE, || {
        last = host.status().unwrap_or_default();
        server(&last)["state"] == "down"
    })
    .unwrap_or_else(|error| panic!("{error}: {last}\n{}", host.log()));
    let said = server(&last)["checks"][0]["last"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("refused"), "{last}");
    assert_eq!(last["virtual_servers"][0]["plane"], "ebpf", "{last}");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());
    let left: Vec<_> = fs::read_dir(host.run_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|file| ["lock", "plane.lock", "bpf", "history.json"].iter().any(|known| file == *known)),
        "{left:?}"
    );
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(host.run_dir().to_str().unwrap()), "the mount of the pins stays");
}

#[test]
fn why_it_moved_and_maintenance_are_known_after_a_restart() {
    let host = Host::new();
    let config = host.config(INSTANCE);
    let explain = || {
        let output = host.vipd(&["explain", "VI_1", "--run-dir"]).arg(host.run_dir()).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let maintenance = |args: &[&str]| {
        let output = host.vipd(args).arg("--run-dir").arg(host.run_dir()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let mut running = host.start(&config);
    until("the address is held", PATIENCE, || host.holds("192.0.2.100")).unwrap();
    let said = explain();
    assert!(
        said.starts_with("VI_1 is MASTER because no advert heard since the start; it has heard no other router"),
        "{said}"
    );
    assert!(said.contains("BACKUP -> MASTER: no advert heard since the start [priority 100"), "{said}");

    let (code, said) = maintenance(&["maintenance", "on"]);
    assert!(code == Some(1) && said.contains("no other router took over"), "{said}");
    assert!(host.holds("192.0.2.100"), "{}", host.log());
    let (code, said) = maintenance(&["maintenance", "on", "--force"]);
    assert_eq!((code, said.as_str()), (Some(0), "maintenance of every virtual router is on\n"));
    until("it is let go", PATIENCE, || !host.holds("192.0.2.100")).unwrap();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().code(), Some(0), "{}", host.log());

    let _running = host.start(&config);
    let said = explain();
    assert!(said.starts_with("VI_1 is FAULT because an operator set maintenance"), "{said}\n{}", host.log());
    assert!(said.contains("BACKUP -> MASTER: no advert heard since the start"), "of the run before: {said}");
    assert!(said.contains("an operator: maintenance of every virtual router is on"), "{said}");
    assert!(!host.holds("192.0.2.100"), "{}", host.log());
    assert_eq!(maintenance(&["maintenance", "off"]).0, Some(0));
    until("it is held again", PATIENCE, || host.holds("192.0.2.100")).unwrap();
    let output = host.vipd(&["explain", "VI_9", "--run-dir"]).arg(host.run_dir()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are: VI_1"), "{output:?}");
    let output = host.vipd(&["scan", "eth0", "--for", "1", "--run-dir"]).arg(host.run_dir()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("this host: VI_1 (MASTER)") && said.contains("free IPv4 VRIDs: 1-6, 8-255"), "{output:?}");
}

#[test]
fn a_plan_compares_with_what_is_in_force_and_not_with_the_file() {
    let host = Host::new();
    let config = host.config(&format!("{INSTANCE}{SERVER}"));
    let running = host.start(&config);
    let plan = || {
        let output =
            host.vipd(&["plan", "--no-system", "--run-dir"]).arg(host.run_dir()).arg(&config).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(plan(), "nothing changes\n");
    host.config(&format!("{INSTANCE}{SERVER}").replace("priority 100", "priority 90"));
    let told = plan();
    assert!(told.contains("~ priority 100 -> 90") && told.contains("VI_1: no transition"), "{told}");
    let reload = host.vipd(&["reload", "--run-dir"]).arg(host.run_dir()).output().unwrap();
    assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    assert_eq!(plan(), "nothing changes\n");
    drop(running);
    let alone = host.vipd(&["plan", "--run-dir"]).arg(host.run_dir()).arg(&config).output().unwrap();
    assert_eq!(alone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("--from FILE"));
}

/// keepalived's command line, with files of this host.
fn keepalived(host: &Host, config: &Path, options: &[&str]) -> Command {
    let mut command = host.inside();
    command.env("TMPDIR", host.dir.path()).args([env!("CARGO_BIN_EXE_vipd"), "keepalived"]).args(options);
    command.arg("--run-dir").arg(host.run_dir()).arg("-f").arg(config);
    command.arg("-p").arg(host.dir.path().join("k.pid")).arg("-r").arg(host.dir.path().join("v.pid"));
    command
}

/// A daemon without a parent, which does not outlive its test.
struct Background(Pid);

impl Drop for Background {
    fn drop(&mut self) {
        // One that has ended is fine.
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

#[test]
fn keepalived_goes_to_the_background_dumps_and_stops() {
    let host = Host::new();
    let config = host.config(INSTANCE);
    let file = |name: &str| host.dir.path().join(name);
    let started = keepalived(&host, &config, &["-D"]).output().unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    until("the daemon answers", PATIENCE, || host.status().is_some()).unwrap();
    let pid = fs::read_to_string(file("k.pid")).unwrap();
    assert_eq!(fs::read_to_string(file("v.pid")).unwrap(), pid);
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    let _guard = Background(pid);
    let again = keepalived(&host, &config, &[]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already running"));
    for (signal, name, word) in [
        (nix::libc::SIGUSR1, "keepalived.data", " VRRP Instance = VI_1"),
        (nix::libc::SIGUSR2, "keepalived.stats", "VRRP Instance: VI_1"),
        (nix::libc::SIGRTMIN() + 2, "keepalived.json", "\"iname\":\"VI_1\""),
        (nix::libc::SIGRTMAX() - 1, "keepalived.stats", "VRRP Instance: VI_1"),
    ] {
        let send = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().unwrap();
        assert!(send.success(), "{name}");
        until(name, PATIENCE, || fs::read_to_string(file(name)).is_ok_and(|text| text.contains(word))).unwrap();
        fs::remove_file(file(name)).unwrap();
    }
    kill(pid, Signal::SIGTERM).unwrap();
    until("the pid files go away", PATIENCE, || !file("k.pid").exists() && !file("v.pid").exists()).unwrap();
    assert!(!host.holds("192.0.2.100"), "the address stays");
}

#[test]
fn keepalived_tests_a_configuration_and_runs_under_its_own_name() {
    let host = Host::new();
    let config = host.config(&INSTANCE.replace("priority 100", "prioritty 100"));
    let log = host.dir.path().join("test.log");
    let tested = keepalived(&host, &config, &["-t"]).output().unwrap();
    assert_eq!(tested.status.code(), Some(5));
    let expected = format!("({}: Line 4) `vrrp_instance` has no keyword `prioritty`", config.display());
    assert!(String::from_utf8_lossy(&tested.stderr).contains(&expected), "{}", String::from_utf8_lossy(&tested.stderr));
    let tested = keepalived(&host, &config, &[&format!("--config-test={}", log.display())]).output().unwrap();
    assert_eq!((tested.status.code(), tested.stderr.len()), (Some(5), 0));
    assert!(fs::read_to_string(&log).unwrap().contains(&expected));
    let link = host.dir.path().join("keepalived");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_vipd"), &link).unwrap();
    let told = Command::new(&link).arg("--signum=RELOAD").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "1\n");
}
