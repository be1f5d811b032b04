//! Writes one service to the maps so that no packet sees half of it.
//!
//! New destinations first (nobody points at them), then the new schedule under a generation of its own, then the one
//! word of the service that flips to it, then the old destinations. The old schedule stays until the next change.

use std::collections::BTreeMap;

use super::abi;
use super::fault::{self, Fault};
use super::maps::Maps;
use super::model::{Held, Model, gone};
use super::schedule::{self, Candidate};
use super::stats;
use super::words;
use crate::lvs::table::ServiceKey;

/// Destinations (slot and generation) that answer from one address and port.
type Reals = BTreeMap<abi::RealKey, BTreeMap<u32, u32>>;

/// The maps, and what of them has to be remembered to write them.
pub(super) struct Kernel {
    pub(super) maps: Maps,
    reals: Reals,
    /// Schedules that no service points at any more: generation and length.
    garbage: Vec<(u32, u32)>,
    /// Where `FullNat` connections begin, by service.
    locals: BTreeMap<ServiceKey, abi::Locals>,
}

impl Kernel {
    pub(super) const fn new(maps: Maps) -> Self {
        Self { maps, reals: BTreeMap::new(), garbage: Vec::new(), locals: BTreeMap::new() }
    }

    /// Write `now` where the maps hold `before`; the new schedule gets `generation`.
    ///
    /// # Errors
    /// [`Fault`] where a map refuses. Up to the flip the old state goes on serving.
    pub(super) fn commit(
        &mut self,
        key: &ServiceKey,
        before: Option<&Held>,
        now: Option<&mut Held>,
        generation: u32,
    ) -> Result<(), Fault> {
        let Ok(wire) = words::service_key(key) else { return Ok(()) };
        match now {
            Some(now) => {
                self.write_destinations(&wire, before, now)?;
                if before.is_none_or(|before| before.slot != now.slot) {
                    self.write_locals(key, now.slot)?;
                }
                self.write_service(&wire, before, now, generation)?;
                self.release(&wire, before, Some(now))
            }
            None if before.is_none() => Ok(()),
            None => {
                self.maps.service_keys.remove(&wire).map_err(Fault::map(format!("removing service {key}")))?;
                self.release(&wire, before, None)
            }
        }
    }

    fn write_destinations(&mut self, wire: &abi::ServiceKey, before: Option<&Held>, now: &Held) -> Result<(), Fault> {
        let persistent = now.is_persistent();
        let same = before.filter(|before| before.slot == now.slot && before.is_persistent() == persistent);
        for (at, held) in &now.destinations {
            if same.and_then(|same| same.destinations.get(at)) == Some(held) {
                continue;
            }
            let of = (wire, persistent);
            let Some(value) = words::destination(of, at, &held.destination, now.slot, held.generation) else {
                continue;
            };
            let written = self.maps.destinations.set(held.slot, value, 0);
            written.map_err(Fault::map(format!("writing destination {at}")))?;
            self.set_real(wire, &value, held.slot, true)?;
        }
        Ok(())
    }

    /// From now on these; the connections that are there keep theirs.
    pub(super) fn set_locals(&mut self, locals: BTreeMap<ServiceKey, abi::Locals>) {
        self.locals = locals;
    }

    pub(super) fn has_locals(&self, key: &ServiceKey) -> bool {
        self.locals.contains_key(key)
    }

    pub(super) fn write_locals(&mut self, key: &ServiceKey, slot: u32) -> Result<(), Fault> {
        let doing = || format!("writing the local addresses of {key}");
        let held = &mut self.maps.locals_of;
        match self.locals.get(key) {
            Some(locals) => held.insert(slot, locals, 0).map_err(Fault::map(doing())),
            None => match held.remove(&slot) {
                Ok(()) => Ok(()),
                Err(error) if fault::errno(&error) == Some(libc::ENOENT) => Ok(()),
                Err(error) => Err(Fault::new(doing(), &error)),
            },
        }
    }

    fn write_service(
        &mut self,
        wire: &abi::ServiceKey,
        before: Option<&Held>,
        now: &mut Held,
        generation: u32,
    ) -> Result<(), Fault> {
        let candidates = candidates(now);
        let mut order = schedule::order(now.service.scheduler, &candidates);
        let length = u32::try_from(order.len()).unwrap_or(u32::MAX);
        // What a firewall mark leads to is unknown to XDP, which lets floods pass the table by.
        let flood_length = match wire.fwmark {
            0 => schedule::for_floods(now.service.scheduler, &candidates, &mut order),
            _ => 0,
        };
        let written = self.write_schedule(generation, &order)?;
        let old = now.table;
        now.table = (generation, written);
        let is_new = before.is_none_or(|before| before.slot != now.slot);
        if is_new {
            self.maps.cursors.set(now.slot, 0, 0).map_err(Fault::map("resetting the cursor of a service"))?;
            self.maps.floods.set(now.slot, 0, 0).map_err(Fault::map("forgetting the flood of a service"))?;
        }
        let asked = words::asked_bits(now.destinations.values().map(|held| &held.destination));
        let value = words::service(wire, &now.service, (words::table_word(generation, length), flood_length), asked);
        self.maps.services.set(now.slot, value, 0).map_err(Fault::map("writing a service"))?;
        if is_new {
            let slot = abi::ServiceSlot { slot: now.slot, reserved: 0 };
            self.maps.service_keys.insert(wire, slot, 0).map_err(Fault::map("adding a service"))?;
        } else {
            self.garbage.push(old);
        }
        Ok(())
    }

