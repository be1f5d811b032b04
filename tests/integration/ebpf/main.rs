//! The eBPF plane with real traffic through network namespaces. Needs root.
#![cfg(feature = "ebpf")]
#![expect(
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests build hosts, wait for them, count freely and fail loudly"
)]

mod changes;
mod errors;
mod failover;
mod flood;
mod forwarding;
mod frames;
mod fullnat;
mod fuzz;
mod ipv6;
mod ipv6_errors;
mod lab;
mod marks;
mod nowhere;
mod persistence;
mod raw;
mod replies;
mod schedulers;
mod sizes;
mod states;
mod steps;
mod table;
mod traffic;
mod trials;
mod tunnel;
mod ways;
mod xdp;
mod xdp_trials;
