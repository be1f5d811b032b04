//! `bpf/fence.bpf.c` on TC ingress: whoever renews no deadline is deaf when it has passed, and what `no_accept` asks for.
//!
//! Two halves: [`Guard`] says which addresses belong to which virtual router and follows the interfaces, and may take
//! its time; [`Deadlines`] is one system call per advert, for the heartbeat. Pinned ([`Pins`]), the program outlives its
//! process: what the kernel still has of a dead daemon is deaf from the moment when its successor claims it. Else the kernel
//! takes it down with the process.

mod pins;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use aya::maps::{Array, HashMap, Map, MapData, ProgramArray};
use aya::programs::links::PinnedLink;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader, Pod};
use pins::Pins;

use crate::base::{IfName, MonoTime};
use crate::vrrp::lease::Lease;
use crate::vrrp::links::Links;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fence.bpf.o"));
const PROGRAM: &str = "vipd_fence";
/// How it goes on as long as this process lives.
const LIVING: &str = "vipd_fence_living";
/// How much longer than its lifetime a kernel may keep an address, in seconds.
const LATE_S: u32 = 2;
/// `ROUTERS_MAX` of the program.
pub const SLOTS_MAX: u32 = 4096;
/// `EARLIEST` and `REFUSED` of the program.
const EARLIEST: u32 = SLOTS_MAX;
const REFUSED: u32 = SLOTS_MAX + 1;
/// The program's clock for [`EARLIEST`] lags by up to a tick, which has 10 ms at most.
const LAG_NANOS: u64 = 10_000_000;

/// Which addresses are guarded, and where.
pub struct Guard {
    object: Ebpf,
    /// Emptied by the kernel when this process ends.
    _living: ProgramArray<MapData>,
    routers: HashMap<MapData, [u8; 16], Holder>,
    refused: HashMap<MapData, [u8; 16], u8>,
    /// Addresses in `refused`.
    refusing: BTreeSet<IpAddr>,
    words: Array<MapData, u64>,
    links: BTreeMap<u32, Standing>,
    pins: Option<Pins>,
}

/// `struct holder` of the program.
#[repr(C)]
#[derive(Clone, Copy)]
struct Holder {
    slot: u32,
    lease_s: u32,
    claimed_ns: u64,
}

#[expect(unsafe_code, reason = "aya asks for a promise about the type")]
// SAFETY: three numbers, without padding.
unsafe impl Pod for Holder {}

/// What holds the program before one interface.
enum Standing {
    Here { _link: SchedClassifierLink },
    Pinned { _link: PinnedLink },
}

/// The two halves, and why the program ends with the process although it should not.
#[derive(Debug)]
pub struct Fence {
    pub guard: Guard,
    pub deadlines: Deadlines,
    pub unpinned: Option<io::Error>,
}

/// Until when each virtual router may serve.
pub struct Deadlines {
    map: Array<MapData, u64>,
    id: u32,
    /// What the map holds, in nanoseconds.
    slots: BTreeMap<u32, u64>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("links", &self.links.keys()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deadlines")
    }
}

/// Load it; it outlives the process where there is a place for a `bpffs` (`CAP_SYS_ADMIN`). Needs `CAP_BPF`,
/// `CAP_NET_ADMIN`, and TCX to attach (Linux 6.6).
///
/// # Errors
/// Of the kernel, in its words.
pub fn load(bpffs: Option<&Path>) -> io::Result<Fence> {
    let mut object = EbpfLoader::new().btf(None).load(OBJECT).map_err(io::Error::other)?;
    let mut map = |name: &str| object.take_map(name).ok_or_else(|| io::Error::other(format!("there is no map {name}")));
    let routers = HashMap::try_from(map("fence_routers")?).map_err(io::Error::other)?;
    let refused = HashMap::try_from(map("fence_refused")?).map_err(io::Error::other)?;
    let (words, id) = array(map("fence_deadlines")?)?;
    // The same map once more: the two halves go to two threads.
    let again = MapData::from_id(id).map_err(io::Error::other)?;
    let (deadlines, _) = array(Map::Array(again))?;
    let mut living = ProgramArray::try_from(map("fence_living")?).map_err(io::Error::other)?;
    for name in [PROGRAM, LIVING] {
        program(&mut object, name)?.load().map_err(io::Error::other)?;
    }
    living.set(0, program(&mut object, LIVING)?.fd().map_err(io::Error::other)?, 0).map_err(io::Error::other)?;
    let (pins, unpinned) = match bpffs.map(Pins::open).transpose() {
        Ok(pins) => (pins, None),
        Err(error) => (None, Some(error)),
    };
    let (refusing, links) = Default::default();
    let guard = Guard { object, _living: living, routers, refused, refusing, words, links, pins };
    let mut deadlines = Deadlines { map: deadlines, id, slots: BTreeMap::new() };
    deadlines.tell_earliest()?;
    Ok(Fence { guard, deadlines, unpinned })
}

