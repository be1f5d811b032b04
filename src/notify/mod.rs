//! Telling others: which command is run with which words, and in which order.
//!
//! Cores here start nothing: `io/` runs a script, `daemon/notifier.rs` is the task.

pub mod command;
pub mod fifo;
pub mod io;
pub mod mail;
pub mod queue;
pub mod words;
