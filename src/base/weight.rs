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

/// What a check asks for in place of the configured weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightWish {
    /// `misc_dynamic`.
    Exactly(Weight),
    /// An agent: this part of the configured weight, rounded up; above 100 is more.
    Percent(u16),
    /// `FILE_CHECK`: the configured weight and this.
    Plus(i64),
}

impl WeightWish {
    /// The weight that it comes to; what is out of range is the end of the range.
    pub fn of(self, configured: Weight) -> Weight {
        let wanted = match self {
            Self::Exactly(weight) => return weight,
            Self::Percent(percent) => (u64::from(configured.0) * u64::from(percent)).div_ceil(100),
            Self::Plus(more) => u64::try_from(i64::from(configured.0).saturating_add(more)).unwrap_or(0),
        };
        Weight(u32::try_from(wanted).unwrap_or(Weight::MAX).min(Weight::MAX))
    }
}

impl fmt::Display for WeightWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(weight) => weight.fmt(f),
            Self::Percent(percent) => write!(f, "{percent} % of the configured one"),
            Self::Plus(more) => write!(f, "the configured one {more:+}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_comes_to_a_weight_within_the_range() {
        let weight = |weight| Weight::new(weight).unwrap();
        let rows = [
            ("exactly", WeightWish::Exactly(weight(7)), 100, 7),
            ("all", WeightWish::Percent(100), 10, 10),
            ("half, rounded up", WeightWish::Percent(50), 3, 2),
            ("a little is not nothing", WeightWish::Percent(1), 10, 1),
            ("nothing", WeightWish::Percent(0), 10, 0),
            ("twice", WeightWish::Percent(200), 10, 20),
            ("beyond the range", WeightWish::Percent(200), Weight::MAX, Weight::MAX),
            ("more", WeightWish::Plus(5), 10, 15),
            ("less than nothing", WeightWish::Plus(-50), 10, 0),
            ("far beyond", WeightWish::Plus(i64::MAX), 10, Weight::MAX),
        ];
        for (name, wish, configured, wanted) in rows {
            assert_eq!(wish.of(weight(configured)), weight(wanted), "{name}");
        }
    }
}
