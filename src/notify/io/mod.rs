//! Running scripts.

pub mod fifo;
pub mod script;
