//! Bidirectional Forwarding Detection (RFC 5880): over one hop (RFC 5881) and over several (RFC 5883).
//!
//! Cores here know no socket and no clock: `io/` has the system calls, `daemon/bfd.rs` is the thread.

pub mod fleet;
pub mod io;
pub mod packet;
pub mod session;

pub use packet::{Diagnostic, Discard, Packet, State};
pub use session::{Action, Session, Settings};
