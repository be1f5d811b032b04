//! Forwarding: what the plane should hold, what it holds, and the steps between.
//!
//! Cores here know no kernel: `io/` has the planes.

pub mod datapath;
pub mod io;
pub mod table;
