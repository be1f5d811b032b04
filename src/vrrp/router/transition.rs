//! What each state does with each event.

use std::time::Duration;

use super::{
    ANSWERS_MAX, Action, Active, Answers, Backup, Condition, Event, HAND_OVER_MAX, HandingOver, Heard, LINGER, Last,
    Move, Rival, Router, State, Then,
};
use crate::base::{MonoTime, Priority};
use crate::vrrp::happened::ConflictPhase;
use crate::vrrp::reason::Reason;
use crate::vrrp::settings::Version;

impl Router {
    pub(super) fn decide(&self, now: MonoTime, event: Event) -> Move {
        match self.state {
            State::Initialize { .. } | State::Fault => self.while_idle(now, event),
            State::Backup(backup) => self.while_backup(now, backup, event),
            State::Active(active) => self.while_active(now, active, event),
            State::HandingOver(handing) => self.while_handing_over(now, handing, event),
            State::Stopped => (State::Stopped, vec![]),
        }
    }

    /// Initialize and Fault: nothing is heard, nothing is sent.
    fn while_idle(&self, now: MonoTime, event: Event) -> Move {
        match (self.state, event) {
            (State::Fault, Event::Condition(Condition::Fit)) => self.start(now, Reason::FaultCleared),
            (_, Event::Condition(Condition::Fit)) => self.start(now, Reason::Started),
            (State::Initialize { .. }, Event::Condition(Condition::Broken(fault))) => {
                self.go(State::Fault, vec![], Reason::Faulted { fault }, Duration::ZERO)
            }
            (_, Event::Shutdown) => self.go(State::Stopped, vec![], Reason::NothingHeld, Duration::ZERO),
            (
                _,
                Event::Condition(Condition::Unknown | Condition::Broken(_))
                | Event::Heard(_)
                | Event::DeadlineReached
                | Event::Priority(_)
                | Event::GroupReady
                | Event::GroupLeft { .. }
                | Event::HandOver { .. }
                | Event::Configured(_),
            ) => (self.state, vec![]),
        }
    }

    fn while_backup(&self, now: MonoTime, backup: Backup, event: Event) -> Move {
        match event {
            Event::Condition(Condition::Broken(fault)) => {
                self.go(State::Fault, vec![], Reason::Faulted { fault }, Duration::ZERO)
            }
            Event::Heard(heard) => (self.heard_as_backup(now, backup, heard), vec![]),
            Event::DeadlineReached if now >= backup.active_down_at => self.active_down_reached(now, backup),
            Event::GroupReady if backup.wants => {
                let (group, because) = (self.group(), Box::new(self.why_active(now, backup)));
                self.become_active(now, Reason::GroupReady { group, because }, Duration::ZERO)
            }
            Event::GroupLeft { .. } => (self.restart(now, Backup { wants: false, ..backup }), vec![]),
            Event::Shutdown => self.go(State::Stopped, vec![], Reason::NothingHeld, Duration::ZERO),
            Event::Condition(Condition::Unknown | Condition::Fit)
            | Event::DeadlineReached
            | Event::GroupReady
            | Event::HandOver { .. }
            | Event::Priority(_)
            | Event::Configured(_) => (self.state, vec![]),
        }
    }

    fn while_active(&self, now: MonoTime, active: Active, event: Event) -> Move {
        let resign = || vec![Action::Advert { priority: 0 }, Action::Drop];
        match event {
            Event::Condition(Condition::Broken(fault)) => {
                self.go(State::Fault, resign(), Reason::Faulted { fault }, Duration::ZERO)
            }
            Event::Heard(heard) => self.heard_as_active(now, active, heard),
            Event::DeadlineReached if now >= active.advert_at => self.advert_due(now, active),
            Event::GroupLeft { reason } => {
                self.go(fresh_backup(now, self.active_down()), resign(), reason, Duration::ZERO)
            }
            Event::Configured(_) => {
                let advert_at = active.advert_at.min(now + self.rules.interval.duration());
                (State::Active(Active { advert_at, ..active }), vec![])
            }
            Event::Shutdown => self.hand_over(now, Then::Stop, Reason::Stopping),
            Event::HandOver { force } => self.hand_over(now, Then::Yield { force }, Reason::Operator),
            Event::Condition(Condition::Unknown | Condition::Fit)
            | Event::DeadlineReached
            | Event::GroupReady
            | Event::Priority(_) => (self.state, vec![]),
        }
    }

