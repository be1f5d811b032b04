//! XDP in front of TC, with real traffic: the same promises, by the driver and generic, and that it is XDP that serves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aya::programs::SchedClassifier;
use aya::sys::{Stats, enable_stats};
use vipd::lvs::datapath::{Datapath, Hook, HookMode};
use vipd::lvs::io::ebpf::{Ebpf, Reason};
use vipd::lvs::table::{Encapsulation, Forwarding, Protocol, Scheduler, ServiceKey, Step};

use crate::lab::{Lab, MASQ_VIP, MASQ_VIP6, ROUTE_VIP, ROUTE_VIP6, address, address6};
use crate::steps::{apply, at, counters, destination, key, service};
use crate::traffic::{connect, connect_many, download, exchange, serve_tcp, serve_udp, udp, upload, who};
use crate::tunnel::End;

const BULK: u64 = 20 * 1024 * 1024;
const IPIP: Forwarding = Forwarding::Tunnel(Encapsulation::Ipip);

fn names(plane: &Ebpf) -> BTreeMap<String, Hook> {
    plane.hooks().into_iter().map(|served| (served.interface, served.hook)).collect()
}

fn both(hook: Hook) -> BTreeMap<String, Hook> {
    [("lan".to_owned(), hook), ("wan".to_owned(), hook)].into()
}

/// A lab whose links have XDP by `hook`, and the plane in it.
fn lab(hook: Hook, servers: u8) -> (Lab, Ebpf) {
    let lab = Lab::new(servers);
    if hook == Hook::GenericXdp {
        lab.put_bridges();
    } else {
        lab.make_whole();
    }
    let mut plane = lab.open();
    hooks(&lab, &mut plane, HookMode::Xdp);
    assert_eq!(names(&plane), both(hook));
    (lab, plane)
}

fn hooks(lab: &Lab, plane: &mut Ebpf, mode: HookMode) {
    lab.director.run(|| plane.set_hooks(mode, None)).unwrap_or_else(|error| panic!("{error}"));
}

/// How often the program on TC has run, while somebody counts.
fn runs_of_tc(lab: &Lab) -> u64 {
    let program = SchedClassifier::from_pin(lab.pin_dir().join("program")).unwrap();
    let number = program.fd().unwrap().as_fd().as_raw_fd();
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let count = told.lines().find_map(|line| line.strip_prefix("run_cnt:")).unwrap_or_else(|| panic!("{told}"));
    count.trim().parse().unwrap()
}

/// Bulk both ways and datagrams go by XDP: TC sees few packets of them.
fn goes_by_xdp(lab: &Lab, plane: &mut Ebpf, tcp: ServiceKey, dns: ServiceKey) {
    let end = |key| match key {
        ServiceKey::Address { addr, port, .. } => (addr, port),
        ServiceKey::Fwmark { .. } => panic!("a service with an address"),
    };
    let _counting = enable_stats(Stats::RunTime).unwrap();
    // The first packets ask for neighbours.
    let mut stream = connect(&lab.client, end(tcp)).unwrap();
    let number = who(&mut stream).unwrap();
    let socket = udp(&lab.client, end(dns));
    let first = exchange(&socket, 100).unwrap();
    let (before, runs) = (counters(plane), runs_of_tc(lab));
    upload(&mut stream, BULK);
    download(&mut stream, BULK);
    assert_eq!(who(&mut stream).unwrap(), number);
    for size in [0, 1, 9, 1000, 1400] {
        assert_eq!(exchange(&socket, size).unwrap(), first, "{size} bytes");
    }
    let after = counters(plane);
    let seen = |counted: &vipd::lvs::datapath::Counters| {
        let stats = counted.services[&tcp].stats;
        (stats.packets_in + stats.packets_out, stats.bytes_in + stats.bytes_out)
    };
    let (packets, bytes) = (seen(&after).0 - seen(&before).0, seen(&after).1 - seen(&before).1);
    assert!(bytes > BULK, "{bytes} bytes");
    assert_eq!(after.services[&dns].stats.packets_in - before.services[&dns].stats.packets_in, 5);
    let passed = runs_of_tc(lab) - runs;
    assert!(passed < packets / 100, "{passed} of {packets} packets went by TC");
    // What a tunnel makes too long passes, and TC tells the client how long it may be.
    let amiss = plane.reasons().into_iter().any(|(reason, count)| count > 0 && reason != Reason::TooBig);
    assert!(!amiss, "{:?}", plane.reasons());
}

/// A service of TCP and one of UDP with all servers of the lab.
fn balance(
    lab: &Lab,
    plane: &mut Ebpf,
    vip: IpAddr,
    method: Forwarding,
    server: fn(u8) -> IpAddr,
) -> (ServiceKey, ServiceKey) {
    let (tcp, dns) = (key(Protocol::Tcp, vip, 80), key(Protocol::Udp, vip, 53));
    let mut steps = vec![Step::AddService(tcp, service(Scheduler::Rr)), Step::AddService(dns, service(Scheduler::Rr))];
    for (host, number) in lab.servers.iter().zip(1..) {
        let listens = if method == Forwarding::Masq { server(number) } else { vip };
        let (web, names) = if method == Forwarding::Masq { (8080, 5353) } else { (80, 53) };
        serve_tcp(host, number, listens, web);
        serve_udp(host, number, listens, names);
        steps.push(Step::AddDestination(tcp, at(server(number), web), destination(method, 1)));
        steps.push(Step::AddDestination(dns, at(server(number), names), destination(method, 1)));
    }
    apply(plane, &steps);
    (tcp, dns)
}

