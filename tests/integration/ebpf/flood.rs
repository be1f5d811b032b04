//! A flood of SYNs: what it leaves out of the table of connections, who gets it, and who is known afterwards.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use vipd::lvs::datapath::{Datapath as _, HookMode};
use vipd::lvs::io::ebpf::{Ebpf, EbpfOptions, Reason, Verdict};
use vipd::lvs::ipvsadm::manual::Manual as _;
use vipd::lvs::table::{Destination, Encapsulation, Forwarding, Persistence, Protocol, Scheduler, Service, Step};

use crate::frames::{Flow, ends, packet, transport};
use crate::lab::{address, address6, reason, until, wait};
use crate::raw;
use crate::steps::{apply, at, destination, key, service};
use crate::table::{ACK, SYN, segment};
use crate::trials::{Trial, vip_of};

const FIN: u8 = 1;
const RST: u8 = 4;
const PSH: u8 = 8;
const IPIP: Forwarding = Forwarding::Tunnel(Encapsulation::Ipip);
/// A flood is more than 128 SYNs in a second then.
const CONNECTIONS: u32 = 1024;
/// Of a flood, in each test.
const SYNS: u16 = 400;
/// Bytes that say when flows have ended.
const ENDED: usize = 131_072;

/// A service behind XDP, on one CPU.
struct Flooded {
    trial: Trial,
    vip: IpAddr,
    client: IpAddr,
}

impl Flooded {
    fn new() -> Self {
        let mut cpus = CpuSet::new();
        cpus.set(0).unwrap();
        sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
        let (vip, client, _) = vip_of(false);
        let trial = Trial::with_connections(CONNECTIONS);
        for (number, server) in (1..=2).flat_map(|number| [(number, address(number)), (number, address6(number))]) {
            let entry = format!("{server} lladdr 02:00:00:00:01:0{number} dev lan nud permanent");
            trial.lab.director.ip(&format!("neigh replace {entry}"));
        }
        trial.lab.make_whole();
        let mut flooded = Self { trial, vip, client };
        flooded.hook();
        flooded
    }

    /// In the place of the service that was there, if one was.
    fn serve(&mut self, v6: bool, service: Service, to: &[Destination]) {
        let held = wait(self.trial.plane.snapshot()).unwrap();
        let mut steps: Vec<Step> = held.services.keys().map(|key| Step::DeleteService(*key)).collect();
        (self.vip, self.client, _) = vip_of(v6);
        let vip = key(Protocol::Tcp, self.vip, 80);
        steps.push(Step::AddService(vip, service));
        for (number, to) in (1..).zip(to) {
            let server = if v6 { address6(number) } else { address(number) };
            steps.push(Step::AddDestination(vip, at(server, 80), *to));
        }
        apply(&mut self.trial.plane, &steps);
    }

    fn weighted(&mut self, v6: bool, scheduler: Scheduler, weights: &[u32]) {
        let to: Vec<Destination> = weights.iter().map(|weight| destination(IPIP, *weight)).collect();
        self.serve(v6, service(scheduler), &to);
    }

