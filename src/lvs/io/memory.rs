//! A plane in memory: for tests, for `plan` and for a dry run. It forwards nothing.

use std::collections::BTreeMap;
use std::io;

use crate::lvs::datapath::{
    ApplyError, Capabilities, Counters, Datapath, DatapathError, DestinationStats, Feature, ServiceStats, Stats,
};
use crate::lvs::table::{Entry, Scheduler, ServiceKey, Step, Table};

/// What other planes keep in the kernel, kept here.
#[derive(Clone, Debug)]
pub struct Memory {
    capabilities: Capabilities,
    table: Table,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// A plane that can do everything.
    pub fn new() -> Self {
        Self::like(Capabilities { plane: "memory", schedulers: Scheduler::ALL.into(), features: Feature::ALL.into() })
    }

    /// A plane that can do what another one can: a dry run refuses what the real one would.
    pub fn like(capabilities: Capabilities) -> Self {
        Self { capabilities, table: Table::default() }
    }

    /// Start from what another plane holds.
    #[must_use]
    pub fn holding(mut self, table: Table) -> Self {
        self.table = table;
        self
    }

    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// One step; see [`Step`] for what it promises.
    ///
    /// # Errors
    /// What the kernel refuses too: an unsupported wish, a destination of no service, a lower threshold above
    /// the upper one (`ERANGE`, `ip_vs_ctl.c`), a destination that is not unicast (`EINVAL`).
    pub fn apply_one(&mut self, step: &Step) -> Result<(), DatapathError> {
        self.capabilities.check_step(step)?;
        match *step {
            Step::AddService(key, service) | Step::EditService(key, service) => {
                let fresh = || Entry { service, destinations: BTreeMap::new() };
                self.table.services.entry(key).or_insert_with(fresh).service = service;
            }
            Step::AddDestination(key, at, destination) | Step::EditDestination(key, at, destination) => {
                if destination.lower_threshold > destination.upper_threshold {
                    let source = io::Error::from_raw_os_error(libc::ERANGE);
                    return Err(DatapathError::Kernel { action: format!("thresholds of {at} of {key}"), source });
                }
                let entry = self.entry(key)?;
                if !at.is_unicast() {
                    let source = io::Error::from_raw_os_error(libc::EINVAL);
                    return Err(DatapathError::Kernel { action: format!("sending to {at} of {key}"), source });
                }
                entry.destinations.insert(at, destination);
            }
            Step::DeleteDestination(key, at) => {
                if let Some(entry) = self.table.services.get_mut(&key) {
                    entry.destinations.remove(&at);
                }
            }
            Step::DeleteService(key) => {
                self.table.services.remove(&key);
            }
        }
        Ok(())
    }

    fn entry(&mut self, key: ServiceKey) -> Result<&mut Entry, DatapathError> {
        let missing = || DatapathError::NotFound { action: "adding a destination", object: key.to_string() };
        self.table.services.get_mut(&key).ok_or_else(missing)
    }
}

impl crate::lvs::ipvsadm::manual::Manual for Memory {}

impl Datapath for Memory {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn snapshot(&mut self) -> Result<Table, DatapathError> {
        Ok(self.table.clone())
    }

    async fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        let mut failed = vec![];
        for step in steps {
            if let Err(error) = self.apply_one(step) {
                failed.push((*step, error));
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(ApplyError { tried: steps.len(), failed }) }
    }

    async fn counters(&mut self) -> Result<Counters, DatapathError> {
        let of_entry = |entry: &Entry| ServiceStats {
            stats: Stats::default(),
            destinations: entry.destinations.keys().map(|at| (*at, DestinationStats::default())).collect(),
        };
        Ok(Counters { services: self.table.services.iter().map(|(key, entry)| (*key, of_entry(entry))).collect() })
    }
}
