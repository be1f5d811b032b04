//! Forwarding: what the plane should hold, what it holds, and the steps between.
//!
//! Cores here know no kernel: `io/` has the planes.

pub mod capability;
pub mod datapath;
pub mod director;
pub mod host;
pub mod io;
pub mod ipvsadm;
pub mod plan;
pub mod pool;
pub mod real_server;
pub mod table;
pub mod timed;
pub mod view;
