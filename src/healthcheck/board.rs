//! All checkers of the daemon: which run is due, what a result changes, which real servers are up.
//!
//! No task, no clock, no socket: carry out the [`Action`]s in order. The shell is `daemon/checkers.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::base::MonoTime;

use super::judge::{Change, Judge};
use super::outcome::{LocalFault, Outcome, Verdict};
use super::schedule::{Next, Schedule};
use super::settings::{CheckEvent, CheckId, CheckSettings, CheckState, CheckView, Kept, Reason, Standing, TargetId};

/// Runs at one time. Further ones that are due wait for a free place, oldest first.
pub const RUNS_MAX: usize = 4096;
/// A run that has not come back this long after its own deadline is stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(2);

/// Names one run of one check; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

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
}

/// Every checker, and the standing of every real server.
#[derive(Debug, Default)]
pub struct Board {
    checks: BTreeMap<CheckId, Check>,
    targets: BTreeMap<TargetId, Target>,
    due: BTreeSet<(MonoTime, CheckId)>,
    overdue: BTreeSet<(MonoTime, RunId)>,
    /// Runs whose task has not ended; `None` where the check is gone.
    runs: BTreeMap<RunId, Option<CheckId>>,
    last_run: u64,
}

#[derive(Debug)]
struct Target {
    standing: Standing,
    /// A result was told, so a confirmation is no news.
    told: bool,
}

#[derive(Debug)]
struct Check {
    settings: Arc<CheckSettings>,
    judge: Judge,
    schedule: Schedule,
    run: RunState,
    /// The url that the next run asks, counted from 0.
    url: usize,
    /// The last run failed, so that url is asked again before all of them.
    repeats: bool,
    weight: Option<u8>,
    last: Option<Kept>,
    results: u64,
    added: MonoTime,
}

#[derive(Clone, Copy, Debug)]
enum RunState {
    Waiting {
        due: MonoTime,
    },
    Running {
        run: RunId,
        overdue: MonoTime,
    },
    /// Aborted, and its task has not ended: no second one is started beside it.
    Stuck {
        run: RunId,
    },
}

impl Board {
    /// Take these checkers in place of the present ones. One whose probe is the same keeps its state; of two
    /// with one id the later counts. `jitter` gives a random number for each new one.
    pub fn configure(
        &mut self,
        now: MonoTime,
        wanted: Vec<CheckSettings>,
        mut jitter: impl FnMut() -> u32,
    ) -> Vec<Action> {
        let mut actions = vec![];
        let mut old = std::mem::take(&mut self.checks);
        self.due.clear();
        for settings in wanted {
            let check = match old.remove(&settings.id) {
                Some(kept) if *kept.settings == settings => kept,
                Some(kept) => {
                    self.forget(&kept, &mut actions);
                    let mut fresh = Check::new(now, settings, jitter());
                    fresh.inherit(kept);
                    fresh
                }
                None => Check::new(now, settings, jitter()),
            };
            self.checks.insert(check.settings.id.clone(), check);
        }
        for gone in old.values() {
            self.forget(gone, &mut actions);
        }
        for (id, check) in &self.checks {
            if let RunState::Waiting { due } = check.run {
                self.due.insert((due, id.clone()));
            }
        }
        self.settle_targets(&mut actions);
        actions
    }

    /// A fault of ours is over (a link is back): what failed meanwhile is tried again at once, and what is under
    /// way begins anew, since its result would tell of us and not of the real server.
    pub fn begin_anew(&mut self, now: MonoTime) -> Vec<Action> {
        let mut actions = vec![];
        for (id, check) in &mut self.checks {
            match check.run {
                RunState::Running { run, overdue } => {
                    self.overdue.remove(&(overdue, run));
                    self.runs.insert(run, None);
                    actions.push(Action::Abort(run));
                }
                RunState::Waiting { due } if check.judge.failures() > 0 => {
                    self.due.remove(&(due, id.clone()));
                }
                RunState::Waiting { .. } | RunState::Stuck { .. } => continue,
            }
            check.run = RunState::Waiting { due: now };
            self.due.insert((now, id.clone()));
        }
        actions
    }

