//! Addresses with a prefix length.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Length of an address in bits: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// An address and the length of its prefix, as `ip address` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    addr: IpAddr,
    prefix_len: u8,
}

/// What the kernel is to know of an address beyond where it stands; the words are iproute2's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the configuration, free of the others")]
pub struct AddressOptions {
    /// `preferred_lft`: whether it may be chosen as a source where there is another; `None`: an IPv6 address
    /// with /128 is not.
    pub preferred: Option<bool>,
    /// `home`, of IPv6.
    pub home: bool,
    /// `mngtmpaddr`, of IPv6: temporary addresses are made of it.
    pub manage_temporary: bool,
    /// `noprefixroute`: it brings no route to its network.
    pub no_prefix_route: bool,
    /// `autojoin`: its multicast group is joined.
    pub auto_join: bool,
    /// `peer`: the address at the other end of a point-to-point link, of the same family; the prefix is that of the peer.
    pub peer: Option<IpAddr>,
}

impl AddressOptions {
    pub const NONE: Self = Self {
        preferred: None,
        home: false,
        manage_temporary: false,
        no_prefix_route: false,
        auto_join: false,
        peer: None,
    };
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    #[error("`{got}` is not an IPv4 or IPv6 address")]
    Address { got: String },
    #[error("prefix length {got} is above {most}, the length of the address")]
    Prefix { got: u8, most: u8 },
    #[error("`{got}` is not a prefix length")]
    PrefixText { got: String },
}

impl Cidr {
    /// # Errors
    /// [`CidrError::Prefix`] where the prefix is longer than the address.
    pub fn new(addr: IpAddr, prefix_len: u8) -> Result<Self, CidrError> {
        let most = Family::of(addr).bits();
        if prefix_len > most { Err(CidrError::Prefix { got: prefix_len, most }) } else { Ok(Self { addr, prefix_len }) }
    }

    /// The address alone: /32 or /128.
    pub const fn host(addr: IpAddr) -> Self {
        Self { addr, prefix_len: Family::of(addr).bits() }
    }

    pub const fn addr(self) -> IpAddr {
        self.addr
    }

    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    pub const fn family(self) -> Family {
        Family::of(self.addr)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;
    /// `ADDR` or `ADDR/PREFIX`.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
        let addr: IpAddr = addr.parse().map_err(|_| CidrError::Address { got: text.to_owned() })?;
        match prefix {
            None => Ok(Self::host(addr)),
            Some(prefix) => {
                let prefix = prefix.parse().map_err(|_| CidrError::PrefixText { got: prefix.to_owned() })?;
                Self::new(addr, prefix)
            }
        }
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}
