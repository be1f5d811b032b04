//! Single packets through XDP, byte by byte: what it does is right, and what it does not do passes as it came.

use std::net::IpAddr;

use aya::maps::{Array, Map, MapData};
use vipd::lvs::datapath::{Datapath, HookMode};
use vipd::lvs::io::ebpf::{Reason, Verdict};
use vipd::lvs::table::{Encapsulation, Forwarding, Protocol, TunnelChecksum};

use crate::frames::{Flow, ends, is_right, packet, pseudo, sum, transport};
use crate::lab::{address, address6, reason};
use crate::steps::{counters, key};
use crate::trials::{CLIENT_PORT, Trial, head, ports, vip_of};

const SYN: u8 = 2;
const ACK: u8 = 16;
/// What the fence's map holds in the place of its first deadline (`VIPD_FENCE_EARLIEST`).
const FENCE_EARLIEST: u32 = 4096;

/// A trial with both hooks, where everybody is known.
pub fn trial() -> Trial {
    let mut trial = Trial::new();
    trial.lab.make_whole();
    // Who is there is known.
    for (link, addr) in [("lan", address(1)), ("lan", address6(1)), ("wan", vip_of(false).1), ("wan", vip_of(true).1)] {
        trial.lab.director.ip(&format!("neigh replace {addr} lladdr 02:00:00:00:01:01 dev {link} nud permanent"));
    }
    let Trial { lab, plane, .. } = &mut trial;
    lab.director.run(|| plane.set_hooks(HookMode::Xdp, None)).unwrap_or_else(|error| panic!("{error}"));
    trial
}

fn plain(flow: Flow, flags: u8, payload: usize) -> Vec<u8> {
    let inside = transport(flow, flags, &vec![7; payload]);
    packet(flow.from.0, flow.to.0, if flow.tcp { 6 } else { 17 }, &inside, 64, None)
}

fn hops(packet: &[u8]) -> u8 {
    packet[if packet[0] >> 4 == 4 { 8 } else { 7 }]
}

/// A flow of a client to the service, by port.
fn flow(v6: bool, tcp: bool, port: u16) -> Flow {
    let (vip, client, _) = vip_of(v6);
    Flow { from: (client, CLIENT_PORT), to: (vip, port), tcp }
}

fn protocol(tcp: bool) -> Protocol {
    if tcp { Protocol::Tcp } else { Protocol::Udp }
}

#[test]
fn every_method_is_right_for_new_flows_and_known_ones() {
    let mut trial = trial();
    for (v6, tcp) in [(false, true), (false, false), (true, true), (true, false)] {
        let (vip, client, server) = vip_of(v6);
        for (port, method) in [(80, Forwarding::Masq), (81, Forwarding::Route)] {
            trial.serve(key(protocol(tcp), vip, port), server, 8080, method);
            let there = flow(v6, tcp, port);
            for (flags, payload) in [(SYN, 0), (ACK, 0), (ACK, 1), (ACK, 1000), (ACK | 8, 1399)] {
                let what = format!("{method:?}, IPv6 {v6}, TCP {tcp}, {payload} bytes");
                let before = plain(there, flags, payload);
                let frame = trial.forwarded_by_xdp(&what, &before);
                assert_eq!(frame[..6], [2, 0, 0, 0, 1, 1], "{what}");
                let after = &frame[14..];
                assert!(is_right(&frame), "{what}: {after:02x?}");
                assert_eq!(hops(after), 63, "{what}");
                let to = if method == Forwarding::Masq { (server, 8080) } else { (vip, port) };
                assert_eq!(ends(&frame), Some((client, to.0)), "{what}");
                assert_eq!(ports(after), (CLIENT_PORT, to.1), "{what}");
                assert_eq!(after.len(), before.len(), "{what}");
            }
            let counted = counters(&mut trial.plane).services[&key(protocol(tcp), vip, port)].stats;
            assert_eq!((counted.connections, counted.packets_in), (1, 5));
            if method == Forwarding::Masq {
                let back = Flow { from: (server, 8080), to: there.from, tcp };
                let frame = trial.forwarded_by_xdp("the answer", &plain(back, ACK, 100));
                assert!(is_right(&frame));
                assert_eq!((ends(&frame), ports(&frame[14..])), (Some((vip, client)), (port, CLIENT_PORT)));
            }
        }
    }
    trial.lab.close(trial.plane);
}