    /// Pages of a schedule that no packet reads yet; how many places they hold.
    fn write_schedule(&mut self, generation: u32, order: &[u32]) -> Result<u32, Fault> {
        for (chunk, number) in order.chunks(abi::SCHEDULE_PAGE).zip(0..) {
            let mut page = abi::SchedulePage { destination: [0; abi::SCHEDULE_PAGE] };
            for (entry, slot) in page.destination.iter_mut().zip(chunk) {
                *entry = *slot;
            }
            let key = abi::ScheduleKey { generation, page: number };
            self.maps.schedules.insert(key, page, 0).map_err(Fault::map("writing a schedule"))?;
        }
        Ok(u32::try_from(order.len()).unwrap_or(u32::MAX))
    }

    /// Free what only `before` had. The counters go back to zero for the next in the slot.
    fn release(&mut self, wire: &abi::ServiceKey, before: Option<&Held>, now: Option<&Held>) -> Result<(), Fault> {
        let Some(before) = before else { return Ok(()) };
        for (at, held) in gone(before, now) {
            self.maps.destinations.set(held.slot, abi::Destination::FREE, 0).map_err(Fault::map("freeing a slot"))?;
            stats::zero(&mut self.maps.destination_stats, held.slot)?;
            let idle = abi::Load::default();
            self.maps.loads.set(held.slot, idle, 0).map_err(Fault::map("freeing a slot"))?;
            let of = (wire, before.is_persistent());
            if let Some(value) = words::destination(of, at, &held.destination, before.slot, held.generation) {
                self.set_real(wire, &value, held.slot, false)?;
            }
        }
        if now.is_none_or(|now| now.slot != before.slot) {
            self.maps.services.set(before.slot, abi::Service::FREE, 0).map_err(Fault::map("freeing a slot"))?;
            stats::zero(&mut self.maps.service_stats, before.slot)?;
            self.garbage.push(before.table);
        }
        Ok(())
    }

    /// Remember that the maps say so already.
    pub(super) fn know_real(&mut self, wire: &abi::ServiceKey, value: &abi::Destination, slot: u32) {
        if let Some(key) = words::real_key(wire, value) {
            self.reals.entry(key).or_default().insert(slot, value.generation);
        }
    }

    /// Note that a destination answers from its address and port, or does not any more.
    pub(super) fn set_real(
        &mut self,
        wire: &abi::ServiceKey,
        value: &abi::Destination,
        slot: u32,
        present: bool,
    ) -> Result<(), Fault> {
        let Some(key) = words::real_key(wire, value) else { return Ok(()) };
        let holders = self.reals.entry(key).or_default();
        if present {
            holders.insert(slot, value.generation);
        } else if holders.get(&slot) == Some(&value.generation) {
            holders.remove(&slot);
        }
        let Some((&destination, &generation)) = holders.first_key_value() else {
            self.reals.remove(&key);
            return match self.maps.reals.remove(&key) {
                Ok(()) | Err(aya::maps::MapError::KeyNotFound) => Ok(()),
                Err(error) => Err(Fault::new("forgetting a real server", &error)),
            };
        };
        let holders = u32::try_from(holders.len()).unwrap_or(u32::MAX);
        let real = abi::Real { destination, generation, holders, reserved: 0 };
        self.maps.reals.insert(key, real, 0).map_err(Fault::map("noting a real server"))
    }

    /// Delete the schedules that the last change replaced: no packet is still reading them.
    ///
    /// # Errors
    /// [`Fault`]; what could not be deleted is not tried again before a restart.
    pub(super) fn collect_garbage(&mut self) -> Result<(), Fault> {
        let page = u32::try_from(abi::SCHEDULE_PAGE).unwrap_or(u32::MAX);
        for (generation, length) in std::mem::take(&mut self.garbage) {
            for page in 0..length.div_ceil(page) {
                let key = abi::ScheduleKey { generation, page };
                self.maps.schedules.remove(&key).map_err(Fault::map("deleting an old schedule"))?;
            }
        }
        Ok(())
    }

    /// Say that schedules are being written, or are complete again; how far slots of destinations are given away; and how far
    /// generations are, with so many that come.
    pub(super) fn mark(&mut self, model: &Model, generations: u32, changing: bool) -> Result<(), Fault> {
        let doing = "writing the settings";
        let mut settings = self.maps.settings.get(&0, 0).map_err(Fault::map(doing))?;
        settings.generation = model.generation.wrapping_add(generations);
        settings.destinations = settings.destinations.max(model.destination_slots.end());
        settings.changing = u32::from(changing);
        self.maps.settings.set(0, settings, 0).map_err(Fault::map(doing))
    }
}

/// Who takes new connections; of a hash that falls back those of weight 0 too, so that all others keep their places.
fn candidates(held: &Held) -> Vec<Candidate> {
    let all = held.destinations.iter().map(|(key, held)| Candidate {
        key: *key,
        weight: held.destination.weight.get(),
        slot: held.slot,
    });
    let mut candidates: Vec<Candidate> = all.collect();
    let keeps_places = schedule::falls_back(held.service.scheduler, held.service.flags);
    if !keeps_places || candidates.iter().all(|one| one.weight == 0) {
        candidates.retain(|one| one.weight > 0);
    }
    candidates
}
