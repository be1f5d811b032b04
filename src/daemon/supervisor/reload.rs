//! Reload: all of a new configuration, or nothing of it. Adverts, health and connections go on meanwhile.

use tokio::sync::oneshot;

use crate::daemon::heartbeat::Command;
use crate::daemon::lvs::{LvsCommand, ReconfigureError};
use crate::daemon::recorder::Kind;
use crate::daemon::supervisor::RunError;
use crate::daemon::supervisor::running::Daemon;
use crate::daemon::supervisor::start::{forward, load, services};
use crate::daemon::systemd::{Told, tell};
use crate::daemon::translate::Wanted;
use crate::daemon::{clock, owned};

/// Why a reload did not take place; what ran before runs on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("lvs_datapath cannot change while vipd runs: restart it, the peer takes over meanwhile")]
    PlaneChanged,
    #[error("reading the configuration: {0}")]
    Reading(tokio::task::JoinError),
    #[error("the {task} task has ended")]
    Ended { task: &'static str },
}

impl Daemon {
    /// Reload, and tell log, recorder and service manager how it went.
    pub async fn reload_and_tell(&mut self) {
        // Whoever sent a signal reads the log.
        let _ = self.reload().await;
    }

    /// # Errors
    /// [`ReloadError`]; then nothing has changed.
    pub async fn reload(&mut self) -> Result<(), ReloadError> {
        let now = clock::now();
        tell(Told::Reloading { monotonic_us: now.since_start().as_micros() });
        tracing::info!(file = %self.options.file.display(), "reloading");
        let result = self.try_reload().await;
        match &result {
            Ok(()) => {
                self.standing.reloads += 1;
                self.standing.loaded = clock::now();
                self.standing.last_failure = None;
                tracing::info!("reloaded");
                self.recorder.record(now, Kind::Config, "vipd", "reloaded".to_owned());
            }
            Err(error) => {
                self.standing.failed_reloads += 1;
                self.standing.last_failure = Some(error.to_string());
                tracing::error!(%error, "the reload failed; the configuration of before runs on");
                self.recorder.record(now, Kind::Config, "vipd", format!("reload failed: {error}"));
            }
        }
        tell(Told::Ready);
        result
    }

    async fn try_reload(&mut self) -> Result<(), ReloadError> {
        let options = self.options.clone();
        let wanted = tokio::task::spawn_blocking(move || load(&options)).await.map_err(ReloadError::Reading)??;
        self.validate_forwarding(&wanted).await?;
        self.reconfigure_heartbeat(&wanted).await?;
        // From here on nothing refuses any more: the plane is tried again until it follows.
        let before = std::mem::replace(&mut self.wanted, wanted);
        self.reconfigure_forwarding(&before).await;
        self.configure_checks().await;
        Ok(())
    }

    /// Would forwarding take it? Opens the plane where there is none yet.
    async fn validate_forwarding(&mut self, wanted: &Wanted) -> Result<(), ReloadError> {
        let Some(forwarding) = &self.forwarding else {
            if !wanted.pools.is_empty() {
                self.forwarding = Some(forward(wanted, &self.run_dir, self.lvs_told.clone()).await?);
            }
            return Ok(());
        };
        if forwarding.kind != wanted.plane {
            return Err(ReloadError::PlaneChanged);
        }
        let pools = wanted.pools.clone();
        match forwarding.ask(|reply| LvsCommand::Validate { pools, reply }).await {
            Some(answer) => Ok(answer.map_err(RunError::Forwarding)?),
            None => Err(ReloadError::Ended { task: "forwarding" }),
        }
    }

    /// The heartbeat takes all of it or refuses; its events are served while it works.
    async fn reconfigure_heartbeat(&mut self, wanted: &Wanted) -> Result<(), ReloadError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Reconfigure { settings: wanted.instances.clone(), reply };
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
        owned::write(&self.run_dir, &old.union(&new).copied().collect());
        let pools = self.wanted.pools.clone();
        match forwarding.ask(|reply| LvsCommand::Reconfigure { pools, reply }).await {
            Some(Ok(())) => owned::write(&self.run_dir, &new),
            Some(Err(ReconfigureError::Pending(_))) | None => {}
            Some(Err(error)) => {
                tracing::error!(%error, "the plane took the configuration when asked, and refuses it now");
            }
        }
    }

    /// Let checkers, trackers and notices follow the configuration in force.
    pub async fn configure_checks(&mut self) {
        self.notices.reconfigure(self.wanted.scripts.clone());
        let checkers = self.checkers.configure(self.wanted.checks.clone()).await.is_ok();
        let trackers = self.trackers.configure(self.wanted.trackers.clone()).await.is_ok();
        if !(checkers && trackers) {
            // The loop learns which one it was, and stops.
            tracing::error!("a task has ended");
        }
    }
}
