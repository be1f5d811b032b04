//! Where programs, links and maps live on without us: a bpffs of our own.
//!
//! Two daemons with two run directories never meet, and `ip netns exec`, which mounts another /sys, hides nothing.
#![expect(clippy::disallowed_methods, reason = "pins are files")]

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapInfo};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::abi;
use super::fault::Fault;
use super::maps::{Limits, shapes};
use crate::lvs::datapath::DatapathError;

/// What the mount is called in /proc/self/mountinfo; tells ours from a bpffs that somebody gave us.
const SOURCE: &str = "vipd";
const LINK_PREFIX: &str = "link_";
const XDP_LINK_PREFIX: &str = "xdp_link_";

fn io_error(action: String) -> impl FnOnce(io::Error) -> DatapathError {
    move |error| Fault::new(action, &error).into()
}

fn errno(action: String) -> impl FnOnce(nix::Error) -> DatapathError {
    move |errno| Fault::new(action, &io::Error::from(errno)).into()
}

/// Make `dir` a bpffs, unless it is on one.
pub(super) fn ensure_bpffs(dir: &Path) -> Result<(), DatapathError> {
    fs::create_dir_all(dir).map_err(io_error(format!("creating {}", dir.display())))?;
    let found = statfs(dir).map_err(errno(format!("looking at {}", dir.display())))?;
    if found.filesystem_type() == BPF_FS_MAGIC {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(SOURCE), dir, Some("bpf"), flags, Some("mode=0700"))
        .map_err(errno(format!("mounting bpffs on {}", dir.display())))
}

/// Unmount `dir` if it is a mount that [`ensure_bpffs`] made.
pub(super) fn unmount(dir: &Path) -> Result<(), DatapathError> {
    let mounts =
        fs::read_to_string("/proc/self/mountinfo").map_err(io_error("reading /proc/self/mountinfo".to_owned()))?;
    let dir = fs::canonicalize(dir).map_err(io_error(format!("looking at {}", dir.display())))?;
    if mounts.lines().any(|line| is_our_mount(line, &dir)) {
        umount2(&dir, MntFlags::MNT_DETACH).map_err(errno(format!("unmounting {}", dir.display())))?;
    }
    Ok(())
}

/// `36 35 98:0 /root /point options ... - type source ...` (`proc_pid_mountinfo(5)`); blanks are `\040`.
fn is_our_mount(line: &str, dir: &Path) -> bool {
    let Some((place, kind)) = line.split_once(" - ") else { return false };
    let point = place.split(' ').nth(4).unwrap_or_default();
    let escaped: Vec<u8> = dir.as_os_str().as_bytes().iter().flat_map(|byte| escape(*byte)).collect();
    point.as_bytes() == escaped && kind.starts_with(&format!("bpf {SOURCE} "))
}

fn escape(byte: u8) -> Vec<u8> {
    match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        plain => vec![plain],
    }
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

fn abi_version(dir: &Path) -> Result<u32, String> {
    let said = |error: aya::maps::MapError| format!("map settings: {error}");
    let data = MapData::from_pin(dir.join("settings")).map_err(said)?;
    let map = aya::maps::Map::from_map_data(data).map_err(said)?;
    let settings: aya::maps::Array<MapData, abi::Settings> = map.try_into().map_err(said)?;
    Ok(settings.get(&0, 0).map_err(said)?.abi_version)
}

/// Forget the maps; a program that still runs keeps its own until it is replaced.
pub(super) fn remove_maps(dir: &Path, limits: Limits) -> Result<(), DatapathError> {
    for shape in shapes(limits) {
        remove(&dir.join(shape.name))?;
    }
    Ok(())
}

pub(super) fn program(dir: &Path) -> PathBuf {
    dir.join("program")
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
    let listing = || io_error(format!("listing {}", dir.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(listing())? {
        let name = entry.map_err(listing())?.file_name();
        let index = name.to_str().and_then(|name| name.strip_prefix(prefix)).map(str::parse);
        if let Some(Ok(index)) = index {
            found.push(index);
        }
    }
    Ok(found)
}

/// Remove a pin; one that is gone is as wished.
pub(super) fn remove(pin: &Path) -> Result<(), DatapathError> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(format!("removing {}", pin.display()))(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_mount_is_taken_for_ours() {
        let rows = [
            ("ours", r"1 2 0:30 / /run/vip\040d/bpf rw,nosuid shared:1 - bpf vipd rw,mode=700", true),
            ("another place", "1 2 0:30 / /run/bpf rw - bpf vipd rw", false),
            ("the system's", r"1 2 0:30 / /run/vip\040d/bpf rw - bpf bpf rw", false),
            ("no bpffs", r"1 2 0:30 / /run/vip\040d/bpf rw - tmpfs vipd rw", false),
        ];
        for (name, line, ours) in rows {
            assert_eq!(is_our_mount(line, Path::new("/run/vip d/bpf")), ours, "{name}");
        }
    }
}
