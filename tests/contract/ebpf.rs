//! The eBPF plane, opened in a network namespace and a bpffs of its own. Needs root.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use vipd::lvs::datapath::{Datapath, Hook, HookMode};
use vipd::lvs::io::ebpf::{Ebpf, EbpfOptions, LOCAL_PORTS};
use vipd::lvs::io::plane::Plane;
use vipd::lvs::plan::{Scope, plan};
use vipd::lvs::table::Table;

use crate::promises;

/// A directory that is unmounted also where the test fails.
struct RunDir(tempfile::TempDir);

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0.path().join("bpf"), nix::mount::MntFlags::MNT_DETACH);
    }
}

/// The namespace is the thread's: it goes with the test.
#[tokio::test]
async fn the_ebpf_plane_keeps_every_promise() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of its own needs root");
    // Services by mark have a route, and that needs a host with an address.
    for line in ["link set lo up", "link add eth0 type veth peer name far0", "link set eth0 up", "link set far0 up"] {
        let status = Command::new("ip").args(line.split(' ')).status().expect("iproute2 is installed");
        assert!(status.success(), "{line}");
    }
    let run_dir = RunDir(tempfile::tempdir().expect("a directory"));
    let options = EbpfOptions {
        pin_dir: run_dir.0.path().join("bpf"),
        interfaces: vec!["lo".to_owned(), "eth0".to_owned()],
        connections_max: 1024,
        services_max: 512,
        destinations_max: 4096,
        local_ports: LOCAL_PORTS,
    };
    let mut plane = Plane::Ebpf(Box::new(Ebpf::open(&options).await.expect("the eBPF plane")));
    plane.set_locals(&crate::tables::locals()).expect("local addresses");
    promises::run(&mut plane).await;

    // What a daemon that was killed leaves is what the next one finds.
    let tables = crate::tables::every_feature();
    let able = plane.capabilities();
    let steps: Vec<_> = tables
        .iter()
        .filter(|(_, table)| able.check_table(table).is_empty())
        .flat_map(|(_, table)| plan(&Table::default(), table, &Scope::default()))
        .collect();
    plane.apply(&steps).await.expect("everything at once");
    let before = plane.snapshot().await.expect("snapshot");
    plane.close(true).await.expect("closing");
    let mut plane = Plane::Ebpf(Box::new(Ebpf::open(&options).await.expect("the eBPF plane again")));
    assert_eq!(plane.snapshot().await.expect("snapshot"), before);
    // The same with XDP in front.
    plane.set_locals(&crate::tables::locals()).expect("local addresses");
    plane.set_hooks(HookMode::Xdp, None).expect("XDP on a veth");
    let hook =
        |plane: &Plane| plane.hooks().into_iter().find(|served| served.interface == "eth0").map(|served| served.hook);
    assert_eq!(hook(&plane), Some(Hook::Xdp));
    promises::run(&mut plane).await;
    plane.close(false).await.expect("closing");
    let left = std::fs::read_dir(&options.pin_dir).map_or(0, Iterator::count);
    assert_eq!(left, 0, "pins are left");
}
