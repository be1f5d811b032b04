//! The tasks of the daemon; each file is one.

pub mod heartbeat;
