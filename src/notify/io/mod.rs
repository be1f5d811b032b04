//! Running scripts.

mod family;
pub mod fifo;
pub mod mail;
pub mod script;
