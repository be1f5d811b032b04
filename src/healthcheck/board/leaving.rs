//! From one process to the next: what the checks of the one have learnt, and with what those of the other begin.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

use super::check::Learnt;
use super::{Action, Board};
use crate::base::MonoTime;
use crate::healthcheck::probe::Probe;
use crate::healthcheck::settings::{CheckEvent, CheckId, CheckSettings, Standing, TargetId};

/// What a process leaves: the results of its checks, and since when its real servers are what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    checks: Vec<LeftCheck>,
    targets: Vec<LeftTarget>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeftCheck {
    ids: BTreeSet<CheckId>,
    asks: u64,
    learnt: Learnt,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeftTarget {
    id: TargetId,
    standing: Standing,
    since: MonoTime,
}

/// The same, to be looked up.
#[derive(Debug, Default)]
pub(super) struct Before {
    checks: BTreeMap<CheckId, (u64, Learnt)>,
    targets: BTreeMap<TargetId, (Standing, MonoTime)>,
}

impl From<Left> for Before {
    fn from(left: Left) -> Self {
        let checks = left.checks.into_iter().flat_map(|LeftCheck { ids, asks, learnt }| {
            ids.into_iter().map(move |id| (id, (asks, learnt.clone()))).collect::<Vec<_>>()
        });
        let targets = left.targets.into_iter().map(|target| (target.id, (target.standing, target.since)));
        Self { checks: checks.collect(), targets: targets.collect() }
    }
}

impl Before {
    /// What was learnt for one of these checkers, which asked the same thing.
    pub fn learnt(&self, ids: &BTreeSet<CheckId>, probe: &Probe) -> Option<&Learnt> {
        let asks = fingerprint(probe);
        ids.iter().filter_map(|id| self.checks.get(id)).find(|(asked, _)| *asked == asks).map(|(_, learnt)| learnt)
    }

    /// Since when a real server has this standing, where it had it when the process before left.
    pub fn since(&self, target: &TargetId, standing: Standing) -> Option<MonoTime> {
        self.targets.get(target).filter(|(before, _)| *before == standing).map(|(_, since)| *since)
    }
}

impl Board {
    /// What the checks have learnt so far. None is changed.
    pub fn leave(&self) -> Left {
        let checks = self.checks.values().filter_map(|check| {
            let (ids, learnt) = (check.ids.clone(), check.learnt());
            (!learnt.is_nothing()).then(|| LeftCheck { ids, asks: fingerprint(&check.settings.probe), learnt })
        });
        let targets = self.targets.iter().map(|(id, target)| {
            let (standing, since) = (target.standing, target.since);
            LeftTarget { id: id.clone(), standing, since }
        });
        Left { checks: checks.collect(), targets: targets.collect() }
    }

    /// What the process before left: the checks that the first [`Board::configure`] brings begin with it, as those of a
    /// reload with what their predecessors learnt. To be said before it.
    pub fn resume(&mut self, left: Left) {
        self.before = left.into();
    }

    /// What a board that resumes so tells first of these checkers.
    pub fn foretell(now: MonoTime, left: Left, wanted: Vec<CheckSettings>) -> Vec<CheckEvent> {
        let mut board = Self::default();
        board.resume(left);
        let told = board.configure(now, wanted, || 0).into_iter().filter_map(|action| match action {
            Action::Tell(event) => Some(event),
            Action::Start { .. } | Action::Abort(_) | Action::LogFailure { .. } => None,
        });
        told.collect()
    }
}

/// The same in another process for the same question; another program may give another number, and begins anew then.
fn fingerprint(probe: &Probe) -> u64 {
    let mut hasher = DefaultHasher::new();
    probe.hash(&mut hasher);
    hasher.finish()
}
