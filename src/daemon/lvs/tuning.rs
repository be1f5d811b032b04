//! What the plane is set to beside its table: timeouts, the hooks of the eBPF plane, and the sync daemons of IPVS.
//!
//! Timeouts are set when the configuration asks, and put back when it does not ask any more. Sync daemons are kept as
//! they should be: one that somebody stopped, or that could not start, is started with the next resync.

use super::Task;
use crate::lvs::datapath::HookMode;
use crate::lvs::ipvsadm::manual::Manual;
use crate::lvs::ipvsadm::{Change, SyncDaemon, SyncRole, Timeouts};

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// 0 leaves one as it is; `None`: as they were found.
    pub timeouts: Option<Timeouts>,
    /// The sync daemons that run; `None`: those of others are left alone.
    pub sync: Option<Vec<SyncDaemon>>,
    /// Where the eBPF plane serves; `None`: as it is.
    pub hooks: Option<Hooks>,
    /// Persistent clients stay with a server of weight 0.
    pub quiescent_keeps: bool,
}

/// What [`Datapath::set_hooks`](crate::lvs::datapath::Datapath::set_hooks) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hooks {
    pub mode: HookMode,
    pub fence: Option<u32>,
}

/// What was done about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tuned {
    wanted: Tuning,
    /// The timeouts before the first that we set.
    found: Option<Timeouts>,
    /// The timeouts are not yet as wanted.
    timeouts_due: bool,
    /// What the plane was last told of clients of a server of weight 0; a killed daemon may have left it otherwise.
    quiescent_keeps: Option<bool>,
    /// Sync daemons are ours to stop.
    syncing: bool,
    /// Told once, not with every try.
    told: Option<String>,
}

impl<D: Manual> Task<D> {
    pub(super) async fn tune(&mut self, wanted: Tuning) {
        self.set_hooks(wanted.hooks);
        self.tuned.timeouts_due |= wanted.timeouts != self.tuned.wanted.timeouts;
        self.tuned.wanted = wanted;
        self.retune().await;
    }

    /// As found: the end.
    pub(super) async fn untune(&mut self) {
        self.tune(Tuning::default()).await;
    }

    /// Bring the plane in step with what is wanted.
    pub(super) async fn retune(&mut self) {
        let quiescent = self.set_quiescent();
        let problem = match self.set_timeouts().await {
            Ok(()) => self.set_sync_daemons().await.err().or(quiescent.err()),
            Err(problem) => Some(problem),
        };
        if let Some(problem) = &problem
            && self.tuned.told.as_ref() != Some(problem)
        {
            tracing::warn!(problem, "the plane is not set as configured; tried again");
        }
        self.tuned.told = problem;
    }

    /// What XDP could not do TC does: it is told once, and tried again with the next change.
    fn set_hooks(&mut self, wanted: Option<Hooks>) {
        let Some(Hooks { mode, fence }) = wanted.filter(|wanted| Some(*wanted) != self.tuned.wanted.hooks) else {
            return;
        };
        if let Err(error) = self.plane.set_hooks(mode, fence) {
            tracing::warn!(%error, "no XDP: TC serves alone");
        }
    }

    fn set_quiescent(&mut self) -> Result<(), String> {
        let keeps = self.tuned.wanted.quiescent_keeps;
        if self.tuned.quiescent_keeps != Some(keeps) {
            self.plane.set_quiescent_keeps(keeps).map_err(|error| error.to_string())?;
            self.tuned.quiescent_keeps = Some(keeps);
        }
        Ok(())
    }

    async fn set_timeouts(&mut self) -> Result<(), String> {
        if !self.tuned.timeouts_due {
            return Ok(());
        }
        let timeouts = match (self.tuned.wanted.timeouts, self.tuned.found) {
            (Some(timeouts), found) => {
                let found = match found {
                    Some(found) => found,
                    None => self.plane.timeouts().await.map_err(|error| error.to_string())?,
                };
                self.tuned.found = Some(found);
                let or = |wanted, found| if wanted == 0 { found } else { wanted };
                Timeouts {
                    tcp_s: or(timeouts.tcp_s, found.tcp_s),
                    tcp_fin_s: or(timeouts.tcp_fin_s, found.tcp_fin_s),
                    udp_s: or(timeouts.udp_s, found.udp_s),
                }
            }
            (None, Some(found)) => found,
            (None, None) => return Ok(()),
        };
        self.change(Change::Set(timeouts)).await?;
        self.tuned.timeouts_due = false;
        if self.tuned.wanted.timeouts.is_none() {
            self.tuned.found = None;
        }
        tracing::info!(tcp_s = timeouts.tcp_s, tcp_fin_s = timeouts.tcp_fin_s, udp_s = timeouts.udp_s, "timeouts set");
        Ok(())
    }

    async fn set_sync_daemons(&mut self) -> Result<(), String> {
        if self.tuned.wanted.sync.is_none() && !self.tuned.syncing {
            return Ok(());
        }
        let wanted = self.tuned.wanted.sync.clone().unwrap_or_default();
        let running = self.plane.sync_daemons().await.map_err(|error| error.to_string())?;
        let (kept, gone): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|held| wanted.iter().any(|one| is_as_wanted(one, held)));
        for daemon in gone {
            self.change(Change::StopDaemon(daemon.role)).await?;
            tracing::info!(role = word(daemon.role), interface = daemon.interface, "sync daemon stopped");
        }
        self.tuned.syncing = self.tuned.wanted.sync.is_some();
        for daemon in wanted {
            if kept.iter().all(|held| held.role != daemon.role) {
                self.change(Change::StartDaemon(daemon.clone())).await?;
                tracing::info!(role = word(daemon.role), interface = daemon.interface, "sync daemon started");
            }
        }
        Ok(())
    }

    async fn change(&mut self, change: Change) -> Result<(), String> {
        let done = self.plane.change(&[change]).await;
        done.into_iter().collect::<Result<(), _>>().map_err(|refusal| refusal.text)
    }
}

const fn word(role: SyncRole) -> &'static str {
    match role {
        SyncRole::Master => "master",
        SyncRole::Backup => "backup",
    }
}

/// What runs shows the kernel's defaults where nothing was asked.
fn is_as_wanted(wanted: &SyncDaemon, held: &SyncDaemon) -> bool {
    let SyncDaemon { role, interface, sync_id, max_len, group, port, ttl } = wanted;
    held.role == *role
        && held.interface == *interface
        && held.sync_id == *sync_id
        && (*max_len == 0 || held.max_len == *max_len)
        && (group.is_none() || held.group == *group)
        && (*port == 0 || held.port == *port)
        && (*ttl == 0 || held.ttl == *ttl)
}
