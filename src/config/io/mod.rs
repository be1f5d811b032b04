//! What of the configuration touches the world: files that are read, facts of the system.

pub mod facts;
pub mod loader;
