//! Whose hand does it: the daemon that owns the plane, or ours on a plane that nobody runs.
#![expect(clippy::disallowed_methods, reason = "a command waits for another one")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::PlaneName;
use crate::config::model;
use crate::control::io::client::{self, CallError};
use crate::daemon::manual::{self, Question, Reply};
use crate::daemon::rundir::{Holder, PATIENCE, PAUSE, RunDir, RunDirError, control_socket};
use crate::daemon::supervisor::{PlaneAnswer, plane};
use crate::lvs::datapath::{Datapath as _, DatapathError};
use crate::lvs::io::ipvs::Ipvs;
use crate::lvs::io::plane::Plane;
use crate::lvs::ipvsadm::manual::{Access, Manual as _, refused};
use crate::lvs::ipvsadm::{Command, Listed, Refusal, Timeouts};
use crate::lvs::view::Header;

/// What a plane is reached by.
#[derive(Debug)]
pub(super) enum Hand {
    /// The daemon owns it.
    Daemon { socket: PathBuf },
    /// The kernel's IPVS belongs to everybody.
    Shared(Box<Plane>),
    /// Our program without a daemon: the run directory is ours while we work.
    Ebpf { plane: Box<Plane>, errand: Errand, _lock: RunDir },
    /// There is no program yet: an empty table, until something is added.
    Nothing { run_dir: PathBuf },
}

/// What the plane is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Reading alone.
    Look,
    /// Reading with a census, which nobody else may take meanwhile.
    Count,
    /// A plane that is not there is not needed yet.
    Change,
    /// A plane that is not there is begun.
    Begin,
}

impl Errand {
    pub(super) const fn of(command: &Command) -> Self {
        match command {
            Command::List { what: Listed::Services { .. }, .. } | Command::Save { .. } => Self::Count,
            Command::List { .. } | Command::Help | Command::Version => Self::Look,
            Command::Change(_) | Command::Restore => Self::Change,
        }
    }

    const fn holder(self) -> Holder {
        match self {
            Self::Look => Holder::Reader,
            Self::Count | Self::Change | Self::Begin => Holder::Command,
        }
    }

    const fn access(self) -> Access {
        match self {
            Self::Look | Self::Count => Access::Read,
            Self::Change | Self::Begin => Access::Change,
        }
    }
}

/// Why there is no hand.
enum Missed {
    /// Somebody else works there now.
    Locked(RunDirError),
    Refused(Refusal),
}

impl From<DatapathError> for Missed {
    fn from(error: DatapathError) -> Self {
        Self::Refused(refused(&error))
    }
}

