//! The maps with their types, and the sizes they have.

use std::error::Error;
use std::path::Path;

use aya::EbpfLoader;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, ProgramArray};

use super::abi;
use super::fault::{self, Fault};
use super::pins;
use crate::lvs::datapath::DatapathError;

/// How much the maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) connections: u32,
    pub(super) services: u32,
    pub(super) destinations: u32,
}

/// What a map must look like to be adopted.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) entries: u32,
}

/// Pages that one service may need at once: an old and a new mh schedule.
const PAGES_PER_SERVICE: u32 = 34;
/// Pages of long wrr and sh schedules, which grow with their destinations.
const PAGES_SPARE: u32 = 4096;
/// An LRU map of the kernel evicts early when it is smaller than its per-CPU free lists (`bpf_lru_list.c`).
const TEMPLATES_MIN: u32 = 8192;
/// Of a bucket of sixteen slots: where all entries are in use, one in 120 is full.
const CONNECTIONS_PER_BUCKET: u32 = 8;

/// Masq needs an entry for each direction.
pub(super) const ENTRIES_PER_CONNECTION: u32 = 2;

/// Entries of the table of connections, and of its index.
pub(super) fn connections(limits: Limits) -> (u32, u32) {
    let entries = limits.connections.saturating_mul(ENTRIES_PER_CONNECTION);
    let entries = entries.clamp(CONNECTIONS_PER_BUCKET, 1 << abi::NUMBER_BITS);
    (entries, entries / CONNECTIONS_PER_BUCKET)
}

/// Name, sizes and number of entries of every map.
pub(super) fn shapes(limits: Limits) -> Vec<Shape> {
    let Limits { connections: templates, services, destinations } = limits;
    let shape = |name, key, value, entries: u32| Shape { name, key, value, entries: entries.max(1) };
    let (connections, buckets) = connections(limits);
    let pages = services.saturating_mul(PAGES_PER_SERVICE).saturating_add(PAGES_SPARE);
    let (index, word) = (size_of::<u32>(), size_of::<u64>());
    vec![
        shape("settings", index, size_of::<abi::Settings>(), 1),
        shape("service_keys", size_of::<abi::ServiceKey>(), size_of::<abi::ServiceSlot>(), services),
        shape("services", index, size_of::<abi::Service>(), services),
        shape("cursors", index, word, services),
        shape("floods", index, word, services),
        shape("schedules", size_of::<abi::ScheduleKey>(), size_of::<abi::SchedulePage>(), pages),
        shape("destinations", index, size_of::<abi::Destination>(), destinations),
        shape("reals", size_of::<abi::RealKey>(), size_of::<abi::Real>(), destinations),
        shape("connections", index, size_of::<abi::Entry>(), connections),
        shape("buckets", index, size_of::<abi::Bucket>(), buckets),
        shape("ended", index, size_of::<abi::Ended>(), 1),
        shape("cursor", index, size_of::<abi::Cursor>(), 1),
        shape("templates", size_of::<abi::TemplateKey>(), size_of::<abi::Template>(), templates.max(TEMPLATES_MIN)),
        shape("fragments", size_of::<abi::FragmentKey>(), size_of::<abi::Fragment>(), 8192),
        shape("service_stats", index, size_of::<abi::Counters>(), services),
        shape("destination_stats", index, size_of::<abi::Counters>(), destinations),
        shape("census", index, size_of::<abi::Census>(), destinations),
        shape("loads", index, size_of::<abi::Load>(), destinations),
        shape("localities", size_of::<abi::LocalityKey>(), size_of::<abi::Locality>(), 8192),
        shape("reasons", index, word, abi::REASONS),
        shape("locals_of", index, size_of::<abi::Locals>(), services),
        shape("own_addresses", size_of::<abi::Address>(), index, abi::OWN_ADDRESSES),
        shape("programs", index, index, abi::PROGRAMS),
    ]
}

