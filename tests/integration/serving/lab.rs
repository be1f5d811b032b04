//! Namespaces for one test: a client, a director that runs the real binary, real servers.
//!
//! ```text
//! one arm:  client .50 ---- director .2 ---- servers .11 .. on one switch, 192.0.2.0/24
//! two arms: client 192.0.2.50 ---- eth0 director eth1 ---- servers 10.0.0.11 .. behind it
//! ```
//! With a way out, servers behind the director have a second interface on the client's network, 192.0.2.11 and so on.
//! The client has the addresses .50 to .58.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vipd::lab::{Directory, Namespace, run, until};

use crate::traffic::serve;

/// Far more than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// Where the real servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arms {
    One,
    Two,
    TwoAndOut,
}

/// A host with a name of its own kind: `client`, `director`, `server1`.
#[derive(Debug)]
pub struct Host {
    pub namespace: Namespace,
}

impl Host {
    fn new(prefix: &str, role: &str) -> Self {
        let host = Self { namespace: Namespace::create(&format!("{prefix}-{role}")).expect("needs root and iproute2") };
        // What a distribution may have set for all namespaces is not what a test is about.
        for (key, value) in [("rp_filter", "0"), ("send_redirects", "0"), ("arp_ignore", "0"), ("arp_announce", "0")] {
            host.sysctl(&format!("net/ipv4/conf/all/{key}"), value);
            host.sysctl(&format!("net/ipv4/conf/default/{key}"), value);
        }
        host
    }

