//! Placeholder.

pub mod checkers;
pub mod notifier;
pub mod outbox;
pub mod trackers;
