//! What the rest of the daemon is told about the virtual routers.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reason::{Reason, Standing};
use super::receive::Discard;
use super::view::PeerView;
use crate::base::{Cidr, IfName, MonoTime, Priority};

/// One thing that an operator may ask about. `at` is the time of the heartbeat's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Happened {
    /// Exactly one per change of state.
    Moved {
        at: MonoTime,
        instance: String,
        from: Standing,
        to: Standing,
        reason: Reason,
        /// The effective priority.
        priority: Priority,
        /// How late the deadline that caused it was served.
        late: Duration,
        evidence: Evidence,
    },
    /// Whoever advertises is another one, or has another priority: at most one a second per instance.
    PeerChanged { at: MonoTime, instance: String, from: Option<PeerView>, to: PeerView },
    /// The instance's own interface, or one that it tracks.
    LinkChanged { at: MonoTime, instance: String, interface: IfName, state: LinkState },
    /// It was down, or up, for less than its `interface_up_down_delays`, which moved nothing. `lasted` is the longest of
    /// `count` such times.
    LinkFlapped { at: MonoTime, instance: String, interface: IfName, state: LinkState, lasted: Duration, count: u64 },
    /// Two are Active at once; one event per phase, however many adverts were heard.
    Conflict { at: MonoTime, instance: String, phase: ConflictPhase, rival: IpAddr, theirs: Priority },
    /// Trackers with a weight moved the effective priority.
    PriorityChanged { at: MonoTime, instance: String, from: Priority, to: Priority },
    /// Packets dropped since the last such event of the same reason: at most one in 10 s per instance and reason.
    Discarded { at: MonoTime, instance: Option<String>, interface: IfName, from: IpAddr, reason: Discard, count: u64 },
    /// A packet was taken that differs from what we send: at most one a minute per instance and kind.
    Warned { at: MonoTime, instance: String, from: IpAddr, warning: Warning },
    /// A neighbour says that an address that we hold is at its hardware address; it is announced again. `count` such
    /// packets since the last such event: at most one in 10 s per instance.
    Claimed { at: MonoTime, instance: String, address: IpAddr, mac: [u8; 6], count: u64 },
    /// Somebody else removed an address that we hold. It is put back, unless that was once too often.
    AddressLost { at: MonoTime, instance: String, address: Cidr, put_back: bool },
    /// An address that we are to hold was on its interface before the start, without our mark: another daemon left it, or
    /// somebody set it by hand. It is removed, unless the host, or an advert, would have none to come from.
    AddressFound { at: MonoTime, instance: String, interface: IfName, address: Cidr, removed: bool },
    /// Somebody else had removed a route or a rule of ours; it is back.
    RouteRestored { at: MonoTime, instance: String, what: String },
    /// The kernel refused an address, an advert could not be sent, and the like: at most one a second per instance.
    Failed { at: MonoTime, instance: String, failure: Failure },
    /// The thread was not run for `late` beyond its deadline (told above 100 ms).
    Stalled { at: MonoTime, late: Duration },
    /// Netlink lost messages; everything was read again.
    Resynced { at: MonoTime, count: u64 },
}

/// What was on the wire between the move before and this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Adverts that passed all checks.
    pub heard: u64,
    /// Packets for this virtual router that did not.
    pub rejected: u64,
    /// Who was heard last, whenever that was, and how long before the move.
    pub last: Option<(PeerView, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    Up,
    /// Down, or without a carrier.
    Down,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictPhase {
    /// A lesser Active was heard: we answer and announce again.
    Began,
    /// The lesser Active fell silent for `Active_Down`.
    Won,
    /// A better Active was heard while we were Active: we step down.
    Lost,
}

/// Differences that do not cost the packet (users suffer more from two Actives than from a wrong list).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "warning")]
pub enum Warning {
    /// The advert lists other addresses than ours.
    AddressList { theirs: usize, ours: usize },
    /// Heard as Active: a VRRPv3 router with another interval.
    Interval { theirs_centis: u16, ours_centis: u16 },
    /// Two have priority 255, and the addresses can have one owner only.
    TwoOwners,
    /// VRRPv3 over IPv4: the sender leaves the pseudo-header out of its checksum, or we do and it does not.
    ChecksumForm { pseudo_header: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "failure")]
pub enum Failure {
    Advert {
        error: String,
    },
    Announce {
        address: IpAddr,
        error: String,
    },
    AddressAdd {
        address: Cidr,
        error: String,
    },
    AddressRemove {
        address: Cidr,
        error: String,
    },
    /// `what` is a route or a rule in the words of ip(8).
    RouteAdd {
        what: String,
        error: String,
    },
    RouteRemove {
        what: String,
        error: String,
    },
    /// The interface of a virtual router with a MAC address of its own.
    Device {
        name: IfName,
        error: String,
    },
    /// `no_accept` is not carried out.
    NotRefused {
        error: String,
    },
    Sysctl {
        name: String,
        error: String,
    },
}

impl Failure {
    /// The address, route or rule that the kernel does not hold, as `address 192.0.2.9/24` or in the words of ip(8).
    pub fn item(&self) -> Option<String> {
        match self {
            Self::AddressAdd { address, error: _ } => Some(format!("address {address}")),
            Self::RouteAdd { what, error: _ } => Some(what.clone()),
            Self::Advert { .. }
            | Self::Announce { .. }
            | Self::AddressRemove { .. }
            | Self::RouteRemove { .. }
            | Self::Device { .. }
            | Self::NotRefused { .. }
            | Self::Sysctl { .. } => None,
        }
    }
}
