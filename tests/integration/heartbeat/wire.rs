//! Two hosts on one wire, and what a test asks of them.

use std::process::Command as Process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use vipd::base::{AdvertInterval, Cidr, Family, Priority, Vrid};
use vipd::daemon::heartbeat::{Command, Heartbeat, HeartbeatOptions, StartError};
use vipd::lab::{Namespace, until};
use vipd::vrrp::{Holdings, Peer, Settings, Standing, Transport, Version, VirtualAddress};

/// Far more than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn ip(line: &str) -> String {
    let output = Process::new("ip").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Two hosts on one wire: `eth0` of each, 192.0.2.1 and 192.0.2.2, `2001:db8::1` and `2001:db8::2`.
pub struct Wire {
    pub hosts: [Namespace; 2],
}

impl Wire {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let host = |role| Namespace::create(&format!("vipd-{}-{number}-{role}", std::process::id()));
        let hosts = [host("a").expect("needs root and iproute2"), host("b").unwrap()];
        let [a, b] = [hosts[0].name(), hosts[1].name()];
        ip(&format!("-n {a} link add eth0 type veth peer name eth0 netns {b}"));
        for (at, name) in [(1, a), (2, b)] {
            ip(&format!("-n {name} address add 192.0.2.{at}/24 dev eth0"));
            ip(&format!("-n {name} address add 2001:db8::{at}/64 dev eth0 nodad"));
            ip(&format!("-n {name} link set eth0 up"));
        }
        let settled =
            || hosts.iter().all(|host| !ip(&format!("-n {} address show dev eth0", host.name())).contains("tentative"));
        until("duplicate address detection ends", PATIENCE, settled).unwrap();
        Self { hosts }
    }

    pub fn start(&self, at: usize, settings: Vec<Settings>) -> Result<Heartbeat, StartError> {
        self.hosts[at].inside(|| Heartbeat::start(settings, HeartbeatOptions::default())).unwrap()
    }

    pub fn holds(&self, at: usize, address: &str) -> bool {
        let shown = ip(&format!("-n {} -o address show", self.hosts[at].name()));
        [format!(" {address}/"), format!(" {address} peer ")].iter().any(|held| shown.contains(held))
    }
}

pub fn settings(family: Family, version: Version, priority: u8) -> Settings {
    let vip: Cidr = match family {
        Family::V4 => "192.0.2.100/24",
        Family::V6 => "2001:db8::100/64",
    }
    .parse()
    .unwrap();
    let interval = match version {
        Version::V2 => AdvertInterval::DEFAULT,
        Version::V3 => AdvertInterval::from_centis(10).unwrap(),
    };
    Settings {
        version,
        interval,
        priority: Priority::new(priority).unwrap(),
        addresses: vec![VirtualAddress::new(vip)],
        ..Settings::new("VI_1", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), family)
    }
}

pub fn standing(heartbeat: &Heartbeat) -> Standing {
    heartbeat.snapshot.borrow()[0].state
}

pub fn stop(heartbeat: &Heartbeat) {
    let (reply, done) = oneshot::channel();
    heartbeat.commands.blocking_send(Command::Shutdown { reply }).unwrap();
    done.blocking_recv().unwrap();
}

pub fn reconfigure(heartbeat: &Heartbeat, settings: Vec<Settings>) -> Result<(), StartError> {
    let settings = settings.into_iter().map(Into::into).collect();
    let (reply, done) = oneshot::channel();
    heartbeat.commands.blocking_send(Command::Reconfigure { settings, statics: Holdings::default(), reply }).unwrap();
    done.blocking_recv().unwrap()
}

pub fn unicast(mut settings: Settings, peer: &str) -> Settings {
    let peers = vec![Peer::new(peer.parse().unwrap())];
    settings.transport = Transport::Unicast { source: None, peers, ttl: 255, only_peers: true };
    settings
}
