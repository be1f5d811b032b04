//! BFD sessions with FRR's bfdd, in network namespaces: up, the neighbour freezes, and comes back; a real server that
//! follows one.
//!
//! Needs root, and the Debian package frr.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail, and it is the world that it touches"
)]

use std::fs;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;
use vipd::bfd::{Settings, State};
use vipd::daemon::bfd::Bfd;
use vipd::daemon::heartbeat;
use vipd::daemon::heartbeat::processor::Scheduling;
use vipd::lab::{Directory, Namespace, until};
use vipd::vrrp::{Outcome, Tracked};

/// Far more than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const BFDD: &str = "bfd
 peer 192.0.2.1 local-address 192.0.2.2
  detect-multiplier 3
  receive-interval 50
  transmit-interval 50
 !
 peer 192.0.2.1 multihop local-address 192.0.2.2
  detect-multiplier 3
 !
 peer 2001:db8::1 local-address 2001:db8::2
  detect-multiplier 3
 !
!
";

/// Periods of the check are long: what it is told must come from the session.
const CHECKED: &str = "bfd_instance peer {
    neighbor_ip 192.0.2.2
    source_ip 192.0.2.1
    min_rx 50
    min_tx 50
    multiplier 3
}
virtual_server 192.0.2.100 80 {
    protocol TCP
    lb_algo rr
    lb_kind DR
    delay_loop 600
    real_server 192.0.2.2 80 {
        BFD_CHECK {
            name peer
        }
    }
}
";

