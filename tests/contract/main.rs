//! What every forwarding plane promises, asked of each of them.
//!
//! `memory` and `ebpf` are asked by `cargo test`, the latter in a network namespace of its own, which needs root. The kernel's IPVS needs a kernel that has it: `scripts/contract-vm`
//! runs this same program in a throw-away VM with `VIPD_PLANE=ipvs`, and `tests/integration/lvs_vm.rs` runs that.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail, and may start ipvsadm"
)]

#[cfg(feature = "ebpf")]
mod ebpf;
mod ipvs;
mod promises;
mod sequences;
mod tables;

use vipd::lvs::io::ipvs::Ipvs;
use vipd::lvs::io::memory::Memory;
use vipd::lvs::io::plane::Plane;

#[tokio::test]
async fn the_chosen_plane_keeps_every_promise() {
    match std::env::var("VIPD_PLANE").as_deref() {
        Err(_) | Ok("memory") => promises::run(&mut Plane::Memory(Memory::new())).await,
        Ok("ipvs") => {
            let mut plane = Ipvs::open().await.expect("IPVS of this kernel");
            ipvs::run(&mut plane).await;
            promises::run(&mut Plane::Ipvs(plane)).await;
        }
        Ok(other) => panic!("VIPD_PLANE is `{other}`, and it is `memory` or `ipvs`"),
    }
}

#[tokio::test]
async fn a_plane_that_can_do_little_refuses_the_rest() {
    use vipd::lvs::datapath::{Capabilities, Feature};
    use vipd::lvs::table::Scheduler;
    let little = Capabilities { plane: "memory", schedulers: [Scheduler::Rr].into(), features: [Feature::Masq].into() };
    promises::run(&mut Memory::like(little)).await;
}
