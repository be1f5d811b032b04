//! Facts of this system for `check/system.rs`: its interfaces, files and accounts. It decides nothing.

use std::collections::HashSet;
use std::env;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::net::if_::if_nameindex;
use nix::unistd::{Group, User};

use crate::config::check::system::{Changeable, Facts, Program, Wanted};

/// Group and others may write.
const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
const PERMISSIONS: u32 = 0o7777;
const ANY_EXECUTE: u32 = 0o111;

impl Facts {
    /// Look at this system. What cannot be read counts as absent.
    pub fn scan(wanted: &Wanted) -> Self {
        Self {
            interfaces: interfaces(),
            programs: wanted.programs.iter().filter_map(|name| Some((name.clone(), program(name)?))).collect(),
            users: wanted.users.iter().filter(|name| matches!(User::from_name(name), Ok(Some(_)))).cloned().collect(),
            groups: wanted
                .groups
                .iter()
                .filter(|name| matches!(Group::from_name(name), Ok(Some(_))))
                .cloned()
                .collect(),
        }
    }
}

fn interfaces() -> HashSet<String> {
    let Ok(all) = if_nameindex() else { return HashSet::new() };
    all.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect()
}

fn program(name: &str) -> Option<Program> {
    let path = find(name)?;
    let metadata = fs::metadata(&path).ok().filter(Metadata::is_file)?;
    Some(Program { executable: metadata.mode() & ANY_EXECUTE != 0, changeable: changeable(&path) })
}

/// The file behind the name, without symbolic links; a name without a slash is looked for in `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return fs::canonicalize(name).ok();
    }
    env::split_paths(&env::var_os("PATH")?).find_map(|dir| fs::canonicalize(dir.join(name)).ok())
}

/// The first part of the path, from the root, that others than root may change.
fn changeable(path: &Path) -> Option<Changeable> {
    let mut parts: Vec<&Path> = path.ancestors().collect();
    parts.reverse();
    parts.into_iter().find_map(|part| {
        let metadata = fs::metadata(part).ok().filter(is_open)?;
        let user = User::from_uid(metadata.uid().into()).ok().flatten();
        let group = Group::from_gid(metadata.gid().into()).ok().flatten();
        Some(Changeable {
            part: part.display().to_string(),
            owner: user.map_or_else(|| metadata.uid().to_string(), |user| user.name),
            group: group.map_or_else(|| metadata.gid().to_string(), |group| group.name),
            mode: metadata.mode() & PERMISSIONS,
        })
    })
}

/// In a directory with the sticky bit nobody can replace what belongs to another.
fn is_open(metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    let guarded = metadata.is_dir() && mode & STICKY != 0;
    let writable = mode & OTHER_WRITE != 0 || (metadata.gid() != 0 && mode & GROUP_WRITE != 0);
    metadata.uid() != 0 || (!guarded && writable)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test writes the file that it looks at")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_described_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let rows =
            [("closed", 0o700, true, false), ("not executable", 0o600, false, false), ("open", 0o702, true, true)];
        for (name, mode, executable, open) in rows {
            let path = dir.path().join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let seen = program(path.to_str().unwrap()).unwrap();
            assert_eq!(seen.executable, executable, "{name}");
            assert_eq!(seen.changeable.is_some_and(|part| part.part.ends_with(name)), open, "{name}");
        }
        assert_eq!(program(dir.path().join("absent").to_str().unwrap()), None);
    }

    #[test]
    fn accounts_and_interfaces_of_this_system_are_found() {
        let names = |names: [&str; 2]| names.into_iter().map(str::to_owned).collect();
        let wanted = Wanted {
            programs: names(["sh", "no-such-program"]),
            users: names(["root", "no-such-user"]),
            groups: names(["root", "no-such-group"]),
        };
        let facts = Facts::scan(&wanted);
        assert_eq!(facts.programs.keys().collect::<Vec<_>>(), ["sh"]);
        assert_eq!((facts.users.len(), facts.groups.len()), (1, 1));
        assert!(facts.interfaces.contains("lo"));
    }
}
