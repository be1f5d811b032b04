//! What the virtual routers need of the kernel: raw sockets, announcements, addresses with a lease, links.

pub mod address;
pub mod file;
pub mod link;
pub mod neighbour;
pub mod process;
pub mod socket;
pub mod unanswered;
