//! The steps from what a plane holds to what it should hold. Pure.
//!
//! Additions come before deletions and raised weights before lowered ones, so that a service which can
//! serve before and after can serve at every moment in between.

use std::collections::{BTreeMap, BTreeSet};

use super::table::{Destination, DestinationKey, Entry, ServiceKey, Step, Table};
use crate::base::Weight;

/// Which services of the plane are ours to delete.
///
/// A service that is desired is ours as a whole, its destinations too. One that is not desired is deleted
/// only where it is `owned`: what somebody else made by ipvsadm is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub owned: BTreeSet<ServiceKey>,
}

impl Scope {
    /// Everything the table holds is ours: a flush.
    pub fn everything(table: &Table) -> Self {
        Self { owned: table.services.keys().copied().collect() }
    }
}

/// What to do, in order, so that `current` becomes `desired` within `scope`.
pub fn plan(current: &Table, desired: &Table, scope: &Scope) -> Vec<Step> {
    let mut steps = vec![];
    for (key, wanted) in &desired.services {
        match current.services.get(key) {
            None => {
                steps.push(Step::AddService(*key, wanted.service));
                steps.extend(wanted.destinations.iter().map(|(at, to)| Step::AddDestination(*key, *at, *to)));
            }
            Some(held) => plan_service(&mut steps, *key, held, wanted),
        }
    }
    let gone = current.services.keys().filter(|key| !desired.services.contains_key(key));
    steps.extend(gone.filter(|key| scope.owned.contains(key)).map(|key| Step::DeleteService(*key)));
    steps
}

/// What a plane that held `current` holds once the plan is carried out: all that is desired, and what is not ours.
pub fn outcome(current: &Table, desired: &Table, scope: &Scope) -> Table {
    let theirs = current.services.iter().filter(|(key, _)| !scope.owned.contains(key));
    let mut services: BTreeMap<_, _> = theirs.map(|(key, entry)| (*key, entry.clone())).collect();
    services.extend(desired.services.iter().map(|(key, entry)| (*key, entry.clone())));
    Table { services }
}

fn plan_service(steps: &mut Vec<Step>, key: ServiceKey, held: &Entry, wanted: &Entry) {
    if held.service != wanted.service {
        steps.push(Step::EditService(key, wanted.service));
    }
    let mut raised = vec![];
    let mut lowered = vec![];
    for (at, to) in &wanted.destinations {
        match held.destinations.get(at) {
            None => raised.push(Step::AddDestination(key, *at, *to)),
            Some(from) if from == to => {}
            Some(_) if serves(to) => raised.push(Step::EditDestination(key, *at, *to)),
            Some(_) => lowered.push(Step::EditDestination(key, *at, *to)),
        }
    }
    steps.append(&mut raised);
    steps.append(&mut lowered);
    let gone = held.destinations.keys().filter(|at: &&DestinationKey| !wanted.destinations.contains_key(at));
    steps.extend(gone.map(|at| Step::DeleteDestination(key, *at)));
}

/// Whether it takes new connections.
fn serves(destination: &Destination) -> bool {
    destination.weight != Weight::ZERO
}

#[cfg(test)]
mod tests;