    /// Start what is due and give up what is stuck.
    pub fn poll(&mut self, now: MonoTime) -> Vec<Action> {
        let mut actions = vec![];
        while let Some((at, run)) = self.overdue.first().copied()
            && at <= now
        {
            self.overdue.remove(&(at, run));
            self.give_up(now, run, &mut actions);
        }
        while self.runs.len() < RUNS_MAX
            && let Some((at, id)) = self.due.pop_first()
        {
            if at > now {
                self.due.insert((at, id));
                break;
            }
            let Some(check) = self.checks.get_mut(&id) else { continue };
            self.last_run = self.last_run.wrapping_add(1);
            let run = RunId(self.last_run);
            let overdue = now + check.settings.probe.deadline() + STUCK_AFTER;
            check.run = RunState::Running { run, overdue };
            self.overdue.insert((overdue, run));
            self.runs.insert(run, Some(id));
            actions.push(Action::Start { run, check: Arc::clone(&check.settings), url: check.url });
        }
        actions
    }

    /// The task of a run ended with `outcome` after `latency`. A task that panicked or was aborted ended with
    /// [`LocalFault::TaskEnded`].
    pub fn finish(&mut self, now: MonoTime, run: RunId, outcome: Outcome, latency: Duration) -> Vec<Action> {
        let mut actions = vec![];
        let Some(Some(id)) = self.runs.remove(&run) else { return actions };
        let Some(check) = self.checks.get_mut(&id) else { return actions };
        let due = match check.run {
            RunState::Running { overdue, .. } => {
                self.overdue.remove(&(overdue, run));
                let (outcome, change, next) = check.take_result(now, outcome, latency);
                self.tell(&id, change, outcome, latency, &mut actions);
                next
            }
            RunState::Stuck { .. } | RunState::Waiting { .. } => Next::Period,
        };
        if let Some(check) = self.checks.get_mut(&id) {
            let due = check.schedule.next(now, due);
            check.run = RunState::Waiting { due };
            self.due.insert((due, id));
        }
        actions
    }

    /// When [`Board::poll`] is to be called next; `None` where only a result can change anything.
    pub fn deadline(&self) -> Option<MonoTime> {
        let overdue = self.overdue.first().map(|(at, _)| *at);
        let due = if self.runs.len() < RUNS_MAX { self.due.first().map(|(at, _)| *at) } else { None };
        overdue.into_iter().chain(due).min()
    }

    /// The standing of every real server that has a checker; one that has none is up.
    pub fn standings(&self) -> BTreeMap<TargetId, Standing> {
        self.targets.iter().map(|(id, target)| (id.clone(), target.standing)).collect()
    }

    /// Every checker, in the order of service, real server and file.
    pub fn views(&self, now: MonoTime) -> Vec<CheckView> {
        self.checks.values().map(|check| check.view(now)).collect()
    }

    fn give_up(&mut self, now: MonoTime, run: RunId, actions: &mut Vec<Action>) {
        let Some(Some(id)) = self.runs.get(&run).cloned() else { return };
        let Some(check) = self.checks.get_mut(&id) else { return };
        check.run = RunState::Stuck { run };
        actions.push(Action::Abort(run));
        let latency = check.settings.probe.deadline() + STUCK_AFTER;
        let (outcome, change, _) = check.take_result(now, Outcome::Local(LocalFault::TaskStuck), latency);
        self.tell(&id, change, outcome, latency, actions);
    }

    /// The check is gone: its run, if any, ends and its result is for nobody.
    fn forget(&mut self, check: &Check, actions: &mut Vec<Action>) {
        let run = match check.run {
            RunState::Waiting { .. } => return,
            RunState::Stuck { run } => run,
            RunState::Running { run, overdue } => {
                self.overdue.remove(&(overdue, run));
                actions.push(Action::Abort(run));
                run
            }
        };
        self.runs.insert(run, None);
    }

    fn tell(&mut self, id: &CheckId, change: Change, outcome: Outcome, latency: Duration, actions: &mut Vec<Action>) {
        if let Outcome::ScriptPassed { weight: Some(weight) } = outcome
            && let Some(check) = self.checks.get_mut(id)
            && check.weight.replace(weight) != Some(weight)
        {
            actions.push(Action::Tell(CheckEvent::Weight { target: id.target.clone(), weight }));
        }
        if change == Change::None {
            return;
        }
        let standing = self.standing_of(&id.target);
        let Some(target) = self.targets.get_mut(&id.target) else { return };
        let news = standing != target.standing || (change == Change::Confirmed(Standing::Down) && !target.told);
        target.standing = standing;
        target.told = true;
        if news {
            let reason = Reason::Checked { check: id.clone(), outcome, latency };
            actions.push(Action::Tell(event(id.target.clone(), standing, reason)));
        }
    }

    /// Up where no checker is down.
    fn standing_of(&self, target: &TargetId) -> Standing {
        let first = CheckId { target: target.clone(), index: 0 };
        let mut checks = self.checks.range(first..).take_while(|(id, _)| id.target == *target);
        if checks.any(|(_, check)| check.judge.standing() == Standing::Down) { Standing::Down } else { Standing::Up }
    }

