//! What the checkers are told and what they tell: settings in, events and views out.
//!
//! The words are opaque to this room: `daemon/` makes the labels from its own model and reads them back.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{MonoTime, WeightWish};

use super::judge::OnLocalError;
use super::outcome::Outcome;
use super::probe::Probe;

/// One real server of one service, by the labels its owner gave them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetId {
    pub service: String,
    pub destination: String,
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.destination, self.service)
    }
}

/// One checker of a real server; `index` counts the checkers of that real server in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CheckId {
    pub target: TargetId,
    pub index: u32,
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check {} of {}", self.index, self.target)
    }
}

/// One checker, with every inherited value already filled in. Two that differ in the id alone ask the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckSettings {
    pub id: CheckId,
    pub probe: Probe,
    /// Time between two checks. [`super::schedule::DELAY_LOOP_MIN`] is the least that is kept.
    pub delay_loop: Duration,
    /// Failures in a row, after the first one, before a checker that is up goes down.
    pub retry: u32,
    /// Wait before a failed check of a checker that is up is repeated.
    pub delay_before_retry: Duration,
    /// The first check comes at 1 s plus a random part of this.
    pub warmup: Duration,
    /// Down until the first success, instead of up until the first failure.
    pub alpha: bool,
    pub on_local_error: OnLocalError,
    /// `rs_init_notifies`: that the server is up at first is told too.
    pub tell_first: bool,
    /// Every failure is logged, not only what follows from some.
    pub log_all_failures: bool,
}

/// Whether a checker, or a real server as a whole, counts as usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Up,
    Down,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// Why a standing moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A checker had this result.
    Checked { check: CheckId, outcome: Outcome, latency: Duration },
    /// A reload took away, added or replaced checkers.
    Reconfigured,
    /// The daemon began, and knows it of the one before, which left everything to it.
    Resumed,
    /// A reload took away its last checker, or the real server itself.
    Unchecked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checked { outcome, .. } => outcome.fmt(f),
            Self::Resumed => f.write_str("as before the restart"),
            Self::Reconfigured => f.write_str("the checkers were reconfigured"),
            Self::Unchecked => f.write_str("it is checked no more"),
        }
    }
}

/// What the checkers tell about a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckEvent {
    /// No checker of the real server is failed any more; also the first success of an `alpha` one.
    Up { target: TargetId, reason: Reason },
    /// A checker failed and none was failed before, or the first result of an `alpha` one is a failure.
    Down { target: TargetId, reason: Reason },
    /// A script with `misc_dynamic`, an agent or a file asks for a weight in place of the configured one.
    Weight { target: TargetId, wish: WeightWish },
    /// A check of it has had no result for two periods and the deadline of a run, `because` of a fault of ours; `None`:
    /// it has one again.
    Silence { target: TargetId, check: CheckId, because: Option<Outcome> },
}

impl CheckEvent {
    pub const fn target(&self) -> &TargetId {
        match self {
            Self::Up { target, .. }
            | Self::Down { target, .. }
            | Self::Weight { target, .. }
            | Self::Silence { target, .. } => target,
        }
    }
}

/// What a checker knows about its real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// No result yet: `believed` follows from `alpha`.
    Untried {
        believed: Standing,
    },
    Tried {
        standing: Standing,
    },
}

impl CheckState {
    pub const fn standing(self) -> Standing {
        match self {
            Self::Untried { believed } => believed,
            Self::Tried { standing } => standing,
        }
    }
}

/// One line of `status`: a checker and its last result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    pub id: CheckId,
    /// The configuration's keyword, as `TCP_CHECK`.
    pub kind: String,
    pub state: CheckState,
    /// Failures in a row up to the last result.
    pub failures: u32,
    /// Of the last run.
    pub last: Option<LastResult>,
    /// Runs that ended since the checker was added.
    pub results: u64,
    /// Why a result is overdue: two periods and the deadline of a run have passed without one that says anything of the
    /// real server.
    pub stale: Option<Outcome>,
    /// `ha_suspend`: it is not made while the service's address is not here.
    pub resting: bool,
    /// Time since the real server, by all its checks, was last found up or down where it was not before.
    pub standing_for: Duration,
    /// Checkers that ask the same, this one among them: one run serves all.
    pub shared_by: usize,
}

/// The newest result of a checker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastResult {
    pub outcome: Outcome,
    /// The outcome as one phrase.
    pub text: String,
    pub latency: Duration,
    /// Time since that result, when the view was made.
    pub age: Duration,
}

/// The newest result as the board keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub outcome: Outcome,
    pub latency: Duration,
    pub at: MonoTime,
}

impl Kept {
    pub fn view(&self, now: MonoTime) -> LastResult {
        LastResult {
            outcome: self.outcome.clone(),
            text: self.outcome.to_string(),
            latency: self.latency,
            age: now.since(self.at),
        }
    }
}
