//! How long the kernel keeps a virtual address for us, and how often we renew it.
//!
//! A daemon that is killed, frozen or stuck renews nothing, and its kernel removes the address by itself.

use std::time::Duration;

/// Longest time between two renewals.
const REFRESH_MAX: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// `valid_lft`, whole seconds as the kernel takes it (`struct ifa_cacheinfo`).
    pub valid_s: u32,
    pub refresh_every: Duration,
}

impl Lease {
    /// `INFINITY_LIFE_TIME` (`linux/if_addr.h`); held again now and then all the same.
    pub const FOREVER: Self = Self { valid_s: u32::MAX, refresh_every: REFRESH_MAX };

    /// The lease outlives `active_down`, rounded up and one second more: the kernel of a dead daemon serves
    /// until the peer takes over.
    pub fn outliving(active_down: Duration) -> Self {
        let whole = active_down.as_secs() + u64::from(active_down.subsec_nanos() > 0);
        let valid_s = u32::try_from(whole + 1).unwrap_or(u32::MAX - 1);
        let refresh_every = (Duration::from_secs(valid_s.into()) / 4).min(REFRESH_MAX);
        Self { valid_s, refresh_every }
    }

    /// A renewal that waited for so long is void: whoever asked for it may have been frozen since, and its peer
    /// may have the addresses.
    pub fn stale_after(&self) -> Duration {
        Duration::from_secs(self.valid_s.into()) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_outlives_active_down_by_one_to_two_seconds() {
        for (active_down_ms, valid_s, refresh_ms) in [(30, 2, 500), (1_000, 2, 500), (3_609, 5, 500), (4_000, 5, 500)] {
            let lease = Lease::outliving(Duration::from_millis(active_down_ms));
            assert_eq!((lease.valid_s, lease.refresh_every.as_millis()), (valid_s, refresh_ms), "{active_down_ms} ms");
        }
    }
}
