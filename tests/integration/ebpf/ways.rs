//! Ways out are remembered by both hooks: a server that moves is followed. Where routes depend on more than where a packet
//! goes to, nothing is remembered.

use std::time::{Duration, Instant};

use vipd::lvs::datapath::{Datapath, HookMode};
use vipd::lvs::io::ebpf::Verdict;
use vipd::lvs::table::{Forwarding, Protocol};

use crate::frames::{Flow, packet, transport};
use crate::lab::wait;
use crate::steps::key;
use crate::trials::{CLIENT_PORT, Trial, vip_of};

const DEADLINE: Duration = Duration::from_secs(10);
const ACK: u8 = 16;
const PORT: u16 = 80;
/// The server's MAC address at first, and later.
const OLD: &str = "02:00:00:00:01:01";
const NEW: &str = "02:00:00:00:02:02";
const OLD_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
const NEW_MAC: [u8; 6] = [2, 0, 0, 0, 2, 2];

/// A known connection of TCP, whose packets are sent again and again.
struct Ways {
    trial: Trial,
    by_xdp: bool,
    ack: Vec<u8>,
}

impl Ways {
    fn new(by_xdp: bool, v6: bool, method: Forwarding) -> Self {
        let mut trial = Trial::new();
        trial.lab.make_whole();
        let (vip, client, server) = vip_of(v6);
        trial.lab.director.ip(&format!("neigh replace {server} lladdr {OLD} dev lan nud permanent"));
        let Trial { lab, plane, .. } = &mut trial;
        let mode = if by_xdp { HookMode::Xdp } else { HookMode::Tc };
        lab.director.run(|| plane.set_hooks(mode, None)).unwrap_or_else(|error| panic!("{error}"));
        trial.serve(key(Protocol::Tcp, vip, PORT), server, PORT, method);
        let flow = Flow { from: (client, CLIENT_PORT), to: (vip, PORT), tcp: true };
        let of = |flags| packet(client, vip, 6, &transport(flow, flags, &[7; 10]), 64, None);
        trial.go(&of(2));
        Self { trial, by_xdp, ack: of(ACK) }
    }

    /// Send one; the MAC address that it leaves with.
    fn sent_to(&mut self) -> Option<[u8; 6]> {
        let ack = &self.ack;
        let (verdict, frame) = if self.by_xdp { self.trial.go_by_xdp(ack) } else { self.trial.go(ack) };
        (verdict == Verdict::Forward).then(|| frame[..6].try_into().expect("six bytes"))
    }

    fn until_sent_to(&mut self, what: &str, wanted: impl Fn(Option<[u8; 6]>) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let got = self.sent_to();
            if wanted(got) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {got:02x?}, by XDP {}", self.by_xdp);
        }
    }
}

#[test]
fn a_server_that_moves_is_followed() {
    let (masq, route) = (Forwarding::Masq, Forwarding::Route);
    for (by_xdp, v6, method) in [(false, false, masq), (false, true, route), (true, false, route), (true, true, masq)] {
        let mut ways = Ways::new(by_xdp, v6, method);
        ways.until_sent_to("at first", |mac| mac == Some(OLD_MAC));
        let (_, _, server) = vip_of(v6);
        ways.trial.lab.director.ip(&format!("neigh replace {server} lladdr {NEW} dev lan nud permanent"));
        ways.until_sent_to("it has another address", |mac| mac == Some(NEW_MAC));
        ways.trial.lab.director.ip(&format!("route add unreachable {server}/{}", if v6 { 128 } else { 32 }));
        // TC tells its client, and XDP leaves that to TC.
        let told = |mac: Option<[u8; 6]>| mac.is_some_and(|mac| ![OLD_MAC, NEW_MAC].contains(&mac));
        ways.until_sent_to("no route leads to it", |mac| if by_xdp { mac.is_none() } else { told(mac) });
        ways.trial.lab.close(ways.trial.plane);
    }
}

#[test]
fn with_routing_rules_of_ones_own_the_kernel_is_asked_for_each_packet() {
    let mut ways = Ways::new(false, false, Forwarding::Route);
    ways.until_sent_to("at first", |mac| mac == Some(OLD_MAC));
    ways.trial.lab.director.ip("rule add from 192.0.2.200 lookup main priority 100");
    let Trial { lab, plane, .. } = &mut ways.trial;
    lab.director.run(|| wait(plane.tend())).unwrap_or_else(|error| panic!("{error}"));
    let (_, _, server) = vip_of(false);
    // What each CPU remembers runs out, and nothing is remembered anew.
    let end = Instant::now() + DEADLINE;
    let mut followed = 0;
    for (lladdr, mac) in [(NEW, NEW_MAC), (OLD, OLD_MAC)].into_iter().cycle() {
        ways.trial.lab.director.ip(&format!("neigh replace {server} lladdr {lladdr} dev lan nud permanent"));
        followed = if ways.sent_to() == Some(mac) { followed + 1 } else { 0 };
        if followed == 20 {
            break;
        }
        assert!(Instant::now() < end, "{followed} moves were followed at once, not 20 one after the other");
    }
    ways.trial.lab.close(ways.trial.plane);
}
