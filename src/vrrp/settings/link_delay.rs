//! How long the state of an interface has to last.

use std::time::Duration;

use crate::base::IfName;

/// `interface_up_down_delays`: how long an interface is down, or up, before it counts as that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkDelay {
    pub interface: IfName,
    pub down: Duration,
    pub up: Duration,
}
