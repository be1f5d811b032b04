//! What the maps hold, as `bpf/abi.h` defines it: integers only, no meaning (that is `words.rs`).
//!
//! Addresses and ports are in network byte order. A test compares sizes and offsets with the object's BTF.
#![expect(unsafe_code, reason = "aya reads and writes map values as bytes, and asks for a promise that they are plain")]

use aya::Pod;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use crate::lvs::datapath::DatapathError;

pub const ABI_VERSION: u32 = 15;

/// The compiled programs, deflated: for IPv4, with the census; and for IPv6; then those of XDP.
pub static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vipd.bpf.o.deflate"));
pub static OBJECT6: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vipd6.bpf.o.deflate"));
pub static XDP_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/xdp.bpf.o.deflate"));
pub static XDP_OBJECT6: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/xdp6.bpf.o.deflate"));

/// An object is far below that, in bytes.
const OBJECT_MAX: usize = 16 << 20;

/// One of the objects as the compiler wrote it.
///
/// # Errors
/// [`DatapathError::Load`] where the program's file is damaged.
pub fn unpack(object: &[u8]) -> Result<Vec<u8>, DatapathError> {
    decompress_to_vec_with_limit(object, OBJECT_MAX)
        .map_err(|error| DatapathError::Load { detail: format!("unpacking the eBPF object: {error}") })
}

pub const SCHEDULER_RR: u8 = 1;
pub const SCHEDULER_WRR: u8 = 2;
pub const SCHEDULER_SH: u8 = 3;
pub const SCHEDULER_MH: u8 = 4;
pub const SCHEDULER_LC: u8 = 5;
pub const SCHEDULER_WLC: u8 = 6;
pub const SCHEDULER_SED: u8 = 7;
pub const SCHEDULER_NQ: u8 = 8;
pub const SCHEDULER_FO: u8 = 9;
pub const SCHEDULER_OVF: u8 = 10;
pub const SCHEDULER_DH: u8 = 11;
pub const SCHEDULER_LBLC: u8 = 12;
pub const SCHEDULER_LBLCR: u8 = 13;

pub const SERVICE_ONE: u8 = 1;
pub const SERVICE_TWO: u8 = 2;
pub const SERVICE_THREE: u8 = 4;
pub const SERVICE_ONE_PACKET: u8 = 8;
pub const SERVICE_LIMITED: u8 = 16;
pub const SERVICE_FULLNAT: u8 = 32;
pub const SERVICE_MASQ: u8 = 64;

pub const FORWARDING_MASQ: u8 = 1;
pub const FORWARDING_ROUTE: u8 = 2;
pub const FORWARDING_TUNNEL: u8 = 3;
pub const FORWARDING_FULLNAT: u8 = 4;

pub const TUNNEL_IPIP: u8 = 0;
pub const TUNNEL_GUE: u8 = 1;
pub const TUNNEL_GRE: u8 = 2;

pub const DESTINATION_KEEPS_PORT: u8 = 1;
pub const DESTINATION_OTHER_FAMILY: u8 = 2;

/// Places of the map of programs.
pub const PROGRAM_IPV6: u32 = 0;
pub const PROGRAM_FULLNAT: u32 = 1;
pub const PROGRAM_FULLNAT6: u32 = 2;
pub const PROGRAM_MARKED6: u32 = 3;
pub const PROGRAM_REFUSE: u32 = 4;
pub const PROGRAM_REFUSE6: u32 = 5;
pub const PROGRAM_TELL: u32 = 6;
pub const PROGRAM_TELL6: u32 = 7;
pub const PROGRAM_OUTER: u32 = 8;
pub const PROGRAM_OUTER6: u32 = 9;
pub const PROGRAM_INSIDE: u32 = 10;
pub const PROGRAM_INSIDE6: u32 = 11;
pub const PROGRAMS: u32 = 12;
pub const XDP_PROGRAM_IPV6: u32 = 0;
pub const XDP_PROGRAMS: u32 = 1;

/// Interfaces that XDP is told of, and what of them.
pub const PORTS: u32 = 4096;
pub const PORT_ON: u8 = 1;
pub const PORT_GENERIC: u8 = 2;
pub const PORT_BACK: u8 = 4;
pub const PORT_TARGET: u8 = 8;
pub const PORT_ETHERNET: u8 = 16;
pub const PORT_OFFLOADS: u8 = 32;

/// Place of the word in the fence's deadlines that is all ones where there is no fence.
pub const FENCE_EARLIEST: u32 = 4096;

/// Addresses of this host that the programs are told.
pub const OWN_ADDRESSES: u32 = 16_384;

/// Local addresses of a service.
pub const LOCALS: usize = 64;
pub const LOCALS_TOA: u32 = 1;

/// Entries of a page of a schedule.
pub const SCHEDULE_PAGE: usize = 256;
/// States of a connection, the length of [`Settings::timeout_ms`].
pub const STATES: usize = 7;
/// Reasons that are counted.
pub const REASONS: u32 = 20;

/// Hashes of flows for which it is noted when one last ended.
pub const ENDED: usize = 131_072;
/// Slots of a bucket of the index of connections.
pub const BUCKET_SLOTS: usize = 16;
/// Bits of a slot that are the number of an entry; the others are of its tag.
pub const NUMBER_BITS: u32 = 24;
/// Random words of the hash of a flow.
pub const HASH_KEYS: usize = 10;
/// The least tag of an entry with a connection.
pub const TAG_USED: u32 = 4;

