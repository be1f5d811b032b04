//! The planes.

pub mod ipvs;
pub mod memory;
pub mod plane;
