//! The checks of a received packet, in order (RFC 9568 section 7.1): each failure has its own reason.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a packet was dropped. The order is the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discard {
    /// The TTL or hop limit shows that it passed a router, or the kernel told none.
    Ttl,
    /// Shorter than its header or its address count says.
    Length,
    /// Neither 2 nor 3, 2 over IPv6, or not the version of the virtual router.
    Version,
    Checksum,
    /// Not an ADVERTISEMENT (type 1).
    Type,
    /// No such virtual router on this interface and family.
    Vrid,
    /// Our own address as source.
    OwnPacket,
    /// Multicast where unicast is configured, or the other way round.
    Destination,
    /// `check_unicast_src`, and the source is no peer.
    NotAPeer,
    /// VRRPv2: the other authentication type.
    AuthType,
    /// VRRPv2: another password.
    AuthData,
    /// VRRPv2: another advert interval. VRRPv3: the interval is 0.
    Interval,
    /// The address list differs, and the virtual router is strict about it.
    AddressList,
}

impl Discard {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Length => "length",
            Self::Version => "version",
            Self::Checksum => "checksum",
            Self::Type => "type",
            Self::Vrid => "vrid",
            Self::OwnPacket => "own_packet",
            Self::Destination => "destination",
            Self::NotAPeer => "not_a_peer",
            Self::AuthType => "auth_type",
            Self::AuthData => "auth_data",
            Self::Interval => "interval",
            Self::AddressList => "address_list",
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
