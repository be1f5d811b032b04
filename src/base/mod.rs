//! Words that every room shares. Imports nothing of ours; `io` is what two rooms need of the world.

mod address;
mod answer_pattern;
mod count;
mod dns;
mod helo;
mod hex;
mod ifname;
pub mod io;
mod route;
mod secret;
mod time;
mod vrrp;
mod weight;

pub use address::{AddressOptions, Cidr, CidrError, Family};
pub use answer_pattern::{AnswerPattern, AnswerPatternError, PatternOptions, PatternPlace};
pub use count::Count;
pub use dns::{DnsName, DnsNameError, RecordType, RecordTypeError};
pub use helo::{HeloName, HeloNameError};
pub use hex::{HexError, PATTERN_MAX_BYTES, Pattern};
pub use ifname::{IfName, IfNameError};
pub use route::{
    Beside, Hop, MetricName, Route, RouteKind, RouteMetric, RouterPreference, Rule, RuleAction, TABLE_MAIN, WeightedHop,
};
pub use secret::Secret;
pub use time::MonoTime;
pub use vrrp::{AdvertInterval, IntervalError, Priority, PriorityError, Vrid, VridError};
pub use weight::{Weight, WeightError, WeightWish};