#[test]
fn tunnels_of_every_kind_are_the_same_as_by_tc() {
    let gue = Encapsulation::Gue { port: 6080, checksum: TunnelChecksum::None };
    let gre = Encapsulation::Gre { checksum: TunnelChecksum::None };
    let mut trial = trial();
    for (number, encapsulation) in [(0, Encapsulation::Ipip), (1, gue), (2, gre)] {
        for (v6, server) in [(false, address(1)), (true, address6(1)), (false, address6(1)), (true, address(1))] {
            let port = 80 + number * 4 + u16::from(v6) * 2 + u16::from(server.is_ipv6());
            let what = format!("{encapsulation:?} of IPv6 {v6} to {server}");
            trial.serve(key(Protocol::Tcp, vip_of(v6).0, port), server, port, Forwarding::Tunnel(encapsulation));
            for (flags, payload) in [(SYN, 0), (ACK, 3), (ACK, 1300)] {
                let before = plain(flow(v6, true, port), flags, payload);
                let by_xdp = trial.forwarded_by_xdp(&what, &before);
                let (verdict, by_tc) = trial.go(&before);
                assert_eq!((verdict, &by_xdp[14..]), (Verdict::Forward, &by_tc[14..]), "{what}");
                assert_eq!(by_xdp[12..14], if server.is_ipv4() { [8, 0] } else { [0x86, 0xdd] }, "{what}");
            }
        }
    }
    trial.lab.close(trial.plane);
}

