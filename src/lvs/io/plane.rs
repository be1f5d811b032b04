//! The plane that a configuration chose: one enum, so that nobody needs `dyn`.

use std::collections::BTreeMap;

#[cfg(feature = "ebpf")]
use super::ebpf::Ebpf;
use super::ipvs::Ipvs;
use super::memory::Memory;
use crate::lvs::datapath::{ApplyError, Capabilities, Counters, Datapath, DatapathError, HookMode, Locals, Served};
use crate::lvs::ipvsadm::connections::Connection;
use crate::lvs::ipvsadm::manual::Manual;
use crate::lvs::ipvsadm::{Change, Refusal, SyncDaemon, Timeouts};
use crate::lvs::table::{ServiceKey, Step, Table};
use crate::lvs::view::{Header, Row};

/// One of the planes; a new one is a new arm here and an entry in `tests/contract/main.rs`.
#[derive(Debug)]
pub enum Plane {
    Memory(Memory),
    Ipvs(Ipvs),
    #[cfg(feature = "ebpf")]
    Ebpf(Box<Ebpf>),
}

impl Plane {
    /// The daemon ends. With `keep` the kernel goes on forwarding. Without it the eBPF plane removes all of its own;
    /// what IPVS holds is the table's business: plan towards an empty one before.
    ///
    /// # Errors
    /// [`DatapathError::Kernel`] for the first thing that could not be removed.
    #[cfg_attr(
        not(feature = "ebpf"),
        expect(clippy::unused_async, reason = "only the eBPF plane has something to close")
    )]
    pub async fn close(self, keep: bool) -> Result<(), DatapathError> {
        match self {
            Self::Memory(_) | Self::Ipvs(_) => {
                let _ = keep;
                Ok(())
            }
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.close(keep).await,
        }
    }
}

impl Datapath for Plane {
    fn capabilities(&self) -> Capabilities {
        match self {
            Self::Memory(plane) => plane.capabilities(),
            Self::Ipvs(plane) => plane.capabilities(),
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.capabilities(),
        }
    }

    async fn snapshot(&mut self) -> Result<Table, DatapathError> {
        match self {
            Self::Memory(plane) => plane.snapshot().await,
            Self::Ipvs(plane) => plane.snapshot().await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.snapshot().await,
        }
    }

    async fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        match self {
            Self::Memory(plane) => plane.apply(steps).await,
            Self::Ipvs(plane) => plane.apply(steps).await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.apply(steps).await,
        }
    }

    async fn counters(&mut self) -> Result<Counters, DatapathError> {
        match self {
            Self::Memory(plane) => plane.counters().await,
            Self::Ipvs(plane) => plane.counters().await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.counters().await,
        }
    }

    async fn tend(&mut self) -> Result<(), DatapathError> {
        match self {
            Self::Memory(plane) => plane.tend().await,
            Self::Ipvs(plane) => plane.tend().await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.tend().await,
        }
    }

    fn set_locals(&mut self, of: &BTreeMap<ServiceKey, Locals>) -> Result<(), DatapathError> {
        match self {
            Self::Memory(plane) => plane.set_locals(of),
            Self::Ipvs(plane) => plane.set_locals(of),
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.set_locals(of),
        }
    }

    fn reasons(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Memory(plane) => plane.reasons(),
            Self::Ipvs(plane) => plane.reasons(),
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => Datapath::reasons(plane.as_ref()),
        }
    }

    fn set_hooks(&mut self, mode: HookMode, fence: Option<u32>) -> Result<(), DatapathError> {
        match self {
            Self::Memory(plane) => plane.set_hooks(mode, fence),
            Self::Ipvs(plane) => plane.set_hooks(mode, fence),
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.set_hooks(mode, fence),
        }
    }

    fn connections_max(&self) -> Option<u32> {
        match self {
            Self::Memory(plane) => plane.connections_max(),
            Self::Ipvs(plane) => plane.connections_max(),
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.connections_max(),
        }
    }

    fn set_quiescent_keeps(&mut self, keeps: bool) -> Result<(), DatapathError> {
        match self {
            Self::Memory(plane) => plane.set_quiescent_keeps(keeps),
            Self::Ipvs(plane) => plane.set_quiescent_keeps(keeps),
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.set_quiescent_keeps(keeps),
        }
    }

    fn hooks(&self) -> Vec<Served> {
        match self {
            Self::Memory(plane) => plane.hooks(),
            Self::Ipvs(plane) => plane.hooks(),
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.hooks(),
        }
    }

    fn attach(&mut self, interfaces: &[String]) -> Result<Vec<String>, DatapathError> {
        match self {
            Self::Memory(plane) => plane.attach(interfaces),
            Self::Ipvs(plane) => plane.attach(interfaces),
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.attach(interfaces),
        }
    }
}

impl Manual for Plane {
    async fn listing(&mut self) -> Result<(Header, Vec<Row>), DatapathError> {
        match self {
            Self::Memory(plane) => plane.listing().await,
            Self::Ipvs(plane) => Manual::listing(plane).await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.listing().await,
        }
    }

    async fn change(&mut self, changes: &[Change]) -> Vec<Result<(), Refusal>> {
        match self {
            Self::Memory(plane) => plane.change(changes).await,
            Self::Ipvs(plane) => Manual::change(plane, changes).await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.change(changes).await,
        }
    }

    async fn connections(&mut self) -> Result<Vec<Connection>, DatapathError> {
        match self {
            Self::Memory(plane) => plane.connections().await,
            Self::Ipvs(plane) => Manual::connections(plane).await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.connections().await,
        }
    }

    async fn timeouts(&mut self) -> Result<Timeouts, DatapathError> {
        match self {
            Self::Memory(plane) => plane.timeouts().await,
            Self::Ipvs(plane) => Manual::timeouts(plane).await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.timeouts().await,
        }
    }

    async fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, DatapathError> {
        match self {
            Self::Memory(plane) => plane.sync_daemons().await,
            Self::Ipvs(plane) => Manual::sync_daemons(plane).await,
            #[cfg(feature = "ebpf")]
            Self::Ebpf(plane) => plane.sync_daemons().await,
        }
    }
}
