//! The planes.

mod attribute;
#[cfg(feature = "ebpf")]
pub mod ebpf;
pub mod ipvs;
pub mod memory;
pub mod names;
pub mod plane;
