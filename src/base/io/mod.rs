//! What two rooms need of the world.

#[cfg(feature = "ebpf")]
pub mod bpffs;
#[cfg(feature = "ebpf")]
pub mod detach;
#[cfg(feature = "ebpf")]
mod outer;
