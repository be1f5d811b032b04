//! What the checkers' thread does: it waits for connections, messages and the time, in one `epoll_wait`, and carries out
//! what the board says.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::inbox::{Door, Inbox};
use super::{EventKey, Message, log, subject, task};
use crate::base::MonoTime;
use crate::daemon::outbox::Outbox;
use crate::daemon::{clock, descriptors};
use crate::healthcheck::board::{Action, Board, RUNS_MAX, RunId};
use crate::healthcheck::io::connector::{Connector, Ended};
use crate::healthcheck::outcome::{LocalFault, Outcome};
use crate::healthcheck::probe::{Probe, Source};
use crate::healthcheck::schedule::Spread;
use crate::healthcheck::settings::{CheckEvent, CheckSettings};

/// How often it is looked how many file descriptors there are for runs.
const COUNT_EVERY: Duration = Duration::from_secs(10);

pub struct Thread<P> {
    pub board: Board,
    pub spread: Spread,
    /// The clock as it was last read.
    pub now: MonoTime,
    /// Something that takes its time was done since.
    pub now_is_past: bool,
    /// When the board is to be asked.
    pub due: Option<MonoTime>,
    /// `TCP_CHECK`.
    pub connector: Connector,
    /// Every other kind of check.
    pub probe: P,
    /// Where those run.
    pub daemon: Handle,
    pub tasks: BTreeMap<RunId, AbortHandle>,
    /// Runs whose end is yet to be told to the board.
    pub ended: VecDeque<Ended>,
    pub inbox: Inbox<Message>,
    pub door: Door<Message>,
    /// Some check is of a BFD session.
    pub follows_sessions: bool,
    pub outbox: Outbox<EventKey, CheckEvent>,
    /// A task waits until the reader of the events has made room.
    pub awaits_room: bool,
    /// How many may run at once, and when that was counted.
    pub places: Option<(usize, MonoTime)>,
}

impl<P> Drop for Thread<P> {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

impl<P, F> Thread<P>
where
    P: Fn(Arc<CheckSettings>, usize) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    /// Until the last handle is dropped.
    pub fn serve(mut self) {
        loop {
            let has_message = match self.connector.wait(self.idle_for()) {
                Ok(has_message) => has_message,
                Err(error) => {
                    tracing::error!(%error, "the checkers cannot wait for what they check");
                    return;
                }
            };
            self.read_clock();
            if has_message && self.messages().is_break() {
                return;
            }
            self.connector.ended(self.now, &mut self.ended);
            while let Some(ended) = self.ended.pop_front() {
                self.run_ended(ended);
            }
            self.due = self.board.deadline();
            if self.due.is_some_and(|due| due <= self.now) {
                self.count_places();
                let actions = self.board.poll(self.now);
                self.carry_out(actions);
                self.due = self.board.deadline();
            }
            self.deliver();
        }
    }

    /// A reading costs more than what most of the others here do: one for each wait, and one for each further run that
    /// begins then.
    fn read_clock(&mut self) {
        self.now_is_past = false;
        self.now = clock::now();
    }

    /// How long nothing is to be done, unless something happens.
    fn idle_for(&self) -> Option<Duration> {
        if !self.ended.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.due.into_iter().chain(self.connector.deadline()).min()?;
        Some(next.since(self.now))
    }

    /// All that wait; a break where no handle is left.
    fn messages(&mut self) -> ControlFlow<()> {
        for message in self.inbox.take() {
            self.answer(message)?;
        }
        // A reload of thousands takes its time.
        self.read_clock();
        ControlFlow::Continue(())
    }

    /// As many runs as there are descriptors for: adverts, forwarding and questions are not to want for any.
    fn count_places(&mut self) {
        let before = self.places.filter(|(_, counted)| self.now < *counted + COUNT_EVERY);
        if before.is_some() {
            return;
        }
        let places = descriptors::free_besides(self.board.running());
        if places < RUNS_MAX && self.places.is_none_or(|(before, _)| before != places) {
            tracing::warn!(at_once = places, "few file descriptors: more checks than this wait for their turn");
        }
        self.board.limit_runs(places);
        self.places = Some((places, self.now));
    }