    /// `ip LINE` inside; what it says.
    pub fn ip(&self, line: &str) -> String {
        let line = format!("-n {} {line}", self.namespace.name());
        run("ip", &line.split(' ').collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{key}");
        self.inside(|| fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}")));
    }

    pub fn read_sysctl(&self, key: &str) -> String {
        let path = format!("/proc/sys/{key}");
        self.inside(|| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).trim().to_owned()
    }

    /// On a thread of this host: sockets made there stay in it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.inside(work).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Our binary on this host.
    pub fn vipd(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace.name())).arg(env!("CARGO_BIN_EXE_vipd")).args(args);
        command
    }

    /// Load rules of nftables.
    pub fn nft(&self, rules: &str) {
        let namespace = format!("--net=/run/netns/{}", self.namespace.name());
        let mut nft = Command::new("nsenter")
            .args([&namespace, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nftables is installed");
        nft.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("nft reads");
        assert!(nft.wait().expect("nft ends").success(), "{rules}");
    }

    fn plug(&self, switch: &Namespace, port: &str, interface: &str, address: &str) {
        let (switch, host) = (switch.name(), self.namespace.name());
        for line in [
            format!("link add {port} netns {switch} type veth peer name {interface} netns {host}"),
            format!("-n {switch} link set {port} master br0 up"),
            format!("-n {host} address add {address} dev {interface}"),
            format!("-n {host} link set {interface} up"),
        ] {
            run("ip", &line.split(' ').collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// The order of the fields is the order of their end.
#[derive(Debug)]
pub struct Lab {
    daemon: Option<Daemon>,
    pub client: Host,
    pub director: Host,
    pub servers: Vec<Host>,
    arms: Arms,
    dir: Directory,
    _switches: Vec<Namespace>,
}

fn switch(prefix: &str, role: &str) -> Namespace {
    let switch = Namespace::create(&format!("{prefix}-{role}")).expect("needs root and iproute2");
    for line in ["link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br0 up"] {
        let line = format!("-n {} {line}", switch.name());
        run("ip", &line.split(' ').collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{error}"));
    }
    switch
}

impl Lab {
    pub fn new(arms: Arms, servers: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("vipd-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let outside = switch(&prefix, "outside");
        let inside = switch(&prefix, "inside");
        let client = Host::new(&prefix, "client");
        client.plug(&outside, "to-client", "eth0", "192.0.2.50/24");
        for number in 51..=58 {
            client.ip(&format!("address add 192.0.2.{number}/24 dev eth0"));
        }
        let director = Host::new(&prefix, "director");
        director.sysctl("net/ipv4/ip_forward", "1");
        director.plug(&outside, "to-director", "eth0", "192.0.2.2/24");
        if arms != Arms::One {
            director.plug(&inside, "to-director", "eth1", "10.0.0.2/24");
        }
        let server = |number: usize| {
            let host = Host::new(&prefix, &format!("server{number}"));
            let port = format!("to-server{number}");
            let (outer, inner) = (format!("192.0.2.{}/24", 10 + number), format!("10.0.0.{}/24", 10 + number));
            match arms {
                Arms::One => host.plug(&outside, &port, "eth0", &outer),
                Arms::Two => {
                    host.plug(&inside, &port, "eth0", &inner);
                    host.ip("route add default via 10.0.0.1");
                }
                Arms::TwoAndOut => {
                    host.plug(&inside, &port, "eth0", &inner);
                    host.plug(&outside, &port, "eth1", &outer);
                }
            }
            host
        };
        let servers = (1..=servers).map(server).collect();
        let dir = Directory::temporary().expect("a directory in /run");
        Self { daemon: None, client, director, servers, arms, dir, _switches: vec![outside, inside] }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("vipd.conf")
    }

    /// Where a test may put files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run_dir(&self) -> PathBuf {
        self.path("run")
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.config(), text).expect("writing the configuration");
    }

    /// Run the daemon on this configuration; returns when it answers.
    pub fn start(&mut self, text: &str) {
        self.configure(text);
        let log = fs::File::create(self.dir.path().join("log")).expect("a log file");
        let mut command = self.director.vipd(&["run", "-f"]);
        command.arg(self.config()).arg("--run-dir").arg(self.run_dir()).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(Daemon(command.spawn().expect("starting the daemon")));
        self.until("the daemon answers", || self.status().is_some());
    }

    /// Wait until it holds, or fail with the daemon's log.
    pub fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        until(what, PATIENCE, holds).unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// `vipd ipvsadm ARGS` on the daemon's plane; what it says.
    pub fn ipvsadm(&self, args: &str) -> String {
        let run_dir = self.run_dir();
        let mut command = self.director.vipd(&["ipvsadm", "--run-dir"]);
        let output = command.arg(run_dir).args(args.split(' ')).output().expect("running vipd");
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// `vipd ARGS --run-dir OURS` on the director.
    pub fn ask(&self, args: &[&str]) -> Output {
        self.asking(args).output().expect("running vipd")
    }

    pub fn asking(&self, args: &[&str]) -> Command {
        let mut command = self.director.vipd(args);
        command.arg("--run-dir").arg(self.run_dir());
        command
    }

    /// As [`Lab::ask`], and it must succeed; what it says.
    pub fn told(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.ask(args);
        assert!(status.success(), "vipd {args:?}: {}\n{}", String::from_utf8_lossy(&stderr), self.log());
        String::from_utf8(stdout).expect("text")
    }

    pub fn status(&self) -> Option<serde_json::Value> {
        let output = self.ask(&["status", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    pub fn reload(&self, text: &str) {
        self.configure(text);
        self.told(&["reload"]);
    }

    /// Every real server answers TCP and UDP on these ports with its number, from 1.
    pub fn serve(&self, tcp: &[u16], udp: &[u16]) {
        for (number, host) in (1..).zip(&self.servers) {
            serve(host, number, self.address(number), tcp, udp);
        }
    }

    /// A real server's own address.
    pub const fn address(&self, number: u8) -> Ipv4Addr {
        match self.arms {
            Arms::One => Ipv4Addr::new(192, 0, 2, 10 + number),
            Arms::Two | Arms::TwoAndOut => Ipv4Addr::new(10, 0, 0, 10 + number),
        }
    }

    /// The daemon's process.
    pub fn process(&self) -> u32 {
        self.daemon.as_ref().expect("a daemon was started").0.id()
    }

    /// End the daemon as a crash does.
    pub fn kill(&mut self) {
        drop(self.daemon.take());
    }

    /// End the daemon so that it leaves all to the next one.
    pub fn leave(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon was started");
        daemon.signal(Signal::SIGQUIT);
        self.until("the daemon ends", || matches!(daemon.0.try_wait(), Ok(Some(status)) if status.success()));
    }

    /// End the daemon in good order.
    pub fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        daemon.terminate();
        self.until("the daemon ends", || matches!(daemon.0.try_wait(), Ok(Some(status)) if status.success()));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that failed: the daemon takes its programs and its mount along, if it still can.
        if let Some(mut daemon) = self.daemon.take() {
            daemon.terminate();
            let _ = until("the daemon ends", PATIENCE, || matches!(daemon.0.try_wait(), Ok(Some(_)) | Err(_)));
            drop(daemon);
        }
    }
}

/// A daemon that does not outlive its test.
#[derive(Debug)]
struct Daemon(Child);

impl Daemon {
    fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    fn signal(&self, signal: Signal) {
        // One that has ended is fine.
        let _ = kill(Pid::from_raw(self.0.id().try_into().expect("a process id")), signal);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