/// TC makes of it what it must; here it is as it came, and nobody counts it twice.
#[test]
fn what_is_not_plain_passes_as_it_came() {
    let mut trial = trial();
    for v6 in [false, true] {
        let (vip, client, server) = vip_of(v6);
        for (port, method) in [(80, Forwarding::Masq), (81, Forwarding::Tunnel(Encapsulation::Ipip))] {
            for tcp in [true, false] {
                trial.serve(key(protocol(tcp), vip, port), server, port, method);
                trial.forwarded_by_xdp("a flow", &plain(flow(v6, tcp, port), SYN, 0));
            }
        }
        let there = flow(v6, true, 80);
        let mut last_hop = plain(there, ACK, 0);
        let fragment = packet(client, vip, 6, &transport(there, ACK, &[0; 16]), 64, Some((0, true)));
        let long = plain(flow(v6, true, 81), ACK, 1500 - head(&last_hop) - 20);
        let mut short = plain(there, ACK, 0);
        short.truncate(head(&short) + 10);
        let error = packet(client, vip, if v6 { 58 } else { 1 }, &[3, 4, 0, 0, 0, 0, 5, 0], 64, None);
        let unknown = plain(flow(v6, true, 99), SYN, 0);
        let lost = plain(Flow { from: (client, 41_000), ..there }, ACK, 0);
        if v6 {
            last_hop[7] = 1;
        } else {
            last_hop[8] = 1;
            last_hop[10..12].fill(0);
            let checksum = !sum(&last_hop[..20]);
            last_hop[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        for (what, packet) in [
            ("its last hop", last_hop),
            ("a fragment", fragment),
            ("too long for the tunnel", long),
            ("cut off", short),
            ("an error", error),
            ("no service", unknown),
            ("a flow that nobody knows", lost),
            ("an unfinished checksum of TCP", partial(there)),
            ("an unfinished checksum of UDP", partial(flow(v6, false, 80))),
        ] {
            let (verdict, frame) = trial.go_by_xdp(&packet);
            assert_eq!((verdict, &frame[14..]), (Verdict::Pass, &packet[..]), "{what}, IPv6 {v6}");
        }
    }
    assert!(trial.plane.reasons().iter().all(|(_, count)| *count == 0), "{:?}", trial.plane.reasons());
    trial.lab.close(trial.plane);
}

/// As a sender leaves it whose device is to finish it (`CHECKSUM_PARTIAL`).
fn partial(flow: Flow) -> Vec<u8> {
    let mut bytes = transport(flow, ACK, b"data");
    let protocol = if flow.tcp { 6 } else { 17 };
    let unfinished = sum(&pseudo(flow.from.0, flow.to.0, protocol, bytes.len()));
    let at = if flow.tcp { 16 } else { 6 };
    bytes[at..at + 2].copy_from_slice(&unfinished.to_be_bytes());
    packet(flow.from.0, flow.to.0, protocol, &bytes, 64, None)
}

#[test]
fn frames_of_others_and_unknown_neighbours_pass() {
    let mut trial = trial();
    let (vip, _, server) = vip_of(false);
    trial.serve(key(Protocol::Tcp, vip, 80), server, 8080, Forwarding::Masq);
    let syn = plain(flow(false, true, 80), SYN, 0);
    trial.mac[5] ^= 1;
    assert_eq!(trial.go_by_xdp(&syn).0, Verdict::Pass, "for another host");
    trial.mac[5] ^= 1;
    trial.lab.director.ip(&format!("neigh del {server} dev lan"));
    assert_eq!(trial.go_by_xdp(&syn).0, Verdict::Pass, "nobody knows where it is");
    assert_eq!(counters(&mut trial.plane).services[&key(Protocol::Tcp, vip, 80)].stats.connections, 1);
    assert_eq!(trial.go(&syn).0, Verdict::Forward, "TC asks");
    let counted = counters(&mut trial.plane).services[&key(Protocol::Tcp, vip, 80)].stats;
    assert_eq!((counted.connections, counted.packets_in), (1, 1), "it is counted once");
    trial.lab.close(trial.plane);
}

#[test]
fn where_a_fence_has_run_out_everything_passes_to_it() {
    let mut trial = trial();
    let (vip, _, server) = vip_of(false);
    trial.serve(key(Protocol::Tcp, vip, 80), server, 8080, Forwarding::Masq);
    let syn = plain(flow(false, true, 80), SYN, 0);
    trial.forwarded_by_xdp("no fence", &syn);
    let pinned = MapData::from_pin(trial.lab.pin_dir().join("fence_deadlines")).unwrap();
    let mut fence: Array<MapData, u64> = Map::from_map_data(pinned).unwrap().try_into().unwrap();
    for (earliest, refused, verdict) in
        [(1, 0, Verdict::Pass), (u64::MAX - 1, 0, Verdict::Forward), (u64::MAX - 1, 1, Verdict::Pass)]
    {
        fence.set(FENCE_EARLIEST, earliest, 0).unwrap();
        fence.set(FENCE_EARLIEST + 1, refused, 0).unwrap();
        assert_eq!(trial.go_by_xdp(&syn).0, verdict, "{earliest} {refused}");
    }
    trial.lab.close(trial.plane);
}

#[test]
fn full_nat_is_left_to_tc_before_anybody_is_chosen() {
    let mut trial = trial();
    let (vip, _, server): (IpAddr, IpAddr, IpAddr) = vip_of(false);
    let service = key(Protocol::Tcp, vip, 80);
    trial.plane.set_locals(&[(service, vec!["10.2.0.2".parse().unwrap()].into())].into()).unwrap();
    trial.serve(service, server, 8080, Forwarding::FullNat);
    let syn = plain(flow(false, true, 80), SYN, 0);
    assert_eq!(trial.go_by_xdp(&syn).0, Verdict::Pass);
    assert_eq!(counters(&mut trial.plane).services[&service].stats.connections, 0);
    trial.forwarded("by TC", &syn);
    assert_eq!(trial.go_by_xdp(&plain(flow(false, true, 80), ACK, 0)).0, Verdict::Pass, "known, and TC's");
    assert_eq!(reason(&trial.plane, Reason::Rewrite), 0);
    trial.lab.close(trial.plane);
}
