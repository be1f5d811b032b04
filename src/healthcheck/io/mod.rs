//! The kinds of check that use a socket, one file each.

pub mod agent;
pub mod connector;
pub mod dns;
mod exchange;
pub mod file;
pub mod grpc;
pub mod http;
pub mod ping;
pub mod smtp;
mod socket;
pub mod tcp;
pub mod tls;
mod tls_files;
mod tls_sessions;
pub mod udp;
