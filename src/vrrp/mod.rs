//! Election: virtual routers, their packets, their groups, and the addresses they hold.
//!
//! Cores here know no socket and no clock: `io/` has the system calls, `daemon/heartbeat.rs` is the thread.

pub mod ah;
pub mod announce;
mod claim;
mod damping;
pub mod fleet;
pub mod happened;
mod instance;
pub mod io;
pub mod ip;
pub mod lease;
pub mod leftover;
pub mod links;
pub mod packet;
pub mod reason;
pub mod receive;
pub mod restore;
pub mod router;
pub mod scan;
pub mod settings;
pub mod track;
pub mod view;

pub use happened::{ConflictPhase, Evidence, Failure, Happened, LinkState, Warning};
pub use reason::{Fault, Reason, Standing};
pub use receive::Discard;
pub use settings::{
    Authentication, Device, Garp, Holdings, Key, LinkDelay, Outcome, Password, Peer, Settings, SyncGroup, Track,
    Tracked, Transport, Version, VirtualAddress, Vmac,
};
pub use view::{Counters, InstanceView, PeerView, TrackView};
