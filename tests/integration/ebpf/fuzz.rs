//! Random and broken packets: none is forwarded where nobody is, none is harmed on its way up, nothing stays behind.
//!
//! `VIPD_FUZZ_PACKETS` says how many (100,000), `VIPD_FUZZ_SEED` with which chance; `scripts/fuzz-packets` sets both.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::net::IpAddr;

use nix::net::if_::if_nametoindex;
use vipd::lvs::datapath::{Datapath, HookMode};
use vipd::lvs::io::ebpf::abi::Entry;
use vipd::lvs::io::ebpf::{Ebpf, Verdict};
use vipd::lvs::table::{
    Destination, Encapsulation, Forwarding, Persistence, Protocol, Scheduler, Service, ServiceKey, Step, Table,
};

use crate::frames::{Chance, Flow, ends, frame, hurt, is_right, packet, transport};
use crate::lab::{Lab, MASQ_VIP, MASQ_VIP6, address, address6, wait};
use crate::raw;
use crate::steps::{apply, at, destination, key, service};
use crate::trials::sctp;

const IPIP: Forwarding = Forwarding::Tunnel(Encapsulation::Ipip);
/// Ports of the virtual addresses, each with a method of its own.
const METHODS: [(u16, Forwarding); 4] =
    [(80, Forwarding::Masq), (81, Forwarding::Route), (82, IPIP), (83, Forwarding::FullNat)];

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

struct World {
    vips: BTreeSet<IpAddr>,
    locals: BTreeSet<IpAddr>,
    servers: BTreeSet<IpAddr>,
    clients: Vec<IpAddr>,
}

fn world() -> World {
    let parse = |all: &[&str]| all.iter().map(|addr| addr.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
    World {
        vips: [MASQ_VIP.into(), MASQ_VIP6.into()].into(),
        locals: parse(&["10.2.0.2", "fd02::2"]).into_iter().collect(),
        servers: (1..=3).flat_map(|n| [address(n), address6(n)]).collect(),
        clients: parse(&["10.1.0.10", "10.1.0.11", "fd01::10", "fd01::11"]),
    }
}

fn fill(plane: &mut Ebpf, world: &World) -> Table {
    let schedulers = [Scheduler::Rr, Scheduler::Mh, Scheduler::Wlc, Scheduler::Sh];
    let mut steps = vec![];
    let mut of = BTreeMap::new();
    for vip in &world.vips {
        for (protocol, shift) in [(Protocol::Tcp, 0), (Protocol::Udp, 1), (Protocol::Sctp, 2)] {
            for (number, (port, method)) in METHODS.into_iter().enumerate() {
                let key = key(protocol, *vip, port);
                of.insert(key, world.locals.iter().copied().collect::<Vec<_>>().into());
                steps.push(Step::AddService(key, service(schedulers[(number + shift) % 4])));
                for server in world.servers.iter().filter(|server| server.is_ipv4() == vip.is_ipv4() || method == IPIP)
                {
                    let port = if method == Forwarding::Masq { 8080 } else { port };
                    steps.push(Step::AddDestination(key, at(*server, port), destination(method, 1)));
                }
            }
        }
    }
    for vip in &world.vips {
        steps.extend(special(*vip, world));
    }
    plane.set_locals(&of).unwrap();
    apply(plane, &steps);
    wait(plane.snapshot()).unwrap()
}

/// Services with persistence, with thresholds, and by the packet.
fn special(vip: IpAddr, world: &World) -> Vec<Step> {
    let prefix_len = if vip.is_ipv4() { 24 } else { 64 };
    let persistence = Some(Persistence { timeout_s: 60, prefix_len, sip: false });
    let limited = Destination { upper_threshold: 3, lower_threshold: 1, ..destination(Forwarding::Route, 1) };
    let masq = destination(Forwarding::Masq, 1);
    [
        (key(Protocol::Tcp, vip, 84), Service { persistence, ..service(Scheduler::Rr) }, masq, 8080),
        (key(Protocol::Tcp, vip, 85), service(Scheduler::Wlc), limited, 85),
        (key(Protocol::Udp, vip, 86), Service { one_packet: true, ..service(Scheduler::Rr) }, masq, 8086),
    ]
    .into_iter()
    .flat_map(|(key, service, destination, port)| {
        let servers = world.servers.iter().filter(move |server| server.is_ipv4() == vip.is_ipv4());
        let add = servers.map(move |server| Step::AddDestination(key, at(*server, port), destination));
        [Step::AddService(key, service)].into_iter().chain(add)
    })
    .collect()
}

/// A flow between those who might meet: a client and a virtual address, a server and a client or a local address, or
/// any two.
fn flow(chance: &mut Chance, world: &World) -> Flow {
    let all: Vec<IpAddr> =
        world.vips.iter().chain(&world.servers).chain(&world.clients).chain(&world.locals).copied().collect();
    let v4 = chance.once_in(2);
    let vips: Vec<IpAddr> = world.vips.iter().copied().filter(|addr| addr.is_ipv4() == v4).collect();
    let clients: Vec<IpAddr> = world.clients.iter().copied().filter(|addr| addr.is_ipv4() == v4).collect();
    let servers: Vec<IpAddr> = world.servers.iter().copied().filter(|addr| addr.is_ipv4() == v4).collect();
    let locals: Vec<IpAddr> = world.locals.iter().copied().filter(|addr| addr.is_ipv4() == v4).collect();
    let client = (chance.of(&clients), 40_000 + chance.below(50) as u16);
    let tcp = chance.once_in(2);
    let (from, to) = match chance.below(8) {
        0..=4 => (client, (chance.of(&vips), chance.of(&[80, 81, 82, 83, 84, 85, 86, 87]))),
        5 => ((chance.of(&servers), chance.of(&[8080, 8080, 80, 81, 8086])), client),
        6 => ((chance.of(&servers), 83), (chance.of(&locals), 1024 + chance.below(31_744) as u16)),
        _ => {
            let family: Vec<IpAddr> = all.into_iter().filter(|addr| addr.is_ipv4() == v4).collect();
            ((chance.of(&family), chance.next() as u16), (chance.of(&family), chance.next() as u16))
        }
    };
    Flow { from, to, tcp }
}

/// SCTP with any first chunk, or a frame of TCP or UDP.
fn any(chance: &mut Chance, flow: Flow, mac: [u8; 6]) -> Vec<u8> {
    if !chance.once_in(6) {
        return frame(chance, flow, mac);
    }
    let chunk = chance.of(&[0, 1, 1, 2, 6, 7, 8, 10, 10, 14]);
    let payload = chance.of(&[0, 1, 16, 1000]);
    let kind = if flow.from.0.is_ipv4() { [8, 0] } else { [0x86, 0xdd] };
    [&mac[..], &[2, 0, 0, 0, 0, 9], &kind, &sctp(flow.from, flow.to, chunk, payload)].concat()
}

/// Why this outcome is wrong; `None`: it is right.
fn wrong(world: &World, before: &[u8], verdict: Verdict, after: &[u8]) -> Option<&'static str> {
    match verdict {
        Verdict::Pass if before != after => Some("passed up, but not as it came"),
        Verdict::Pass | Verdict::Drop => None,
        Verdict::Other(_) => Some("a verdict that there is not"),
        Verdict::Forward => {
            let Some((_, asked)) = ends(before) else { return Some("forwarded, and no IP packet") };
            let Some((from, to)) = ends(after) else { return Some("forwarded, and no IP packet any more") };
            // To a server; by Route as it came; or to somebody from the virtual address.
            let right =
                world.servers.contains(&to) || world.vips.contains(&to) && asked == to || world.vips.contains(&from);
            if !right {
                return Some("forwarded to nobody of the model");
            }
            (is_right(before) && !is_right(after)).then_some("its checksums were right, and are not any more")
        }
    }
}

