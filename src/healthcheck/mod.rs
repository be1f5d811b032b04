//! Health checks: which probe is due, what its answer means, and whether a real server is up.
//!
//! Cores here know no socket and no clock: `io/` asks the real server, `daemon/checkers.rs` is the task.

pub mod agent;
pub mod board;
pub mod dns;
pub mod expect;
pub mod file;
pub mod flights;
pub mod grpc;
pub mod hex;
pub mod icmp;
pub mod io;
pub mod judge;
pub mod outcome;
pub mod probe;
pub mod rise_fall;
pub mod schedule;
pub mod settings;
pub mod smtp;
