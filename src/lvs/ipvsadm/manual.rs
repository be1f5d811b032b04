//! What a plane does for an operator's hand, beside [`Datapath`] that the daemon uses.

use std::collections::VecDeque;

use super::command::{Change, Refusal, SyncDaemon, Timeouts};
use super::connections::Connection;
use super::strict::admit;
use crate::lvs::datapath::{Datapath, DatapathError};
use crate::lvs::table::{ServiceKey, Step, Table};
use crate::lvs::view::{Header, Row, rows};

/// What somebody wants to do with a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing of it is written, but for the census that counting takes.
    Read,
    Change,
}

/// A plane as `vipd ipvsadm` sees it. The default is what can be done with a [`Datapath`] alone.
#[expect(async_fn_in_trait, reason = "the planes are one enum, nobody needs `dyn` or `Send` bounds")]
pub trait Manual: Datapath {
    /// The table with its counters, in the plane's own order.
    async fn listing(&mut self) -> Result<(Header, Vec<Row>), DatapathError> {
        let table = self.snapshot().await?;
        let counters = self.counters().await?;
        Ok((Header::default(), rows(&table, &counters)))
    }

    /// Carry out the changes in order, strictly, and say what became of each.
    async fn change(&mut self, changes: &[Change]) -> Vec<Result<(), Refusal>> {
        let mut table = match self.snapshot().await {
            Ok(table) => table,
            Err(error) => return changes.iter().map(|_| Err(refused(&error))).collect(),
        };
        let mut results: Vec<Result<(), Refusal>> = vec![];
        let mut waiting = VecDeque::new();
        for (place, change) in changes.iter().enumerate() {
            let result = match change {
                Change::Step(step) => self
                    .objection(step, &table)
                    .and_then(|()| admit(&mut table, step))
                    .map(|()| waiting.push_back((place, *step))),
                Change::Clear => {
                    let gone = std::mem::take(&mut table).services;
                    waiting.extend(gone.into_keys().map(|key| (place, Step::DeleteService(key))));
                    Ok(())
                }
                Change::Zero(Some(key)) if !table.services.contains_key(key) => Err(Refusal::kernel("No such service")),
                Change::Zero(_) | Change::Set(_) | Change::StartDaemon(_) | Change::StopDaemon(_) => {
                    flush(self, &mut waiting, &mut results).await;
                    self.beyond(change, &table).await
                }
            };
            results.push(result);
        }
        flush(self, &mut waiting, &mut results).await;
        results
    }

    /// What stands against a step that only a hand asks for; `held` is what the plane holds.
    ///
    /// # Errors
    /// [`Refusal`] with what to do instead.
    fn objection(&self, step: &Step, held: &Table) -> Result<(), Refusal> {
        let _ = (step, held);
        Ok(())
    }

    /// A change that is no step; `held` is what the plane holds.
    async fn beyond(&mut self, change: &Change, held: &Table) -> Result<(), Refusal> {
        let _ = held;
        Err(self.cannot(change))
    }

    /// What the plane does not do at all.
    fn cannot(&self, change: &Change) -> Refusal {
        let what = match change {
            Change::Step(_) | Change::Clear => "change its table",
            Change::Zero(_) => "set counters to zero",
            Change::Set(_) => "set timeouts",
            Change::StartDaemon(_) | Change::StopDaemon(_) => "run sync daemons",
        };
        Refusal::ours(format!("the {} plane cannot {what}", self.capabilities().plane))
    }

    /// Every connection that the plane knows.
    async fn connections(&mut self) -> Result<Vec<Connection>, DatapathError> {
        Err(self.unsupported("list connections"))
    }

    async fn timeouts(&mut self) -> Result<Timeouts, DatapathError> {
        Err(self.unsupported("tell its timeouts"))
    }

    /// The sync daemons that run.
    async fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, DatapathError> {
        Ok(vec![])
    }

    fn unsupported(&self, what: &str) -> DatapathError {
        DatapathError::Unsupported { plane: self.capabilities().plane, what: what.to_owned() }
    }
}

/// The services that a `-Z` means.
pub fn meant(zeroed: Option<ServiceKey>, held: &Table) -> Vec<ServiceKey> {
    zeroed.map_or_else(|| held.services.keys().copied().collect(), |key| vec![key])
}

/// What a plane says, as a refusal.
pub fn refused(error: &DatapathError) -> Refusal {
    match error {
        DatapathError::Permission { .. } => Refusal::kernel("Permission denied (you must be root)"),
        DatapathError::NoIpvs
        | DatapathError::Unsupported { .. }
        | DatapathError::NotFound { .. }
        | DatapathError::Full { .. }
        | DatapathError::Kernel { .. }
        | DatapathError::Answer { .. }
        | DatapathError::Load { .. } => Refusal::ours(error.to_string()),
    }
}

/// Have the plane carry out the steps that wait, each under the place of its change.
async fn flush<M: Manual + ?Sized>(
    doing: &mut M,
    waiting: &mut VecDeque<(usize, Step)>,
    results: &mut [Result<(), Refusal>],
) {
    let steps: Vec<(usize, Step)> = waiting.drain(..).collect();
    let plain: Vec<Step> = steps.iter().map(|(_, step)| *step).collect();
    let Err(error) = (if plain.is_empty() { Ok(()) } else { doing.apply(&plain).await }) else { return };
    let mut open = steps;
    for (failed, why) in error.failed {
        let Some(at) = open.iter().position(|(_, step)| *step == failed) else { continue };
        let (place, _) = open.swap_remove(at);
        if let Some(result) = results.get_mut(place) {
            *result = Err(refused(&why));
        }
    }
}
