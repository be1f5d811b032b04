//! Running scripts.

pub mod fifo;
pub mod mail;
pub mod script;
