//! The planes.

#[cfg(feature = "ebpf")]
pub mod ebpf;
