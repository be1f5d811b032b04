//! Routes and rules as lines of blocks, and what stands at the top level for as long as the daemon runs.

use serde::Serialize;

use super::VirtualAddress;
use crate::base::{Route, Rule};
use crate::config::source::Span;

/// A line of `virtual_routes` or `static_routes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelRoute {
    pub route: Route,
    pub no_track: bool,
    /// `track_group`, of `static_routes`.
    pub track_group: Option<String>,
    #[serde(skip)]
    pub at: Span,
}

/// A line of `virtual_rules` or `static_rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelRule {
    pub rule: Rule,
    /// `track_group`, of `static_rules`.
    pub track_group: Option<String>,
    #[serde(skip)]
    pub at: Span,
}

/// `static_ipaddress`, `static_routes`, `static_rules`: there from the start to the end of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statics {
    pub addresses: Vec<VirtualAddress>,
    pub routes: Vec<KernelRoute>,
    pub rules: Vec<KernelRule>,
}

/// `track_group NAME`: the instances that have a fault while a static item of this group is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackGroup {
    pub name: String,
    #[serde(skip)]
    pub at: Span,
    pub members: Vec<String>,
}
