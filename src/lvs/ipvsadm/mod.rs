//! ipvsadm's command line, as a pure core: words in, a [`Command`] or a [`Refusal`] out, and the texts it prints.
//!
//! What a command does to a plane is `daemon/ipvsadm`; names of hosts and ports come through [`Names`].

pub mod command;
pub mod connections;
pub mod manual;
mod name;
mod option;
mod parse;
pub mod report;
mod rules;
pub mod strict;

pub use command::{Change, Command, Listed, Refusal, Spelling, SyncDaemon, SyncRole, Timeouts};
pub use name::{Names, Numeric, place};
pub use parse::parse;
