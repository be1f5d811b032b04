//! One check that is made, for all checkers that ask the same: its state, its grid, its last result.
//!
//! It knows no real server: whom a result concerns is the board's business.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{MonoTime, WeightWish};
use crate::healthcheck::agent;
use crate::healthcheck::judge::{Change, Judge};
use crate::healthcheck::outcome::{LocalFault, Outcome, Verdict};
use crate::healthcheck::schedule::{Next, Schedule};
use crate::healthcheck::settings::{CheckId, CheckSettings, CheckState, CheckView, Kept, Standing};

use super::RunId;

#[derive(Debug)]
pub(super) struct Check {
    /// With the id of one of its checkers.
    pub settings: Arc<CheckSettings>,
    /// Those that its results are for; at least one.
    pub ids: BTreeSet<CheckId>,
    pub judge: Judge,
    pub schedule: Schedule,
    pub run: RunState,
    /// The url that the next run asks, counted from 0.
    pub url: usize,
    /// The last run failed, so that url is asked again before all of them.
    repeats: bool,
    pub wish: Option<WeightWish>,
    agent: agent::Memory,
    pub last: Option<Kept>,
    /// When there last was a result that says something of the server.
    pub heard: Option<MonoTime>,
    results: u64,
    added: MonoTime,
    /// That no result comes was told.
    pub silent: bool,
    /// What it reads changed while it was read.
    pub again: bool,
}

/// What the results so far say, whoever asks next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Learnt {
    judge: Judge,
    wish: Option<WeightWish>,
    agent: agent::Memory,
    last: Option<Kept>,
    results: u64,
}

impl Learnt {
    pub const fn is_nothing(&self) -> bool {
        self.results == 0
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum RunState {
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
    /// None of its checkers wants it now (`ha_suspend`).
    Resting,
}

impl Check {
    pub fn new(now: MonoTime, settings: CheckSettings, ids: BTreeSet<CheckId>, jitter: u32) -> Self {
        let schedule = Schedule::new(now, settings.delay_loop, settings.warmup, jitter);
        Self {
            judge: Judge::new(settings.retry, settings.alpha, settings.on_local_error),
            run: RunState::Waiting { due: schedule.first() },
            schedule,
            settings: Arc::new(settings),
            ids,
            url: 0,
            repeats: false,
            wish: None,
            agent: agent::Memory::default(),
            last: None,
            heard: None,
            results: 0,
            added: now,
            silent: false,
            again: false,
        }
    }

    /// The same for other checkers.
    pub fn renamed(self, settings: CheckSettings, ids: BTreeSet<CheckId>) -> Self {
        Self { settings: Arc::new(settings), ids, ..self }
    }

    /// Keep what a predecessor learnt, if it asked the same thing.
    pub fn inherit(&mut self, old: &Self) {
        if old.settings.probe == self.settings.probe {
            self.resume(&old.learnt());
            self.heard = old.heard;
        }
    }

    pub fn learnt(&self) -> Learnt {
        let &Self { judge, wish, agent, ref last, results, .. } = self;
        Learnt { judge, wish, agent, last: last.clone(), results }
    }

    /// Begin with what one learnt that asked the same thing.
    pub fn resume(&mut self, learnt: &Learnt) {
        let Learnt { judge, wish, agent, last, results } = learnt;
        self.judge = judge.with_rules(self.settings.retry, self.settings.on_local_error);
        (self.wish, self.agent, self.results) = (*wish, *agent, *results);
        self.last.clone_from(last);
    }

    /// What is believed of a server before the first result.
    pub fn believed(&self) -> Standing {
        if self.settings.alpha { Standing::Down } else { Standing::Up }
    }

    /// Keep a result; what it changes, and when the next one is wanted.
    pub fn take_result(&mut self, now: MonoTime, outcome: Outcome, latency: Duration) -> (Change, Next) {
        let outcome = self.place(outcome);
        let verdict = self.judge.weigh(outcome.verdict());
        let change = self.judge.observe(verdict);
        self.last = Some(Kept { outcome, latency, at: now });
        self.results = self.results.saturating_add(1);
        if verdict != Verdict::Local {
            self.heard = Some(now);
        }
        let hurry =
            self.settings.probe.fast_recovery() && self.judge.state() != CheckState::Tried { standing: Standing::Up };
        let next = match verdict {
            Verdict::Fail if self.judge.is_retrying() => Next::Retry(self.settings.delay_before_retry),
            Verdict::Partial if hurry => Next::AtOnce,
            Verdict::Pass | Verdict::Partial | Verdict::Fail | Verdict::Local => Next::Period,
        };
        (change, next)
    }

    /// What an answer means after those before it. Of several urls, which one this answer was and which one follows:
    /// after a failure the failed one, then all of them.
    fn place(&mut self, outcome: Outcome) -> Outcome {
        if let Outcome::Agent { line, .. } = outcome {
            let (usable, wish) = self.agent.hear(&line);
            return Outcome::Agent { line, usable, wish };
        }
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

    /// When a result must have come, whatever is the matter: two periods and the deadline of a run.
    pub fn patience(&self) -> MonoTime {
        let awaited_since = self.heard.unwrap_or(self.schedule.first().max(self.added));
        awaited_since + self.settings.delay_loop * 2 + self.settings.probe.deadline()
    }

    /// Why no result comes: what the last run met, or that there is no run where `places` run at once.
    pub fn hindrance(&self, now: MonoTime, places: usize) -> Outcome {
        let fault = self.last.as_ref().map(|last| &last.outcome).filter(|outcome| outcome.verdict() == Verdict::Local);
        match (self.run, fault) {
            (RunState::Waiting { due }, _) if due <= now => Outcome::Local(LocalFault::NoPlace { places }),
            (_, Some(fault)) => fault.clone(),
            (_, None) => Outcome::Local(LocalFault::TaskStuck),
        }
    }

    pub fn is_stale(&self, now: MonoTime) -> bool {
        match self.run {
            RunState::Stuck { .. } => true,
            RunState::Resting => false,
            RunState::Waiting { .. } | RunState::Running { .. } => now > self.patience(),
        }
    }

    pub fn view(&self, id: &CheckId, standing_for: Duration, now: MonoTime, places: usize) -> CheckView {
        CheckView {
            id: id.clone(),
            kind: self.settings.probe.keyword().to_owned(),
            state: self.judge.state(),
            failures: self.judge.failures(),
            last: self.last.as_ref().map(|last| last.view(now)),
            results: self.results,
            stale: self.is_stale(now).then(|| self.hindrance(now, places)),
            resting: matches!(self.run, RunState::Resting),
            standing_for,
            shared_by: self.ids.len(),
        }
    }
}
