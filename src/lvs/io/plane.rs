//! The plane that a configuration chose: one enum, so that nobody needs `dyn`.

use super::ipvs::Ipvs;
use super::memory::Memory;
use crate::lvs::datapath::{ApplyError, Capabilities, Counters, Datapath, DatapathError};
use crate::lvs::table::{Step, Table};

/// One of the planes; a new one is a new arm here and an entry in `tests/contract/main.rs`.
#[derive(Debug)]
pub enum Plane {
    Memory(Memory),
    Ipvs(Ipvs),
}

impl Datapath for Plane {
    fn capabilities(&self) -> Capabilities {
        match self {
            Self::Memory(plane) => plane.capabilities(),
            Self::Ipvs(plane) => plane.capabilities(),
        }
    }

    async fn snapshot(&mut self) -> Result<Table, DatapathError> {
        match self {
            Self::Memory(plane) => plane.snapshot().await,
            Self::Ipvs(plane) => plane.snapshot().await,
        }
    }

    async fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        match self {
            Self::Memory(plane) => plane.apply(steps).await,
            Self::Ipvs(plane) => plane.apply(steps).await,
        }
    }

    async fn counters(&mut self) -> Result<Counters, DatapathError> {
        match self {
            Self::Memory(plane) => plane.counters().await,
            Self::Ipvs(plane) => plane.counters().await,
        }
    }
}
