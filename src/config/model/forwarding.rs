//! What the file says of the forwarding plane, and the words that virtual servers use: groups, methods, persistence.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use serde::Serialize;

use crate::base::IfName;
use crate::config::source::Span;

/// `lvs_timeouts`: how long the plane keeps connections that are silent, in seconds; `None` or 0: as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    pub tcp_s: Option<u32>,
    pub tcp_fin_s: Option<u32>,
    pub udp_s: Option<u32>,
}

/// `lvs_sync_daemon IFNAME`: the kernel's IPVS tells another director of its connections, or hears of that one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncDaemon {
    pub interface: IfName,
    #[serde(skip)]
    pub at: Span,
    /// The instance that says which of the two runs; `None`: both.
    pub instance: Option<String>,
    /// `None`: the virtual router id of the instance, or 0.
    pub id: Option<u8>,
    pub max_len: Option<u16>,
    pub port: Option<u16>,
    pub ttl: Option<u8>,
    pub group: Option<IpAddr>,
}

/// `lvs_datapath`: a keyword of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Plane {
    #[default]
    Ebpf,
    Ipvs,
}

/// `lvs_ebpf_mode`, a keyword of ours: at which hook the eBPF plane serves first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum EbpfMode {
    #[default]
    Auto,
    Xdp,
    Tc,
}

/// `lvs_sysctl`, a keyword of ours: what becomes of a kernel setting that forwarding needs otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum SysctlMode {
    /// It is told.
    #[default]
    Check,
    /// It is set.
    Auto,
}

/// `virtual_server_group NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VirtualServerGroup {
    pub name: String,
    #[serde(skip)]
    pub at: Span,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum GroupMember {
    /// `ADDR[-LAST|/MASK] PORT[-LAST]`, the addresses expanded.
    Addresses {
        addresses: Vec<IpAddr>,
        ports: RangeInclusive<u16>,
    },
    Fwmark(NonZeroU32),
}

/// `local_address_group NAME`: addresses of this host, of both families, that `FullNat` connections begin at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalAddressGroup {
    pub name: String,
    #[serde(skip)]
    pub at: Span,
    pub lines: Vec<LocalAddresses>,
}

/// `ADDR[-LAST] [IFNAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalAddresses {
    /// The range, expanded.
    pub addresses: Vec<IpAddr>,
    /// Where the daemon puts them; `None`: they are there already.
    pub interface: Option<IfName>,
    #[serde(skip)]
    pub at: Span,
}

impl LocalAddressGroup {
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.lines.iter().flat_map(|line| line.addresses.iter().copied())
    }
}

/// What `virtual_server` names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum VirtualServerId {
    Address { addr: IpAddr, port: u16 },
    Fwmark { mark: NonZeroU32 },
    Group { name: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// `lb_kind` / `lvs_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LbKind {
    Nat,
    Dr,
    Tun(Wrapping),
    FullNat,
}

/// `TUN [type ipip|gue|gre] [port N] [nocsum|csum|remcsum]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Wrapping {
    Ipip,
    Gue { port: u16, checksum: WrappingChecksum },
    Gre { checksum: WrappingChecksum },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum WrappingChecksum {
    None,
    Checksum,
    Remote,
}

/// `persistence_timeout`, `persistence_granularity` and `persistence_engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Persistence {
    /// Seconds, 1..=2678400.
    pub timeout_s: u32,
    /// Length of the client prefix; `None`: the whole address.
    pub prefix_len: Option<u8>,
    /// `persistence_engine sip`: the Call-ID of SIP decides in place of the address.
    pub sip: bool,
}
