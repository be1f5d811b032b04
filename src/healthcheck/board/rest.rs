//! When a check is made, and when not: the queue of those that are due, services that rest, and checks that fall silent.

use std::collections::BTreeSet;

use crate::base::MonoTime;
use crate::healthcheck::outcome::Outcome;
use crate::healthcheck::schedule::Next;
use crate::healthcheck::settings::{CheckEvent, CheckId};

use super::check::{Check, RunState};
use super::{Action, Board, CheckKey};

impl Board {
    /// The checks of these services rest (`ha_suspend`, and their addresses are not here), all others are made. One that
    /// begins again is made at once; a check that is shared rests only where all its services do.
    pub fn rest(&mut self, now: MonoTime, services: BTreeSet<String>) -> Vec<Action> {
        let mut actions = vec![];
        if self.resting != services {
            self.resting = services;
            self.settle_schedule(now, &mut actions);
        }
        actions
    }

    /// Every check waits for its time, runs, or rests, as it should.
    pub(super) fn settle_schedule(&mut self, now: MonoTime, actions: &mut Vec<Action>) {
        self.due.clear();
        self.patience.clear();
        for (key, check) in &mut self.checks {
            let rests = check.ids.iter().all(|id| self.resting.contains(&id.target.service));
            match (check.run, rests) {
                (RunState::Running { run, .. }, true) => {
                    self.runs.insert(run, None);
                    actions.push(Action::Abort(run));
                    check.run = RunState::Resting;
                }
                (RunState::Waiting { .. }, true) => check.run = RunState::Resting,
                (RunState::Resting, false) => check.run = RunState::Waiting { due: now },
                (RunState::Stuck { .. } | RunState::Resting, true)
                | (RunState::Running { .. } | RunState::Waiting { .. } | RunState::Stuck { .. }, false) => {}
            }
            if let RunState::Waiting { due } = check.run {
                self.due.insert((due, *key));
            }
            if !matches!(check.run, RunState::Resting) {
                self.patience.insert((check.patience(), *key));
            }
        }
    }

    /// After a result, or the end of a run that was given up.
    pub(super) fn schedule(&mut self, now: MonoTime, key: CheckKey, next: Next, actions: &mut Vec<Action>) {
        let Some(check) = self.checks.get_mut(&key) else { return };
        let next = if std::mem::take(&mut check.again) { Next::AtOnce } else { next };
        let due = check.schedule.next(now, next);
        check.run = RunState::Waiting { due };
        self.due.insert((due, key));
        if check.silent && check.heard == Some(now) {
            check.silent = false;
            actions.extend(silence(check, None));
            self.patience.insert((check.patience(), key));
        }
    }

    /// The time for a result has passed: tell it once, or look again when the next one is to have come.
    pub(super) fn look_for_silence(&mut self, now: MonoTime, key: CheckKey, actions: &mut Vec<Action>) {
        let places = self.places();
        let Some(check) = self.checks.get_mut(&key) else { return };
        let at = check.patience();
        if check.silent || matches!(check.run, RunState::Resting) {
            return;
        }
        if matches!(check.run, RunState::Stuck { .. }) || at <= now {
            check.silent = true;
            actions.extend(silence(check, Some(&check.hindrance(now, places))));
        } else {
            self.patience.insert((at, key));
        }
    }
}

fn silence(check: &Check, because: Option<&Outcome>) -> Vec<Action> {
    let event = |id: &CheckId| {
        Action::Tell(CheckEvent::Silence { target: id.target.clone(), check: id.clone(), because: because.cloned() })
    };
    check.ids.iter().map(event).collect()
}