fn carries(hook: Hook, vip: IpAddr, method: Forwarding, server: fn(u8) -> IpAddr) {
    let (lab, mut plane) = lab(hook, 2);
    let (tcp, dns) = balance(&lab, &mut plane, vip, method, server);
    let _ends: Vec<End<'_>> = if method == IPIP {
        lab.servers.iter().zip(1..).map(|(host, number)| End::new(&lab, host, number, vip)).collect()
    } else {
        vec![]
    };
    let (shares, streams) = connect_many(&lab.client, (vip, 80), 6);
    assert_eq!(shares, BTreeMap::from([(1, 3), (2, 3)]));
    assert_eq!(counters(&mut plane).services[&tcp].stats.connections, 6);
    drop(streams);
    goes_by_xdp(&lab, &mut plane, tcp, dns);
    lab.close(plane);
}

#[test]
fn masq_goes_by_xdp_both_ways() {
    carries(Hook::Xdp, MASQ_VIP.into(), Forwarding::Masq, address);
    carries(Hook::Xdp, MASQ_VIP6.into(), Forwarding::Masq, address6);
}

#[test]
fn route_goes_by_xdp() {
    carries(Hook::Xdp, ROUTE_VIP.into(), Forwarding::Route, address);
    carries(Hook::Xdp, ROUTE_VIP6.into(), Forwarding::Route, address6);
}

#[test]
fn a_tunnel_goes_by_xdp() {
    carries(Hook::Xdp, ROUTE_VIP.into(), IPIP, address);
}

/// Whole segments and finished checksums are not asked for: those that are not pass up.
#[test]
fn generic_xdp_carries_all_methods_with_all_offloads() {
    for (vip, method) in
        [(MASQ_VIP.into(), Forwarding::Masq), (ROUTE_VIP.into(), Forwarding::Route), (ROUTE_VIP.into(), IPIP)]
    {
        let (lab, mut plane) = lab(Hook::GenericXdp, 1);
        balance(&lab, &mut plane, vip, method, address);
        let _end = (method == IPIP).then(|| End::new(&lab, &lab.servers[0], 1, vip));
        let mut stream = connect(&lab.client, (vip, 80)).unwrap();
        upload(&mut stream, BULK);
        download(&mut stream, BULK);
        let socket = udp(&lab.client, (vip, 53));
        for size in [0, 100, 1400] {
            assert_eq!(exchange(&socket, size).unwrap(), 1);
        }
        lab.close(plane);
    }
}

#[test]
fn unfinished_checksums_pass_by_native_xdp_unharmed() {
    let lab = Lab::new(1);
    let mut plane = lab.open();
    hooks(&lab, &mut plane, HookMode::Xdp);
    assert_eq!(names(&plane), both(Hook::Xdp));
    balance(&lab, &mut plane, MASQ_VIP.into(), Forwarding::Masq, address);
    let mut stream = connect(&lab.client, (MASQ_VIP, 80)).unwrap();
    upload(&mut stream, BULK);
    download(&mut stream, BULK);
    assert_eq!(exchange(&udp(&lab.client, (MASQ_VIP, 53)), 1000).unwrap(), 1);
    lab.close(plane);
}

#[test]
fn auto_leaves_virtual_links_to_tc_and_modes_change_under_traffic() {
    let lab = Lab::new(2);
    lab.make_whole();
    let mut plane = lab.open();
    hooks(&lab, &mut plane, HookMode::Auto);
    assert_eq!(names(&plane), both(Hook::Tc));
    balance(&lab, &mut plane, MASQ_VIP.into(), Forwarding::Masq, address);
    let mut long = connect(&lab.client, (MASQ_VIP, 80)).unwrap();
    let number = who(&mut long).unwrap();
    let ends = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        // Datagrams, so that one that is lost is missed.
        let asking = scope.spawn(|| {
            let socket = udp(&lab.client, (MASQ_VIP, 53));
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut asked = 0_u64;
            while !ends.load(Ordering::Relaxed) {
                exchange(&socket, 200).expect("an answer");
                asked += 1;
            }
            asked
        });
        for (mode, hook) in [(HookMode::Xdp, Hook::Xdp), (HookMode::Tc, Hook::Tc), (HookMode::Xdp, Hook::Xdp)] {
            hooks(&lab, &mut plane, mode);
            assert_eq!(names(&plane), both(hook));
            assert_eq!(who(&mut long).unwrap(), number);
        }
        // A restart: what is pinned goes on, and the next daemon puts its program in its place.
        drop(plane);
        let mut plane = lab.open();
        hooks(&lab, &mut plane, HookMode::Xdp);
        assert_eq!(names(&plane), both(Hook::Xdp));
        assert_eq!(who(&mut long).unwrap(), number);
        ends.store(true, Ordering::Relaxed);
        let asked = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        lab.close(plane);
        asked
    });
    assert!(asked > 10, "{asked}");
    assert!(!lab.director.show("link show").contains("xdp"), "XDP is gone when the plane says so");
}

#[test]
fn a_program_of_somebody_else_stays_and_tc_serves() {
    let (lab, first) = lab(Hook::Xdp, 1);
    // Another director with pins of its own finds the first one's programs.
    let mut options = lab.options();
    options.pin_dir = lab.pin_dir().with_file_name("other");
    let mut plane = lab.director.run(|| crate::lab::wait(Ebpf::open(&options))).unwrap();
    hooks(&lab, &mut plane, HookMode::Xdp);
    assert_eq!(names(&plane), both(Hook::Tc));
    balance(&lab, &mut plane, MASQ_VIP.into(), Forwarding::Masq, address);
    assert_eq!(who(&mut connect(&lab.client, (MASQ_VIP, 80)).unwrap()).unwrap(), 1);
    lab.close(plane);
    lab.close(first);
}
