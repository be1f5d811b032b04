//! What setup has changed on a host since it booted, so that undo takes back that and no more. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Change, host};

/// What was changed and has not been taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Added, with the interface.
    addresses: BTreeSet<(IpAddr, String)>,
    /// Tunnel devices that were down.
    links: BTreeSet<String>,
    /// By key below `/proc/sys`.
    sysctls: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Value {
    /// Before setup.
    was: String,
    set: String,
}

impl Record {
    /// Write down a change that was carried out, of setup or of undo.
    pub fn note(&mut self, change: &Change) {
        match change {
            Change::AddAddress { addr, interface } => drop(self.addresses.insert((*addr, (*interface).to_owned()))),
            Change::DeleteAddress { addr, interface } => drop(self.addresses.remove(&(*addr, interface.clone()))),
            Change::LinkUp { interface } => drop(self.links.insert((*interface).to_owned())),
            Change::LinkDown { interface } => drop(self.links.remove(*interface)),
            Change::Sysctl { key, from, to } => {
                let held =
                    self.sysctls.entry(key.clone()).or_insert_with(|| Value { was: from.clone(), set: to.clone() });
                held.set.clone_from(to);
                if held.was == *to {
                    self.sysctls.remove(key);
                }
            }
            Change::LoadModule { .. }
            | Change::Decapsulate { .. }
            | Change::StopDecapsulating { .. }
            | Change::WriteFile { .. }
            | Change::RemoveFile { .. } => {}
        }
    }

    /// Whether setup added it.
    pub fn has_address(&self, addr: IpAddr, interface: &str) -> bool {
        self.addresses.contains(&(addr, interface.to_owned()))
    }

    pub(super) fn has_link(&self, interface: &str) -> bool {
        self.links.contains(interface)
    }

    /// Sysctls back to what they were; one that somebody has changed since stays.
    pub(super) fn restore(&self, now: &BTreeMap<String, String>) -> impl Iterator<Item = Change> {
        self.sysctls
            .iter()
            .filter(|(key, value)| now.get(*key) == Some(&value.set))
            .map(|(key, value)| Change::Sysctl { key: key.clone(), from: value.set.clone(), to: value.was.clone() })
    }
}

/// What undo leaves as it is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Somebody else put it there, as far as is known.
    Address { addr: IpAddr, interface: String },
    /// Setup ran before this version wrote down what it changed, or with another run directory.
    Unrecorded,
    /// Another VIP may need them.
    Needed,
    /// Named by `--persist`, and written by somebody else.
    File { path: PathBuf },
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { addr, interface } => write!(
                f,
                "{addr} stays on {interface}: nothing says that setup put it there; to remove it: \
                 ip address delete {} dev {interface}",
                host(*addr)
            ),
            Self::Unrecorded => f.write_str(
                "sysctls and tunnel devices stay: what setup changed was not written down (by an older vipd, with \
                 another --run-dir, or nothing was set up)",
            ),
            Self::Needed => f.write_str("sysctls and tunnel devices stay: another VIP of this host may need them"),
            Self::File { path } => {
                write!(f, "{} stays: it was not written by `vipd real-server setup`", path.display())
            }
        }
    }
}
