//! Reload: all of a new configuration, or nothing of it. Adverts, health and connections go on meanwhile.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::base::Count;
use crate::config::change::{Refusal, refusal};
use crate::control::api::Reloaded;
use crate::daemon::heartbeat::Command;
use crate::daemon::lvs::{LvsCommand, ReconfigureError};
use crate::daemon::recorder::Kind;
use crate::daemon::supervisor::RunError;
use crate::daemon::supervisor::running::Daemon;
use crate::daemon::supervisor::start::{forward, load, services};
use crate::daemon::systemd::{Told, tell};
use crate::daemon::translate::Wanted;
use crate::daemon::{clock, owned, sysctls};

/// Why a reload did not take place; what ran before runs on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("reading the configuration: {0}")]
    Reading(tokio::task::JoinError),
    #[error("the {task} task has ended")]
    Ended { task: &'static str },
    #[error("the daemon is stopping")]
    Stopping,
}

/// A configuration on its way in: read in a thread of its own, since files may hang.
#[derive(Debug, Default)]
pub struct Loading {
    task: Option<JoinHandle<Result<Wanted, ReloadError>>>,
    /// Who waits for the outcome.
    replies: Vec<Reply>,
    /// Asked for again while it was read: the file may have changed.
    again: bool,
}

type Reply = oneshot::Sender<Result<Reloaded, String>>;

impl Loading {
    /// Wait until it is read; for ever where nothing is. Dropping the future loses nothing.
    pub async fn loaded(&mut self) -> Result<Wanted, ReloadError> {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let read = task.await;
        self.task = None;
        read.map_err(ReloadError::Reading)?
    }
}

impl Daemon {
    /// Read the configuration; what becomes of it is told to log, recorder, service manager, and `reply`.
    pub fn begin_reload(&mut self, reply: Option<Reply>) {
        if self.standing.stopping {
            // Nobody waits for an answer whose asker is gone.
            reply.map(|reply| reply.send(Err("the daemon is stopping".to_owned())));
            return;
        }
        self.loading.replies.extend(reply);
        if self.loading.task.is_some() {
            self.loading.again = true;
            return;
        }
        tell(Told::Reloading { monotonic_us: clock::now().since_start().as_micros() });
        tracing::info!(file = %self.options.file.display(), "reloading");
        let (options, in_force) = (self.options.clone(), self.wanted.config.clone());
        self.loading.task = Some(tokio::task::spawn_blocking(move || {
            let (wanted, config) = load(&options)?;
            refusal(&in_force.config(), &config, wanted.flaws).map_or(Ok(wanted), |refusal| Err(refusal.into()))
        }));
    }

    /// It is read: take all of it up, or nothing.
    pub async fn loaded(&mut self, loaded: Result<Wanted, ReloadError>) {
        if std::mem::take(&mut self.loading.again) {
            return self.begin_reload(None);
        }
        let now = clock::now();
        let result = match loaded {
            Ok(_) if self.standing.stopping => Err(ReloadError::Stopping),
            Ok(wanted) => {
                let errors = wanted.flaws.errors;
                self.take_up(wanted).await.map(|()| Reloaded { errors })
            }
            Err(error) => Err(error),
        };
        match &result {
            Ok(Reloaded { errors }) => {
                self.standing.reloads += 1;
                self.standing.loaded = clock::now();
                self.standing.last_failure = None;
                let left_out = match errors {
                    0 => String::new(),
                    errors => format!("; {} in the file: parts of it are left out", Count(*errors, "error")),
                };
                tracing::info!("reloaded{left_out}");
                self.recorder.record(now, Kind::Config, "vipd", format!("reloaded{left_out}"));
                self.note_for_all("the configuration was reloaded");
            }
            Err(error) => {
                self.standing.failed_reloads += 1;
                self.standing.last_failure = Some(error.to_string());
                tracing::error!(%error, "the reload failed; the configuration of before runs on");
                self.recorder.record(now, Kind::Config, "vipd", format!("reload failed: {error}"));
                self.note_for_all(&format!("a reload failed: {error}"));
            }
        }
        self.settle();
        if !self.standing.stopping {
            tell(Told::Ready);
        }
        let told = result.map_err(|error| error.to_string());
        // Nobody waits for an answer whose asker is gone.
        self.loading.replies.drain(..).for_each(|reply| _ = reply.send(told.clone()));
    }

