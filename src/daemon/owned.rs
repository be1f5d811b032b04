//! Which services of a plane are ours, kept in the run directory: what a killed daemon left in it is known to the next one.

#![expect(clippy::disallowed_methods, reason = "a small file of the daemon's own")]

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::pidfile;
use crate::config::model::Plane;
use crate::lvs::table::ServiceKey;

fn file(run_dir: &Path, plane: Plane) -> PathBuf {
    run_dir.join(match plane {
        Plane::Ebpf => "services-ebpf.json",
        Plane::Ipvs => "services-ipvs.json",
    })
}

/// What an earlier run left; nothing where it ended in good order.
pub fn read(run_dir: &Path, plane: Plane) -> BTreeSet<ServiceKey> {
    let path = file(run_dir, plane);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "what an earlier run left cannot be read; its services stay");
            BTreeSet::new()
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => BTreeSet::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "what an earlier run left cannot be read; its services stay");
            BTreeSet::new()
        }
    }
}

/// Note these beside those noted before, so that a crash during a change loses none.
pub fn add(run_dir: &Path, plane: Plane, services: &BTreeSet<ServiceKey>) {
    let mut all = read(run_dir, plane);
    all.extend(services);
    write(run_dir, plane, &all);
}

/// Note these, in the place of those noted before.
pub fn write(run_dir: &Path, plane: Plane, services: &BTreeSet<ServiceKey>) {
    let path = file(run_dir, plane);
    let write = || pidfile::replace(&path, &serde_json::to_vec(services)?, 0o644);
    if let Err(error) = write() {
        tracing::warn!(path = %path.display(), %error, "our services are not noted; after a crash they would stay in the plane");
    }
}

/// None is left.
pub fn forget(run_dir: &Path, plane: Plane) {
    if let Err(error) = fs::remove_file(file(run_dir, plane))
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, "the note of our services is still there");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_back_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let service = |port| ServiceKey::Address {
            protocol: crate::lvs::table::Protocol::Tcp,
            addr: std::net::Ipv4Addr::LOCALHOST.into(),
            port,
        };
        let noted = |plane| read(dir.path(), plane);
        assert!(noted(Plane::Ipvs).is_empty());
        write(dir.path(), Plane::Ipvs, &BTreeSet::from([service(80)]));
        add(dir.path(), Plane::Ipvs, &BTreeSet::from([service(81)]));
        assert_eq!(noted(Plane::Ipvs), BTreeSet::from([service(80), service(81)]));
        assert!(noted(Plane::Ebpf).is_empty(), "each plane has its own");
        forget(dir.path(), Plane::Ipvs);
        assert!(noted(Plane::Ipvs).is_empty());
    }
}
