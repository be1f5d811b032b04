//! The forwarding plane that the configuration chose: opening it, and what it is set to beside its table.

use std::path::Path;

use crate::config::model;
use crate::daemon::lvs::{Hooks, LvsCommand, Tuning};
use crate::daemon::supervisor::running::Daemon;
use crate::daemon::translate::Wanted;
use crate::daemon::watching;
use crate::lvs::datapath::{DatapathError, HookMode};
#[cfg(feature = "ebpf")]
use crate::lvs::io::ebpf::{Ebpf, EbpfOptions, LOCAL_PORTS};
use crate::lvs::io::ipvs::Ipvs;
use crate::lvs::io::plane::Plane;
use crate::lvs::ipvsadm::manual::Access;
use crate::vrrp::Standing;

/// Connections of the eBPF plane where `lvs_ebpf_connections` says nothing.
const CONNECTIONS_MAX: u32 = 1 << 18;
/// Limits of its other maps.
#[cfg(feature = "ebpf")]
const SERVICES_MAX: u32 = 16_384;
#[cfg(feature = "ebpf")]
const DESTINATIONS_MAX: u32 = 65_536;

impl Daemon {
    /// Timeouts, hooks and sync daemons as configured; `standing` is that of the virtual router that these follow, where it
    /// has just moved.
    pub async fn tune(&self, standing: Option<Standing>) {
        let Some(forwarding) = &self.forwarding else { return };
        let Wanted { timeouts, sync, ebpf_mode, quiescent_keeps, .. } = &self.wanted;
        let views = std::sync::Arc::clone(&self.heartbeat.snapshot.borrow());
        let of = |name: &String| views.iter().find(|view| view.name == *name).map(|view| view.state);
        let sync = sync.as_ref().map(|sync| {
            let standing = standing.or_else(|| sync.instance.as_ref().and_then(of));
            sync.daemons(standing == Some(Standing::Active))
        });
        let hooks = Some(Hooks { mode: hook_mode(*ebpf_mode), fence: self.heartbeat.fence });
        // A task that has ended is noticed by the loop.
        let tuning = Tuning { timeouts: *timeouts, sync, hooks, quiescent_keeps: *quiescent_keeps };
        drop(forwarding.commands.send(LvsCommand::Tune(tuning)).await);
    }
}

const fn hook_mode(mode: model::EbpfMode) -> HookMode {
    match mode {
        model::EbpfMode::Auto => HookMode::Auto,
        model::EbpfMode::Xdp => HookMode::Xdp,
        model::EbpfMode::Tc => HookMode::Tc,
    }
}

/// Where the eBPF plane and the fence live on without us.
pub fn pins(run_dir: &Path) -> std::path::PathBuf {
    run_dir.join("bpf")
}

/// Whether an eBPF plane lives there that this build can take up.
pub fn pinned(run_dir: &Path) -> bool {
    cfg!(feature = "ebpf") && pins(run_dir).join("settings").exists()
}

/// The plane of a daemon.
///
/// # Errors
/// As [`open`].
pub async fn open_for(wanted: &Wanted, run_dir: &Path) -> Result<Plane, DatapathError> {
    open(wanted.plane, run_dir, Some(wanted.ebpf_connections.unwrap_or(CONNECTIONS_MAX))).await
}

/// `connections`: how many the eBPF plane is to hold; `None`: as many as one that lives there already.
///
/// # Errors
/// [`DatapathError`]: no such plane in this kernel or in this build, or no permission.
pub async fn open(plane: model::Plane, run_dir: &Path, connections: Option<u32>) -> Result<Plane, DatapathError> {
    match plane {
        model::Plane::Ipvs => Ok(Plane::Ipvs(Ipvs::open().await?)),
        model::Plane::Ebpf => ebpf(run_dir, connections).await,
    }
}

/// Whether an eBPF plane lives there that has services: one without them has timeouts alone.
#[cfg(feature = "ebpf")]
pub fn serves(run_dir: &Path) -> bool {
    Ebpf::pinned_has_service(&pins(run_dir))
}

#[cfg(not(feature = "ebpf"))]
pub const fn serves(_: &Path) -> bool {
    false
}

/// The eBPF plane that lives there, as it is. `None`: it has to be opened.
///
/// # Errors
/// As [`open`].
#[cfg(feature = "ebpf")]
pub fn take_up(run_dir: &Path, access: Access) -> Result<Option<Plane>, DatapathError> {
    let taken = Ebpf::take_up(&options(run_dir, None)?, access)?;
    Ok(taken.map(|plane| Plane::Ebpf(Box::new(plane))))
}

/// A build without the eBPF plane takes up none, and [`open`] says why.
///
/// # Errors
/// None.
#[cfg(not(feature = "ebpf"))]
pub fn take_up(_: &Path, _: Access) -> Result<Option<Plane>, DatapathError> {
    Ok(None)
}

#[cfg(feature = "ebpf")]
async fn ebpf(run_dir: &Path, connections: Option<u32>) -> Result<Plane, DatapathError> {
    Ok(Plane::Ebpf(Box::new(Ebpf::open(&options(run_dir, connections)?).await?)))
}

#[cfg(feature = "ebpf")]
fn options(run_dir: &Path, connections: Option<u32>) -> Result<EbpfOptions, DatapathError> {
    let pin_dir = pins(run_dir);
    let connections = connections.or_else(|| Ebpf::pinned_connections(&pin_dir));
    Ok(EbpfOptions {
        pin_dir,
        interfaces: interfaces()?,
        connections_max: connections.unwrap_or(CONNECTIONS_MAX),
        services_max: SERVICES_MAX,
        destinations_max: DESTINATIONS_MAX,
        local_ports: LOCAL_PORTS,
    })
}

#[cfg(not(feature = "ebpf"))]
#[expect(clippy::unused_async, reason = "the other build awaits")]
async fn ebpf(_: &Path, _: Option<u32>) -> Result<Plane, DatapathError> {
    Err(DatapathError::Unsupported {
        plane: "ebpf",
        what: "run: this vipd was built without it; choose `lvs_datapath ipvs`".to_owned(),
    })
}

/// A killed daemon left its program and maps pinned below this run directory.
pub fn left_by_ebpf(run_dir: &Path) -> bool {
    // Not the fence, which the heartbeat sees to, nor what the kernel puts into every bpffs.
    let of_plane = |name: &[u8]| name != b"fence" && !name.ends_with(b".debug");
    let is_left = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| of_plane(std::os::unix::ffi::OsStrExt::as_bytes(entry.file_name().as_os_str())))
    };
    cfg!(feature = "ebpf") && std::fs::read_dir(run_dir.join("bpf")).is_ok_and(|mut entries| entries.any(is_left))
}

/// The interfaces whose packets the plane serves: all but the loopback ones.
///
/// # Errors
/// [`DatapathError::Kernel`] where the kernel does not list them.
pub fn interfaces() -> Result<Vec<String>, DatapathError> {
    watching::interfaces()
        .map_err(|errno| DatapathError::Kernel { action: "listing the interfaces".to_owned(), source: errno.into() })
}
