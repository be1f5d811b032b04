//! The weight of a real server.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Share of new connections a real server gets, 0..=2147483647; 0 means: no new ones (drain).
///
/// The kernel keeps it in an `atomic_t`, and keepalived accepts the whole range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Weight(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("weight is {got}, and a weight is 0 to 2147483647")]
pub struct WeightError {
    pub got: u64,
}

impl Weight {
    pub const ZERO: Self = Self(0);
    pub const ONE: Self = Self(1);
    pub const MAX: u32 = 0x7fff_ffff;

    /// # Errors
    /// [`WeightError`] above 2147483647.
    pub fn new(weight: u32) -> Result<Self, WeightError> {
        if weight > Self::MAX { Err(WeightError { got: weight.into() }) } else { Ok(Self(weight)) }
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Weight {
    type Error = WeightError;
    fn try_from(weight: u32) -> Result<Self, WeightError> {
        Self::new(weight)
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