impl Hand {
    /// Whoever else works on the plane is waited for, a daemon that starts until it answers; ten seconds at most.
    ///
    /// # Errors
    /// [`Refusal`] with who has the plane, or why there is none.
    pub(super) async fn choose(run_dir: &Path, wanted: Option<PlaneName>, errand: Errand) -> Result<Self, Refusal> {
        let mut spent = Duration::ZERO;
        loop {
            match Self::now(run_dir, wanted, errand).await {
                Ok(hand) => return Ok(hand),
                Err(Missed::Refused(refusal)) => return Err(refusal),
                Err(Missed::Locked(_)) if spent < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                    spent += PAUSE;
                }
                Err(Missed::Locked(error)) => return Err(Refusal::ours(format!("vipd: {error}"))),
            }
        }
    }

    async fn now(run_dir: &Path, wanted: Option<PlaneName>, errand: Errand) -> Result<Self, Missed> {
        let socket = control_socket(run_dir);
        let running = match client::call(&socket, "GET", "/plane", vec![]).await {
            Ok(text) => Some(serde_json::from_str::<PlaneAnswer>(&text).map_err(|_| Missed::Refused(nonsense()))?),
            Err(CallError::NoDaemon { .. }) => None,
            Err(error) => return Err(Missed::Refused(Refusal::ours(error.to_string()))),
        };
        let owned = running.as_ref().and_then(|answer| answer.plane.as_deref());
        let alone = running.is_none();
        match (wanted, owned) {
            (None | Some(PlaneName::Ebpf), Some("ebpf")) => Ok(Self::Daemon { socket }),
            (Some(PlaneName::Ipvs), _) | (None, Some("ipvs")) => Self::ipvs().await.map_err(|error| no_ipvs(&error)),
            (Some(PlaneName::Ebpf), _) => return Self::ebpf(run_dir, alone, errand).await,
            (None, _) if plane::serves(run_dir) => return Self::ebpf(run_dir, alone, errand).await,
            (None, _) => match Self::ipvs().await {
                Err(DatapathError::NoIpvs) if cfg!(feature = "ebpf") => {
                    return Self::ebpf(run_dir, alone, errand).await;
                }
                done => done.map_err(|error| no_ipvs(&error)),
            },
        }
        .map_err(Missed::Refused)
    }

    async fn ipvs() -> Result<Self, DatapathError> {
        Ok(Self::Shared(Box::new(Plane::Ipvs(Ipvs::open().await?))))
    }

    /// `alone`: no daemon runs, and none shall start while we work; else it shall begin no plane.
    async fn ebpf(run_dir: &Path, alone: bool, errand: Errand) -> Result<Self, Missed> {
        let begins = errand == Errand::Begin;
        if !begins && !plane::pinned(run_dir) {
            return Ok(Self::Nothing { run_dir: run_dir.to_owned() });
        }
        let lock = |holder| {
            let lock = if alone { RunDir::lock(run_dir, holder) } else { RunDir::lock_plane(run_dir, holder) };
            lock.map_err(Missed::Locked)
        };
        let mut ours = lock(errand.holder())?;
        // Who had the lock before us may have taken it down.
        if !begins && !plane::pinned(run_dir) {
            return Ok(Self::Nothing { run_dir: run_dir.to_owned() });
        }
        let plane = if let Some(plane) = plane::take_up(run_dir, errand.access())? {
            plane
        } else {
            if errand.holder() == Holder::Reader {
                drop(ours);
                ours = lock(Holder::Command)?;
            }
            plane::open(model::Plane::Ebpf, run_dir, None).await?
        };
        Ok(Self::Ebpf { plane: Box::new(plane), errand, _lock: ours })
    }

    pub(super) async fn ask(&mut self, question: Question) -> Result<Reply, Refusal> {
        if let Self::Nothing { run_dir } = self {
            if let Some(reply) = of_nothing(&question) {
                return Ok(reply);
            }
            *self = Self::choose(&run_dir.clone(), Some(PlaneName::Ebpf), Errand::Begin).await?;
        }
        match self {
            Self::Daemon { socket } => by_daemon(socket, &question).await,
            Self::Shared(plane) | Self::Ebpf { plane, .. } => manual::ask(plane.as_mut(), question).await,
            Self::Nothing { .. } => Err(Refusal::ours("vipd: no eBPF plane was begun")),
        }
    }

    /// Our program goes on without us where it has a service, or timeouts that somebody set; it goes where it has
    /// neither. Who only read leaves it as it is.
    pub(super) async fn close(self) -> Result<(), Refusal> {
        let Self::Ebpf { mut plane, errand, _lock } = self else { return Ok(()) };
        if errand.access() == Access::Read {
            return Ok(());
        }
        let read = async {
            let is_empty = plane.snapshot().await?.services.is_empty();
            Ok(!is_empty || plane.timeouts().await? != Timeouts::DEFAULT)
        };
        let keep = read.await.map_err(|error| refused(&error))?;
        plane.close(keep).await.map_err(|error| refused(&error))
    }
}

/// What a plane answers that nobody has begun; to a change nothing, since that begins it.
fn of_nothing(question: &Question) -> Option<Reply> {
    Some(match question {
        Question::Table => Reply::Table { header: Header::default(), rows: vec![] },
        Question::Connections => Reply::Connections(vec![]),
        Question::Timeouts => Reply::Timeouts(Timeouts::DEFAULT),
        Question::Daemons => Reply::Daemons(vec![]),
        Question::Change(_) => return None,
    })
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