    /// Nobody waits for an answer whose asker is gone.
    fn answer(&mut self, message: Message) -> ControlFlow<()> {
        let now = self.now;
        match message {
            Message::Configure(checks, answer) => {
                self.follows_sessions = checks.iter().any(|check| matches!(check.probe, Probe::Bfd(_)));
                let actions = self.board.configure(now, checks, || self.spread.draw());
                self.carry_out(actions);
                answer.send(()).ok();
            }
            Message::Resume(left, answer) => {
                self.board.resume(left);
                answer.send(()).ok();
            }
            Message::Leave(answer) => {
                answer.send(self.board.leave()).ok();
            }
            Message::BeginAnew(answer) => {
                let actions = self.board.begin_anew(now);
                self.carry_out(actions);
                answer.send(()).ok();
            }
            Message::Rest(services, answer) => {
                let actions = self.board.rest(now, services);
                self.carry_out(actions);
                answer.send(()).ok();
            }
            Message::FileChanged(path, answer) => {
                self.board.changed(now, Source::File(&path));
                answer.send(()).ok();
            }
            Message::SessionsMoved(names, answer) => {
                let followed = names.iter().filter(|_| self.follows_sessions);
                followed.for_each(|name| self.board.changed(now, Source::Session(name)));
                answer.send(()).ok();
            }
            Message::Standings(answer) => {
                answer.send(self.board.standings()).ok();
            }
            Message::Views(answer) => {
                answer.send(self.board.views(now)).ok();
            }
            Message::Ended(ended) => self.ended.push_back(ended),
            Message::Room => self.awaits_room = false,
            Message::End => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { run, check, url } => self.start(run, check, url),
                Action::Abort(run) => self.abort(run),
                Action::Tell(event) => {
                    log(&event);
                    self.outbox.put((event.target().clone(), subject(&event)), event);
                }
                Action::LogFailure { check, outcome, failures } => tracing::info!(
                    service = check.target.service,
                    destination = check.target.destination,
                    check = check.index,
                    failures,
                    reason = %outcome,
                    "a check failed"
                ),
            }
        }
    }

    fn start(&mut self, run: RunId, check: Arc<CheckSettings>, url: usize) {
        if let Probe::Tcp(endpoint) = &check.probe {
            if self.now_is_past {
                self.read_clock();
            }
            self.now_is_past = true;
            if let Err(outcome) = self.connector.begin(self.now, run, endpoint) {
                self.ended.push_back(Ended { run, outcome, latency: Duration::ZERO });
            }
            return;
        }
        let (deadline, door) = (check.probe.deadline(), self.door.clone());
        let tell = move |ended| {
            // Where the thread has ended, nobody waits for it.
            door.send(Message::Ended(ended)).ok();
        };
        let task = task::spawn(&self.daemon, run, deadline, (self.probe)(check, url), tell);
        self.tasks.insert(run, task);
    }

    fn abort(&mut self, run: RunId) {
        if self.connector.abort(run) {
            let outcome = Outcome::Local(LocalFault::TaskEnded);
            self.ended.push_back(Ended { run, outcome, latency: Duration::ZERO });
        } else if let Some(task) = self.tasks.get(&run) {
            task.abort();
        }
    }

    fn run_ended(&mut self, ended: Ended) {
        let Ended { run, outcome, latency } = ended;
        self.tasks.remove(&run);
        tracing::debug!(%outcome, latency_us = latency.as_micros(), "check ended");
        let actions = self.board.finish(self.now, run, outcome, latency);
        self.carry_out(actions);
    }

    /// Hand over the events that there is room for; the others go when the reader has made some.
    fn deliver(&mut self) {
        if self.awaits_room || self.outbox.hand_over() {
            return;
        }
        self.awaits_room = true;
        let (room, door) = (self.outbox.room(), self.door.clone());
        self.daemon.spawn(async move {
            room.await;
            door.send(Message::Room).ok();
        });
    }
}