#[test]
fn random_packets_are_forwarded_to_servers_or_not_at_all() {
    let (packets, seed) = (number("VIPD_FUZZ_PACKETS", 100_000), number("VIPD_FUZZ_SEED", 0x9e37_79b9_7f4a_7c15));
    let lab = Lab::new(3);
    let world = world();
    let mut plane = lab.open();
    let table = fill(&mut plane, &world);
    begin_xdp(&lab, &mut plane, &world);
    let mac = mac(&lab.director.show("link show dev wan"));
    let ifindex = lab.director.run(|| if_nametoindex("wan").unwrap());
    let mut chance = Chance(seed | 1);
    let (mut forwarded, mut forwarded_by_xdp) = (0_u64, 0_u64);
    lab.director.run(|| {
        for number in 0..packets {
            let flow = flow(&mut chance, &world);
            let mut before = any(&mut chance, flow, mac);
            if chance.once_in(3) {
                hurt(&mut chance, &mut before);
            }
            // As on a wire: what XDP passes comes to TC.
            let Ok((by_xdp, after)) = plane.trial_xdp(&before, ifindex) else { continue };
            let judge = |hook, verdict, after: &[u8]| {
                if let Some(wrong) = wrong(&world, &before, verdict, after) {
                    panic!("seed {seed}, packet {number} by {hook}: {wrong}\n{before:02x?}\n{verdict:?}\n{after:02x?}");
                }
                u64::from(verdict == Verdict::Forward)
            };
            forwarded_by_xdp += judge("XDP", by_xdp, &after);
            // Of a packet cut short the kernel makes none for TC.
            if by_xdp == Verdict::Pass
                && let Ok((verdict, after)) = plane.trial(&before, ifindex)
            {
                forwarded += judge("TC", verdict, &after);
            }
        }
    });
    assert!(forwarded > packets / 30, "{forwarded} of {packets} were forwarded by TC: that is no test");
    assert!(forwarded_by_xdp > packets / 30, "{forwarded_by_xdp} of {packets} were forwarded by XDP: that is no test");
    nothing_is_stuck(&lab);
    nothing_stays_behind(&mut plane, &table);
    everything_can_be_used_again(&mut plane, &lab, mac);
    lab.close(plane);
}