    fn hand_over(&self, now: MonoTime, then: Then, reason: Reason) -> Move {
        let until = now + self.rules.slowest_active_down().min(HAND_OVER_MAX);
        let handing = HandingOver { since: now, until, to: None, then };
        self.go(State::HandingOver(handing), vec![Action::Advert { priority: 0 }], reason, Duration::ZERO)
    }

    /// Resigned already: it serves on in silence until somebody with a priority is heard, and a little longer.
    fn while_handing_over(&self, now: MonoTime, handing: HandingOver, event: Event) -> Move {
        let HandingOver { since, until, to, then } = handing;
        match (event, then) {
            (Event::Heard(Heard { from, priority: Some(_), .. }), _) if to.is_none() => {
                let until = until.min(now + LINGER);
                (State::HandingOver(HandingOver { until, to: Some(from), ..handing }), vec![])
            }
            (Event::DeadlineReached, _) if now >= until => {
                let reason = match to {
                    Some(to) => Reason::HandedOver { to },
                    None => Reason::NobodyTookOver { waited: now - since },
                };
                match then {
                    Then::Stop => self.go(State::Stopped, vec![Action::Drop], reason, now - until),
                    Then::Yield { force } if force || to.is_some() => self.yielded(now, reason, now - until),
                    Then::Yield { .. } => {
                        let active = State::Active(self.active_from(now));
                        // What it is to hold may be other addresses by now.
                        let take = Action::Take { announce_at: now };
                        let actions = vec![Action::Advert { priority: self.priority.get() }, take];
                        self.go(active, actions, reason, now - until)
                    }
                }
            }
            (Event::Shutdown, Then::Yield { .. }) => {
                (State::HandingOver(HandingOver { then: Then::Stop, ..handing }), vec![])
            }
            (Event::Condition(Condition::Broken(fault)), Then::Yield { .. }) => {
                self.go(State::Fault, vec![Action::Drop], Reason::Faulted { fault }, Duration::ZERO)
            }
            (Event::GroupLeft { reason }, Then::Yield { .. }) => self.yielded(now, reason, Duration::ZERO),
            (
                Event::Heard(_)
                | Event::DeadlineReached
                | Event::Condition(_)
                | Event::Priority(_)
                | Event::GroupReady
                | Event::GroupLeft { .. }
                | Event::HandOver { .. }
                | Event::Shutdown
                | Event::Configured(_),
                Then::Stop | Then::Yield { .. },
            ) => (self.state, vec![]),
        }
    }

    fn yielded(&self, now: MonoTime, reason: Reason, late: Duration) -> Move {
        let backup = Backup { yielded: true, ..fresh(now + self.active_down()) };
        self.go(State::Backup(backup), vec![Action::Drop], reason, late)
    }

    /// RFC 9568 section 6.4.1, and keepalived's start: `state MASTER` only shortens the first timer.
    fn start(&self, now: MonoTime, reason: Reason) -> Move {
        if self.priority.is_owner() && self.rules.group.is_none() {
            return self.become_active(now, Reason::StartedAsOwner, Duration::ZERO);
        }
        if let State::Initialize { active_until: Some(until) } = self.state
            && now < until
        {
            if self.rules.group.is_none() {
                return self.become_active(now, Reason::Resumed, Duration::ZERO);
            }
            // With the others of its group, of which each waits for none.
            let backup = Backup { last: Last::Resumed, ..fresh(now) };
            return self.go(State::Backup(backup), vec![], reason, Duration::ZERO);
        }
        let first = match self.state {
            State::Initialize { .. } | State::Fault if self.priority.is_owner() => Duration::ZERO,
            State::Initialize { .. } if self.rules.start_as_active => {
                self.rules.interval.duration() + self.rules.skew(self.rules.interval, Priority::OWNER)
            }
            State::Initialize { .. }
            | State::Fault
            | State::Backup(_)
            | State::Active(_)
            | State::HandingOver(_)
            | State::Stopped => self.rules.active_down(self.rules.interval, self.priority),
        };
        self.go(fresh_backup(now, first), vec![], reason, Duration::ZERO)
    }

