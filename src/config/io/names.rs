//! The files of iproute2 that give names to numbers.
#![expect(clippy::disallowed_methods, reason = "this is the part of the room that opens files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::names::{Names, add};

/// Where iproute2 looks: what the operator wrote goes before what the distribution did.
const DIRECTORIES: [&str; 3] = ["/etc/iproute2", "/usr/lib/iproute2", "/usr/share/iproute2"];
/// A longer file is none of names.
const BYTES_MAX: u64 = 1 << 20;

/// All names of this host. What cannot be read names nothing.
pub fn read() -> Names {
    let mut names = Names::default();
    for directory in DIRECTORIES.map(Path::new) {
        read_one(&mut names.tables, directory, "rt_tables");
        read_one(&mut names.protocols, directory, "rt_protos");
        read_one(&mut names.realms, directory, "rt_realms");
        read_one(&mut names.services, directory, "rt_dsfield");
    }
    names
}

/// A file, and those of the directory beside it (`rt_tables.d/*.conf`).
fn read_one(names: &mut BTreeMap<String, u32>, directory: &Path, name: &str) {
    let beside = fs::read_dir(directory.join(format!("{name}.d")));
    let mut files: Vec<PathBuf> = beside.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    files.sort();
    for file in std::iter::once(directory.join(name)).chain(files) {
        let about = fs::metadata(&file).ok().filter(|about| about.is_file() && about.len() <= BYTES_MAX);
        if let Some(text) = about.and_then(|_| fs::read_to_string(&file).ok()) {
            add(names, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_those_beside_it_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let beside = dir.path().join("rt_tables.d");
        fs::create_dir(&beside).unwrap();
        fs::write(dir.path().join("rt_tables"), "100 blue\n").unwrap();
        fs::write(beside.join("a.conf"), "101 red\n102 blue\n").unwrap();
        fs::write(beside.join("a.conf.orig"), "103 green\n").unwrap();
        let mut names = BTreeMap::new();
        read_one(&mut names, dir.path(), "rt_tables");
        assert_eq!(names, [("blue".to_owned(), 100), ("red".to_owned(), 101)].into());
    }
}
