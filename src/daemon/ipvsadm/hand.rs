//! Whose hand does it: the daemon that owns the plane, or ours on a plane that nobody runs.

use std::path::{Path, PathBuf};

use super::PlaneName;
use crate::config::model;
use crate::control::io::client::{self, CallError};
use crate::daemon::manual::{self, Question, Reply};
use crate::daemon::rundir::{RunDir, RunDirError, control_socket};
use crate::daemon::supervisor::{PlaneAnswer, plane};
use crate::lvs::datapath::{Datapath as _, DatapathError};
use crate::lvs::io::ipvs::Ipvs;
use crate::lvs::io::memory::Memory;
use crate::lvs::io::plane::Plane;
use crate::lvs::ipvsadm::Refusal;
use crate::lvs::ipvsadm::manual::refused;

/// What a plane is reached by.
#[derive(Debug)]
pub(super) enum Hand {
    /// The daemon owns it.
    Daemon { socket: PathBuf },
    /// The kernel's IPVS belongs to everybody.
    Shared(Box<Plane>),
    /// Our program without a daemon: the run directory is ours while we work.
    Ebpf { plane: Box<Plane>, _lock: Option<RunDir> },
    /// There is no program yet: an empty table, until something is added.
    Nothing { run_dir: PathBuf, locked: bool },
}

impl Hand {
    pub(super) async fn choose(run_dir: &Path, wanted: Option<PlaneName>) -> Result<Self, Refusal> {
        let socket = control_socket(run_dir);
        let running = match client::call(&socket, "GET", "/plane", vec![]).await {
            Ok(text) => Some(serde_json::from_str::<PlaneAnswer>(&text).map_err(|_| nonsense())?),
            Err(CallError::NoDaemon { .. }) => None,
            Err(error) => return Err(Refusal::ours(error.to_string())),
        };
        let owned = running.as_ref().and_then(|answer| answer.plane.as_deref());
        match (wanted, owned) {
            (None | Some(PlaneName::Ebpf), Some("ebpf")) => Ok(Self::Daemon { socket }),
            (Some(PlaneName::Ipvs), _) | (None, Some("ipvs")) => Self::ipvs().await.map_err(|error| no_ipvs(&error)),
            (Some(PlaneName::Ebpf), _) => Self::ebpf(run_dir, running.is_none()).await,
            (None, _) => match Self::ipvs().await {
                Ok(hand) => Ok(hand),
                Err(DatapathError::NoIpvs) if plane::pinned(run_dir) => Self::ebpf(run_dir, running.is_none()).await,
                Err(error) => Err(no_ipvs(&error)),
            },
        }
    }

    async fn ipvs() -> Result<Self, DatapathError> {
        Ok(Self::Shared(Box::new(Plane::Ipvs(Ipvs::open().await?))))
    }

    /// `lock`: no daemon runs, and none shall start while we work.
    async fn ebpf(run_dir: &Path, lock: bool) -> Result<Self, Refusal> {
        if !plane::pinned(run_dir) {
            return Ok(Self::Nothing { run_dir: run_dir.to_owned(), locked: lock });
        }
        let lock = if lock { Some(RunDir::lock(run_dir).map_err(|error| of_run_dir(&error))?) } else { None };
        let plane = plane::open(model::Plane::Ebpf, run_dir).await.map_err(|error| refused(&error))?;
        Ok(Self::Ebpf { plane: Box::new(plane), _lock: lock })
    }

    pub(super) async fn ask(&mut self, question: Question) -> Result<Reply, Refusal> {
        if let (Self::Nothing { run_dir, locked }, Question::Change(_)) = (&*self, &question) {
            let (run_dir, lock) = (run_dir.clone(), *locked);
            let lock = if lock { Some(RunDir::lock(&run_dir).map_err(|error| of_run_dir(&error))?) } else { None };
            let plane = plane::open(model::Plane::Ebpf, &run_dir).await.map_err(|error| refused(&error))?;
            *self = Self::Ebpf { plane: Box::new(plane), _lock: lock };
        }
        match self {
            Self::Daemon { socket } => by_daemon(socket, &question).await,
            Self::Shared(plane) | Self::Ebpf { plane, .. } => manual::ask(plane.as_mut(), question).await,
            Self::Nothing { .. } => manual::ask(&mut Memory::new(), question).await,
        }
    }

    /// Our program goes on without us where it has a service, and goes where it has none.
    pub(super) async fn close(self) -> Result<(), Refusal> {
        match self {
            Self::Daemon { .. } | Self::Shared(_) | Self::Nothing { .. } => Ok(()),
            Self::Ebpf { mut plane, _lock } => {
                let held = plane.snapshot().await.map_err(|error| refused(&error))?;
                plane.close(!held.services.is_empty()).await.map_err(|error| refused(&error))
            }
        }
    }
}

async fn by_daemon(socket: &Path, question: &Question) -> Result<Reply, Refusal> {
    let body = serde_json::to_vec(question).map_err(|error| Refusal::ours(error.to_string()))?;
    match client::call(socket, "POST", "/ipvsadm", body).await {
        Ok(text) => serde_json::from_str(&text).map_err(|_| nonsense()),
        // A plane's refusal comes as it is; everything else is the daemon's.
        Err(CallError::Refused { said, .. }) => Err(serde_json::from_str(&said).unwrap_or(Refusal::ours(said))),
        Err(error) => Err(Refusal::ours(error.to_string())),
    }
}

/// The daemon speaks another version.
pub(super) fn nonsense() -> Refusal {
    Refusal::ours("vipd: the daemon's answer makes no sense; is it of another version?")
}

fn of_run_dir(error: &RunDirError) -> Refusal {
    Refusal::ours(format!("vipd: {error}"))
}

/// As ipvsadm says it, with the way out that it has not.
fn no_ipvs(error: &DatapathError) -> Refusal {
    match error {
        DatapathError::NoIpvs => Refusal {
            text: "Can't initialize ipvs: Protocol not available\n\
                Are you sure that IP Virtual Server is built in the kernel or as module?\n\
                (`--plane ebpf` works without it)"
                .to_owned(),
            status: 2,
        },
        DatapathError::Permission { .. }
        | DatapathError::Unsupported { .. }
        | DatapathError::NotFound { .. }
        | DatapathError::Full { .. }
        | DatapathError::Kernel { .. }
        | DatapathError::Answer { .. }
        | DatapathError::Load { .. } => refused(error),
    }
}
