//! What each event sets off: a line for the recorder, a command for another task, scripts to run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bfd::{Diagnostic, State};
use crate::daemon::bfd::BfdEvent;
use crate::daemon::clock;
use crate::daemon::heartbeat::Command;
use crate::daemon::history::What;
use crate::daemon::lvs::{LvsCommand, LvsEvent};
use crate::daemon::notices::Telling;
use crate::daemon::recorder::Kind;
use crate::daemon::supervisor::running::Daemon;
use crate::daemon::telling;
use crate::daemon::trackers::TrackEvent;
use crate::daemon::translate::{Target, health};
use crate::daemon::watchers::WatchEvent;
use crate::healthcheck::settings::CheckEvent;
use crate::lvs::pool::PoolEvent;
use crate::notify::fifo::Line;
use crate::vrrp::settings::{Outcome, Tracked};
use crate::vrrp::{ConflictPhase, Happened, Standing};

impl Daemon {
    pub async fn happened(&mut self, happened: &Happened) {
        if let Some(line) = telling::tell(happened) {
            self.recorder.record(clock::now(), line.kind, &line.name, line.text);
        }
        let names = self.wanted.instances.iter().map(|one| one.name.as_str());
        self.history.happened(clock::now(), clock::unix_seconds(), happened, names);
        if let Happened::Moved { instance, from, to, reason, priority, .. } = happened {
            if self.wanted.sync.as_ref().is_some_and(|sync| sync.instance.as_ref() == Some(instance)) {
                self.tune(Some(*to)).await;
            }
            if *from == Standing::Fault {
                // Our own fault may have failed them; a task that has ended is noticed by the loop.
                let _ = self.checkers.begin_anew().await;
            }
            // A reload gave it another VRID or interface: whoever has its name now goes on telling.
            let configured = || self.wanted.instances.iter().any(|one| one.name == *instance);
            if *to != Standing::Stopped || self.standing.stopping || !configured() {
                let telling = self.notices.moved(instance, *to, priority.get(), &reason.to_string());
                self.notify(telling).await;
            }
        }
        if let Happened::Conflict { instance, phase: ConflictPhase::Began, .. } = happened {
            let views = Arc::clone(&self.heartbeat.snapshot.borrow());
            let priority =
                views.iter().find(|view| view.name == *instance).map_or(0, |view| view.effective_priority.get());
            let telling = self.notices.lower_heard(instance, priority);
            self.notify(telling.into_iter().collect()).await;
        }
        if let Happened::PriorityChanged { instance, to, .. } = happened
            && let Some(line) = self.notices.priority_changed(instance, to.get())
        {
            self.pipes.vrrp(&line);
        }
    }

    /// A real server changed; the label of one that a reload removed means nothing any more.
    pub async fn checked(&mut self, event: CheckEvent) {
        let Some(Target { pool, real_server }) = self.wanted.targets.get(event.target()) else { return };
        let text = match &event {
            CheckEvent::Up { reason, .. } => format!("up: {reason}"),
            CheckEvent::Down { reason, .. } => format!("down: {reason}"),
            CheckEvent::Weight { wish, .. } => format!("asks for weight {wish}"),
            CheckEvent::Silence { check, because: Some(reason), .. } => {
                format!("check {} has no result any more: {reason}", check.index)
            }
            CheckEvent::Silence { check, because: None, .. } => format!("check {} has results again", check.index),
        };
        self.recorder.record(clock::now(), Kind::RealServer, &format!("{real_server} of {pool}"), text);
        if let (Some(forwarding), Some((pool, event))) = (&self.forwarding, health(&self.wanted.targets, &event)) {
            // A task that has ended is noticed by the loop.
            drop(forwarding.commands.send(LvsCommand::Health { pool, event }).await);
        }
    }

    pub async fn forwarded(&mut self, event: LvsEvent) {
        let now = clock::now();
        match event {
            LvsEvent::Pool { pool, event } => {
                if let Some(text) = pool_line(event) {
                    self.recorder.record(now, Kind::VirtualServer, &pool.to_string(), text);
                }
                let telling = self.notices.pool(&pool, event);
                self.notify(telling.into_iter().collect()).await;
            }
            LvsEvent::ForeignChange { repair } => {
                let text = format!("somebody else changed our services; repaired by {} steps", repair.len());
                self.recorder.record(now, Kind::Plane, "plane", text);
            }
            LvsEvent::Refused { error, retry_in } => {
                self.standing.plane_failures = self.standing.plane_failures.saturating_add(1);
                let text = format!("{error}; tried again in {:.1} s", retry_in.as_secs_f64());
                self.recorder.record(now, Kind::Plane, "plane", text);
            }
            LvsEvent::Recovered => self.recorder.record(now, Kind::Plane, "plane", "follows again".to_owned()),
        }
    }

