//! The promises of `tests/contract/`, and the whole daemon, on a kernel that has IPVS: in a VM, since the kernel below a
//! container often has none. Needs root and qemu; `scripts/vm` installs what is missing.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may start a VM, and fails where it cannot")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_kernels_ipvs_keeps_every_promise() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/contract-vm");
    let output = Command::new(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{said}\n{errors}", output.status);
    assert!(said.contains("held to the promises: ipvs"), "the suite was run on another plane:\n{said}");
}

#[test]
fn the_daemon_serves_by_ipvs_and_leaves_none_of_it() {
    holds("tests/vm/daemon.sh");
}

#[test]
fn the_examples_serve_by_ipvs_too() {
    holds("tests/vm/examples.sh");
}

#[test]
fn sync_daemons_follow_the_virtual_router_and_timeouts_are_put_back() {
    holds("tests/vm/sync.sh");
}

#[test]
fn the_ebpf_plane_chooses_the_servers_that_ipvs_chooses() {
    // The emulator may lose a race of two processors while the kernel patches its code for the first program.
    holds_on("1", "tests/vm/schedulers.sh");
}

#[test]
fn both_planes_list_the_same_states_at_every_turn_of_a_connection() {
    holds_on("1", "tests/vm/states.sh");
}

#[test]
fn a_hash_gives_a_client_one_server_by_either_plane() {
    holds_on("1", "tests/vm/hashes.sh");
}

#[test]
fn sctp_associations_of_two_kernels_go_by_both_planes() {
    holds_on("1", "tests/vm/sctp.sh");
}

#[test]
fn tunnels_in_gue_and_gre_end_at_the_kernel() {
    holds_on("1", "tests/vm/tunnels.sh");
}

#[test]
fn what_comes_and_goes_with_a_vlan_tag_is_served() {
    holds_on("1", "tests/vm/vlan.sh");
}

fn holds(script: &str) {
    holds_on("2", script);
}

/// Run a script in the VM with so many processors, our binary and the examples; it says that all held.
fn holds_on(processors: &str, script: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("scripts/vm"));
    command
        .args(["-c", processors, "-t", "900", "--"])
        .arg(root.join(script))
        .arg(env!("CARGO_BIN_EXE_vipd"))
        .arg(root.join("conf"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.ends_with("all held\n"),
        "{:?}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
