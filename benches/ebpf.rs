//! What a packet costs on the eBPF plane, and what changing its tables costs. Needs root and a quiet machine.
//!
//! `cargo bench --bench ebpf` (or `scripts/bench-ebpf`). Nanoseconds are those of `BPF_PROG_TEST_RUN` without the harness
//! that restores the packet (on TC a tunnel's cannot be: the kernel wraps a buffer once), the median of several rounds; the
//! counters of the plane prove that it was the path meant. XDP is told that the interface is hardware.
#![expect(
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unsafe_code,
    reason = "a bench stops at what is wrong, and prints; a map's value is bytes"
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData, ProgramArray};
use aya::programs::{ProgramFd, SchedClassifier, Xdp};
use aya::{EbpfLoader, TestRun, TestRunOptions};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, CpuSet, sched_getcpu, sched_setaffinity, unshare};
use nix::unistd::Pid;
use vipd::base::Weight;
use vipd::lvs::datapath::{Datapath, Hook, HookMode};
use vipd::lvs::io::ebpf::{Ebpf, EbpfOptions, LOCAL_PORTS, Reason};
use vipd::lvs::plan::{Scope, plan};
use vipd::lvs::table::{
    Destination, DestinationKey, Encapsulation, Entry, Forwarding, Protocol, Scheduler, SchedulerFlags, Service,
    ServiceKey, Step, Table,
};

#[path = "parts/yardstick.rs"]
mod yardstick;

static HARNESS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench.bpf.o"));
const BYTES: usize = 96;
const ROUNDS: usize = 7;
/// Half the entries of a table for a million flows and those of all rounds.
const MANY: u32 = 1_500_000;
/// The same of the daemon's own.
const DAEMONS: u32 = 1 << 18;
const SYN: u8 = 2;
const ACK: u8 = 16;
const IPIP: Forwarding = Forwarding::Tunnel(Encapsulation::Ipip);
/// `struct vipd_port` of the address 00:00:00:00:00:02: served, sends back by itself, Ethernet.
const AS_HARDWARE: u64 = 0x0015_0200_0000_0000;

#[repr(C)]
#[derive(Clone, Copy)]
struct BenchPacket {
    length: u32,
    flows: u32,
    address: u32,
    port: u32,
    cursor: u64,
    bytes: [u8; BYTES],
}

// SAFETY: `repr(C)` integers without padding.
unsafe impl aya::Pod for BenchPacket {}

fn ip(line: &str) {
    let done = Command::new("ip").args(line.split(' ')).status().expect("iproute2");
    assert!(done.success(), "ip {line}");
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(what)
}

fn vip(number: u32, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::from(0xfd00_0100_u128 << 96 | u128::from(number)).into()
    } else {
        Ipv4Addr::from(0x0a64_0000 + number).into()
    }
}

fn server(number: u32, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::from(0xfd02_u128 << 112 | u128::from(10 + number)).into()
    } else {
        Ipv4Addr::from(0x0a02_000a + number).into()
    }
}

fn service(scheduler: Scheduler) -> Service {
    Service { scheduler, flags: SchedulerFlags::default(), persistence: None, one_packet: false }
}

fn destination(forwarding: Forwarding) -> Destination {
    Destination { forwarding, weight: Weight::ONE, upper_threshold: 0, lower_threshold: 0 }
}

fn key(number: u32, tcp: bool, v6: bool) -> ServiceKey {
    let protocol = if tcp { Protocol::Tcp } else { Protocol::Udp };
    ServiceKey::Address { protocol, addr: vip(number, v6), port: 80 }
}

/// So many services of `destinations` servers each.
fn table(services: u32, destinations: u32, method: Forwarding, tcp: bool, v6: bool) -> Table {
    scheduled(Scheduler::Rr, services, destinations, method, tcp, v6)
}

