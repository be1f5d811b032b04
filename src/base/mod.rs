//! Words that every room shares. Imports nothing of ours, does no I/O.

mod address;
mod ifname;
mod time;
mod vrrp;
mod weight;

pub use address::{Cidr, CidrError, Family};
pub use ifname::{IfName, IfNameError};
pub use time::MonoTime;
pub use vrrp::{AdvertInterval, IntervalError, Priority, PriorityError, Vrid, VridError};
pub use weight::{Weight, WeightError};
