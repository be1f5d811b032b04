//! The eBPF plane, opened in a network namespace and a bpffs of its own. Needs root.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use vipd::lvs::datapath::Datapath;
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
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("iproute2 is installed");
    assert!(status.success());
    let run_dir = RunDir(tempfile::tempdir().expect("a directory"));
    let options = EbpfOptions {
        pin_dir: run_dir.0.path().join("bpf"),
        interfaces: vec!["lo".to_owned()],
        connections_max: 1024,
        services_max: 512,
        destinations_max: 4096,
        local_ports: LOCAL_PORTS,
    };
    let mut plane = Plane::Ebpf(Box::new(Ebpf::open(&options).await.expect("the eBPF plane")));
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
    promises::run(&mut plane).await;
    plane.close(false).await.expect("closing");
    let left = std::fs::read_dir(&options.pin_dir).expect("the directory").count();
    assert_eq!(left, 0, "pins are left");
}
