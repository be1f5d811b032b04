//! `bpf/fence.bpf.c` on TC ingress: whoever renews no deadline is deaf when it has passed, and what `no_accept` asks for.
//!
//! Two halves: [`Guard`] says which addresses belong to which virtual router and follows the interfaces, and may take
//! its time; [`Deadlines`] is one system call per advert, for the heartbeat. The kernel takes the program down with
//! the process: the addresses of a dead daemon go by their lease.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;

use aya::maps::{Array, HashMap, Map, MapData};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};

use crate::base::{IfName, MonoTime};
use crate::vrrp::links::Links;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fence.bpf.o"));
const PROGRAM: &str = "vipd_fence";
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
    routers: HashMap<MapData, [u8; 16], u32>,
    refused: HashMap<MapData, [u8; 16], u8>,
    /// Addresses in `refused`.
    refusing: BTreeSet<IpAddr>,
    words: Array<MapData, u64>,
    links: BTreeMap<u32, SchedClassifierLink>,
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

/// Load it. Needs `CAP_BPF`, `CAP_NET_ADMIN`, and TCX to attach (Linux 6.6).
///
/// # Errors
/// Of the kernel, in its words.
pub fn load() -> io::Result<(Guard, Deadlines)> {
    let mut object = EbpfLoader::new().btf(None).load(OBJECT).map_err(io::Error::other)?;
    let mut map = |name: &str| object.take_map(name).ok_or_else(|| io::Error::other(format!("there is no map {name}")));
    let routers = HashMap::try_from(map("fence_routers")?).map_err(io::Error::other)?;
    let refused = HashMap::try_from(map("fence_refused")?).map_err(io::Error::other)?;
    let (words, id) = array(map("fence_deadlines")?)?;
    // The same map once more: the two halves go to two threads.
    let again = MapData::from_id(id).map_err(io::Error::other)?;
    let (deadlines, _) = array(Map::Array(again))?;
    program(&mut object)?.load().map_err(io::Error::other)?;
    let guard = Guard { object, routers, refused, refusing: BTreeSet::new(), words, links: BTreeMap::new() };
    let mut deadlines = Deadlines { map: deadlines, id, slots: BTreeMap::new() };
    deadlines.tell_earliest()?;
    Ok((guard, deadlines))
}

/// An array with its number.
fn array(map: Map) -> io::Result<(Array<MapData, u64>, u32)> {
    let id = if let Map::Array(data) = &map { data.info().map_err(io::Error::other)?.id() } else { 0 };
    Ok((Array::try_from(map).map_err(io::Error::other)?, id))
}

fn program(object: &mut Ebpf) -> io::Result<&mut SchedClassifier> {
    let program = object.program_mut(PROGRAM).ok_or_else(|| io::Error::other(format!("there is no {PROGRAM}")))?;
    program.try_into().map_err(io::Error::other)
}

impl Guard {
    /// Stand before every program on every interface that is there; gives those where the kernel refuses.
    pub fn follow(&mut self, links: &Links) -> Vec<(IfName, io::Error)> {
        self.links.retain(|index, _| links.0.values().any(|link| link.index == *index));
        let mut refused = vec![];
        for (name, link) in &links.0 {
            if self.links.contains_key(&link.index) || name.as_str() == "lo" {
                continue;
            }
            match self.attach(name) {
                Ok(held) => _ = self.links.insert(link.index, held),
                Err(error) => refused.push((name.clone(), error)),
            }
        }
        refused
    }

    fn attach(&mut self, name: &IfName) -> io::Result<SchedClassifierLink> {
        let program = program(&mut self.object)?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id =
            program.attach_with_options(name.as_str(), TcAttachType::Ingress, options).map_err(io::Error::other)?;
        program.take_link(id).map_err(io::Error::other)
    }

    /// This address belongs to the virtual router in this slot.
    ///
    /// # Errors
    /// Of the kernel: more than 65,536 addresses.
    pub fn put(&mut self, address: IpAddr, slot: u32) -> io::Result<()> {
        self.routers.insert(key(address), slot, 0).map_err(io::Error::other)
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