    pub async fn tracked(&mut self, event: TrackEvent) {
        let TrackEvent { script, good, reason } = event;
        let verdict = if good { "good" } else { "bad" };
        self.recorder.record(clock::now(), Kind::Script, &script, format!("{verdict}: {reason}"));
        self.tell_tracked(Tracked::Script(script), Outcome::Good(good), reason.to_string()).await;
    }

    pub async fn watched(&mut self, event: WatchEvent) {
        let WatchEvent { what, outcome, reason } = event;
        let text = match outcome {
            Outcome::Good(true) => format!("good: {reason}"),
            Outcome::Good(false) => format!("bad: {reason}"),
            Outcome::Number(_) => reason.to_string(),
        };
        self.recorder.record(clock::now(), Kind::Script, &what.to_string(), text);
        if let Tracked::File(name) = &what
            && let Some(path) = self.wanted.watched.iter().find_map(|watched| watched.file(name))
        {
            // A task that has ended is noticed by the loop.
            let _ = self.checkers.file_changed(path.to_owned()).await;
        }
        self.tell_tracked(what, outcome, reason.to_string()).await;
    }

    pub fn bfd_told(&mut self, event: BfdEvent) {
        let (session, up, text) = match event {
            BfdEvent::Moved { session, from, to, diagnostic } => {
                let why = if diagnostic == Diagnostic::None { String::new() } else { format!(": {diagnostic}") };
                (session, to == State::Up, format!("{from} -> {to}{why}"))
            }
            BfdEvent::Failed { session, error } => (session, false, format!("no socket: {error}")),
        };
        self.keep_tracked(&Tracked::Bfd(session.clone()), Outcome::Good(up), &text);
        tracing::info!(session, "BFD session {session}: {text}");
        self.recorder.record(clock::now(), Kind::Script, &format!("BFD session {session}"), text);
    }

    /// For the history of those who track it.
    fn keep_tracked(&mut self, what: &Tracked, outcome: Outcome, reason: &str) {
        for one in self.wanted.instances.iter().filter(|one| one.track.iter().any(|track| track.what == *what)) {
            let kept = What::Tracker { what: what.clone(), outcome, reason: reason.to_owned() };
            self.history.keep(&one.name, clock::unix_seconds(), kept);
        }
    }

    async fn tell_tracked(&mut self, what: Tracked, outcome: Outcome, reason: String) {
        self.keep_tracked(&what, outcome, &reason);
        // A heartbeat that has ended is noticed by the loop.
        drop(self.heartbeat.commands.send(Command::Tracked { what, outcome }).await);
    }

    /// What an earlier run left of those that are configured, and that this one begins.
    pub fn begin_history(&mut self) {
        let names: BTreeSet<&str> = self.wanted.instances.iter().map(|one| one.name.as_str()).collect();
        self.history.retain(|name| names.contains(name));
        self.note_for_all(&format!("vipd {} started, pid {}", env!("CARGO_PKG_VERSION"), std::process::id()));
    }

    /// Something of the daemon itself, for the history of one virtual router.
    pub fn note(&mut self, instance: &str, text: &str) {
        // What nobody configures has no history to grow.
        if self.wanted.instances.iter().any(|one| one.name == instance) {
            self.history.keep(instance, clock::unix_seconds(), What::Daemon { text: text.to_owned() });
        }
    }

    /// Something of the daemon itself, which concerns every virtual router.
    pub fn note_for_all(&mut self, text: &str) {
        let (unix_s, what) = (clock::unix_seconds(), Arc::new(What::Daemon { text: text.to_owned() }));
        for one in &self.wanted.instances {
            self.history.keep(&one.name, unix_s, Arc::clone(&what));
        }
    }

    async fn notify(&mut self, telling: Vec<Telling>) {
        for Telling { key, invocations, line, mail } in telling {
            if self.notifier.notify(key, invocations).await.is_err() {
                tracing::error!("the notifier has ended; scripts are not run");
            }
            match line {
                Some(line @ Line::Vrrp { .. }) => self.pipes.vrrp(&line),
                Some(line @ (Line::Service { .. } | Line::RealServer { .. })) => self.pipes.lvs(&line),
                None => (),
            }
            if let (Some(settings), Some(mail)) = (&self.wanted.scripts.mail.settings, mail) {
                self.mailer.send(settings, mail);
            }
        }
    }
}

/// The check's own line tells of real servers already.
fn pool_line(event: PoolEvent) -> Option<String> {
    match event {
        PoolEvent::RealServerUp { .. } | PoolEvent::RealServerDown { .. } => None,
        PoolEvent::QuorumGained { .. }
        | PoolEvent::QuorumLost { .. }
        | PoolEvent::SorryServerIn { .. }
        | PoolEvent::SorryServerOut { .. }
        | PoolEvent::WishDropped { .. } => Some(event.to_string()),
    }
}