fn ip(line: &str) -> String {
    let output = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn hosts() -> [Namespace; 2] {
    let host = |at: usize| Namespace::create(&format!("vtr{}-bfd-{at}", std::process::id())).expect("needs root");
    let hosts = [host(0), host(1)];
    ip(&format!("-n {} link add eth0 type veth peer name eth0 netns {}", hosts[0].name(), hosts[1].name()));
    for (host, last) in hosts.iter().zip([1, 2]) {
        for address in [format!("192.0.2.{last}/24"), format!("2001:db8::{last}/64 nodad")] {
            ip(&format!("-n {} address add dev eth0 {address}", host.name()));
        }
        ip(&format!("-n {} link set lo up", host.name()));
        ip(&format!("-n {} link set eth0 up", host.name()));
    }
    hosts
}

struct Bfdd {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Bfdd {
    /// Without zebra: it needs neither routes nor interfaces of it.
    fn start(host: &Namespace) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        let config = path.join("bfdd.conf");
        fs::write(&config, BFDD).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", host.name()))
            .arg("/usr/lib/frr/bfdd")
            .args(["-P", "0", "-f"])
            .arg(config)
            .arg("--vty_socket")
            .arg(path)
            .arg("-z")
            .arg(path.join("zserv.api"))
            .arg("-i")
            .arg(path.join("bfdd.pid"))
            .arg("--bfdctl")
            .arg(path.join("bfdd.sock"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the Debian package frr has it");
        Self { child, _dir: dir }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Bfdd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn session(name: &str, neighbor: &str, multihop: bool) -> Settings {
    Settings {
        name: name.to_owned(),
        neighbor: neighbor.parse::<IpAddr>().unwrap(),
        source: None,
        min_rx: Duration::from_millis(50),
        min_tx: Duration::from_millis(50),
        idle_tx: Duration::from_secs(1),
        multiplier: NonZeroU8::new(3).unwrap(),
        passive: false,
        ttl: 255,
        ttl_min: if multihop { 0 } else { 255 },
        multihop,
    }
}

/// Wait until all of these were told to be so.
async fn told(commands: &mut mpsc::Receiver<heartbeat::Command>, names: &[&str], up: bool) {
    let mut missing: Vec<Tracked> = names.iter().map(|name| Tracked::Bfd((*name).to_owned())).collect();
    while !missing.is_empty() {
        let command = timeout(PATIENCE, commands.recv()).await;
        let command = command.unwrap_or_else(|_| panic!("never told: {missing:?} up: {up}")).unwrap();
        let heartbeat::Command::Tracked { what, outcome } = command else { panic!("{command:?}") };
        if outcome == Outcome::Good(up) {
            missing.retain(|one| *one != what);
        }
    }
}

/// Configure again what is there, at a moment when every session is up; on a busy machine bfdd may let one go by itself.
async fn stays_up(bfd: &Bfd, sessions: &[Settings]) {
    let mut snapshot = bfd.snapshot.clone();
    loop {
        snapshot.wait_for(|views| views.iter().all(|view| view.state == State::Up)).await.unwrap();
        bfd.configure(sessions.to_vec()).await.unwrap();
        if bfd.snapshot.borrow().iter().all(|view| view.state == State::Up) {
            return;
        }
    }
}

#[test]
fn sessions_with_frr_come_up_notice_its_freeze_and_come_back() {
    let hosts = hosts();
    let bfdd = Bfdd::start(&hosts[1]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (heartbeat, mut commands) = mpsc::channel(256);
    let started = hosts[0].inside(|| Bfd::start(heartbeat, Scheduling::default())).unwrap();
    let (bfd, _events) = started.unwrap();
    let names = ["one hop", "hops", "v6"];
    let sessions = vec![
        session(names[0], "192.0.2.2", false),
        session(names[1], "192.0.2.2", true),
        session(names[2], "2001:db8::2", false),
    ];
    runtime.block_on(async {
        bfd.configure(sessions.clone()).await.unwrap();
        told(&mut commands, &names, false).await;
        told(&mut commands, &names, true).await;
        bfdd.signal(Signal::SIGSTOP);
        told(&mut commands, &names, false).await;
        bfdd.signal(Signal::SIGCONT);
        told(&mut commands, &names, true).await;

        timeout(PATIENCE, stays_up(&bfd, &sessions)).await.expect("what is unchanged stays up");
        told(&mut commands, &names, true).await;
        bfd.configure(vec![]).await.unwrap();
        assert!(bfd.snapshot.borrow().is_empty());
        bfd.shut_down().await;
    });
    drop(bfd);
    until("the thread ends", PATIENCE, || commands.is_closed() || commands.try_recv().is_err()).unwrap();
}

/// The real server of the daemon's one service, and its one check.
fn served(host: &Namespace, run_dir: &Path) -> Option<(Value, Value)> {
    let mut status = Command::new("nsenter");
    status.arg(format!("--net=/run/netns/{}", host.name())).arg(env!("CARGO_BIN_EXE_vipd"));
    let output = status.args(["status", "--json", "--run-dir"]).arg(run_dir).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).ok()?;
    let server = &status["virtual_servers"][0]["real_servers"][0];
    Some((server["state"].clone(), server["checks"][0]["last"].clone()))
}

#[test]
fn a_real_server_follows_its_session_with_frr() {
    let hosts = hosts();
    let bfdd = Bfdd::start(&hosts[1]);
    let dir = Directory::temporary().unwrap();
    let (config, run_dir, log) = (dir.path().join("vipd.conf"), dir.path().join("run"), dir.path().join("log"));
    fs::write(&config, CHECKED).unwrap();
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", hosts[0].name())).arg(env!("CARGO_BIN_EXE_vipd")).args(["run", "-f"]);
    command.arg(&config).arg("--run-dir").arg(&run_dir).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut daemon = command.spawn().unwrap();
    let becomes = |state: &str, last: &str| {
        let wanted = Some((Value::from(state), Value::from(last)));
        until(&format!("the server is {state}: {last}"), PATIENCE, || served(&hosts[0], &run_dir) == wanted)
            .unwrap_or_else(|error| {
                let log = fs::read_to_string(&log).unwrap_or_default();
                panic!("{error}\n{:?}\n{log}", served(&hosts[0], &run_dir))
            })
    };
    becomes("up", "BFD session up");
    bfdd.signal(Signal::SIGKILL);
    let took = becomes("down", "BFD session down: no packet within the detection time");
    eprintln!("told {took:?} after the neighbour was killed; the detection time is 150 ms, a question 50 ms and more");
    drop(bfdd);
    let _again = Bfdd::start(&hosts[1]);
    becomes("up", "BFD session up");
    kill(Pid::from_raw(daemon.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success(), "{}", fs::read_to_string(&log).unwrap_or_default());
}
