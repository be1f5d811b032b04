//! What of the configuration touches the world: files that are read, facts of the system, names of iproute2.

pub mod facts;
pub mod loader;
pub mod names;
pub mod packed;
