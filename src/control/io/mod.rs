//! HTTP on a Unix socket: the daemon's side and the CLI's.

pub mod client;
pub mod server;
