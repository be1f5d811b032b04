//! Real traffic through the real binary, in network namespaces: what an operator does and what the examples promise.
//! Needs root.
#![cfg(feature = "ebpf")]
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests build hosts, wait for them, and fail loudly"
)]

mod doctor;
mod drain;
mod examples;
mod groups;
mod lab;
mod restart;
mod setup;
mod sorry;
mod starved;
mod traffic;
