//! What the CLI and the daemon say to each other, over HTTP on a Unix socket below the run directory.

pub mod api;
pub mod io;
pub mod query;
