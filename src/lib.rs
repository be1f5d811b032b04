//! `vipd`: owns virtual IPs by VRRP, checks real servers, and balances to them.
//!
//! `ARCHITECTURE.md` is the map. A path with `/io/` in it may touch the world; `daemon/` and `lab/`
//! may also wait and spawn; nothing else may do either.
#![cfg_attr(test, allow(clippy::as_conversions, clippy::too_many_lines, reason = "tests may count and convert freely"))]

pub mod base;
pub mod bfd;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod healthcheck;
pub mod lab;
pub mod lvs;
pub mod notify;
pub mod vrrp;
