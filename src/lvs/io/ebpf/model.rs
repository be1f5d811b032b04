//! What the maps hold, by the names of user space: which slot belongs to whom.
//!
//! Pure. Steps change the model first; `commit.rs` then writes each touched service. The truth is in the maps:
//! `adopt.rs` makes the model from them.

use std::collections::BTreeMap;

use super::fault::PLANE;
use super::slots::Slots;
use super::words;
use crate::lvs::datapath::{Capabilities, DatapathError};
use crate::lvs::table::{Destination, DestinationKey, Service, ServiceKey, Step};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldDestination {
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) destination: Destination,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) slot: u32,
    pub(super) service: Service,
    /// Generation of the schedule that the kernel reads, and the places written of it; none before the first one.
    pub(super) table: (u32, u32),
    pub(super) destinations: BTreeMap<DestinationKey, HeldDestination>,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) capabilities: Capabilities,
    pub(super) services: BTreeMap<ServiceKey, Held>,
    pub(super) service_slots: Slots,
    pub(super) destination_slots: Slots,
    /// The last generation given away; the next one is never 0.
    pub(super) generation: u32,
}

pub(super) const fn key_of(step: &Step) -> ServiceKey {
    match *step {
        Step::AddService(key, _)
        | Step::EditService(key, _)
        | Step::AddDestination(key, _, _)
        | Step::EditDestination(key, _, _)
        | Step::DeleteDestination(key, _)
        | Step::DeleteService(key) => key,
    }
}

impl Held {
    /// Whether clients stay with their server.
    pub(super) const fn is_persistent(&self) -> bool {
        self.service.persistence.is_some()
    }
}

impl Model {
    pub(super) fn new(services_max: u32, destinations_max: u32) -> Self {
        Self {
            capabilities: words::capabilities(),
            services: BTreeMap::new(),
            service_slots: Slots::new(services_max),
            destination_slots: Slots::new(destinations_max),
            generation: 0,
        }
    }

    pub(super) const fn next_generation(&mut self) -> u32 {
        self.generation = match self.generation.wrapping_add(1) {
            0 => 1,
            next => next,
        };
        self.generation
    }

    /// Carry out a step in the model. Slots that fall free stay taken until [`Model::settle`].
    ///
    /// # Errors
    /// [`DatapathError::Unsupported`], [`DatapathError::NotFound`] and [`DatapathError::Full`]; the model is unchanged.
    pub(super) fn take(&mut self, step: &Step) -> Result<(), DatapathError> {
        self.capabilities.check_step(step)?;
        match *step {
            Step::AddService(key, service) | Step::EditService(key, service) => self.put_service(key, service),
            Step::AddDestination(key, at, destination) | Step::EditDestination(key, at, destination) => {
                self.put_destination(key, at, destination)
            }
            Step::DeleteDestination(key, at) => {
                if let Some(held) = self.services.get_mut(&key) {
                    held.destinations.remove(&at);
                }
                Ok(())
            }
            Step::DeleteService(key) => {
                self.services.remove(&key);
                Ok(())
            }
        }
    }

    fn put_service(&mut self, key: ServiceKey, service: Service) -> Result<(), DatapathError> {
        words::service_key(&key)?;
        words::check_service(&key, &service)?;
        if let Some(held) = self.services.get_mut(&key) {
            held.destinations.values().try_for_each(|to| words::check_pair(&key, &service, &to.destination))?;
            held.service = service;
            return Ok(());
        }
        let slot = take_slot(&mut self.service_slots, "services", || format!("adding service {key}"))?;
        self.services.insert(key, Held { slot, service, table: (0, 0), destinations: BTreeMap::new() });
        Ok(())
    }

    fn put_destination(
        &mut self,
        key: ServiceKey,
        at: DestinationKey,
        destination: Destination,
    ) -> Result<(), DatapathError> {
        words::check_destination(&at, &destination)?;
        let generation = self.next_generation();
        let held = self.services.get_mut(&key).ok_or_else(|| missing("adding a destination", key.to_string()))?;
        words::check_pair(&key, &held.service, &destination)?;
        if let Some(known) = held.destinations.get_mut(&at) {
            known.destination = destination;
            return Ok(());
        }
        let doing = || format!("adding destination {at} to {key}");
        let slot = take_slot(&mut self.destination_slots, "destinations", doing)?;
        held.destinations.insert(at, HeldDestination { slot, generation, destination });
        Ok(())
    }

    /// The maps hold `now` where they held `before`: what only `before` had is free again.
    pub(super) fn settle(&mut self, before: Option<&Held>, now: Option<&Held>) {
        let Some(before) = before else { return };
        if now.is_none_or(|now| now.slot != before.slot) {
            self.service_slots.give_back(before.slot);
        }
        for gone in gone(before, now) {
            self.destination_slots.give_back(gone.1.slot);
        }
    }

    pub(super) fn full(limit: u32, what: &'static str, action: String) -> DatapathError {
        DatapathError::Full { plane: PLANE, action, what, limit }
    }
}

/// Destinations of `before` that `now` does not have, or has under another generation.
pub(super) fn gone<'a>(
    before: &'a Held,
    now: Option<&'a Held>,
) -> impl Iterator<Item = (&'a DestinationKey, &'a HeldDestination)> {
    before.destinations.iter().filter(move |(key, held)| {
        let kept = now.and_then(|now| now.destinations.get(key));
        kept.is_none_or(|kept| kept.generation != held.generation)
    })
}

fn missing(action: &'static str, object: String) -> DatapathError {
    DatapathError::NotFound { action, object }
}

fn take_slot(slots: &mut Slots, what: &'static str, action: impl FnOnce() -> String) -> Result<u32, DatapathError> {
    slots.take().ok_or_else(|| Model::full(slots.limit(), what, action()))
}
