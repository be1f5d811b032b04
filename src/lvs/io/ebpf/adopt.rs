//! Reads the maps: for the table that `snapshot` shows, and for the model after a restart.

use std::array;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;

use super::abi;
use super::commit::Kernel;
use super::fault::Fault;
use super::maps::{self, Limits, Maps};
use super::model::{Held, HeldDestination, Model};
use super::slots::Slots;
use super::stats;
use super::words;
use crate::lvs::datapath::DatapathError;
use crate::lvs::ipvsadm::Timeouts;
use crate::lvs::table::{Entry, ServiceKey, Table};

/// Milliseconds after which a connection not seen is none, by state as in `enum vipd_state`: IPVS's defaults.
const TIMEOUT_MS: [u32; abi::STATES] = {
    let Timeouts { tcp_s, tcp_fin_s, udp_s } = Timeouts::DEFAULT;
    [60_000, tcp_s * 1000, tcp_fin_s * 1000, 120_000, 10_000, udp_s * 1000, 60_000]
};

/// Services of the maps; of the destinations the slots `0..end` are looked at.
fn services(maps: &Maps, end: u32) -> Result<BTreeMap<ServiceKey, Held>, DatapathError> {
    let mut services = BTreeMap::new();
    let mut by_slot = BTreeMap::new();
    for pair in &maps.service_keys {
        let (wire, at) = pair.map_err(Fault::map("listing the services"))?;
        let value = maps.services.get(&at.slot, 0).map_err(Fault::map("reading a service"))?;
        let key = words::service_key_back(&wire)?;
        let service = words::service_back(&value)?;
        let table = words::table_back(&value);
        by_slot.insert(at.slot, key);
        services.insert(key, Held { slot: at.slot, service, table, destinations: BTreeMap::new() });
    }
    for slot in 0..end {
        let value = maps.destinations.get(&slot, 0).map_err(Fault::map("reading a destination"))?;
        if value.generation == 0 {
            continue;
        }
        let Some(held) = by_slot.get(&value.service).and_then(|key| services.get_mut(key)) else { continue };
        let (at, destination) = words::destination_back(&value)?;
        held.destinations.insert(at, HeldDestination { slot, generation: value.generation, destination });
    }
    Ok(services)
}

/// What the maps hold now.
pub(super) fn table(maps: &Maps, end: u32) -> Result<Table, DatapathError> {
    let entry = |held: Held| Entry {
        service: held.service,
        destinations: held.destinations.into_iter().map(|(at, held)| (at, held.destination)).collect(),
    };
    Ok(Table { services: services(maps, end)?.into_iter().map(|(key, held)| (key, entry(held))).collect() })
}

/// Words that nobody can guess: the standard library's maps are protected by the same.
fn hash_key() -> [u32; abi::HASH_KEYS] {
    let word = |number: usize| RandomState::new().hash_one(number) & u64::from(u32::MAX);
    array::from_fn(|number| u32::try_from(word(number)).unwrap_or_default())
}

/// Begin with empty maps.
pub(super) fn begin(maps: &mut Maps, limits: Limits, ports: &RangeInclusive<u16>) -> Result<Model, DatapathError> {
    let (connections, buckets) = maps::connections(limits);
    let settings = abi::Settings {
        abi_version: abi::ABI_VERSION,
        generation: 0,
        changing: 0,
        way_ms: 0,
        timeout_ms: TIMEOUT_MS,
        local_port_first: (*ports.start()).into(),
        local_port_last: (*ports.end()).into(),
        connections,
        buckets,
        destinations: 0,
        quiescent_keeps: 0,
        hash_key: hash_key(),
    };
    maps.settings.set(0, settings, 0).map_err(Fault::map("writing the settings"))?;
    Ok(Model::new(limits.services, limits.destinations))
}

/// Go on with the maps of a daemon that has ended, however it ended: what it left half done is finished.
pub(super) fn adopt(kernel: &mut Kernel, limits: Limits, ports: &RangeInclusive<u16>) -> Result<Model, DatapathError> {
    let mut settings = kernel.maps.settings.get(&0, 0).map_err(Fault::map("reading the settings"))?;
    (settings.local_port_first, settings.local_port_last) = ((*ports.start()).into(), (*ports.end()).into());
    kernel.maps.settings.set(0, settings, 0).map_err(Fault::map("writing the settings"))?;
    let services = services(&kernel.maps, settings.destinations)?;
    let (used_services, used_destinations) = used(&services);
    free_orphans(kernel, limits.services, &used_services, settings.destinations, &used_destinations)?;
    sweep_schedules(kernel, &services)?;
    rebuild_reals(kernel, &services)?;
    let mut model = model(limits, services, settings.generation);
    if settings.changing != 0 {
        finish(kernel, &mut model)?;
    }
    Ok(model)
}

