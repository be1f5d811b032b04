//! What instances and sync groups track, and the blocks that name it: scripts, files, processes, BFD sessions.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use serde::Serialize;

use super::{CheckerKind, Command, Config, seconds};
use crate::base::IfName;
use crate::config::source::Span;

/// `vrrp_script NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VrrpScript {
    pub name: String,
    #[serde(skip)]
    pub at: Span,
    pub command: Command,
    #[serde(serialize_with = "seconds")]
    pub interval: Duration,
    /// The interval where none is given.
    #[serde(serialize_with = "seconds")]
    pub timeout: Duration,
    /// Successes in a row, 1 by default.
    pub rise: u32,
    /// Failures in a row, 1 by default.
    pub fall: u32,
    /// -253..=253; 0: a failure is a fault.
    pub weight: i16,
    pub reverse: bool,
    pub init_fail: bool,
}

/// `track_file NAME`, `vrrp_track_file NAME`: a file whose number, times the weight, is added to a priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackFile {
    pub name: String,
    #[serde(skip)]
    pub at: Span,
    pub path: String,
    /// -254..=254, 1 by default; 0: a number other than 0 is a fault.
    pub weight: i16,
    pub reverse: bool,
    pub init: Option<InitFile>,
}

/// `init_file [INT] [overwrite]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InitFile {
    pub value: i32,
    /// Also where the file is there already.
    pub overwrite: bool,
}

/// `vrrp_track_process NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackProcess {
    pub name: String,
    #[serde(skip)]
    pub at: Span,
    /// A path, or the name of a program.
    pub program: String,
    pub arguments: Vec<String>,
    pub arguments_match: ArgumentsMatch,
    /// `full_command`: the command line counts, and not the name of the program.
    pub full_command: bool,
    /// -254..=254; 0: a failure is a fault.
    pub weight: i16,
    pub reverse: bool,
    /// 1..=65535.
    pub quorum: u16,
    /// `None`: no limit.
    pub quorum_max: Option<u16>,
    #[serde(serialize_with = "seconds")]
    pub terminate_delay: Duration,
    #[serde(serialize_with = "seconds")]
    pub fork_delay: Duration,
}

/// `param_match`: how the arguments of a process are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ArgumentsMatch {
    /// Not written, and no arguments given.
    Any,
    Exact,
    /// The last one may be longer, and more may follow.
    Initial,
    /// More may follow.
    Partial,
}

/// `bfd_instance NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the file, free of the others")]
pub struct BfdInstance {
    pub name: String,
    #[serde(skip)]
    pub at: Span,
    /// `neighbor_ip`.
    pub neighbor: IpAddr,
    /// `source_ip`; `None`: by route.
    pub source: Option<IpAddr>,
    #[serde(serialize_with = "seconds")]
    pub min_rx: Duration,
    #[serde(serialize_with = "seconds")]
    pub min_tx: Duration,
    #[serde(serialize_with = "seconds")]
    pub idle_tx: Duration,
    pub multiplier: NonZeroU8,
    pub passive: bool,
    /// `ttl`, `hoplimit`.
    pub ttl: Option<u8>,
    /// `None`: 0 over one hop, unchecked over several.
    pub max_hops: Option<MaxHops>,
    pub multihop: bool,
    /// -253..=253; 0: a session that is down is a fault.
    pub weight: i16,
    pub reverse: bool,
    /// `vrrp`: for VRRP alone, unless `checker` stands there too.
    pub for_vrrp: bool,
    pub for_checkers: bool,
}

/// `max_hops`: how many routers a packet may have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MaxHops {
    Any,
    Most(u8),
}

/// The blocks `track_interface`, `track_script`, `track_file`, `track_process`, `track_bfd`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tracking {
    pub interfaces: Vec<TrackInterface>,
    pub scripts: Vec<TrackEntry>,
    pub files: Vec<TrackEntry>,
    pub processes: Vec<TrackEntry>,
    pub bfds: Vec<TrackEntry>,
}

/// A line of `track_interface`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackInterface {
    pub interface: IfName,
    /// `None` or 0: a failure is a fault.
    pub weight: Option<i16>,
    pub reverse: bool,
    #[serde(skip)]
    pub at: Span,
}

/// A line of the other ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackEntry {
    pub name: String,
    /// `None`: the weight of what it names.
    pub weight: Option<i16>,
    pub reverse: bool,
    #[serde(skip)]
    pub at: Span,
}

/// What an entry may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trackable {
    Script,
    File,
    Process,
    Bfd,
}

impl Trackable {
    pub const ALL: [Self; 4] = [Self::Script, Self::File, Self::Process, Self::Bfd];

    /// The keyword of the block that defines it.
    pub const fn block(self) -> &'static str {
        match self {
            Self::Script => "vrrp_script",
            Self::File => "track_file",
            Self::Process => "vrrp_track_process",
            Self::Bfd => "bfd_instance",
        }
    }

    /// The keyword of the block that lists it.
    pub const fn list(self) -> &'static str {
        match self {
            Self::Script => "track_script",
            Self::File => "track_file",
            Self::Process => "track_process",
            Self::Bfd => "track_bfd",
        }
    }
}

impl Config {
    /// What `FILE_CHECK`s name.
    pub fn file_checks(&self) -> impl Iterator<Item = &TrackEntry> {
        let checkers =
            self.virtual_servers.iter().flat_map(|server| &server.real_servers).flat_map(|real| &real.checkers);
        checkers.filter_map(|checker| if let CheckerKind::File(entry) = &checker.kind { Some(entry) } else { None })
    }

    /// What `BFD_CHECK`s name, and where.
    pub fn bfd_checks(&self) -> impl Iterator<Item = (&str, Span)> {
        let checkers =
            self.virtual_servers.iter().flat_map(|server| &server.real_servers).flat_map(|real| &real.checkers);
        checkers.filter_map(|checker| {
            if let CheckerKind::Bfd { session, at } = &checker.kind { Some((session.as_str(), *at)) } else { None }
        })
    }

    /// The weight of a script, file or process, and whether it is reversed; `None`: it does not exist.
    pub fn weight_of(&self, kind: Trackable, name: &str) -> Option<(i16, bool)> {
        match kind {
            Trackable::Script => {
                self.scripts.iter().find(|script| script.name == name).map(|script| (script.weight, script.reverse))
            }
            Trackable::File => {
                self.track_files.iter().find(|file| file.name == name).map(|file| (file.weight, file.reverse))
            }
            Trackable::Process => {
                let found = self.track_processes.iter().find(|process| process.name == name);
                found.map(|process| (process.weight, process.reverse))
            }
            Trackable::Bfd => self.bfds.iter().find(|bfd| bfd.name == name).map(|bfd| (bfd.weight, bfd.reverse)),
        }
    }
}

impl Tracking {
    pub fn entries(&self, kind: Trackable) -> &[TrackEntry] {
        match kind {
            Trackable::Script => &self.scripts,
            Trackable::File => &self.files,
            Trackable::Process => &self.processes,
            Trackable::Bfd => &self.bfds,
        }
    }

    pub fn entries_mut(&mut self, kind: Trackable) -> &mut Vec<TrackEntry> {
        match kind {
            Trackable::Script => &mut self.scripts,
            Trackable::File => &mut self.files,
            Trackable::Process => &mut self.processes,
            Trackable::Bfd => &mut self.bfds,
        }
    }

    /// Every entry with what it may name.
    pub fn all(&self) -> impl Iterator<Item = (Trackable, &TrackEntry)> {
        Trackable::ALL.into_iter().flat_map(|kind| self.entries(kind).iter().map(move |entry| (kind, entry)))
    }
}
