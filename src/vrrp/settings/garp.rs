//! How a virtual router announces its addresses; when is decided by `announce.rs`.

use std::time::Duration;

use crate::base::IfName;

/// Announcements that share one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GarpLane {
    /// The first interface of the `garp_group`, or the interface itself.
    pub leader: IfName,
    /// Between two; zero: our own pace.
    pub interval: Duration,
}

/// Gratuitous ARP and unsolicited Neighbour Advertisements: how many, how far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garp {
    /// `garp_master_repeat`: rounds at once.
    pub repeat: u8,
    /// `garp_master_delay`: until the same again; zero: no second burst.
    pub delay: Duration,
    /// `garp_master_refresh`; zero: none.
    pub refresh: Duration,
    /// `garp_master_refresh_repeat`.
    pub refresh_repeat: u8,
    /// `garp_lower_prio_repeat`: rounds after an advert of a lesser router; 0: none.
    pub lower_repeat: u8,
    /// `garp_lower_prio_delay`.
    pub lower_delay: Duration,
    /// `garp_interval` and `gna_interval`: between two packets of an interface or group; zero: our own pace (see [`super::announce`]).
    pub interval: Duration,
    /// `garp_extra_if`: how often the addresses of [`Settings::extra`] are announced; zero: never.
    pub extra: Duration,
    /// Also those that stand on an interface of the host.
    pub extra_everywhere: bool,
}

impl Default for Garp {
    /// keepalived's defaults.
    fn default() -> Self {
        let delay = Duration::from_secs(5);
        Self {
            repeat: 5,
            delay,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_repeat: 5,
            lower_delay: delay,
            interval: Duration::ZERO,
            extra: Duration::ZERO,
            extra_everywhere: false,
        }
    }
}
