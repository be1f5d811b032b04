//! All checkers of the daemon: which run is due, what a result changes, which real servers are up.
//!
//! No task, no clock, no socket: carry out the [`Action`]s in order. The shell is `daemon/checkers.rs`.

mod check;
mod leaving;
mod rest;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::base::MonoTime;

use super::judge::Change;
use super::outcome::{LocalFault, Outcome, Verdict};
use super::probe::Source;
use super::schedule::Next;
use super::settings::{CheckEvent, CheckId, CheckSettings, CheckState, CheckView, Kept, Reason, Standing, TargetId};
use check::{Check, RunState};
use leaving::Before;
pub use leaving::Left;

/// Runs at one time. Further ones that are due wait for a free place, oldest first.
pub const RUNS_MAX: usize = 4096;
/// A run that has not come back this long after its own deadline is stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(2);

/// That a check is silent may be told so much later: a wake that comes anyway will do.
const SILENCE_SLACK: Duration = Duration::from_secs(1);

/// Names one run of one check; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

impl From<RunId> for u64 {
    fn from(run: RunId) -> Self {
        run.0
    }
}

impl From<u64> for RunId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a run in its own task; its end is told by [`Board::finish`].
    Start {
        run: RunId,
        check: Arc<CheckSettings>,
        url: usize,
    },
    /// End the task of a run. [`Board::finish`] is still to be called when it has ended.
    Abort(RunId),
    Tell(CheckEvent),
    /// `log_all_failures`: a failure from which nothing follows yet.
    LogFailure {
        check: CheckId,
        outcome: Outcome,
        failures: u32,
    },
}

/// Names one check that is made, for as long as there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct CheckKey(u64);

/// Every checker, and the standing of every real server. Checkers that ask the same share one check.
#[derive(Debug, Default)]
pub struct Board {
    checks: BTreeMap<CheckKey, Check>,
    by_id: BTreeMap<CheckId, CheckKey>,
    targets: BTreeMap<TargetId, Target>,
    due: BTreeSet<(MonoTime, CheckKey)>,
    /// No run is overdue before that.
    look_for_overdue: Option<MonoTime>,
    /// When the silence of a check is to be told.
    patience: BTreeSet<(MonoTime, CheckKey)>,
    /// Runs whose task has not ended; `None` where the check is gone.
    runs: BTreeMap<RunId, Option<CheckKey>>,
    /// What the process before left, until the first checkers are here.
    before: Before,
    /// Services whose checks rest (`ha_suspend`).
    resting: BTreeSet<String>,
    /// Places of [`RUNS_MAX`] that are not to be used.
    closed: usize,
    last_run: u64,
    last_key: u64,
}

#[derive(Debug)]
struct Target {
    standing: Standing,
    /// When it last moved, or was added.
    since: MonoTime,
    /// A result was told, so a confirmation is no news.
    told: bool,
}

impl Board {
    /// Take these checkers in place of the present ones. One whose probe is the same keeps its state; of two
    /// with one id the later counts. `jitter` gives a random number for each new check.
    #[expect(clippy::mutable_key_type, reason = "a regex has a cache, and is hashed and compared by its text")]
    pub fn configure(
        &mut self,
        now: MonoTime,
        wanted: Vec<CheckSettings>,
        mut jitter: impl FnMut() -> u32,
    ) -> Vec<Action> {
        let mut actions = vec![];
        let left = std::mem::take(&mut self.before);
        let mut old = std::mem::take(&mut self.checks);
        let old_ids = std::mem::take(&mut self.by_id);
        let mut unchanged: HashMap<CheckSettings, CheckKey> =
            old.iter().map(|(key, check)| (anonymous(&check.settings), *key)).collect();
        let mut made: Vec<(CheckKey, Check)> = vec![];
        for (settings, ids) in grouped(wanted) {
            let (key, check) = if let Some(key) = unchanged.remove(&anonymous(&settings))
                && let Some(kept) = old.remove(&key)
            {
                (key, kept.renamed(settings, ids))
            } else {
                self.last_key = self.last_key.wrapping_add(1);
                let before: Vec<CheckKey> = ids.iter().filter_map(|id| old_ids.get(id).copied()).collect();
                let mut fresh = Check::new(now, settings, ids, jitter());
                if let Some(learnt) = left.learnt(&fresh.ids, &fresh.settings.probe) {
                    fresh.resume(learnt);
                }
                let kept = made.iter().map(|(key, check)| (*key, check)).chain(old.iter().map(|(key, c)| (*key, c)));
                for (_, predecessor) in kept.filter(|(key, _)| before.contains(key)) {
                    fresh.inherit(predecessor);
                }
                (CheckKey(self.last_key), fresh)
            };
            made.push((key, check));
        }
        for gone in old.values() {
            self.forget(gone, &mut actions);
        }
        self.checks = made.into_iter().collect();
        self.by_id =
            self.checks.iter().flat_map(|(key, check)| check.ids.iter().map(|id| (id.clone(), *key))).collect();
        self.settle_schedule(now, &mut actions);
        self.settle_targets(now, &left, &mut actions);
        for (id, key) in &self.by_id {
            let wish = self.checks.get(key).and_then(|check| check.wish);
            if let (Some(wish), None) = (wish, old_ids.get(id)) {
                actions.push(Action::Tell(CheckEvent::Weight { target: id.target.clone(), wish }));
            }
        }
        actions
    }

