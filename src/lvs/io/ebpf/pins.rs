//! Where programs, links and maps live on without us: a bpffs of our own.
//!
//! Two daemons with two run directories never meet, and `ip netns exec`, which mounts another /sys, hides nothing and takes nothing
//! with it (`base/io/outer.rs`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Map, MapData, MapError, MapInfo};

use super::abi;
use super::fault::Fault;
use super::maps::{Limits, shapes};
use crate::base::io::bpffs;
use crate::base::io::detach::detach;
use crate::lvs::datapath::DatapathError;

/// Of the programs that others lead to (`bpf/maps.h`).
const PROGRAMS: &str = "programs";
const LINK_PREFIX: &str = "link_";
const XDP_LINK_PREFIX: &str = "xdp_link_";
const BUILD_PREFIX: &str = "census_";

fn io_error(action: String) -> impl FnOnce(io::Error) -> DatapathError {
    move |error| Fault::new(action, &error).into()
}

/// Make `dir` a bpffs, unless it is on one.
pub(super) fn ensure_bpffs(dir: &Path) -> Result<(), DatapathError> {
    bpffs::mount(dir).map_err(io_error(format!("mounting bpffs on {}", dir.display())))
}

/// Unmount `dir` if it is a mount of ours, and nothing is left in it.
pub(super) fn unmount(dir: &Path) -> Result<(), DatapathError> {
    bpffs::unmount(dir).map_err(io_error(format!("unmounting {}", dir.display())))
}

/// What [`detach`] does, as an error of the plane.
pub(super) fn take_off(pin: &Path) -> Result<(), DatapathError> {
    detach(pin).map_err(io_error(format!("removing {}", pin.display())))
}

/// Whether the pinned maps are those that this version would make. `Err` says what differs; nothing at all is
/// `Ok(false)`.
pub(super) fn maps_fit(dir: &Path, limits: Limits) -> Result<bool, String> {
    let shapes = shapes(limits);
    if !shapes.iter().any(|shape| dir.join(shape.name).exists()) {
        return Ok(false);
    }
    for shape in shapes {
        let name = shape.name;
        let info = MapInfo::from_pin(dir.join(name)).map_err(|error| format!("map {name}: {error}"))?;
        let [key, value] = [info.key_size(), info.value_size()].map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let entries = info.max_entries();
        if (key, value, entries) != (shape.key, shape.value, shape.entries) {
            return Err(format!(
                "map {name} has {entries} entries of {key} and {value} bytes, wanted are {} of {} and {}",
                shape.entries, shape.key, shape.value
            ));
        }
    }
    match abi_version(dir)? {
        abi::ABI_VERSION => Ok(true),
        other => Err(format!("the maps have layout {other}, wanted is {}", abi::ABI_VERSION)),
    }
}

/// How many connections the pinned table has room for. `None`: there is none.
pub(super) fn connections(dir: &Path) -> Option<u32> {
    let info = MapInfo::from_pin(dir.join("connections")).ok()?;
    Some(info.max_entries() / super::maps::ENTRIES_PER_CONNECTION)
}

/// Whether the pinned maps have a service, or nobody can tell: they are of another version.
pub(super) fn have_service(dir: &Path) -> bool {
    let keys =
        map(dir, "service_keys").and_then(aya::maps::HashMap::<MapData, abi::ServiceKey, abi::ServiceSlot>::try_from);
    keys.map_or_else(|_| dir.join("service_keys").exists(), |keys| keys.keys().next().is_some())
}

fn abi_version(dir: &Path) -> Result<u32, String> {
    let said = |error: MapError| format!("map settings: {error}");
    let settings: aya::maps::Array<MapData, abi::Settings> =
        map(dir, "settings").and_then(Map::try_into).map_err(said)?;
    Ok(settings.get(&0, 0).map_err(said)?.abi_version)
}

/// A pinned map.
///
/// # Errors
/// [`MapError`] where it is not there.
pub(super) fn map(dir: &Path, name: &str) -> Result<Map, MapError> {
    Map::from_map_data(MapData::from_pin(dir.join(name))?)
}

/// Forget the maps; a program that still runs keeps its own until it is replaced.
pub(super) fn remove_maps(dir: &Path, limits: Limits) -> Result<(), DatapathError> {
    for shape in shapes(limits) {
        remove(&dir.join(shape.name))?;
    }
    Ok(())
}

/// Keep the array of programs of an earlier version beside the new one: the kernel empties one that has no pin, and its
/// program, which runs until it is replaced, would not find the others.
pub(super) fn set_programs_aside(dir: &Path) -> Result<(), DatapathError> {
    match fs::rename(dir.join(PROGRAMS), aside(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(format!("renaming {PROGRAMS} in {}", dir.display()))(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What [`set_programs_aside`] kept, which nobody needs any more.
pub(super) fn aside(dir: &Path) -> PathBuf {
    dir.join("programs_before")
}

pub(super) fn program(dir: &Path) -> PathBuf {
    dir.join("program")
}

/// Of the program for marked packets.
pub(super) fn marked(dir: &Path) -> PathBuf {
    dir.join("program_marked")
}

/// Of the census; its name tells of which build the programs are.
pub(super) fn build(dir: &Path, of: &str) -> PathBuf {
    dir.join(format!("{BUILD_PREFIX}{of}"))
}

/// Give a pin another name.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), DatapathError> {
    fs::rename(from, to).map_err(io_error(format!("renaming {}", from.display())))
}

/// Nobody shall take the programs for those of a build.
pub(super) fn remove_builds(dir: &Path) -> Result<(), DatapathError> {
    names(dir, BUILD_PREFIX)?.iter().try_for_each(|of| remove(&build(dir, of)))
}

pub(super) fn link(dir: &Path, ifindex: u32) -> PathBuf {
    // bpffs refuses names with a dot, which interfaces may have.
    dir.join(format!("{LINK_PREFIX}{ifindex}"))
}

/// Of the program on the way out of the device for marked packets.
pub(super) fn mark_link(dir: &Path) -> PathBuf {
    dir.join("mark_link")
}

pub(super) fn xdp_link(dir: &Path, ifindex: u32) -> PathBuf {
    dir.join(format!("{XDP_LINK_PREFIX}{ifindex}"))
}

/// Interfaces (by index) that have a pinned link.
pub(super) fn links(dir: &Path) -> Result<Vec<u32>, DatapathError> {
    indices(dir, LINK_PREFIX)
}

/// The same of XDP.
pub(super) fn xdp_links(dir: &Path) -> Result<Vec<u32>, DatapathError> {
    indices(dir, XDP_LINK_PREFIX)
}

fn indices(dir: &Path, prefix: &str) -> Result<Vec<u32>, DatapathError> {
    Ok(names(dir, prefix)?.iter().filter_map(|index| index.parse().ok()).collect())
}

/// What follows the prefix in the names of the pins that have it.
fn names(dir: &Path, prefix: &str) -> Result<Vec<String>, DatapathError> {
    let listing = || io_error(format!("listing {}", dir.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(listing())? {
        let name = entry.map_err(listing())?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_prefix(prefix)).map(str::to_owned));
    }
    Ok(found)
}

/// Remove a pin; one that is gone is as wished.
pub(super) fn remove(pin: &Path) -> Result<(), DatapathError> {
    bpffs::remove(pin).map_err(io_error(format!("removing {}", pin.display())))
}
