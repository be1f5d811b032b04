//! One daemon per virtual router: names of abstract Unix sockets, which belong to the network namespace and go with the
//! process (unix(7)), whatever files its daemons share.
//!
//! One socket per interface and family, with the VRIDs as bits in its name: thousands of virtual routers cost a handful of
//! descriptors.
#![expect(clippy::disallowed_methods, reason = "it reads /proc/net/unix")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::base::{Family, IfName, Vrid};
use crate::vrrp::settings::Key;

/// How all names begin.
const PREFIX: &str = "vipd/";

/// Interface and family.
type Place = (IfName, Family);

/// VRIDs of one interface and family, as bits of four words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Vrids([u64; 4]);

impl Vrids {
    fn insert(&mut self, vrid: Vrid) {
        if let Some(word) = self.0.get_mut(usize::from(vrid.get() / 64)) {
            *word |= 1 << (vrid.get() % 64);
        }
    }

    /// The first of both.
    fn meets(self, other: Self) -> Option<Vrid> {
        let both = |vrid: &u8| {
            let of = |vrids: Self| vrids.0.get(usize::from(vrid / 64)).copied().unwrap_or(0) >> (vrid % 64) & 1;
            of(self) & of(other) == 1
        };
        (1..=u8::MAX).find(both).and_then(|vrid| Vrid::new(vrid).ok())
    }

    fn name(self, (interface, family): &Place) -> String {
        let [a, b, c, d] = self.0;
        format!("{}{a:016x}{b:016x}{c:016x}{d:016x}", place_prefix(interface, *family))
    }

    fn parse(text: &str) -> Option<Self> {
        let word = |at: usize| u64::from_str_radix(text.get(at * 16..(at + 1) * 16)?, 16).ok();
        Some(Self([word(0)?, word(1)?, word(2)?, word(3)?]))
    }
}

fn place_prefix(interface: &IfName, family: Family) -> String {
    let family = match family {
        Family::V4 => 4,
        Family::V6 => 6,
    };
    format!("{PREFIX}{interface}/{family}/")
}

/// Why a virtual router is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another vipd in this network namespace drives the {0}")]
    Driven(Key),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// What this daemon drives.
#[derive(Debug, Default)]
pub struct Locks {
    held: BTreeMap<Place, (String, UnixDatagram)>,
}

impl Locks {
    /// Drive these from now on, and no others. Two daemons that start at one moment may both be refused.
    ///
    /// # Errors
    /// [`LockError`]; then what was held before is held.
    pub fn hold(&mut self, keys: impl Iterator<Item = Key>) -> Result<(), LockError> {
        let mut wanted: BTreeMap<Place, Vrids> = BTreeMap::new();
        for Key { interface, family, vrid } in keys {
            wanted.entry((interface, family)).or_default().insert(vrid);
        }
        let mut new = BTreeMap::new();
        for (place, vrids) in &wanted {
            let name = vrids.name(place);
            if self.held.get(place).is_none_or(|(known, _)| *known != name) {
                let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?);
                new.insert(place.clone(), (name, socket.map_err(|error| taken(error, place, *vrids))?));
            }
        }
        let ours: BTreeSet<&String> = self.held.values().chain(new.values()).map(|(name, _)| name).collect();
        for name in names()?.iter().filter(|name| !ours.contains(name)) {
            for (place, vrids) in &wanted {
                let theirs = name.strip_prefix(&place_prefix(&place.0, place.1)).and_then(Vrids::parse);
                if let Some(vrid) = theirs.and_then(|theirs| theirs.meets(*vrids)) {
                    return Err(LockError::Driven(Key { interface: place.0.clone(), family: place.1, vrid }));
                }
            }
        }
        self.held.retain(|place, _| wanted.contains_key(place));
        self.held.extend(new);
        Ok(())
    }
}

/// The very same set is held by somebody else.
fn taken(error: io::Error, place: &Place, vrids: Vrids) -> LockError {
    match vrids.meets(vrids).filter(|_| error.kind() == io::ErrorKind::AddrInUse) {
        Some(vrid) => LockError::Driven(Key { interface: place.0.clone(), family: place.1, vrid }),
        None => error.into(),
    }
}

/// Whether another vipd with virtual routers runs in this network namespace. Ask before [`Locks::hold`].
///
/// # Errors
/// Where `/proc` is not there.
pub fn others() -> io::Result<bool> {
    Ok(!names()?.is_empty())
}

/// Those of the namespace of the calling thread.
fn names() -> io::Result<Vec<String>> {
    let all = std::fs::read_to_string("/proc/thread-self/net/unix")?;
    let names = all.lines().filter_map(|line| line.split_whitespace().last()?.strip_prefix('@'));
    Ok(names.filter(|name| name.starts_with(PREFIX)).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(interface: &str, family: Family, vrid: u8) -> Key {
        Key { interface: interface.parse().unwrap(), family, vrid: Vrid::new(vrid).unwrap() }
    }

    #[test]
    fn a_virtual_router_has_one_daemon_and_others_are_free() {
        // A name that no other test has: all share the namespace.
        let name = format!("t{}", std::process::id());
        let mut first = Locks::default();
        first.hold([key(&name, Family::V4, 7), key(&name, Family::V4, 255)].into_iter()).unwrap();
        assert!(others().unwrap());
        let rows = [
            ("the same set", vec![(Family::V4, 7), (Family::V4, 255)], false),
            ("one of them", vec![(Family::V4, 8), (Family::V4, 255)], false),
            ("other VRIDs", vec![(Family::V4, 8), (Family::V4, 1)], true),
            ("the other family", vec![(Family::V6, 7)], true),
        ];
        for (what, keys, free) in rows {
            let keys: Vec<Key> = keys.into_iter().map(|(family, vrid)| key(&name, family, vrid)).collect();
            let held = Locks::default().hold(keys.into_iter());
            assert_eq!(held.is_ok(), free, "{what}: {held:?}");
        }
        let mut second = Locks::default();
        second.hold([key(&name, Family::V4, 9)].into_iter()).unwrap();
        assert!(first.hold([key(&name, Family::V4, 7), key(&name, Family::V4, 9)].into_iter()).is_err());
        assert!(second.hold([key(&name, Family::V4, 255)].into_iter()).is_err(), "what was held before is held");
        drop(first);
        second.hold([key(&name, Family::V4, 255)].into_iter()).unwrap();
    }
}