/// What the maps hold, to read it. `None`: it was left half written.
pub(super) fn look(maps: &Maps, limits: Limits) -> Result<Option<Model>, DatapathError> {
    let settings = maps.settings.get(&0, 0).map_err(Fault::map("reading the settings"))?;
    if settings.changing != 0 {
        return Ok(None);
    }
    Ok(Some(model(limits, services(maps, settings.destinations)?, settings.generation)))
}

/// Make ready to change what [`look`] has read, where the programs stay: nothing that packets use is touched.
pub(super) fn resume(kernel: &mut Kernel, model: &Model) -> Result<(), DatapathError> {
    sweep_schedules(kernel, &model.services)?;
    each_real(&model.services, |wire, value, slot| {
        kernel.know_real(wire, value, slot);
        Ok(())
    })
}

fn model(limits: Limits, services: BTreeMap<ServiceKey, Held>, generation: u32) -> Model {
    let (used_services, used_destinations) = used(&services);
    Model {
        capabilities: words::capabilities(),
        services,
        service_slots: Slots::from_used(limits.services, &used_services),
        destination_slots: Slots::from_used(limits.destinations, &used_destinations),
        generation,
    }
}

/// Slots of services, and of destinations.
fn used(services: &BTreeMap<ServiceKey, Held>) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let destinations = services.values().flat_map(|held| held.destinations.values());
    (services.values().map(|held| held.slot).collect(), destinations.map(|held| held.slot).collect())
}

/// Slots that no service leads to: a removal that was cut short.
fn free_orphans(
    kernel: &mut Kernel,
    services_end: u32,
    services: &BTreeSet<u32>,
    destinations_end: u32,
    destinations: &BTreeSet<u32>,
) -> Result<(), DatapathError> {
    let maps = &mut kernel.maps;
    for slot in (0..services_end).filter(|slot| !services.contains(slot)) {
        if maps.services.get(&slot, 0).map_err(Fault::map("reading a service"))? != abi::Service::FREE {
            maps.services.set(slot, abi::Service::FREE, 0).map_err(Fault::map("freeing a slot"))?;
            stats::zero(&mut maps.service_stats, slot)?;
        }
    }
    for slot in (0..destinations_end).filter(|slot| !destinations.contains(slot)) {
        if maps.destinations.get(&slot, 0).map_err(Fault::map("reading a destination"))? != abi::Destination::FREE {
            maps.destinations.set(slot, abi::Destination::FREE, 0).map_err(Fault::map("freeing a slot"))?;
            stats::zero(&mut maps.destination_stats, slot)?;
            maps.loads.set(slot, abi::Load::default(), 0).map_err(Fault::map("freeing a slot"))?;
        }
    }
    Ok(())
}

fn sweep_schedules(kernel: &mut Kernel, services: &BTreeMap<ServiceKey, Held>) -> Result<(), DatapathError> {
    let live: BTreeSet<u32> = services.values().map(|held| held.table.0).collect();
    let keys: Result<Vec<abi::ScheduleKey>, _> = kernel.maps.schedules.keys().collect();
    for key in keys.map_err(Fault::map("listing the schedules"))? {
        if !live.contains(&key.generation) {
            kernel.maps.schedules.remove(&key).map_err(Fault::map("deleting an old schedule"))?;
        }
    }
    Ok(())
}

fn rebuild_reals(kernel: &mut Kernel, services: &BTreeMap<ServiceKey, Held>) -> Result<(), DatapathError> {
    let keys: Result<Vec<abi::RealKey>, _> = kernel.maps.reals.keys().collect();
    for key in keys.map_err(Fault::map("listing the real servers"))? {
        kernel.maps.reals.remove(&key).map_err(Fault::map("forgetting a real server"))?;
    }
    each_real(services, |wire, value, slot| kernel.set_real(wire, value, slot, true))
}

/// Every destination as the maps have it, with its slot.
fn each_real(
    services: &BTreeMap<ServiceKey, Held>,
    mut take: impl FnMut(&abi::ServiceKey, &abi::Destination, u32) -> Result<(), Fault>,
) -> Result<(), DatapathError> {
    for (key, held) in services {
        let wire = words::service_key(key)?;
        for (at, one) in &held.destinations {
            let of = (&wire, held.is_persistent());
            if let Some(value) = words::destination(of, at, &one.destination, held.slot, one.generation) {
                take(&wire, &value, one.slot)?;
            }
        }
    }
    Ok(())
}

/// The daemon died while it wrote: destinations may be there that no schedule knows.
fn finish(kernel: &mut Kernel, model: &mut Model) -> Result<(), DatapathError> {
    let count = u32::try_from(model.services.len()).unwrap_or(u32::MAX);
    kernel.mark(model, count, true)?;
    let keys: Vec<ServiceKey> = model.services.keys().copied().collect();
    for key in keys {
        let generation = model.next_generation();
        let before = model.services.get(&key).cloned();
        kernel.commit(&key, before.as_ref(), model.services.get_mut(&key), generation)?;
    }
    kernel.mark(model, 0, false)?;
    Ok(())
}