fn scheduled(scheduler: Scheduler, services: u32, destinations: u32, method: Forwarding, tcp: bool, v6: bool) -> Table {
    let entry = |_| Entry {
        service: service(scheduler),
        destinations: (1..=destinations)
            .map(|number| (DestinationKey { addr: server(number, v6), port: 80 }, destination(method)))
            .collect(),
    };
    Table { services: (1..=services).map(|number| (key(number, tcp, v6), entry(number))).collect() }
}

/// A frame from a client to the service; where its address and port vary.
fn frame(number: u32, flags: u8, tcp: bool, v6: bool) -> (Vec<u8>, u32, u32) {
    let mut frame = vec![0; 12];
    let (head, at) = if v6 { (40, 14 + 8 + 14) } else { (20, 14 + 12 + 2) };
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((100_u16 - 54).to_be_bytes());
        frame.extend([if tcp { 6 } else { 17 }, 64]);
        frame.extend(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2).octets());
    } else {
        frame.extend([8, 0, 0x45, 0, 0, 86, 0, 0, 0x40, 0, 64, if tcp { 6 } else { 17 }, 0, 0, 10, 1, 0, 2]);
    }
    match vip(number, v6) {
        IpAddr::V4(addr) => frame.extend(addr.octets()),
        IpAddr::V6(addr) => frame.extend(addr.octets()),
    }
    frame.extend([4, 0, 0, 80]);
    if tcp {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x40, 0, 0x12, 0x34, 0, 0]);
    } else {
        frame.extend([0, 46, 0x12, 0x34]);
    }
    frame.resize(100, 0);
    (frame, at, 14 + head)
}

struct Bench {
    plane: Ebpf,
    harness: aya::Ebpf,
    hook: Hook,
    plane_dir: PathBuf,
    ifindex: u32,
    /// What the harness alone costs.
    overhead: f64,
    _dir: vipd::lab::Directory,
}

