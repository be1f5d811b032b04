//! The planes.

pub mod memory;
