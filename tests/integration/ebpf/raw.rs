//! The table of connections as it lies in the maps.

use std::collections::BTreeSet;
use std::time::Duration;

use aya::Pod;
use aya::maps::{Array, Map, MapData};
use nix::time::{ClockId, clock_gettime};
use vipd::lvs::io::ebpf::abi::{BUCKET_SLOTS, Bucket, Cursor, Entry, Flow, NUMBER_BITS, Settings, TAG_USED};

use crate::lab::Lab;

/// `TAG_BUSY` and `TAG_FREED` (`bpf/table.h`).
pub const BUSY: u32 = 1;
const FREED: u32 = 2;

pub fn pinned<T: Pod>(lab: &Lab, name: &str) -> Array<MapData, T> {
    let pinned = MapData::from_pin(lab.pin_dir().join(name)).unwrap();
    Map::from_map_data(pinned).unwrap().try_into().unwrap()
}

/// Of the monotonic clock.
pub fn nanoseconds() -> u64 {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos() as u64
}

/// Entries that have been used.
fn used(lab: &Lab) -> u32 {
    let used = pinned::<Cursor>(lab, "cursor").get(&0, 0).unwrap().used;
    u32::try_from(used).unwrap().min(pinned::<Entry>(lab, "connections").len())
}

/// Entries with a connection.
pub fn entries(lab: &Lab) -> Vec<Entry> {
    let map = pinned::<Entry>(lab, "connections");
    (0..used(lab)).map(|at| map.get(&at, 0).unwrap()).filter(|entry| entry.connection.tag >= TAG_USED).collect()
}

/// Change what the table holds.
pub fn edit(lab: &Lab, mut change: impl FnMut(&mut Entry)) {
    let mut map = pinned::<Entry>(lab, "connections");
    for at in 1..used(lab) {
        let mut entry = map.get(&at, 0).unwrap();
        change(&mut entry);
        map.set(at, entry, 0).unwrap();
    }
}

/// As if an entry had last been seen so long ago.
pub fn age(entry: &mut Entry, ago: Duration) {
    entry.connection.seen_ns = nanoseconds().saturating_sub(ago.as_nanos() as u64);
}

/// `flow_hash()` of `bpf/index.h`.
fn hash(settings: &Settings, flow: &Flow) -> u64 {
    let word = |address: &[u8; 16], at: usize| u32::from_ne_bytes(address[at * 4..at * 4 + 4].try_into().unwrap());
    let (source, target) = (|at| word(&flow.source, at), |at| word(&flow.target, at));
    let [low, high, protocol] = [flow.source_port, flow.target_port, flow.protocol.into()].map(u32::from);
    let mut words = vec![source(3), target(3), low | high << 16, protocol];
    let is_mapped = (source(0), source(1), source(2)) == (0, 0, 0xffff_u32.to_be());
    if !is_mapped {
        words.extend([source(0), source(1), source(2), target(0), target(1), target(2)]);
    }
    let sums: Vec<u64> =
        words.iter().zip(settings.hash_key).map(|(word, key)| key.wrapping_add(*word).into()).collect();
    let sum = sums.chunks(2).fold(0_u64, |sum, two| sum.wrapping_add(two[0].wrapping_mul(two[1])));
    let bend = |hash: u64, by: u64| (hash ^ hash >> 33).wrapping_mul(by);
    let hash = bend(bend(sum, 0xff51_afd7_ed55_8ccd), 0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// What is wrong with the table while no packet comes: an entry that nobody may take, or that no search for its flow finds.
pub fn faults(lab: &Lab) -> Vec<String> {
    let settings = pinned::<Settings>(lab, "settings").get(&0, 0).unwrap();
    let (entries, buckets) = (pinned::<Entry>(lab, "connections"), pinned::<Bucket>(lab, "buckets"));
    let used = used(lab);
    let bucket_of = |flow: &Flow| (((hash(&settings, flow) >> 32) * u64::from(settings.buckets)) >> 32) as u32;
    let (mut faults, mut flows) = (vec![], BTreeSet::new());
    for at in 0..entries.len() {
        let Entry { flow, connection, .. } = entries.get(&at, 0).unwrap();
        if at >= used || at == 0 {
            if connection.tag != 0 {
                faults.push(format!("entry {at} has the tag {}, and was never given away", connection.tag));
            }
            continue;
        }
        if connection.tag < TAG_USED {
            if connection.tag != FREED {
                faults.push(format!("entry {at} stays with the tag {}", connection.tag));
            }
            continue;
        }
        let slots = buckets.get(&bucket_of(&flow), 0).unwrap().slot;
        let begin = hash(&settings, &flow) as usize;
        let found = (0..BUCKET_SLOTS)
            .map(|step| slots[begin.wrapping_add(step) % BUCKET_SLOTS])
            .take_while(|slot| *slot != 0)
            .any(|slot| slot == connection.tag >> NUMBER_BITS << NUMBER_BITS | at);
        if !found {
            faults.push(format!("entry {at} is not found: {flow:?}"));
        }
        let parts = (flow.source, flow.target, flow.source_port, flow.target_port, flow.protocol);
        if !flows.insert(parts) {
            faults.push(format!("entry {at} is its flow's second: {flow:?}"));
        }
    }
    for at in 0..buckets.len() {
        for slot in buckets.get(&at, 0).unwrap().slot.into_iter().filter(|slot| *slot != 0) {
            let number = slot & ((1 << NUMBER_BITS) - 1);
            if !(1..used).contains(&number) {
                faults.push(format!("bucket {at} leads to entry {number}, which was never given away"));
            }
        }
    }
    faults
}