impl Bench {
    /// Nanoseconds of one run.
    fn run(&self, frame: &[u8], times: u32) -> f64 {
        // struct xdp_md, or struct __sk_buff up to ifindex
        let (length, ifindex) = (frame.len() as u32, self.ifindex);
        let xdp = [0, length, 0, ifindex, 0, 0].map(u32::to_ne_bytes).concat();
        let tc = [0, 0, 0, 0, 0, 0, 0, 0, 0, ifindex, ifindex, 0].map(u32::to_ne_bytes).concat();
        let options = |context| TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(context),
            repeat: times,
            ..TestRunOptions::new()
        };
        let run = match self.hook {
            Hook::Tc => {
                let program: &SchedClassifier = self.harness.program("vipd_bench").unwrap().try_into().unwrap();
                program.test_run(options(&tc))
            }
            Hook::Xdp | Hook::GenericXdp => {
                let program: &Xdp = self.harness.program("vipd_bench_xdp").unwrap().try_into().unwrap();
                program.test_run(options(&xdp))
            }
        };
        run.unwrap().duration.as_nanos() as f64
    }

    /// What the harness costs here.
    fn calibrate(&mut self) {
        let still = to_us(frame(1, ACK, true, false));
        self.set(&still, 1, 0);
        self.aim(None);
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| self.run(&still.0, 1_000_000)).collect();
        rounds.sort_by(f64::total_cmp);
        self.overhead = rounds[ROUNDS / 2];
    }

    fn close(self) {
        wait(self.plane.close(false)).unwrap_or_else(|error| panic!("{error}"));
    }

    fn set(&mut self, (frame, address, port): &(Vec<u8>, u32, u32), flows: u32, cursor: u64) {
        let packet = BenchPacket {
            length: frame.len() as u32,
            flows,
            address: *address,
            port: *port,
            cursor,
            bytes: frame[..BYTES].try_into().unwrap(),
        };
        let mut map: Array<_, BenchPacket> = self.harness.map_mut("bench_packets").unwrap().try_into().unwrap();
        map.set(0, packet, 0).unwrap();
    }

    fn plane_program(&mut self) -> ProgramFd {
        match self.hook {
            Hook::Tc => {
                let pinned = SchedClassifier::from_pin(self.plane_dir.join("program")).unwrap();
                pinned.fd().unwrap().try_clone().unwrap()
            }
            Hook::Xdp | Hook::GenericXdp => self.plane.xdp_program().unwrap(),
        }
    }

    /// What the harness jumps to.
    fn aim(&mut self, target: Option<&ProgramFd>) {
        let name = if self.hook == Hook::Tc { "bench_target" } else { "bench_xdp_target" };
        let mut map: ProgramArray<_> = self.harness.map_mut(name).unwrap().try_into().unwrap();
        match target {
            Some(program) => map.set(0, program, 0).unwrap(),
            None => drop(map.clear_index(&0)),
        }
    }

    fn aim_at_plane(&mut self) {
        let program = self.plane_program();
        self.aim(Some(&program));
    }

    /// The median of several rounds, less the harness.
    fn measure(&mut self, frame: &(Vec<u8>, u32, u32), flows: u32, times: u32) -> f64 {
        let before = self.packets();
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| self.run(&frame.0, times)).collect();
        let grown = self.packets() - before;
        let wanted = ROUNDS as u64 * u64::from(times);
        // Of ten seconds XDP leaves a packet to the stack; and of a million flows one or two find their bucket full.
        let left = 8 + wanted / 100_000;
        assert!(
            grown <= wanted && grown + left >= wanted,
            "{grown} of {wanted} packets were forwarded ({flows} flows): {:?}",
            self.plane.reasons()
        );
        rounds.sort_by(f64::total_cmp);
        rounds[ROUNDS / 2] - self.overhead
    }

    fn packets(&mut self) -> u64 {
        wait(self.plane.counters()).unwrap().services.values().map(|one| one.stats.packets_in).sum()
    }

    /// Packets that passed the table by, in a flood.
    fn passed_by(&self) -> u64 {
        self.plane.reasons().into_iter().find(|(reason, _)| *reason == Reason::SynFlood).unwrap().1
    }

    fn hold(&mut self, wanted: &Table) -> Duration {
        let held = wait(self.plane.snapshot()).unwrap();
        let locals = ["10.2.0.2", "fd02::2"].map(|addr| addr.parse().unwrap()).to_vec();
        let of: BTreeMap<_, _> = wanted.services.keys().take(1).map(|key| (*key, locals.clone().into())).collect();
        self.plane.set_locals(&of).unwrap();
        let steps = plan(&held, wanted, &Scope::everything(&held));
        let begun = Instant::now();
        wait(self.plane.apply(&steps)).unwrap_or_else(|error| panic!("{error}"));
        begun.elapsed()
    }
}

/// A plane of its own in a network namespace of its own: nobody meets the flows of others.
fn open(hook: Hook, connections_max: u32) -> Bench {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of its own needs root");
    ip("link add wan type veth peer name far");
    ip("link set far up");
    ip("link set wan address 00:00:00:00:00:02 up");
    for addr in ["10.1.0.1/16", "10.2.0.1/16", "10.2.0.2/16"] {
        ip(&format!("address add {addr} dev wan"));
    }
    for addr in ["fd01::1/64", "fd02::1/64", "fd02::2/64"] {
        ip(&format!("address add {addr} dev wan nodad"));
    }
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    for number in 1..=4 {
        for v6 in [false, true] {
            ip(&format!("neigh add {} lladdr 02:00:00:00:01:0{number} dev wan nud permanent", server(number, v6)));
        }
    }
    // Its mount goes with it.
    let dir = vipd::lab::Directory::temporary().unwrap();
    let options = EbpfOptions {
        pin_dir: dir.path().join("bpf"),
        interfaces: vec!["wan".to_owned()],
        connections_max,
        services_max: 16_384,
        destinations_max: 65_536,
        local_ports: LOCAL_PORTS,
    };
    let mut plane = wait(Ebpf::open(&options)).unwrap_or_else(|error| panic!("{error}"));
    let mut harness = EbpfLoader::new().btf(None).load(HARNESS).unwrap();
    let program: &mut SchedClassifier = harness.program_mut("vipd_bench").unwrap().try_into().unwrap();
    program.load().unwrap();
    let program: &mut Xdp = harness.program_mut("vipd_bench_xdp").unwrap().try_into().unwrap();
    program.load().unwrap();
    let ifindex = if_nametoindex("wan").unwrap();
    plane.set_hooks(HookMode::Xdp, None).unwrap_or_else(|error| panic!("{error}"));
    let pinned = MapData::from_pin(options.pin_dir.join("ports")).unwrap();
    let mut ports: Array<MapData, u64> = Map::from_map_data(pinned).unwrap().try_into().unwrap();
    ports.set(ifindex, AS_HARDWARE, 0).unwrap();
    let mut bench = Bench { plane, harness, hook, plane_dir: options.pin_dir, ifindex, overhead: 0.0, _dir: dir };
    bench.calibrate();
    bench
}