    fn heard_as_backup(&self, now: MonoTime, backup: Backup, heard: Heard) -> State {
        let Some(theirs) = heard.priority else {
            let interval = backup.learnt.unwrap_or(self.rules.interval);
            let active_down_at = now + self.rules.skew(interval, self.priority);
            let last = Last::Resigned { by: heard.from };
            return State::Backup(Backup { active_down_at, last, preempt_at: None, ..backup });
        };
        let lesser = theirs < self.priority;
        let preempt_at = match (lesser, backup.preempt_at) {
            (false, _) => None,
            (true, Some(at)) => Some(at),
            (true, None) => Some(now + self.rules.preempt_delay),
        };
        let holds_off = !self.rules.preempt || preempt_at.is_some_and(|at| now < at);
        // An owner preempts whatever else is configured (RFC 9568 section 6.1, Preempt_Mode).
        if lesser && !backup.yielded && (!holds_off || self.priority.is_owner()) {
            return State::Backup(Backup { last: Last::Lesser { by: heard.from, theirs }, preempt_at, ..backup });
        }
        let learnt = match self.rules.version {
            Version::V2 => None,
            Version::V3 => Some(heard.interval),
        };
        self.restart(now, Backup { learnt, last: Last::Accepted { at: now }, preempt_at, wants: false, ..backup })
    }

    fn active_down_reached(&self, now: MonoTime, backup: Backup) -> Move {
        let late = now - backup.active_down_at;
        let interval = backup.learnt.unwrap_or(self.rules.interval);
        if late > self.rules.active_down(interval, self.priority) {
            // The whole machine slept: an Active that lives is heard within one interval.
            let active_down_at = now + interval.duration() + self.rules.skew(interval, self.priority);
            return (State::Backup(Backup { active_down_at, ..backup }), vec![]);
        }
        if self.rules.group.is_some() {
            return (self.restart(now, Backup { wants: true, ..backup }), vec![]);
        }
        self.become_active(now, self.why_active(now, backup), late)
    }

    /// Why the timer of this Backup expired.
    fn why_active(&self, now: MonoTime, backup: Backup) -> Reason {
        let waited = self.rules.active_down(backup.learnt.unwrap_or(self.rules.interval), self.priority);
        match backup.last {
            Last::Nothing => Reason::ActiveSilent { silent_for: None, waited },
            Last::Resumed => Reason::Resumed,
            Last::Accepted { at } => Reason::ActiveSilent { silent_for: Some(now - at), waited },
            Last::Resigned { by } => Reason::ActiveResigned { active: by },
            Last::Lesser { by, theirs } => Reason::Preempted { active: by, theirs },
        }
    }

    fn group(&self) -> String {
        self.rules.group.clone().unwrap_or_default()
    }

    fn heard_as_active(&self, now: MonoTime, active: Active, heard: Heard) -> Move {
        if let Some((overslept, late)) = self.overslept(now, active) {
            let state = self.heard_as_backup(now, overslept, heard);
            return self.go(state, vec![Action::Drop], Reason::Overslept { late }, late);
        }
        let own = Action::Advert { priority: self.priority.get() };
        let counted = active.answers.filter(|answers| now - answers.since < self.rules.interval.duration());
        let Answers { since, given } = counted.unwrap_or(Answers { since: now, given: 0 });
        let may_answer = given < ANSWERS_MAX;
        let answers = Some(Answers { since, given: given.saturating_add(1) });
        let answer = Active { answers, rival: active.rival, ..self.active_from(now) };
        let Some(theirs) = heard.priority else {
            return if may_answer { (State::Active(answer), vec![own]) } else { (State::Active(active), vec![]) };
        };
        if theirs > self.priority || (theirs == self.priority && heard.from_greater) {
            // Switches and hosts that followed us come back when the winner, who hears it, announces its addresses again.
            let last_word = Some(own).filter(|_| self.rules.last_word);
            let stepped_down = Action::Conflict { phase: ConflictPhase::Lost, rival: heard.from, theirs };
            let learnt = match self.rules.version {
                Version::V2 => None,
                Version::V3 => Some(heard.interval),
            };
            let active_down_at = now + self.rules.active_down(learnt.unwrap_or(self.rules.interval), self.priority);
            let last = Last::Accepted { at: now };
            let backup = Backup { learnt, last, ..fresh(active_down_at) };
            let reason = Reason::BetterAdvert { from: heard.from, theirs };
            let actions = last_word.into_iter().chain([Action::Drop, stepped_down]).collect();
            return self.go(State::Backup(backup), actions, reason, Duration::ZERO);
        }
        let began = active.rival.is_none_or(|rival| rival.addr != heard.from);
        let rival = Some(Rival { addr: heard.from, theirs, last_heard: now });
        let (active, mut actions) =
            if self.rules.silent_to_lower || !may_answer { (active, vec![]) } else { (answer, vec![own]) };
        actions.push(Action::Reannounce);
        if began {
            actions.push(Action::Conflict { phase: ConflictPhase::Began, rival: heard.from, theirs });
        }
        (State::Active(Active { rival, ..active }), actions)
    }

