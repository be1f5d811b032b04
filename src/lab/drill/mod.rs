//! `vipd drill`: break a pair in every planned way while a client keeps asking, and hold what it saw against theory.
//!
//! [`judge`] and [`bounds`] are pure: records in, verdicts out. [`faults`] and [`many`] act; [`timeline`], [`report`] and
//! [`html`] tell; [`repeat`] does it again and again, with keepalived beside it. [`detection`] is about
//! the checks alone.

pub mod bounds;
pub mod detection;
pub mod faults;
pub mod html;
pub mod judge;
mod many;
mod neighbor;
pub mod picture;
mod plan;
pub mod repeat;
pub mod report;
mod signals;
pub mod timeline;

pub use faults::run;
pub use html::page;
pub use plan::{Plan, PlanError, Scenario};
pub use repeat::{Comparison, repeat};
pub use report::{FaultReport, Report};
pub use signals::stop_on_signals;