/// Frames whose destination is that of the interface: others are not looked at.
fn to_us(mut frame: (Vec<u8>, u32, u32)) -> (Vec<u8>, u32, u32) {
    frame.0[5] = 2;
    frame
}

fn hit(bench: &mut Bench, number: u32, tcp: bool, v6: bool, flows: u32, times: u32) -> f64 {
    let open = to_us(frame(number, SYN, tcp, v6));
    bench.set(&open, flows, 0);
    bench.aim_at_plane();
    bench.run(&open.0, flows);
    let stay = to_us(frame(number, ACK, tcp, v6));
    bench.set(&stay, flows, 0);
    // So many SYNs may be a flood, and then this opens them.
    bench.run(&stay.0, flows);
    bench.measure(&stay, flows, times)
}

/// A SYN among more than a sixteenth of the table's entries in a second.
fn flood(bench: &mut Bench, v6: bool) -> f64 {
    let begin = to_us(frame(1, SYN, true, v6));
    bench.run(&begin.0, MANY / 4);
    let before = bench.passed_by();
    let ns = bench.measure(&begin, 1_000_000, 100_000);
    assert_eq!(bench.passed_by() - before, ROUNDS as u64 * 100_000, "each passed the table by");
    ns
}

fn packets(hook: Hook) {
    let title = format!("ns a packet, {}", hook.name());
    println!("{title:<34} {:>10} {:>12} {:>10} {:>10}", "hit", "64k flows", "new flow", "in a flood");
    for (name, scheduler, method, tcp, v6) in [
        ("Tunnel TCP", Scheduler::Rr, IPIP, true, false),
        ("Tunnel TCP, mh", Scheduler::Mh, IPIP, true, false),
        ("Route TCP", Scheduler::Rr, Forwarding::Route, true, false),
        ("Route TCP, mh", Scheduler::Mh, Forwarding::Route, true, false),
        ("Route UDP", Scheduler::Rr, Forwarding::Route, false, false),
        ("Masq TCP", Scheduler::Rr, Forwarding::Masq, true, false),
        ("FullNat TCP", Scheduler::Rr, Forwarding::FullNat, true, false),
        ("Tunnel TCP, IPv6", Scheduler::Rr, IPIP, true, true),
        ("Route TCP, IPv6", Scheduler::Rr, Forwarding::Route, true, true),
        ("Masq TCP, IPv6", Scheduler::Rr, Forwarding::Masq, true, true),
        ("FullNat TCP, IPv6", Scheduler::Rr, Forwarding::FullNat, true, true),
    ] {
        if method == if hook == Hook::Tc { IPIP } else { Forwarding::FullNat } {
            continue;
        }
        let mut bench = open(hook, MANY);
        bench.hold(&scheduled(scheduler, 1, 2, method, tcp, v6));
        let hit = hit(&mut bench, 1, tcp, v6, 1, 1_000_000);
        let many = if method == Forwarding::FullNat { 30_000 } else { 65_536 };
        let of_many = self::hit(&mut bench, 1, tcp, v6, many, 1_000_000);
        // Local ports of one address are 31,744 for each server.
        let (flows, times) = if method == Forwarding::FullNat { (30_000, 4_000) } else { (1_000_000, 10_000) };
        bench.hold(&Table::default());
        bench.hold(&scheduled(scheduler, 1, 2, method, tcp, v6));
        let begin = to_us(frame(1, SYN, tcp, v6));
        bench.set(&begin, flows, many.into());
        let new = bench.measure(&begin, flows, times);
        let passes_by = tcp && hook != Hook::Tc && matches!(method, Forwarding::Route | IPIP);
        let of_flood = if passes_by { format!("{:.1}", flood(&mut bench, v6)) } else { "-".to_owned() };
        println!("{name:<34} {hit:>10.1} {of_many:>12.1} {new:>10.1} {of_flood:>10}");
        bench.close();
    }
    // All entries of the daemon's table have been used, and none is over.
    let mut bench = open(hook, DAEMONS);
    bench.hold(&table(1, 2, Forwarding::Route, false, false));
    let begin = to_us(frame(1, 0, false, false));
    bench.set(&begin, 4_000_000, 0);
    bench.aim_at_plane();
    bench.run(&begin.0, 3 * DAEMONS);
    let new = bench.measure(&begin, 4_000_000, 100_000);
    println!("{:<34} {:>10} {:>12} {new:>10.1}", "Route UDP, a full table", "", "");
    bench.close();
}

