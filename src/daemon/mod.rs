//! Placeholder.

pub mod lvs;
