//! Numbers of RFC 9568 that the configuration speaks too.

use std::fmt;
use std::num::NonZeroU8;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Virtual Router Identifier, 1..=255 (RFC 9568 section 5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vrid(NonZeroU8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("virtual_router_id is {got}, and it is 1 to 255")]
pub struct VridError {
    pub got: u64,
}

impl Vrid {
    /// # Errors
    /// [`VridError`] for 0.
    pub fn new(vrid: u8) -> Result<Self, VridError> {
        NonZeroU8::new(vrid).map(Self).ok_or(VridError { got: 0 })
    }

    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Priority of a router, 1..=255; 255 owns the addresses (RFC 9568 section 5.2.4). On the wire 0 means "I resign".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(NonZeroU8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("priority is {got}, and it is 1 to 255")]
pub struct PriorityError {
    pub got: u64,
}

impl Priority {
    pub const OWNER: Self = Self(NonZeroU8::MAX);
    /// keepalived's and RFC 9568's default.
    pub const DEFAULT: Self = Self(NonZeroU8::MIN.saturating_add(99));

    /// # Errors
    /// [`PriorityError`] for 0.
    pub fn new(priority: u8) -> Result<Self, PriorityError> {
        NonZeroU8::new(priority).map(Self).ok_or(PriorityError { got: 0 })
    }

    pub const fn get(self) -> u8 {
        self.0.get()
    }

    pub fn is_owner(self) -> bool {
        self == Self::OWNER
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Time between two adverts, in centiseconds, 1..=25500.
///
/// A VRRPv3 packet carries at most 4095 (12 bits, RFC 9568 section 5.2.7), a VRRPv2 packet whole seconds up
/// to 255 (RFC 3768 section 5.3.7): [`AdvertInterval::fits_v3`] and [`AdvertInterval::fits_v2`] tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AdvertInterval(u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("advert_int is {got} cs, and VRRP can carry 1 to 25500 cs (v2: whole seconds; v3: up to 4095 cs)")]
pub struct IntervalError {
    pub got: u64,
}

impl AdvertInterval {
    /// One second, the default of both versions.
    pub const DEFAULT: Self = Self(100);

    /// # Errors
    /// [`IntervalError`] for 0 and above 25500.
    pub fn from_centis(centis: u16) -> Result<Self, IntervalError> {
        if (1..=25_500).contains(&centis) { Ok(Self(centis)) } else { Err(IntervalError { got: centis.into() }) }
    }

    pub const fn centis(self) -> u16 {
        self.0
    }

    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0) * 10)
    }

    pub const fn fits_v3(self) -> bool {
        self.0 <= 4095
    }

    pub const fn fits_v2(self) -> bool {
        self.0.is_multiple_of(100)
    }

    /// `Skew_Time` of VRRPv3 (RFC 9568 section 6.1), without rounding: at 1 cs the skews of two priorities
    /// differ by microseconds, and that difference decides who goes first.
    pub fn skew(self, priority: Priority) -> Duration {
        self.duration() * (256 - u32::from(priority.get())) / 256
    }
}

impl fmt::Display for AdvertInterval {
    /// In seconds, as keepalived.conf writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, rest) => write!(f, "{whole}.{rest:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_skew_keeps_its_microseconds() {
        let rows = [(1, 150, 4_140), (1, 100, 6_093), (10, 150, 41_406), (100, 254, 7_812), (100, 1, 996_093)];
        for (centis, priority, micros) in rows {
            let interval = AdvertInterval::from_centis(centis).unwrap();
            let skew = interval.skew(Priority::new(priority).unwrap());
            assert_eq!(skew.as_micros(), micros, "{centis} cs, priority {priority}");
        }
    }

    #[test]
    fn intervals_outside_what_a_packet_carries_are_refused() {
        for centis in [0, 25_501, u16::MAX] {
            assert!(AdvertInterval::from_centis(centis).is_err(), "{centis}");
        }
    }
}