    async fn take_up(&mut self, wanted: Wanted) -> Result<(), ReloadError> {
        self.validate_forwarding(&wanted).await?;
        self.reconfigure_heartbeat(&wanted).await?;
        // From here on nothing refuses any more: the plane is tried again until it follows.
        let before = std::mem::replace(&mut self.wanted, wanted);
        self.record_settings(sysctls::follow(&self.wanted));
        self.reconfigure_forwarding(&before).await;
        self.follow_configuration().await;
        if self.wanted.scripts.states_on_reload {
            let views = Arc::clone(&self.heartbeat.snapshot.borrow());
            let of = |name: &str| views.iter().find(|view| view.name == name).map_or(0, |v| v.effective_priority.get());
            self.notices.states(of).iter().for_each(|line| self.pipes.vrrp(line));
        }
        Ok(())
    }

    /// Would forwarding take it? Opens the plane where there is none yet.
    async fn validate_forwarding(&mut self, wanted: &Wanted) -> Result<(), ReloadError> {
        let Some(forwarding) = &self.forwarding else {
            if !wanted.pools.is_empty() {
                let (state_dir, told) = (Some(self.options.state_dir.as_path()), self.lvs_told.clone());
                self.forwarding = Some(forward(wanted, &self.run_dir, state_dir, vec![], told).await?);
            }
            return Ok(());
        };
        if forwarding.kind != wanted.plane {
            return Err(Refusal::PlaneChanged.into());
        }
        let pools = wanted.pools.clone();
        match forwarding.ask(|reply| LvsCommand::Validate { pools, reply }).await {
            Some(answer) => Ok(answer.map_err(RunError::Forwarding)?),
            None => Err(ReloadError::Ended { task: "forwarding" }),
        }
    }

    /// The heartbeat takes all of it or refuses; its events wait meanwhile.
    async fn reconfigure_heartbeat(&mut self, wanted: &Wanted) -> Result<(), ReloadError> {
        let (reply, answer) = oneshot::channel();
        let command =
            Command::Reconfigure { settings: wanted.instances.clone(), statics: wanted.statics.clone(), reply };
        let ended = ReloadError::Ended { task: "heartbeat" };
        if self.heartbeat.commands.send(command).await.is_err() {
            return Err(ended);
        }
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                self.undo_opened(wanted).await;
                Err(RunError::Heartbeat(error).into())
            }
            Err(_) => Err(ended),
        }
    }

    /// A plane that was opened only for the refused configuration is closed again.
    async fn undo_opened(&mut self, refused: &Wanted) {
        if self.wanted.pools.is_empty()
            && !refused.pools.is_empty()
            && let Some(forwarding) = self.forwarding.take()
        {
            forwarding.end(&self.run_dir).await;
        }
    }

    async fn reconfigure_forwarding(&mut self, before: &Wanted) {
        let Some(forwarding) = &self.forwarding else { return };
        let (old, new) = (services(&before.pools), services(&self.wanted.pools));
        owned::write(&self.run_dir, forwarding.kind, &old.union(&new).copied().collect());
        let pools = self.wanted.pools.clone();
        match forwarding.ask(|reply| LvsCommand::Reconfigure { pools, reply }).await {
            Some(Ok(())) => owned::write(&self.run_dir, forwarding.kind, &new),
            Some(Err(ReconfigureError::Pending(_))) | None => {}
            Some(Err(error)) => {
                tracing::error!(%error, "the plane took the configuration when asked, and refuses it now");
            }
        }
    }

    /// What was said of the kernel's settings, or done about them.
    pub fn record_settings(&mut self, lines: Vec<String>) {
        for line in lines {
            self.recorder.record(clock::now(), Kind::Plane, "sysctl", line);
        }
    }

    /// Let checkers, trackers, notices, metrics and what the plane is set to follow the configuration in force.
    pub async fn follow_configuration(&mut self) {
        self.metrics.follow(self.wanted.metrics);
        self.tune(None).await;
        self.notices.reconfigure(Arc::clone(&self.wanted.scripts));
        self.pipes.configure(&self.wanted.scripts.fifos).await;
        let checkers = self.checkers.configure(self.wanted.checks.clone()).await.is_ok();
        self.rest_checks().await;
        let trackers = self.trackers.configure(self.wanted.trackers.clone()).await.is_ok();
        let watchers = self.watchers.configure(self.wanted.watched.clone()).await.is_ok();
        let bfd = self.bfd.configure(self.wanted.bfds.clone()).await.is_ok();
        if !(checkers && trackers && watchers && bfd) {
            // The loop learns which one it was, and stops.
            tracing::error!("a task has ended");
        }
    }
}
