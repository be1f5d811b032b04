//! Debian's keepalived on the other side: election, hand-over and priority 0 in both directions.

use std::fs;
use std::process::{Child, Command as Process, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vipd::base::{AdvertInterval, Family};
use vipd::lab::until;
use vipd::vrrp::{Authentication, Password, Settings, Standing, Transport, Version, Vmac};

use super::wire::{PATIENCE, Wire, settings, standing, stop, unicast};

/// keepalived on host b (192.0.2.2), with files of its own.
struct Keepalived {
    child: Child,
    dir: tempfile::TempDir,
}

impl Keepalived {
    fn start(wire: &Wire, lines: &str, vip: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("keepalived.conf");
        let text = format!(
            "global_defs {{\n vrrp_garp_master_delay 1\n}}\nvrrp_instance VI_1 {{\n interface eth0\n virtual_router_id 7\n{lines}\n \
             virtual_ipaddress {{\n {vip}\n }}\n}}\n"
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Process::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", wire.hosts[1].name()));
        // Without a syslogd its messages would go to the machine's console, and a serial one holds a CPU up for seconds.
        command.args(["keepalived", "--dont-fork", "--log-console", "--no-syslog", "--log-detail", "--vrrp", "-f"]);
        command.arg(&config);
        for (option, file) in [("--pid", "pid"), ("--vrrp_pid", "vrrp.pid"), ("--checkers_pid", "checkers.pid")] {
            command.arg(option).arg(dir.path().join(file));
        }
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn();
        Self { child: child.expect("needs keepalived"), dir }
    }

    fn stop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // One that has ended is fine.
        let _ = kill(pid, Signal::SIGTERM);
        self.child.wait().unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Both ways: theirs is better and leaves, ours is better and leaves.
fn interoperates(name: &str, ours: &Settings, theirs: &str) {
    let vip = ours.addresses[0].cidr;
    let address = vip.addr().to_string();
    let wire = Wire::new();
    let with = |priority: u8| Settings { priority: vipd::base::Priority::new(priority).unwrap(), ..ours.clone() };
    let lines = |priority: u8| format!(" state BACKUP\n priority {priority}\n{theirs}");

    let mut better = Keepalived::start(&wire, &lines(200), &vip.to_string());
    until(&format!("{name}: keepalived is master"), PATIENCE, || wire.holds(1, &address))
        .unwrap_or_else(|error| panic!("{error}\n{}", better.log()));
    let us = wire.start(0, vec![with(100)]).unwrap();
    until(&format!("{name}: we hear it"), PATIENCE, || us.snapshot.borrow()[0].counters.adverts_received > 2)
        .unwrap_or_else(|error| panic!("{error}\n{:?}\n{}", us.snapshot.borrow()[0], better.log()));
    assert_eq!(standing(&us), Standing::Backup, "{name}");
    let heard = us.snapshot.borrow()[0].counters.priority_zero_received;
    better.stop();
    until(&format!("{name}: we take over"), PATIENCE, || standing(&us) == Standing::Active && wire.holds(0, &address))
        .unwrap();
    assert_eq!(us.snapshot.borrow()[0].counters.priority_zero_received, heard + 1, "{name}: it resigned");
    drop(better);

    let lesser = Keepalived::start(&wire, &lines(50), &vip.to_string());
    until(&format!("{name}: keepalived is backup"), PATIENCE, || lesser.log().contains("Entering BACKUP STATE"))
        .unwrap();
    let sent = us.snapshot.borrow()[0].counters.adverts_sent;
    until(&format!("{name}: it hears us"), PATIENCE, || us.snapshot.borrow()[0].counters.adverts_sent > sent + 5)
        .unwrap();
    assert!(!wire.holds(1, &address), "{name}: keepalived stays backup\n{}", lesser.log());
    stop(&us);
    assert!(!wire.holds(0, &address), "{name}");
    until(&format!("{name}: keepalived takes over"), PATIENCE, || wire.holds(1, &address)).unwrap();
    assert!(wire.holds(1, &address), "{name}: we let go after it took over\n{}", lesser.log());
    let view = us.snapshot.borrow()[0].clone();
    assert!(view.discards.is_empty(), "{name}: {view:?}");
}

#[test]
fn version_2_with_a_password() {
    let ours = Settings {
        auth: Some(Authentication::Password(Password::new("secret"))),
        ..settings(Family::V4, Version::V2, 100)
    };
    interoperates(
        "v2",
        &ours,
        " version 2\n advert_int 1\n authentication {\n auth_type PASS\n auth_pass secret\n }\n",
    );
}

#[test]
fn version_2_with_an_authentication_header() {
    let key = Authentication::Header(Password::new("secret"));
    let ours = Settings { auth: Some(key), ..settings(Family::V4, Version::V2, 100) };
    interoperates("ah", &ours, " version 2\n advert_int 1\n authentication {\n auth_type AH\n auth_pass secret\n }\n");
}

/// keepalived's seal leaves the time to live of such packets out.
#[test]
fn an_authentication_header_to_unicast_peers_with_another_time_to_live() {
    let plain = unicast(settings(Family::V4, Version::V2, 100), "192.0.2.2");
    let Transport::Unicast { source, peers, only_peers, .. } = plain.transport.clone() else { panic!("{plain:?}") };
    let transport = Transport::Unicast { source, peers, ttl: 64, only_peers };
    let ours = Settings { auth: Some(Authentication::Header(Password::new("secret"))), transport, ..plain };
    let theirs = " version 2\n advert_int 1\n unicast_src_ip 192.0.2.2\n unicast_ttl 64\n unicast_peer {\n 192.0.2.1\n }\n \
                  authentication {\n auth_type AH\n auth_pass secret\n }\n";
    interoperates("ah unicast", &ours, theirs);
}

#[test]
fn version_3_over_ipv4() {
    interoperates("v3", &settings(Family::V4, Version::V3, 100), " version 3\n advert_int 0.1\n");
}

#[test]
fn version_3_over_ipv6() {
    interoperates("v6", &settings(Family::V6, Version::V3, 100), " version 3\n advert_int 0.1\n");
}

#[test]
fn version_3_to_unicast_peers() {
    let mut ours = unicast(settings(Family::V4, Version::V3, 100), "192.0.2.2");
    ours.interval = AdvertInterval::from_centis(20).unwrap();
    let theirs = " version 3\n advert_int 0.2\n unicast_src_ip 192.0.2.2\n unicast_peer {\n 192.0.2.1\n }\n";
    interoperates("unicast", &ours, theirs);
}

/// On keepalived's side, packets that come from the virtual MAC are heard by its `vrrp.7` alone, and on ours too while it
/// is up.
#[test]
fn with_a_virtual_mac() {
    for (family, lines) in [(Family::V4, ""), (Family::V4, " vmac_xmit_base\n"), (Family::V6, "")] {
        let plain = settings(family, Version::V3, 100);
        let vmac = Vmac {
            name: "vrrp.7".parse().unwrap(),
            mac: vipd::vrrp::ip::virtual_mac(family, plain.vrid),
            ipv6: family == Family::V6,
            xmit_base: !lines.is_empty(),
        };
        let ours = Settings { vmac: Some(vmac), ..plain };
        let theirs = format!(" version 3\n advert_int 0.1\n use_vmac vrrp.7\n{lines}");
        interoperates(&format!("vmac {family:?}{lines}"), &ours, &theirs);
    }
}
