//! The plane beside an XDP balancer of the parts that those published have (`bpf/yardstick.bpf.c`), turn and turn about.

use std::net::Ipv4Addr;

use aya::maps::{Array, HashMap, PerCpuArray};
use aya::programs::Xdp;
use aya::{EbpfLoader, include_bytes_aligned};
use vipd::lvs::datapath::Hook;
use vipd::lvs::table::Scheduler;

use super::{ACK, Bench, DAEMONS, IPIP, MANY, SYN, frame, open, scheduled, server, to_us, vip};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/yardstick.bpf.o"));
const PAIRS: u32 = 9;
const RING: u32 = 65_537;
/// Places of `yard_stats`.
const OF_SERVICE: u32 = 0;
const OF_NEW: u32 = 2;

/// `struct yard_settings`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Settings {
    newcomers_max: u64,
    source: [u8; 4],
    mac: [u8; 8],
    reserved: u32,
}

// SAFETY: `repr(C)` integers without padding.
unsafe impl aya::Pod for Settings {}

struct Yardstick(aya::Ebpf);

impl Yardstick {
    fn load(flows_max: u32) -> Self {
        let mut loaded = EbpfLoader::new().btf(None).map_max_entries("yard_flows", flows_max).load(OBJECT).unwrap();
        let program: &mut Xdp = loaded.program_mut("vipd_yardstick").unwrap().try_into().unwrap();
        program.load().unwrap();
        let address = |addr| match addr {
            std::net::IpAddr::V4(addr) => u32::from_ne_bytes(Ipv4Addr::octets(&addr)),
            std::net::IpAddr::V6(_) => panic!("the yardstick is for IPv4"),
        };
        let port = 80_u16.to_be_bytes();
        let key = [address(vip(1, false)), 0, 0, 0, u32::from_ne_bytes([port[0], port[1], 6, 0])];
        let mut services: HashMap<_, [u32; 5], [u32; 2]> = loaded.map_mut("yard_services").unwrap().try_into().unwrap();
        services.insert(key, [0, 1], 0).unwrap();
        let mut servers: Array<_, [u32; 5]> = loaded.map_mut("yard_servers").unwrap().try_into().unwrap();
        for number in 1..=2 {
            servers.set(number, [address(server(number, false)), 0, 0, 0, 0], 0).unwrap();
        }
        let mut ring: Array<_, u32> = loaded.map_mut("yard_ring").unwrap().try_into().unwrap();
        for at in 0..RING {
            ring.set(at, 1 + at % 2, 0).unwrap();
        }
        Self(loaded)
    }

    /// How many new flows a second it writes down.
    fn write_at_most(&mut self, newcomers_max: u64) {
        let mut map: Array<_, Settings> = self.0.map_mut("yard_settings").unwrap().try_into().unwrap();
        let settings = Settings { newcomers_max, source: [10, 2, 0, 2], mac: [2, 0, 0, 0, 1, 1, 0, 0], reserved: 0 };
        map.set(0, settings, 0).unwrap();
    }

    fn packets(&self, of: u32) -> u64 {
        let map: PerCpuArray<_, [u64; 2]> = self.0.map("yard_stats").unwrap().try_into().unwrap();
        map.get(&of, 0).unwrap().iter().map(|[packets, _]| packets).sum()
    }
}

/// One of the things that a flow may be, and how many times the yardstick's nanoseconds it may cost.
struct Row {
    name: &'static str,
    at_most: f64,
    flags: u8,
    flows: u32,
    times: u32,
    in_flood: bool,
}

const KNOWN: [Row; 2] = [
    Row { name: "hit, 1 flow", at_most: 0.8, flags: ACK, flows: 1, times: 1_000_000, in_flood: false },
    Row { name: "hit, 64k flows", at_most: 0.9, flags: ACK, flows: 65_536, times: 1_000_000, in_flood: false },
];
const NEW: [Row; 2] = [
    Row { name: "new flow, written", at_most: 1.0, flags: SYN, flows: 1_000_000, times: 8_000, in_flood: false },
    Row { name: "new flow, in a flood", at_most: 1.0, flags: SYN, flows: 1_000_000, times: 200_000, in_flood: true },
];