    /// An Active that was not run for so long that a Backup has taken over by now: what it is instead, and how late it is.
    fn overslept(&self, now: MonoTime, active: Active) -> Option<(Backup, Duration)> {
        let late = now - active.advert_at;
        // If none has, nobody is heard.
        let listen = self.listen();
        (late > self.rules.active_down(self.rules.interval, self.priority)).then(|| (fresh(now + listen), late))
    }

    /// Within this time who is Active is heard.
    fn listen(&self) -> Duration {
        self.rules.interval.duration() + self.rules.skew(self.rules.interval, self.priority)
    }

    fn advert_due(&self, now: MonoTime, active: Active) -> Move {
        if let Some((overslept, late)) = self.overslept(now, active) {
            return self.go(State::Backup(overslept), vec![Action::Drop], Reason::Overslept { late }, late);
        }
        let Active { advert_at, rival, answers } = active;
        let late = now - advert_at;
        let own_active_down = self.rules.active_down(self.rules.interval, self.priority);
        let mut actions = vec![Action::Advert { priority: self.priority.get() }];
        let won = rival.filter(|rival| now - rival.last_heard > own_active_down);
        if let Some(Rival { addr, theirs, .. }) = won {
            actions.push(Action::Conflict { phase: ConflictPhase::Won, rival: addr, theirs });
        }
        let rival = if won.is_some() { None } else { rival };
        let interval = self.rules.interval.duration();
        // On the beat while that is possible, so that lateness does not add up.
        let next = if late < interval { advert_at + interval } else { now + interval };
        (State::Active(Active { advert_at: next, rival, answers }), actions)
    }

    fn active_from(&self, now: MonoTime) -> Active {
        Active { advert_at: now + self.rules.interval.duration(), rival: None, answers: None }
    }

    fn become_active(&self, now: MonoTime, reason: Reason, late: Duration) -> Move {
        let active = State::Active(self.active_from(now));
        // Everybody knows where they are; but a peer that took over meanwhile would lose its clients for a moment.
        let announce_at = if reason.is_resumed() { now + self.listen() } else { now };
        let actions = vec![Action::Advert { priority: self.priority.get() }, Action::Take { announce_at }];
        self.go(active, actions, reason, late)
    }

    fn restart(&self, now: MonoTime, backup: Backup) -> State {
        let interval = backup.learnt.unwrap_or(self.rules.interval);
        State::Backup(Backup { active_down_at: now + self.rules.active_down(interval, self.priority), ..backup })
    }

    fn go(&self, next: State, mut actions: Vec<Action>, reason: Reason, late: Duration) -> Move {
        actions.push(Action::Moved { from: self.state.standing(), to: next.standing(), reason, late });
        (next, actions)
    }
}

fn fresh_backup(now: MonoTime, wait: Duration) -> State {
    State::Backup(fresh(now + wait))
}

const fn fresh(active_down_at: MonoTime) -> Backup {
    Backup { active_down_at, learnt: None, last: Last::Nothing, preempt_at: None, wants: false, yielded: false }
}