/// Nor would it go unseen.
fn nothing_is_stuck(lab: &Lab) {
    assert_eq!(raw::faults(lab), [""; 0]);
    let mut entries = raw::pinned::<Entry>(lab, "connections");
    let right = entries.get(&1, 0).unwrap();
    let mut planted = right;
    planted.connection.tag = raw::BUSY;
    entries.set(1, planted, 0).unwrap();
    assert_eq!(raw::faults(lab), ["entry 1 stays with the tag 1"]);
    planted = right;
    planted.flow.source_port ^= 1;
    entries.set(1, planted, 0).unwrap();
    assert!(!raw::faults(lab).is_empty(), "a flow that is not where it is looked for");
    entries.set(1, right, 0).unwrap();
}

/// A client fills the whole table.
fn everything_can_be_used_again(plane: &mut Ebpf, lab: &Lab, mac: [u8; 6]) {
    let (client, vip) = ("10.1.0.10".parse::<IpAddr>().unwrap(), (MASQ_VIP.into(), 90));
    let steps = [
        Step::AddService(key(Protocol::Tcp, vip.0, vip.1), service(Scheduler::Rr)),
        Step::AddDestination(key(Protocol::Tcp, vip.0, vip.1), at(address(1), 90), destination(Forwarding::Route, 1)),
    ];
    apply(plane, &steps);
    let ifindex = lab.director.run(|| if_nametoindex("wan").unwrap());
    lab.director.run(|| {
        for port in 1024..=u16::MAX {
            let flow = Flow { from: (client, port), to: vip, tcp: true };
            let syn = packet(client, vip.0, 6, &transport(flow, 2, &[]), 64, None);
            let frame = [&mac[..], &[2, 0, 0, 0, 0, 9, 8, 0], &syn].concat();
            assert_eq!(plane.trial(&frame, ifindex).unwrap().0, Verdict::Forward, "port {port}");
        }
    });
    assert_eq!(raw::faults(lab), [""; 0]);
    let all = raw::pinned::<Entry>(lab, "connections").len() as usize;
    let ours = raw::entries(lab).iter().filter(|entry| entry.flow.target_port == 90_u16.to_be()).count();
    // Of the packets before, a few lie in buckets that hardly anybody came to.
    assert!(ours * 100 >= all * 95, "{ours} of {all}");
}

/// XDP in front, and everybody of the model known to be there: else it would leave all to TC, which asks.
fn begin_xdp(lab: &Lab, plane: &mut Ebpf, world: &World) {
    lab.make_whole();
    for (link, addresses) in
        [("lan", world.servers.iter().collect::<Vec<_>>()), ("wan", world.clients.iter().collect())]
    {
        for addr in addresses {
            lab.director.ip(&format!("neigh replace {addr} lladdr 02:00:00:00:01:01 dev {link} nud permanent"));
        }
    }
    lab.director.run(|| plane.set_hooks(HookMode::Xdp, None)).unwrap_or_else(|error| panic!("{error}"));
}

/// With their services go schedules, servers and connections; the next daemon finds nothing.
fn nothing_stays_behind(plane: &mut Ebpf, table: &Table) {
    use vipd::lvs::ipvsadm::manual::Manual;
    assert!(!wait(Manual::connections(plane)).unwrap().is_empty());
    let keys: Vec<ServiceKey> = table.services.keys().copied().collect();
    apply(plane, &keys.iter().map(|key| Step::DeleteService(*key)).collect::<Vec<_>>());
    assert_eq!(wait(Manual::connections(plane)).unwrap(), []);
    let [vip, ..] = keys.as_slice() else { panic!("no service") };
    apply(
        plane,
        &[
            Step::AddService(*vip, service(Scheduler::Wlc)),
            Step::AddDestination(*vip, at(address(1), 80), destination(Forwarding::Masq, 1)),
        ],
    );
    let counted = crate::steps::counters(plane);
    let one = counted.services[vip].destinations.values().next().unwrap();
    assert_eq!((one.active, one.inactive, one.stats.packets_in), (0, 0, 0), "a slot begins anew");
}

/// Out of what `ip link show` says.
pub fn mac(shown: &str) -> [u8; 6] {
    let text = shown.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}
