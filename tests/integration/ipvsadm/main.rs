//! `vipd ipvsadm` as operators use it: on the eBPF plane with and without a daemon, and against ipvsadm itself in a VM.
//!
//! Needs root: every test has a network namespace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do"
)]

#[cfg(feature = "ebpf")]
mod ebpf;

use std::path::Path;
use std::process::Command;

#[test]
fn vipd_says_what_ipvsadm_says_of_the_kernels_table() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ipvsadm-vm");
    let output = Command::new(script).arg(env!("CARGO_BIN_EXE_vipd")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}\n{said}\n{errors}", output.status);
    assert!(said.contains(" comparisons, 0 differ"), "{said}");
}