/// A packet of IPv4 and TCP through IPIP, by either, with tables as large as the daemon's and with large ones.
pub fn beside() {
    compare(DAEMONS, &KNOWN);
    compare(MANY, &KNOWN);
    compare(MANY, &NEW);
}

/// By either, with room for so many connections, and the ratio, each the median of its pairs.
fn compare(connections_max: u32, rows: &[Row]) {
    let mut bench = open(Hook::Xdp, connections_max);
    bench.hold(&scheduled(Scheduler::Rr, 1, 2, IPIP, true, false));
    let mut yardstick = Yardstick::load(connections_max);
    let title = format!("Tunnel TCP, xdp, room for {connections_max}");
    println!("{title:<34} {:>10} {:>10} {:>10}", "vipd, ns", "yardstick", "ratio");
    for row in rows {
        let (ours, theirs, ratio) = row.measure(&mut bench, &mut yardstick);
        println!("{:<34} {ours:>10.1} {theirs:>10.1}     x {ratio:.2} (at most {:.1})", row.name, row.at_most);
    }
    bench.close();
}

impl Row {
    fn measure(&self, bench: &mut Bench, yardstick: &mut Yardstick) -> (f64, f64, f64) {
        let plane = bench.plane_program();
        let program: &Xdp = yardstick.0.program("vipd_yardstick").unwrap().try_into().unwrap();
        let theirs = program.fd().unwrap().try_clone().unwrap();
        yardstick.write_at_most(if self.in_flood { 0 } else { u64::MAX });
        for program in [&plane, &theirs] {
            bench.aim(Some(program));
            self.begin(bench);
        }
        let (packets, passed) = (bench.packets(), bench.passed_by());
        let (served, new) = (yardstick.packets(OF_SERVICE), yardstick.packets(OF_NEW));
        let pairs: Vec<(f64, f64)> = (0..PAIRS)
            .map(|pair| {
                let mut once = |program| {
                    let packet = to_us(frame(1, self.flags, true, false));
                    // Flows that nobody has seen, where they are to be new.
                    bench.set(&packet, self.flows, u64::from(100_000 + pair * self.times));
                    bench.aim(Some(program));
                    if self.flags == ACK {
                        // The other has driven these flows out of the caches.
                        bench.run(&packet.0, self.flows);
                    }
                    bench.run(&packet.0, self.times) - bench.overhead
                };
                (once(&plane), once(&theirs))
            })
            .collect();
        let is_new = self.flags == SYN;
        let wanted = u64::from(PAIRS * (self.times + if is_new { 0 } else { self.flows }));
        assert!(wanted - (bench.packets() - packets) <= 8, "{}: {:?}", self.name, bench.plane.reasons());
        assert_eq!(bench.passed_by() - passed, if self.in_flood { wanted } else { 0 }, "{}", self.name);
        assert_eq!(yardstick.packets(OF_SERVICE) - served, wanted, "{}", self.name);
        assert_eq!(yardstick.packets(OF_NEW) - new, if is_new { wanted } else { 0 }, "{}", self.name);
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut sorted: Vec<f64> = pairs.iter().map(of).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        (median(|pair| pair.0), median(|pair| pair.1), median(|pair| pair.0 / pair.1))
    }

    /// Open the flows that are to be known, or the flood.
    fn begin(&self, bench: &mut Bench) {
        let syn = to_us(frame(1, SYN, true, false));
        if self.in_flood {
            bench.set(&syn, self.flows, 0);
            bench.run(&syn.0, MANY / 4);
        } else if self.flags == ACK {
            for flags in [SYN, ACK] {
                let packet = to_us(frame(1, flags, true, false));
                bench.set(&packet, self.flows, 0);
                bench.run(&packet.0, self.flows);
            }
        }
    }
}