    /// Real servers come, go, and move where their checkers were replaced. A new one is no news: what it is
    /// believed to be follows from `alpha`. One that lost its last checker is up, and forgotten.
    fn settle_targets(&mut self, actions: &mut Vec<Action>) {
        let mut standings: BTreeMap<TargetId, Standing> = BTreeMap::new();
        for (id, check) in &self.checks {
            let standing = standings.entry(id.target.clone()).or_insert(Standing::Up);
            *standing = (*standing).max(check.judge.standing());
        }
        let mut old = std::mem::take(&mut self.targets);
        for (id, standing) in standings {
            let target = match old.remove(&id) {
                Some(kept) if kept.standing == standing => kept,
                Some(_) => {
                    actions.push(Action::Tell(event(id.clone(), standing, Reason::Reconfigured)));
                    Target { standing, told: true }
                }
                None => Target { standing, told: false },
            };
            self.targets.insert(id, target);
        }
        for (id, target) in old {
            if target.standing == Standing::Down {
                actions.push(Action::Tell(event(id, Standing::Up, Reason::Reconfigured)));
            }
        }
    }
}

const fn event(target: TargetId, standing: Standing, reason: Reason) -> CheckEvent {
    match standing {
        Standing::Up => CheckEvent::Up { target, reason },
        Standing::Down => CheckEvent::Down { target, reason },
    }
}

impl Check {
    fn new(now: MonoTime, settings: CheckSettings, jitter: u32) -> Self {
        let schedule = Schedule::new(now, settings.delay_loop, settings.warmup, jitter);
        Self {
            judge: Judge::new(settings.retry, settings.alpha, settings.on_local_error),
            run: RunState::Waiting { due: schedule.first() },
            schedule,
            settings: Arc::new(settings),
            url: 0,
            repeats: false,
            weight: None,
            last: None,
            results: 0,
            added: now,
        }
    }

    /// Keep what the predecessor learnt, if it asked the same thing.
    fn inherit(&mut self, old: Self) {
        if old.settings.probe == self.settings.probe {
            self.judge = old.judge.with_rules(self.settings.retry, self.settings.on_local_error);
            self.weight = old.weight;
            self.last = old.last;
            self.results = old.results;
        }
    }

    fn take_result(&mut self, now: MonoTime, outcome: Outcome, latency: Duration) -> (Outcome, Change, Next) {
        let outcome = self.place(outcome);
        let verdict = self.judge.weigh(outcome.verdict());
        let change = self.judge.observe(verdict);
        self.last = Some(Kept { outcome: outcome.clone(), latency, at: now });
        self.results = self.results.saturating_add(1);
        let hurry =
            self.settings.probe.fast_recovery() && self.judge.state() != CheckState::Tried { standing: Standing::Up };
        let next = match verdict {
            Verdict::Fail if self.judge.is_retrying() => Next::Retry(self.settings.delay_before_retry),
            Verdict::Partial if hurry => Next::AtOnce,
            Verdict::Pass | Verdict::Partial | Verdict::Fail | Verdict::Local => Next::Period,
        };
        (outcome, change, next)
    }

    /// Of several urls, which one this answer was and which one follows: after a failure the failed one, then
    /// all of them.
    fn place(&mut self, outcome: Outcome) -> Outcome {
        let of = self.settings.probe.parts();
        if outcome.verdict() == Verdict::Fail {
            self.repeats = true;
        }
        let Outcome::Answered { status } = outcome else { return outcome };
        let passed = self.url.saturating_add(1);
        let restart = std::mem::take(&mut self.repeats) && self.url > 0;
        self.url = if restart || passed >= of { 0 } else { passed };
        if restart || passed < of { Outcome::UrlPassed { url: passed, of, status } } else { outcome }
    }

    fn view(&self, now: MonoTime) -> CheckView {
        let patience = self.settings.delay_loop * 2 + self.settings.probe.deadline();
        let awaited_since = self.last.as_ref().map_or(self.schedule.first().max(self.added), |last| last.at);
        let stuck = matches!(self.run, RunState::Stuck { .. });
        CheckView {
            id: self.settings.id.clone(),
            kind: self.settings.probe.keyword().to_owned(),
            state: self.judge.state(),
            failures: self.judge.failures(),
            last: self.last.as_ref().map(|last| last.view(now)),
            results: self.results,
            stale: stuck || now.since(awaited_since) > patience,
        }
    }
}

#[cfg(test)]
mod tests;