    /// Run no more than this many at one time, from 1 to [`RUNS_MAX`]: each may hold a file descriptor.
    pub fn limit_runs(&mut self, places: usize) {
        self.closed = RUNS_MAX.saturating_sub(places.max(1));
    }

    /// How many may run at one time.
    const fn places(&self) -> usize {
        RUNS_MAX.saturating_sub(self.closed)
    }

    /// Tasks of runs that have not ended.
    pub fn running(&self) -> usize {
        self.runs.len()
    }

    /// A fault of ours is over (a link is back): what failed meanwhile is tried again at once, and what is under
    /// way begins anew, since its result would tell of us and not of the real server.
    pub fn begin_anew(&mut self, now: MonoTime) -> Vec<Action> {
        let mut actions = vec![];
        for (key, check) in &mut self.checks {
            match check.run {
                RunState::Running { run, .. } => {
                    self.runs.insert(run, None);
                    actions.push(Action::Abort(run));
                }
                RunState::Waiting { due } if check.judge.failures() > 0 => {
                    self.due.remove(&(due, *key));
                }
                RunState::Waiting { .. } | RunState::Stuck { .. } | RunState::Resting => continue,
            }
            check.run = RunState::Waiting { due: now };
            self.due.insert((now, *key));
        }
        actions
    }

    /// What some checks read changed: they read it at once, those that are reading it when they have done.
    pub fn changed(&mut self, now: MonoTime, source: Source<'_>) {
        for (key, check) in self.checks.iter_mut().filter(|(_, check)| check.settings.probe.reads(source)) {
            match check.run {
                RunState::Waiting { due } => {
                    self.due.remove(&(due, *key));
                    check.run = RunState::Waiting { due: now };
                    self.due.insert((now, *key));
                }
                RunState::Running { .. } => check.again = true,
                RunState::Stuck { .. } | RunState::Resting => {}
            }
        }
    }

    /// Start what is due, give up what is stuck, and tell of what is silent.
    pub fn poll(&mut self, now: MonoTime) -> Vec<Action> {
        let mut actions = vec![];
        if self.look_for_overdue.is_some_and(|at| at <= now) {
            self.give_up_overdue(now, &mut actions);
        }
        while let Some((at, key)) = self.patience.first().copied()
            && at <= now
        {
            self.patience.remove(&(at, key));
            self.look_for_silence(now, key, &mut actions);
        }
        while self.runs.len() < self.places()
            && self.due.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.due.pop_first()
        {
            let Some(check) = self.checks.get_mut(&key) else { continue };
            self.last_run = self.last_run.wrapping_add(1);
            let run = RunId(self.last_run);
            let overdue = now + check.settings.probe.deadline() + STUCK_AFTER;
            check.run = RunState::Running { run, overdue };
            self.look_for_overdue = self.look_for_overdue.into_iter().chain([overdue]).min();
            self.runs.insert(run, Some(key));
            actions.push(Action::Start { run, check: Arc::clone(&check.settings), url: check.url });
        }
        actions
    }

    /// The task of a run ended with `outcome` after `latency`. A task that panicked or was aborted ended with
    /// [`LocalFault::TaskEnded`].
    pub fn finish(&mut self, now: MonoTime, run: RunId, outcome: Outcome, latency: Duration) -> Vec<Action> {
        let mut actions = vec![];
        let Some(Some(key)) = self.runs.remove(&run) else { return actions };
        let Some(check) = self.checks.get_mut(&key) else { return actions };
        let next = match check.run {
            RunState::Running { .. } => {
                let (change, next) = check.take_result(now, outcome, latency);
                self.tell(now, key, change, &mut actions);
                next
            }
            RunState::Stuck { .. } | RunState::Waiting { .. } | RunState::Resting => Next::Period,
        };
        self.schedule(now, key, next, &mut actions);
        actions
    }