fn scale(hook: Hook) {
    let mut bench = open(hook, MANY);
    let mut first = 0.0;
    for services in [1, 100, 10_000] {
        bench.hold(&Table::default());
        bench.hold(&table(services, 2, Forwarding::Route, true, false));
        let ns = hit(&mut bench, services, true, false, 1, 1_000_000);
        if services == 1 {
            first = ns;
        }
        println!("Route TCP hit, {services:>6} services      {ns:>10.1}   x {:.2} (at most 1.30)", ns / first);
    }
    bench.hold(&Table::default());
    bench.hold(&table(1, 2, Forwarding::Route, true, false));
    for flows in [1, 1_000, 1_000_000] {
        let ns = hit(&mut bench, 1, true, false, flows, 1_000_000);
        println!("Route TCP hit, {flows:>9} flows      {ns:>10.1}");
    }
    bench.close();
}

fn changes() {
    let mut bench = open(Hook::Tc, DAEMONS);
    let wanted = table(5_000, 4, Forwarding::Masq, true, false);
    let all = bench.hold(&wanted);
    println!("5,000 services x 4 destinations    {:>8.1} ms (at most 2,000)", all.as_secs_f64() * 1e3);
    let changed = Destination { weight: Weight::new(3).unwrap(), ..destination(Forwarding::Masq) };
    let step =
        Step::EditDestination(key(2_500, true, false), DestinationKey { addr: server(1, false), port: 80 }, changed);
    let begun = Instant::now();
    wait(bench.plane.apply(&[step])).unwrap();
    println!("one weight                         {:>8.2} ms (at most 10)", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let held = wait(bench.plane.snapshot()).unwrap();
    let steps = plan(&held, &held, &Scope::everything(&held));
    assert!(steps.is_empty());
    println!("a resync that finds nothing        {:>8.1} ms (at most 300)", begun.elapsed().as_secs_f64() * 1e3);
    bench.close();
}

fn main() {
    // Each CPU counts its own newcomers: one that begins on another CPU sees no flood yet.
    let mut here = CpuSet::new();
    here.set(sched_getcpu().unwrap()).unwrap();
    sched_setaffinity(Pid::from_raw(0), &here).unwrap();
    yardstick::beside();
    for hook in [Hook::Xdp, Hook::Tc] {
        packets(hook);
        scale(hook);
    }
    changes();
}