    fn hook(&mut self) {
        let Trial { lab, plane, .. } = &mut self.trial;
        lab.director.run(|| plane.set_hooks(HookMode::Xdp, None)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The daemon ends, and another one goes on.
    fn restart(mut self) -> Self {
        let options = EbpfOptions { connections_max: CONNECTIONS, ..self.trial.lab.options() };
        drop(self.trial.plane);
        let open = || wait(Ebpf::open(&options)).unwrap_or_else(|error| panic!("{error}"));
        self.trial.plane = self.trial.lab.director.run(open);
        self.hook();
        self
    }

    fn segment(&self, port: u16, flags: u8) -> Vec<u8> {
        segment((self.client, port), self.vip, flags)
    }

    /// By TC alone: the server to which it is forwarded, if it is.
    fn by_tc(&mut self, port: u16, flags: u8) -> Option<IpAddr> {
        let (verdict, framed) = self.trial.go(&self.segment(port, flags));
        (verdict == Verdict::Forward).then(|| ends(&framed).unwrap().1)
    }

    /// By XDP, and what it leaves by TC.
    fn by_both(&mut self, packet: &[u8]) -> (Verdict, Vec<u8>) {
        match self.trial.go_by_xdp(packet) {
            (Verdict::Pass, _) => self.trial.go(packet),
            done => done,
        }
    }

    fn go(&mut self, port: u16, flags: u8) -> Option<IpAddr> {
        match self.by_both(&self.segment(port, flags)) {
            (Verdict::Forward, framed) => Some(ends(&framed).unwrap().1),
            (Verdict::Pass, _) => None,
            (other, _) => panic!("{other:?}: {:?}", self.trial.plane.reasons()),
        }
    }

    /// Neither hook can forward it: its hop limit is used up, or a tunnel would make it too long.
    fn misfit(&self, port: u16, flags: u8, is_long: bool) -> Vec<u8> {
        let flow = Flow { from: (self.client, port), to: (self.vip, 80), tcp: true };
        let payload = vec![0; if is_long { 1_450 } else { 0 }];
        packet(self.client, self.vip, 6, &transport(flow, flags, &payload), if is_long { 64 } else { 1 }, None)
    }

    fn to(&mut self, port: u16, flags: u8) -> IpAddr {
        self.go(port, flags).unwrap_or_else(|| panic!("port {port}: {:?}", self.trial.plane.reasons()))
    }

    fn reason(&self, wanted: Reason) -> u64 {
        reason(&self.trial.plane, wanted)
    }

    fn entries(&mut self) -> usize {
        wait(self.trial.plane.connections()).unwrap().len()
    }

    /// SYNs of ports below 20,000 until they pass the table by.
    fn begin(&mut self) {
        let mut ports = 1_000..20_000;
        until("SYNs that are forwarded without an entry", || {
            for port in ports.by_ref().take(200) {
                self.to(port, SYN);
            }
            self.reason(Reason::SynFlood) > 0
        });
    }

    /// Where the SYNs of a flood went, by port.
    fn flood(&mut self) -> BTreeMap<u16, IpAddr> {
        let before = self.reason(Reason::SynFlood);
        let sent: BTreeMap<u16, IpAddr> = (20_000..20_000 + SYNS).map(|port| (port, self.to(port, SYN))).collect();
        assert_eq!(self.reason(Reason::SynFlood) - before, u64::from(SYNS));
        sent
    }

    fn established(&mut self) -> usize {
        let listed = wait(self.trial.plane.connections()).unwrap();
        listed.iter().filter(|one| one.state == "ESTABLISHED").count()
    }

    /// Of every flow, as if its connection had ended now; or of none.
    fn set_ended(&self, is_now: bool) {
        let at = if is_now { raw::nanoseconds() >> 33 | 1 } else { 0 };
        let mut pinned = raw::pinned::<[u8; ENDED]>(&self.trial.lab, "ended");
        let mut ended = pinned.get(&0, 0).unwrap();
        ended.fill(at as u8);
        pinned.set(0, ended, 0).unwrap();
    }

    fn has_ended(&self) -> bool {
        raw::pinned::<[u8; ENDED]>(&self.trial.lab, "ended").get(&0, 0).unwrap().iter().any(|at| *at > 0)
    }

    /// As if all that is known now had last been seen so long ago.
    fn set_idle(&self, ago: Duration) {
        raw::edit(&self.trial.lab, |entry| raw::age(entry, ago));
    }

    /// When the service's last SYN passed by.
    fn set_flood(&self, ago: Duration) {
        let mut floods = raw::pinned::<u64>(&self.trial.lab, "floods");
        let nanoseconds = raw::nanoseconds().saturating_sub(ago.as_nanos() as u64);
        for slot in 0..floods.len() {
            floods.set(slot, nanoseconds, 0).unwrap();
        }
    }

    fn close(self) {
        self.trial.lab.close(self.trial.plane);
    }
}

fn shares(sent: &BTreeMap<u16, IpAddr>) -> BTreeMap<IpAddr, usize> {
    let mut shares = BTreeMap::new();
    for server in sent.values() {
        *shares.entry(*server).or_default() += 1;
    }
    shares
}

/// A scheduler, the weights of its servers, and the part of the flood that the first one gets, in hundredths.
type Row = (bool, Scheduler, &'static [u32], usize);

#[test]
fn a_flood_of_syns_is_shared_by_weight_and_leaves_no_entry() {
    let rows: [Row; 11] = [
        (false, Scheduler::Rr, &[1, 3], 50),
        (true, Scheduler::Rr, &[1, 3], 50),
        (false, Scheduler::Wrr, &[1, 3], 25),
        (true, Scheduler::Wrr, &[3, 1], 75),
        (false, Scheduler::Lc, &[1, 3], 50),
        (false, Scheduler::Wlc, &[2, 2], 50),
        (false, Scheduler::Wlc, &[1, 3], 25),
        (false, Scheduler::Sed, &[3, 1], 75),
        (false, Scheduler::Nq, &[1, 3], 25),
        (false, Scheduler::Fo, &[1, 3], 0),
        (false, Scheduler::Mh, &[1, 1], 50),
    ];
    let mut flooded = Flooded::new();
    for (v6, scheduler, weights, part) in rows {
        let what = format!("{scheduler} {weights:?}, IPv6 {v6}");
        flooded.weighted(v6, scheduler, weights);
        flooded.begin();
        let before = flooded.entries();
        let sent = flooded.flood();
        // Of ten seconds XDP leaves a packet of each server to TC, which makes an entry.
        let now = flooded.entries();
        assert!(now <= before + 4, "{what}: {now} entries, before {before}");
        let first = if v6 { address6(1) } else { address(1) };
        let got = shares(&sent).get(&first).copied().unwrap_or(0);
        let due = part * usize::from(SYNS) / 100;
        // Six times the deviation of so many draws.
        assert!(got.abs_diff(due) <= if part == 0 { 0 } else { 60 }, "{what}: {got}, due are {due}");
        assert_eq!(flooded.flood(), sent, "{what}: a SYN that is sent again");
    }
    flooded.close();
}

#[test]
fn what_follows_a_syn_of_a_flood_goes_where_that_went_and_makes_the_entry() {
    for (v6, scheduler) in
        [(false, Scheduler::Rr), (true, Scheduler::Wrr), (false, Scheduler::Wlc), (false, Scheduler::Mh)]
    {
        let mut flooded = Flooded::new();
        flooded.weighted(v6, scheduler, &[1, 3]);
        flooded.begin();
        let sent = flooded.flood();
        let (before, adopted) = (flooded.entries(), flooded.reason(Reason::Adopted));
        let what = format!("{scheduler}, IPv6 {v6}");
        // Half of them after a restart, and by the other hook.
        for (port, server) in sent.range(..20_000 + SYNS / 2) {
            assert_eq!(flooded.to(*port, ACK), *server, "{what}, port {port}");
        }
        let mut flooded = flooded.restart();
        for (port, server) in sent.range(20_000 + SYNS / 2..) {
            assert_eq!(flooded.by_tc(*port, ACK), Some(*server), "{what}, port {port}");
        }
        let now = flooded.entries();
        assert!(now + 4 >= before + usize::from(SYNS), "{what}: {now} entries, before {before}");
        let more = flooded.reason(Reason::Adopted) - adopted;
        assert!(more <= u64::from(SYNS) && more + 4 >= u64::from(SYNS), "{what}: {more}");
        for (port, server) in &sent {
            assert_eq!(flooded.to(*port, ACK), *server, "{what}, port {port}");
        }
        assert_eq!(flooded.reason(Reason::Adopted) - adopted, more, "{what}: who has an entry is known");
        assert_eq!(flooded.established(), usize::from(SYNS), "{what}");
        flooded.close();
    }
}

#[test]
fn out_of_a_flood_the_scheduler_chooses_and_an_unknown_flow_is_left_to_the_stack() {
    for v6 in [false, true] {
        let mut flooded = Flooded::new();
        flooded.weighted(v6, Scheduler::Rr, &[1, 1]);
        let unknown = |flooded: &mut Flooded, port| [flooded.go(port, ACK), flooded.by_tc(port + 1, ACK)];
        assert_eq!(unknown(&mut flooded, 50_000), [None, None], "IPv6 {v6}, before");
        flooded.begin();
        let sent = flooded.flood();
        for flags in [RST, SYN | ACK, 0, FIN, PSH] {
            assert_eq!(flooded.go(50_010, flags), None, "IPv6 {v6}, flags {flags}");
        }
        assert!(unknown(&mut flooded, 50_020).iter().all(Option::is_some), "IPv6 {v6}, in a flood");
        // Sent again on another CPU, and by TC.
        for (port, server) in sent.iter().take(50) {
            assert_eq!(flooded.by_tc(*port, SYN), Some(*server), "IPv6 {v6}, port {port}");
        }
        flooded.set_flood(Duration::from_secs(5));
        let turns: Vec<_> = (51_000..51_050).map(|port| flooded.by_tc(port, SYN)).collect();
        assert!(turns.windows(2).all(|two| two[0] != two[1]), "IPv6 {v6}: {turns:?}");
        assert!(unknown(&mut flooded, 50_030).iter().all(Option::is_some), "IPv6 {v6}, soon after");
        flooded.set_flood(Duration::from_secs(65));
        let passed = flooded.reason(Reason::NoConnection);
        assert_eq!(unknown(&mut flooded, 50_040), [None, None], "IPv6 {v6}, after");
        assert_eq!(flooded.reason(Reason::NoConnection) - passed, 2, "IPv6 {v6}");
        flooded.close();
    }
}

/// The table still has the connection that used the port before, with a server that took its turn.
#[test]
fn a_port_that_is_used_again_in_a_flood_keeps_one_server_from_the_syn_on() {
    for v6 in [false, true] {
        let mut flooded = Flooded::new();
        flooded.weighted(v6, Scheduler::Rr, &[1, 1]);
        let ports = 30_000..30_040;
        for port in ports.clone() {
            for flags in [SYN, ACK, FIN | ACK, ACK] {
                flooded.to(port, flags);
            }
        }
        flooded.begin();
        for port in ports {
            let server = flooded.to(port, SYN);
            assert_eq!([flooded.to(port, ACK), flooded.to(port, ACK)], [server; 2], "IPv6 {v6}, port {port}");
        }
        flooded.close();
    }
}

#[test]
fn a_flood_of_acks_after_one_of_syns_drives_out_nothing_that_is_established() {
    let mut flooded = Flooded::new();
    flooded.weighted(false, Scheduler::Rr, &[1, 1]);
    let established = 1_000..1_300;
    for port in established.clone() {
        for flags in [SYN, ACK] {
            assert!(flooded.by_tc(port, flags).is_some());
        }
    }
    flooded.set_flood(Duration::ZERO);
    for port in 10_000..16_000 {
        assert!(flooded.by_tc(port, ACK).is_some());
    }
    assert!(flooded.reason(Reason::Adopted) >= 6_000);
    assert_eq!(flooded.established(), established.len());
    // What XDP leaves to TC is one packet, not two.
    for scheduler in [Scheduler::Rr, Scheduler::Mh] {
        flooded.weighted(false, scheduler, &[1, 1]);
        flooded.set_flood(Duration::ZERO);
        for is_long in [false, true] {
            for port in 20_000..20_200 {
                let ack = flooded.misfit(port, ACK, is_long);
                flooded.by_both(&ack);
            }
            assert_eq!(flooded.established(), 0, "{scheduler}, too long {is_long}");
        }
    }
    flooded.close();
}

#[test]
fn a_flood_leaves_no_entry_either_where_all_flows_may_have_ended_lately() {
    for v6 in [false, true] {
        let mut flooded = Flooded::new();
        flooded.weighted(v6, Scheduler::Rr, &[1, 1]);
        flooded.set_ended(true);
        flooded.begin();
        let before = flooded.entries();
        let sent = flooded.flood();
        let now = flooded.entries();
        assert!(now <= before + 4, "IPv6 {v6}: {now} entries, before {before}");
        for (port, server) in &sent {
            assert_eq!(flooded.to(*port, ACK), *server, "IPv6 {v6}, port {port}");
        }
        flooded.close();
    }
}

#[test]
fn what_is_half_closed_and_goes_on_has_ended_lately_again() {
    let mut flooded = Flooded::new();
    flooded.weighted(false, Scheduler::Rr, &[1, 1]);
    for flags in [SYN, ACK, FIN | ACK] {
        flooded.to(30_000, flags);
    }
    assert!(flooded.has_ended());
    flooded.set_ended(false);
    until("its segments are noted", || {
        flooded.to(30_000, ACK);
        flooded.has_ended()
    });
    flooded.close();
}

#[test]
fn a_syn_whose_hop_limit_is_used_up_leaves_no_entry_in_a_flood_and_out_of_it() {
    for v6 in [false, true] {
        let mut flooded = Flooded::new();
        flooded.weighted(v6, Scheduler::Rr, &[1, 1]);
        for (what, first) in [("before", 40_000), ("in a flood", 41_000)] {
            let reasons = [Reason::Ttl, Reason::SynFlood, Reason::Adopted];
            let before = reasons.map(|wanted| flooded.reason(wanted));
            let entries = flooded.entries();
            for port in first..first + 20 {
                for flags in [SYN, ACK] {
                    let late = flooded.misfit(port, flags, false);
                    let verdict = flooded.by_both(&late).0;
                    // An ACK that nobody knows is left to the stack; the client is told of the rest.
                    let is_known = flags == SYN || what != "before";
                    assert_eq!(verdict, if is_known { Verdict::Forward } else { Verdict::Pass }, "{what}, IPv6 {v6}");
                }
            }
            assert_eq!(flooded.entries(), entries, "{what}, IPv6 {v6}");
            let dropped = if what == "before" { 20 } else { 40 };
            let wanted = [before[0] + dropped, before[1], before[2]];
            assert_eq!(reasons.map(|wanted| flooded.reason(wanted)), wanted, "{what}, IPv6 {v6}");
            flooded.begin();
        }
        flooded.close();
    }
}

#[test]
fn what_a_flood_forwards_is_counted_by_the_hook_that_forwards_it() {
    let mut flooded = Flooded::new();
    flooded.weighted(false, Scheduler::Rr, &[1, 1]);
    flooded.begin();
    let before = flooded.reason(Reason::SynFlood);
    for port in 40_000..40_020 {
        let long = flooded.misfit(port, SYN, true);
        flooded.by_both(&long);
    }
    assert_eq!(flooded.reason(Reason::SynFlood), before);
    flooded.close();
}

/// Of a connection that another director began, whose client sends more seldom than a handshake may last.
#[test]
fn an_adopted_flow_that_goes_on_after_its_entry_is_stale_is_established() {
    for (v6, scheduler) in [(false, Scheduler::Mh), (true, Scheduler::Sh), (false, Scheduler::Dh)] {
        let mut flooded = Flooded::new();
        flooded.weighted(v6, scheduler, &[1, 1]);
        flooded.to(30_000, ACK);
        assert!(flooded.by_tc(30_001, ACK).is_some());
        flooded.set_idle(Duration::from_secs(75));
        flooded.to(30_000, ACK);
        assert!(flooded.by_tc(30_001, ACK).is_some());
        assert_eq!(flooded.reason(Reason::Adopted), 4, "{scheduler}");
        assert_eq!(flooded.established(), 2, "{scheduler}");
        // A SYN proves nothing.
        flooded.to(30_002, SYN);
        flooded.set_idle(Duration::from_secs(75));
        flooded.to(30_002, SYN);
        assert_eq!(flooded.established(), 2, "{scheduler}");
        flooded.close();
    }
}

#[test]
fn a_flood_of_syns_passes_no_table_by_where_an_entry_is_needed() {
    let masq = destination(Forwarding::Masq, 1);
    let limited = Destination { upper_threshold: 60_000, ..destination(IPIP, 1) };
    let kept = Some(Persistence { timeout_s: 300, prefix_len: 32, sip: false });
    let rows = [
        ("mh, Masq", service(Scheduler::Mh), masq),
        ("rr, Masq", service(Scheduler::Rr), masq),
        ("rr, thresholds", service(Scheduler::Rr), limited),
        ("rr, persistent", Service { persistence: kept, ..service(Scheduler::Rr) }, destination(IPIP, 1)),
        ("lblc", service(Scheduler::Lblc), destination(IPIP, 1)),
        ("ovf", service(Scheduler::Ovf), destination(IPIP, 60_000)),
    ];
    let mut flooded = Flooded::new();
    for ((name, service, to), first) in rows.into_iter().zip((10_000..).step_by(1_000)) {
        flooded.serve(false, service, &[to, to]);
        for port in first..first + 600 {
            flooded.to(port, SYN);
        }
        assert_eq!(flooded.reason(Reason::SynFlood), 0, "{name}");
    }
    // It was one all the time.
    flooded.weighted(false, Scheduler::Rr, &[1, 1]);
    flooded.to(9_999, SYN);
    assert_eq!(flooded.reason(Reason::SynFlood), 1);
    flooded.close();
}
