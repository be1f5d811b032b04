//! Running scripts.

pub mod script;
