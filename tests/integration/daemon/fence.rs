//! `vip_fence`: who asks for the address of a daemon that is frozen, or was killed and has a successor, hears nothing.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use vipd::lab::{Namespace, until};
use vipd::vrrp::io::neighbour::Announcer;

use super::{Host, INSTANCE, PATIENCE};

/// Somebody on the other end of the wire.
struct Far {
    namespace: Namespace,
    /// The neighbour entry that never changes.
    known: String,
}

impl Far {
    fn of(host: &Host, name: &str) -> Self {
        let namespace = Namespace::create(&format!("vipd-{}-{name}", std::process::id())).unwrap();
        host.ip(&format!("link set far0 netns {}", namespace.name()));
        let mac = host.ip("-o link show dev eth0");
        let mac = mac.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
        let known = format!("neighbour replace 192.0.2.100 lladdr {mac} dev far0 nud permanent");
        let far = Self { namespace, known };
        far.ip("address add 192.0.2.9/24 dev far0");
        far.ip("link set far0 up");
        far
    }

    fn ip(&self, args: &str) {
        let mut command = Command::new("ip");
        let status = command.args(["-n", self.namespace.name()]).args(args.split(' ')).status().unwrap();
        assert!(status.success(), "ip {args}");
    }

    /// It sends to the hardware address that it knows, and asks nobody where the address is.
    fn knows(&self) {
        self.ip(&self.known);
    }

    fn forgets(&self) {
        self.ip("neighbour flush to 192.0.2.100 nud all");
    }

    /// Nobody listens there, and a kernel that hears it says so.
    fn is_answered(&self) -> bool {
        let try_it = || TcpStream::connect_timeout(&([192, 0, 2, 100], 9).into(), Duration::from_millis(300));
        self.namespace.inside(try_it).unwrap().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    }

    fn wait_for_answer(&self, host: &Host, what: &str) {
        until("it answers", PATIENCE, || self.is_answered())
            .unwrap_or_else(|error| panic!("{what}: {error}\n{}", host.log()));
    }

    /// As a successor does, once.
    fn claims(&self) {
        let claim = || {
            let index = nix::net::if_::if_nametoindex("far0").unwrap();
            Announcer::open().unwrap().announce(index, [2, 0, 0, 0, 0, 9], [192, 0, 2, 100].into(), false)
        };
        self.namespace.inside(claim).unwrap().unwrap();
    }

    /// Nothing is answered any more after `again` and again, and the host has the address still.
    fn wait_for_silence(&self, host: &Host, what: &str, again: impl Fn()) {
        let mut held = true;
        until("it is deaf", PATIENCE, || {
            again();
            let deaf = !self.is_answered();
            held = host.holds("192.0.2.100");
            deaf
        })
        .unwrap_or_else(|error| panic!("{what}: {error}\n{}", host.log()));
        assert!(held, "{what}: by its fence, and not by its lease\n{}", host.log());
    }
}

#[test]
fn a_frozen_daemon_is_deaf_before_its_lease_ends() {
    let host = Host::new();
    let far = Far::of(&host, "frozen-far");
    let running = host.start(&host.config(INSTANCE));
    // Both to a packet and to the question where the address is.
    for (what, knows) in [("a packet", true), ("a question", false)] {
        let step = |far: &Far| if knows { far.knows() } else { far.forgets() };
        step(&far);
        far.wait_for_answer(&host, what);
        running.signal(Signal::SIGSTOP);
        step(&far);
        far.wait_for_silence(&host, what, || ());
        running.signal(Signal::SIGCONT);
    }
    far.wait_for_answer(&host, "it goes on");
    assert!(!host.log().contains("vip_fence"), "{}", host.log());
}

#[test]
fn a_killed_daemon_is_deaf_once_its_successor_claims_and_whoever_comes_after_it_is_not() {
    let host = Host::new();
    let far = Far::of(&host, "killed-far");
    let config = host.config(INSTANCE);
    let mut running = host.start(&config);
    let pins = host.run_dir().join("bpf/fence");
    far.knows();
    far.wait_for_answer(&host, "the master");
    running.signal(Signal::SIGKILL);
    running.ended();
    let held = host.holds("192.0.2.100");
    assert!(far.is_answered() || !held, "until somebody takes over, the kernel serves");
    far.wait_for_silence(&host, "killed", || far.claims());
    assert!(fs::read_dir(&pins).unwrap().next().is_some(), "the program stands without its process");
    until("its lease ends", PATIENCE, || !host.holds("192.0.2.100")).unwrap();
    host.ip("address add 192.0.2.100/24 dev eth0");
    far.wait_for_answer(&host, "another one of this host has the address");
    host.ip("address del 192.0.2.100/24 dev eth0");

    let mut again = host.start(&config);
    until("one program stands before each interface", PATIENCE, || fs::read_dir(&pins).unwrap().count() == 1).unwrap();
    far.wait_for_answer(&host, "started again");
    again.signal(Signal::SIGTERM);
    assert!(again.ended().success(), "{}", host.log());
    assert!(!host.run_dir().join("bpf").exists(), "an orderly end leaves nothing");
}

#[test]
fn a_frozen_daemon_whose_address_was_claimed_stays_deaf_when_it_is_killed() {
    let host = Host::new();
    let far = Far::of(&host, "frozen-killed-far");
    let mut running = host.start(&host.config(INSTANCE));
    far.knows();
    far.wait_for_answer(&host, "the master");
    running.signal(Signal::SIGSTOP);
    far.wait_for_silence(&host, "frozen", || ());
    far.claims();
    running.signal(Signal::SIGKILL);
    running.ended();
    assert!(!far.is_answered(), "its successor has the address");
}