    /// When [`Board::poll`] is to be called next, which may be in vain; `None` where only a result can change anything.
    pub fn deadline(&self) -> Option<MonoTime> {
        let first = |times: &BTreeSet<(MonoTime, CheckKey)>| times.first().map(|(at, _)| *at);
        let due = if self.runs.len() < self.places() { first(&self.due) } else { None };
        let silence = first(&self.patience).map(|at| at + SILENCE_SLACK);
        let overdue = self.look_for_overdue.filter(|_| !self.runs.is_empty());
        overdue.into_iter().chain(due).chain(silence).min()
    }

    /// The standing of every real server that has a checker; one that has none is up.
    pub fn standings(&self) -> BTreeMap<TargetId, Standing> {
        self.targets.iter().map(|(id, target)| (id.clone(), target.standing)).collect()
    }

    /// Every checker, in the order of service, real server and file.
    pub fn views(&self, now: MonoTime) -> Vec<CheckView> {
        let since = |id: &CheckId| self.targets.get(&id.target).map_or(now, |target| target.since);
        let view = |(id, key): (&CheckId, &CheckKey)| {
            Some(self.checks.get(key)?.view(id, now.since(since(id)), now, self.places()))
        };
        self.by_id.iter().filter_map(view).collect()
    }

    /// Checks that are made: checkers that ask the same count once.
    pub fn checks_made(&self) -> usize {
        self.checks.len()
    }

    /// Look through all runs. A run that is not stuck ends [`STUCK_AFTER`] before it is overdue, so that this comes so
    /// seldom.
    fn give_up_overdue(&mut self, now: MonoTime, actions: &mut Vec<Action>) {
        let overdue = |key: CheckKey| match self.checks.get(&key)?.run {
            RunState::Running { run, overdue } => Some((overdue, run, key)),
            RunState::Waiting { .. } | RunState::Stuck { .. } | RunState::Resting => None,
        };
        let running = self.runs.values().filter_map(|key| overdue((*key)?));
        let (stuck, healthy): (Vec<_>, Vec<_>) = running.partition(|(at, ..)| *at <= now);
        self.look_for_overdue = healthy.into_iter().map(|(at, ..)| at).min();
        for (_, run, key) in stuck {
            self.give_up(now, run, key, actions);
        }
    }

    fn give_up(&mut self, now: MonoTime, run: RunId, key: CheckKey, actions: &mut Vec<Action>) {
        let Some(check) = self.checks.get_mut(&key) else { return };
        check.run = RunState::Stuck { run };
        actions.push(Action::Abort(run));
        let latency = check.settings.probe.deadline() + STUCK_AFTER;
        let (change, _) = check.take_result(now, Outcome::Local(LocalFault::TaskStuck), latency);
        self.tell(now, key, change, actions);
        self.look_for_silence(now, key, actions);
    }

    /// The check is gone: its run, if any, ends and its result is for nobody.
    fn forget(&mut self, check: &Check, actions: &mut Vec<Action>) {
        let run = match check.run {
            RunState::Waiting { .. } | RunState::Resting => return,
            RunState::Stuck { run } => run,
            RunState::Running { run, .. } => {
                actions.push(Action::Abort(run));
                run
            }
        };
        self.runs.insert(run, None);
    }

    /// Tell all whom the last result concerns.
    fn tell(&mut self, now: MonoTime, key: CheckKey, change: Change, actions: &mut Vec<Action>) {
        let Some(check) = self.checks.get_mut(&key) else { return };
        let Some(Kept { outcome, latency, .. }) = &check.last else { return };
        if change == Change::None && check.settings.log_all_failures && outcome.verdict() == Verdict::Fail {
            let failures = check.judge.failures();
            let line = |id: &CheckId| Action::LogFailure { check: id.clone(), outcome: outcome.clone(), failures };
            actions.extend(check.ids.iter().map(line));
        }
        let wish = outcome.wish().filter(|wish| check.wish.replace(*wish) != Some(*wish));
        if wish.is_none() && change == Change::None {
            return;
        }
        let (outcome, latency) = (outcome.clone(), *latency);
        for id in check.ids.clone() {
            if let Some(wish) = wish {
                actions.push(Action::Tell(CheckEvent::Weight { target: id.target.clone(), wish }));
            }
            if change != Change::None {
                let told = self.tell_one(now, &id, change, &outcome, latency);
                actions.extend(told.map(Action::Tell));
            }
        }
    }