pub(super) struct Maps {
    pub(super) settings: Array<MapData, abi::Settings>,
    pub(super) service_keys: HashMap<MapData, abi::ServiceKey, abi::ServiceSlot>,
    pub(super) services: Array<MapData, abi::Service>,
    pub(super) cursors: Array<MapData, u64>,
    pub(super) floods: Array<MapData, u64>,
    pub(super) schedules: HashMap<MapData, abi::ScheduleKey, abi::SchedulePage>,
    pub(super) destinations: Array<MapData, abi::Destination>,
    pub(super) reals: HashMap<MapData, abi::RealKey, abi::Real>,
    pub(super) connections: Array<MapData, abi::Entry>,
    pub(super) cursor: Array<MapData, abi::Cursor>,
    pub(super) templates: HashMap<MapData, abi::TemplateKey, abi::Template>,
    pub(super) service_stats: PerCpuArray<MapData, abi::Counters>,
    pub(super) destination_stats: PerCpuArray<MapData, abi::Counters>,
    pub(super) census: Array<MapData, abi::Census>,
    pub(super) loads: Array<MapData, abi::Load>,
    pub(super) reasons: PerCpuArray<MapData, u64>,
    pub(super) locals_of: HashMap<MapData, u32, abi::Locals>,
    pub(super) own_addresses: HashMap<MapData, abi::Address, u32>,
    pub(super) programs: ProgramArray<MapData>,
}

impl Maps {
    /// # Errors
    /// [`DatapathError::Load`] where the object lacks a map or has it with other sizes.
    pub(super) fn of(object: &mut aya::Ebpf) -> Result<Self, DatapathError> {
        Self::each(|name| take_map(object, name))
    }

    /// Those that are pinned in `dir`.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`] where one is not there.
    pub(super) fn pinned(dir: &Path) -> Result<Self, DatapathError> {
        Self::each(|name| {
            let doing = || format!("opening the map {}", dir.join(name).display());
            pins::map(dir, name).map_err(|error| Fault::new(doing(), &error).into())
        })
    }

    fn each(mut map: impl FnMut(&str) -> Result<Map, DatapathError>) -> Result<Self, DatapathError> {
        Ok(Self {
            settings: typed("settings", map("settings")?)?,
            service_keys: typed("service_keys", map("service_keys")?)?,
            services: typed("services", map("services")?)?,
            cursors: typed("cursors", map("cursors")?)?,
            floods: typed("floods", map("floods")?)?,
            schedules: typed("schedules", map("schedules")?)?,
            destinations: typed("destinations", map("destinations")?)?,
            reals: typed("reals", map("reals")?)?,
            connections: typed("connections", map("connections")?)?,
            cursor: typed("cursor", map("cursor")?)?,
            templates: typed("templates", map("templates")?)?,
            service_stats: typed("service_stats", map("service_stats")?)?,
            destination_stats: typed("destination_stats", map("destination_stats")?)?,
            census: typed("census", map("census")?)?,
            loads: typed("loads", map("loads")?)?,
            reasons: typed("reasons", map("reasons")?)?,
            locals_of: typed("locals_of", map("locals_of")?)?,
            own_addresses: typed("own_addresses", map("own_addresses")?)?,
            programs: typed("programs", map("programs")?)?,
        })
    }
}

/// Load a packed object beside the maps that are pinned in `dir`, and pin those that are not there.
///
/// # Errors
/// [`DatapathError::Load`], [`DatapathError::Permission`].
pub(super) fn load(dir: &Path, limits: Limits, object: &[u8]) -> Result<aya::Ebpf, DatapathError> {
    let object = abi::unpack(object)?;
    let mut loader = EbpfLoader::new();
    // The programs read no kernel structure, so they need no relocation against the kernel's BTF.
    loader.btf(None).default_map_pin_directory(dir);
    for shape in shapes(limits) {
        loader.map_max_entries(shape.name, shape.entries);
    }
    loader.load(&object).map_err(|error| fault::load(&error))
}

/// A map of an object with its type.
///
/// # Errors
/// [`DatapathError::Load`] where the object lacks it or has it with other sizes.
pub(super) fn take<M>(object: &mut aya::Ebpf, name: &str) -> Result<M, DatapathError>
where
    M: TryFrom<Map, Error = MapError>,
{
    typed(name, take_map(object, name)?)
}

fn take_map(object: &mut aya::Ebpf, name: &str) -> Result<Map, DatapathError> {
    object.take_map(name).ok_or_else(|| DatapathError::Load { detail: format!("the object has no map `{name}`") })
}

fn typed<M>(name: &str, map: Map) -> Result<M, DatapathError>
where
    M: TryFrom<Map, Error = MapError>,
{
    M::try_from(map).map_err(|error| {
        let error: &(dyn Error + 'static) = &error;
        DatapathError::Load { detail: format!("map `{name}`: {}", fault::chain(error)) }
    })
}
