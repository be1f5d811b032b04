//! What the virtual routers need of the kernel: raw sockets, announcements, addresses with a lease, links.

pub mod address;
pub mod claims;
#[cfg(feature = "ebpf")]
pub mod fence;
#[cfg(not(feature = "ebpf"))]
#[path = "fence_off.rs"]
pub mod fence;
pub mod file;
pub mod link;
pub mod lock;
pub mod macvlan;
pub mod neighbour;
pub mod process;
pub mod route;
pub mod socket;
pub mod sysctl;
pub mod tap;
pub mod unanswered;
