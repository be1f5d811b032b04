//! `vipd drill`: break a pair in every planned way while a client keeps asking, and hold what it saw against theory.
//!
//! [`detection`] is about the checks alone. [`judge`] and [`bounds`] are pure: records in, verdicts out. [`faults`] acts, [`timeline`] and [`report`] tell.

pub mod bounds;
pub mod detection;
pub mod faults;
pub mod judge;
mod plan;
pub mod report;
mod signals;
pub mod timeline;

pub use faults::run;
pub use plan::{Plan, PlanError, Scenario};
pub use report::{FaultReport, Report};
pub use signals::stop_on_signals;
