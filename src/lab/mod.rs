//! Throw-away hosts in network namespaces: what `vipd drill` and tests run daemons in.
//!
//! ```text
//! Lab::pair -> Switch, Host (client), Director x 2, RealServer x n
//! ```
//! Everything that a lab makes goes when it is dropped. What a killed process left is found by its name
//! ([`leftovers`]). Traffic stays inside. Nothing here needs a daemon of ours: a director may run keepalived.

pub mod client;
mod command;
pub mod conformance;
pub mod director;
mod disk;
pub mod drill;
mod ear;
mod error;
pub mod facts;
mod host;
mod hostile;
pub mod journal;
pub mod leftovers;
mod namespace;
pub mod pair;
mod pinger;
mod questions;
pub mod records;
pub mod server;
mod switch;
mod usage;
mod wait;
pub mod watch;

pub use client::Client;
pub use command::run;
pub use director::{Daemon, Director};
pub use ear::Ear;
pub use error::LabError;
pub use facts::Facts;
pub use host::Host;
pub use journal::Journal;
pub use leftovers::Directory;
pub use namespace::Namespace;
pub use pair::{Lab, RealServer, Seat, Services, Setup};
pub use server::Server;
pub use switch::Switch;
pub use wait::{Clock, POLL, Stop, until};
