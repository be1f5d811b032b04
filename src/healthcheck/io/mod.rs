//! The kinds of check that use a socket, one file each.

pub mod dns;
pub mod http;
pub mod ping;
pub mod smtp;
mod socket;
pub mod tcp;
pub mod tls;
mod tls_files;
pub mod udp;