/// An address as 16 bytes; IPv4 is mapped (RFC 4291 section 2.5.5.2).
pub type Address = [u8; 16];

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceKey {
    pub address: Address,
    pub port: u16,
    pub protocol: u8,
    pub family: u8,
    pub fwmark: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceSlot {
    pub slot: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    pub table: u64,
    pub key: ServiceKey,
    pub scheduler: u8,
    pub flags: u8,
    /// Leading bits of the 128 of a client's address.
    pub persistence_prefix: u8,
    pub reserved: u8,
    /// Seconds; 0: no persistence.
    pub persistence_s: u32,
    /// Places of the schedule from which a hash chooses in a flood of SYNs; 0: none does.
    pub flood_length: u32,
    pub reserved_more: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleKey {
    pub generation: u32,
    pub page: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulePage {
    pub destination: [u32; SCHEDULE_PAGE],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub address: Address,
    pub port: u16,
    pub forwarding: u8,
    pub flags: u8,
    pub generation: u32,
    pub service: u32,
    pub weight: u32,
    pub upper_threshold: u32,
    pub lower_threshold: u32,
    pub tunnel: u8,
    pub reserved: u8,
    pub tunnel_port: u16,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealKey {
    pub address: Address,
    pub port: u16,
    pub protocol: u8,
    pub reserved: u8,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Real {
    pub destination: u32,
    pub generation: u32,
    pub holders: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub source: Address,
    pub target: Address,
    pub source_port: u16,
    pub target_port: u16,
    pub protocol: u8,
    pub reserved: [u8; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Of its flow's hash; below [`TAG_USED`]: there is none.
    pub tag: u32,
    pub state: u8,
    pub flags: u8,
    pub virtual_port: u16,
    pub seen_ns: u64,
    pub destination: u32,
    pub generation: u32,
    pub virtual_address: Address,
    pub first_ack: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub flow: Flow,
    pub connection: Connection,
    pub reserved: [u8; 40],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub slot: [u32; BUCKET_SLOTS],
}

/// Moments in units of 2^33 ns; its size alone is looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub at: [u8; ENDED],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Entries from this one on were never used; may be greater than all.
    pub used: u64,
    pub hand: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentKey {
    pub source: Address,
    pub target: Address,
    pub identification: u32,
    pub protocol: u8,
    pub reserved: [u8; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub source_port: u16,
    pub target_port: u16,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateKey {
    pub client: Address,
    pub service: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    pub seen_ns: u64,
    pub held_ns: u64,
    pub destination: u32,
    pub generation: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub active: u32,
    pub inactive: u32,
    pub overloaded: u32,
    pub reserved: u32,
}

/// Destinations that lblcr keeps for a virtual address.
pub const LOCALITY_MEMBERS: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalityKey {
    pub target: Address,
    pub service: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub destination: u32,
    pub generation: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locality {
    pub changed_ns: u64,
    pub member: [Member; LOCALITY_MEMBERS],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    pub mac: [u8; 6],
    pub flags: u8,
    pub reserved: u8,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub abi_version: u32,
    /// The last generation that was given away, so that a restart gives none twice.
    pub generation: u32,
    /// 1 while schedules are being written: whoever finds it set after a crash writes them all again.
    pub changing: u32,
    /// A way out is remembered for so many milliseconds; 0: the kernel is asked for each packet.
    pub way_ms: u32,
    pub timeout_ms: [u32; STATES],
    /// Ports that FullNat gives.
    pub local_port_first: u32,
    pub local_port_last: u32,
    /// Entries of the map of connections, and of that of their buckets.
    pub connections: u32,
    pub buckets: u32,
    /// Slots of destinations from this one on were never used: nobody need read them.
    pub destinations: u32,
    /// 1: a persistent client with a new connection stays with a server of weight 0.
    pub quiescent_keeps: u32,
    pub hash_key: [u32; HASH_KEYS],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locals {
    pub count: u32,
    pub flags: u32,
    pub address: [Address; LOCALS],
}

macro_rules! plain {
    ($($value:ident)*) => { $(
        // SAFETY: `repr(C)` integers without padding (the BTF test compares every size), so any bytes are a value.
        unsafe impl Pod for $value {}
    )* };
}

plain! { ServiceKey ServiceSlot Service ScheduleKey SchedulePage Destination RealKey Real Flow Connection Entry Bucket Cursor FragmentKey
Fragment TemplateKey Template Counters Census Load LocalityKey Member Locality Port Settings Locals }

impl Service {
    /// A slot that no service has.
    pub const FREE: Self = Self {
        table: 0,
        key: ServiceKey { address: [0; 16], port: 0, protocol: 0, family: 0, fwmark: 0 },
        scheduler: 0,
        flags: 0,
        persistence_prefix: 0,
        reserved: 0,
        persistence_s: 0,
        flood_length: 0,
        reserved_more: 0,
    };
}

impl Destination {
    /// A slot that no destination has.
    pub const FREE: Self = Self {
        address: [0; 16],
        port: 0,
        forwarding: 0,
        flags: 0,
        generation: 0,
        service: 0,
        weight: 0,
        upper_threshold: 0,
        lower_threshold: 0,
        tunnel: 0,
        reserved: 0,
        tunnel_port: 0,
    };
}

#[cfg(test)]
mod tests;
