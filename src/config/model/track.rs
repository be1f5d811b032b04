//! What instances and sync groups track, and the blocks that name it: scripts, files, processes.

use std::time::Duration;

use serde::Serialize;

use super::{Command, Config, seconds};
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

/// The blocks `track_interface`, `track_script`, `track_file`, `track_process`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tracking {
    pub interfaces: Vec<TrackInterface>,
    pub scripts: Vec<TrackEntry>,
    pub files: Vec<TrackEntry>,
    pub processes: Vec<TrackEntry>,
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
}

impl Trackable {
    pub const ALL: [Self; 3] = [Self::Script, Self::File, Self::Process];

    /// The keyword of the block that defines it.
    pub const fn block(self) -> &'static str {
        match self {
            Self::Script => "vrrp_script",
            Self::File => "track_file",
            Self::Process => "vrrp_track_process",
        }
    }

    /// The keyword of the block that lists it.
    pub const fn list(self) -> &'static str {
        match self {
            Self::Script => "track_script",
            Self::File => "track_file",
            Self::Process => "track_process",
        }
    }
}

impl Config {
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
        }
    }
}

impl Tracking {
    pub fn entries(&self, kind: Trackable) -> &[TrackEntry] {
        match kind {
            Trackable::Script => &self.scripts,
            Trackable::File => &self.files,
            Trackable::Process => &self.processes,
        }
    }

    pub fn entries_mut(&mut self, kind: Trackable) -> &mut Vec<TrackEntry> {
        match kind {
            Trackable::Script => &mut self.scripts,
            Trackable::File => &mut self.files,
            Trackable::Process => &mut self.processes,
        }
    }

    /// Every entry with what it may name.
    pub fn all(&self) -> impl Iterator<Item = (Trackable, &TrackEntry)> {
        Trackable::ALL.into_iter().flat_map(|kind| self.entries(kind).iter().map(move |entry| (kind, entry)))
    }
}