    fn tell_one(
        &mut self,
        now: MonoTime,
        id: &CheckId,
        change: Change,
        outcome: &Outcome,
        latency: Duration,
    ) -> Option<CheckEvent> {
        let standing = self.standing_of(&id.target);
        let all_tried =
            self.checks_of(&id.target).all(|check| !matches!(check.judge.state(), CheckState::Untried { .. }));
        let tell_first = self.checks_of(&id.target).any(|check| check.settings.tell_first);
        let target = self.targets.get_mut(&id.target)?;
        let first = !target.told
            && match change {
                Change::Confirmed(Standing::Down) => true,
                // Up is known when every checker has passed.
                Change::Confirmed(Standing::Up) => tell_first && all_tried && standing == Standing::Up,
                Change::None | Change::Moved(_) => false,
            };
        let news = first || standing != target.standing;
        target.told |= news || !tell_first;
        if standing != target.standing {
            (target.standing, target.since) = (standing, now);
        }
        let reason = || Reason::Checked { check: id.clone(), outcome: outcome.clone(), latency };
        news.then(|| event(id.target.clone(), standing, reason()))
    }

    fn checks_of(&self, target: &TargetId) -> impl Iterator<Item = &Check> {
        let first = CheckId { target: target.clone(), index: 0 };
        let ids = self.by_id.range(first..).take_while(move |(id, _)| id.target == *target);
        ids.filter_map(|(_, key)| self.checks.get(key))
    }

    /// Up where no checker is down.
    fn standing_of(&self, target: &TargetId) -> Standing {
        self.checks_of(target).map(|check| check.judge.standing()).max().unwrap_or(Standing::Up)
    }

    /// Whether a new one has checks that know something of it which is not what is believed at first, or is told anyway.
    fn is_news(&self, target: &TargetId, standing: Standing) -> bool {
        let tried = |check: &Check| matches!(check.judge.state(), CheckState::Tried { .. });
        let is_told = match standing {
            Standing::Up => {
                self.checks_of(target).all(tried) && self.checks_of(target).any(|check| check.settings.tell_first)
            }
            Standing::Down => self.checks_of(target).any(|check| tried(check) && check.judge.standing() == standing),
        };
        is_told || self.checks_of(target).map(Check::believed).max() != Some(standing)
    }

    /// Real servers come, go, and move where their checkers were replaced. A new one is news where it joins a check
    /// that knows better than what is believed at first. One that lost its last checker is up, and forgotten.
    fn settle_targets(&mut self, now: MonoTime, left: &Before, actions: &mut Vec<Action>) {
        let mut old = std::mem::take(&mut self.targets);
        let ids: BTreeSet<TargetId> = self.by_id.keys().map(|id| id.target.clone()).collect();
        for id in ids {
            let standing = self.standing_of(&id);
            let before = left.since(&id, standing);
            let since = before.unwrap_or(now);
            let target = match old.remove(&id) {
                Some(kept) if kept.standing == standing => kept,
                None if !self.is_news(&id, standing) => Target { standing, since, told: false },
                Some(_) | None => {
                    let reason = before.map_or(Reason::Reconfigured, |_| Reason::Resumed);
                    actions.push(Action::Tell(event(id.clone(), standing, reason)));
                    Target { standing, since, told: true }
                }
            };
            self.targets.insert(id, target);
        }
        for (id, target) in old {
            if target.standing == Standing::Down {
                actions.push(Action::Tell(event(id, Standing::Up, Reason::Unchecked)));
            }
        }
    }
}

/// The same without its name.
fn anonymous(settings: &CheckSettings) -> CheckSettings {
    let nobody = TargetId { service: String::new(), destination: String::new() };
    CheckSettings { id: CheckId { target: nobody, index: 0 }, ..settings.clone() }
}

/// Those that ask the same together, in the order of the first of each; with the id of that one.
#[expect(clippy::mutable_key_type, reason = "a regex has a cache, and is hashed and compared by its text")]
fn grouped(wanted: Vec<CheckSettings>) -> Vec<(CheckSettings, BTreeSet<CheckId>)> {
    let by_id: BTreeMap<CheckId, CheckSettings> = wanted.into_iter().map(|check| (check.id.clone(), check)).collect();
    let mut places: HashMap<CheckSettings, usize> = HashMap::new();
    let mut groups: Vec<(CheckSettings, BTreeSet<CheckId>)> = vec![];
    for (id, settings) in by_id {
        let place = *places.entry(anonymous(&settings)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, ids)) => drop(ids.insert(id)),
            None => groups.push((settings, BTreeSet::from([id]))),
        }
    }
    groups
}

const fn event(target: TargetId, standing: Standing, reason: Reason) -> CheckEvent {
    match standing {
        Standing::Up => CheckEvent::Up { target, reason },
        Standing::Down => CheckEvent::Down { target, reason },
    }
}

#[cfg(test)]
mod tests;