/// Take off what an earlier process left.
pub fn clear(bpffs: &Path) {
    drop(Pins::left(bpffs));
}

/// An array with its number.
fn array(map: Map) -> io::Result<(Array<MapData, u64>, u32)> {
    let id = if let Map::Array(data) = &map { data.info().map_err(io::Error::other)?.id() } else { 0 };
    Ok((Array::try_from(map).map_err(io::Error::other)?, id))
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> io::Result<&'a mut SchedClassifier> {
    let program = object.program_mut(name).ok_or_else(|| io::Error::other(format!("there is no {name}")))?;
    program.try_into().map_err(io::Error::other)
}

impl Guard {
    /// Stand before every program on every interface that is there; gives those where the kernel refuses.
    pub fn follow(&mut self, links: &Links) -> Vec<(IfName, io::Error)> {
        let gone = |index: &u32| links.0.values().all(|link| link.index != *index);
        for (index, _) in self.links.extract_if(.., |index, _| gone(index)) {
            // The kernel has taken it off with the interface.
            let _ = self.pins.as_ref().map(|pins| pins.remove(index));
        }
        let mut refused = vec![];
        for (name, link) in &links.0 {
            if self.links.contains_key(&link.index) || name.as_str() == "lo" {
                continue;
            }
            match self.attach(name, link.index) {
                Ok(held) => _ = self.links.insert(link.index, held),
                Err(error) => refused.push((name.clone(), error)),
            }
        }
        if let Some(pins) = &mut self.pins {
            pins.sweep(|index| self.links.contains_key(&index));
        }
        refused
    }

    fn attach(&mut self, name: &IfName, index: u32) -> io::Result<Standing> {
        let program = program(&mut self.object, PROGRAM)?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id =
            program.attach_with_options(name.as_str(), TcAttachType::Ingress, options).map_err(io::Error::other)?;
        let link = program.take_link(id).map_err(io::Error::other)?;
        Ok(match &self.pins {
            Some(pins) => Standing::Pinned { _link: pins.keep(index, link)? },
            None => Standing::Here { _link: link },
        })
    }

    /// This address belongs to the virtual router in this slot.
    ///
    /// # Errors
    /// Of the kernel: more than 65,536 addresses.
    pub fn put(&mut self, address: IpAddr, slot: u32, lease: Lease) -> io::Result<()> {
        let lease_s = lease.valid_s.saturating_add(LATE_S);
        self.routers.insert(key(address), Holder { slot, lease_s, claimed_ns: 0 }, 0).map_err(io::Error::other)
    }

    /// This address is served by nobody here. One that was not guarded is fine.
    pub fn remove(&mut self, address: IpAddr) {
        let _ = self.routers.remove(&key(address));
        let _ = self.refuse(address, false);
    }

    /// Drop packets for this address, or take them.
    ///
    /// # Errors
    /// Of the kernel: more than 65,536 addresses.
    pub fn refuse(&mut self, address: IpAddr, refuse: bool) -> io::Result<()> {
        if refuse {
            self.refused.insert(key(address), 1, 0).map_err(io::Error::other)?;
            self.refusing.insert(address);
        } else if self.refusing.remove(&address) {
            // Gone is gone.
            let _ = self.refused.remove(&key(address));
        } else {
            return Ok(());
        }
        let count = u64::try_from(self.refusing.len()).unwrap_or(u64::MAX);
        self.words.set(REFUSED, count, 0).map_err(io::Error::other)
    }
}

impl Deadlines {
    /// From then on the virtual router in this slot is deaf; `None`: never.
    ///
    /// # Errors
    /// Of the kernel: no such slot.
    pub fn set(&mut self, slot: u32, until: Option<MonoTime>) -> io::Result<()> {
        let nanos = until.map(|until| u64::try_from(until.since_start().as_nanos()).unwrap_or(u64::MAX).max(1));
        self.map.set(slot, nanos.unwrap_or(0), 0).map_err(io::Error::other)?;
        match nanos {
            Some(nanos) => self.slots.insert(slot, nanos),
            None => self.slots.remove(&slot),
        };
        self.tell_earliest()
    }

    /// The number of the map, by which others of this host find it.
    pub const fn id(&self) -> u32 {
        self.id
    }

    fn tell_earliest(&mut self) -> io::Result<()> {
        let earliest = self.slots.values().min().map_or(u64::MAX, |nanos| nanos.saturating_sub(LAG_NANOS));
        self.map.set(EARLIEST, earliest, 0).map_err(io::Error::other)
    }
}

fn key(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
