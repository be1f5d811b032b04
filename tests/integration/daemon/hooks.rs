//! Where the eBPF plane serves: `lvs_ebpf_mode`, a reload of it, and what XDP does of a frozen daemon.

use std::time::Duration;

use aya::maps::{Array, Map, MapData};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use vipd::lab::until;
use vipd::lvs::io::ebpf::abi::Settings;

use super::{Host, INSTANCE, PATIENCE, SERVER};

/// `VIPD_FENCE_EARLIEST` of `bpf/abi.h`.
const FENCE_EARLIEST: u32 = 4096;

fn config(host: &Host, mode: &str) -> std::path::PathBuf {
    host.config(&format!("global_defs {{\n lvs_ebpf_mode {mode}\n}}\n{INSTANCE}{SERVER}"))
}

/// By which hook the interface is served, as `vipd status` says.
fn served_by(host: &Host, hook: &str) {
    until(hook, PATIENCE, || host.status().is_some_and(|status| status["plane"]["hooks"]["eth0"] == hook))
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", host.status(), host.log()));
}

#[test]
fn xdp_leaves_everything_to_the_fence_when_nobody_renews_it() {
    let host = Host::new();
    let running = host.start(&config(&host, "xdp"));
    served_by(&host, "xdp");
    let pinned = MapData::from_pin(host.run_dir().join("bpf/fence_deadlines")).unwrap();
    let fence: Array<MapData, u64> = Map::from_map_data(pinned).unwrap().try_into().unwrap();
    let earliest = || Duration::from_nanos(fence.get(&FENCE_EARLIEST, 0).unwrap());
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    until("the master renews it", PATIENCE, || {
        let earliest = earliest();
        earliest > now() && earliest < now() + PATIENCE
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", host.log()));
    running.signal(Signal::SIGSTOP);
    until("it is past, and stays so", PATIENCE, || earliest() < now()).unwrap();
    running.signal(Signal::SIGCONT);
    until("it is renewed again", PATIENCE, || earliest() > now()).unwrap();
}

#[test]
fn the_table_has_room_for_as_many_connections_as_written_and_a_command_takes_it_as_it_is() {
    let host = Host::new();
    let config = |words: &str| host.config(&format!("global_defs {{\n {words}\n}}\n{INSTANCE}{SERVER}"));
    let mut running = host.start(&config("lvs_ebpf_connections 3000"));
    served_by(&host, "tc");
    let entries = || {
        let map = MapData::from_pin(host.run_dir().join("bpf/connections")).unwrap();
        map.info().unwrap().max_entries()
    };
    assert_eq!(entries(), 6000, "one for each direction");
    let keeps = || {
        let pinned = MapData::from_pin(host.run_dir().join("bpf/settings")).unwrap();
        let settings: Array<MapData, Settings> = Map::from_map_data(pinned).unwrap().try_into().unwrap();
        settings.get(&0, 0).unwrap().quiescent_keeps
    };
    for (words, expected) in [("lvs_expire_quiescent_template no", 1), ("lvs_expire_quiescent_template yes", 0)] {
        config(words);
        running.signal(Signal::SIGHUP);
        until("templates are as written", PATIENCE, || keeps() == expected)
            .unwrap_or_else(|error| panic!("{error}\n{}", host.log()));
    }
    running.signal(Signal::SIGKILL);
    running.ended();
    let output =
        host.vipd(&["ipvsadm", "--plane", "ebpf", "--run-dir"]).arg(host.run_dir()).arg("-Sn").output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && listed.contains("-a -t"), "{output:?}");
    assert_eq!(entries(), 6000, "a command has not made it anew");
}

#[test]
fn a_reload_changes_the_hook() {
    let host = Host::new();
    let running = host.start(&config(&host, "auto"));
    served_by(&host, "tc");
    for (mode, hook) in [("xdp", "xdp"), ("tc", "tc"), ("xdp", "xdp")] {
        config(&host, mode);
        running.signal(Signal::SIGHUP);
        served_by(&host, hook);
    }
    assert!(!host.log().contains("TC serves"), "{}", host.log());
}
