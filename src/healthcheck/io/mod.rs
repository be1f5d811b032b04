//! The kinds of check that use a socket, one file each.

pub mod http;
pub mod tcp;
