//! Which places of an array map are taken.

use std::collections::BTreeSet;

/// Slots `0..limit`; the lowest free one is given first, so that a scan can stop at [`Slots::end`].
#[derive(Clone, Debug)]
pub struct Slots {
    limit: u32,
    end: u32,
    free: BTreeSet<u32>,
}

impl Slots {
    pub const fn new(limit: u32) -> Self {
        Self { limit, end: 0, free: BTreeSet::new() }
    }

    /// The slots of a map in which `used` are taken.
    pub fn from_used(limit: u32, used: &BTreeSet<u32>) -> Self {
        let end = used.last().map_or(0, |last| last.saturating_add(1));
        Self { limit, end, free: (0..end).filter(|slot| !used.contains(slot)).collect() }
    }

    /// The lowest free slot; `None` where all are taken.
    pub fn take(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop_first() {
            return Some(slot);
        }
        let slot = self.end;
        (slot < self.limit).then(|| {
            self.end = slot.saturating_add(1);
            slot
        })
    }

    pub fn give_back(&mut self, slot: u32) {
        if slot < self.end {
            self.free.insert(slot);
        }
    }

    /// One behind the highest slot that was ever taken.
    pub const fn end(&self) -> u32 {
        self.end
    }

    pub const fn limit(&self) -> u32 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_slot_goes_first_and_the_limit_holds() {
        let mut slots = Slots::new(3);
        assert_eq!([slots.take(), slots.take(), slots.take(), slots.take()], [Some(0), Some(1), Some(2), None]);
        slots.give_back(1);
        slots.give_back(0);
        assert_eq!([slots.take(), slots.take(), slots.take()], [Some(0), Some(1), None]);
    }

    #[test]
    fn slots_found_in_a_map_are_not_given_again() {
        let mut slots = Slots::from_used(5, &BTreeSet::from([1, 3]));
        assert_eq!(slots.end(), 4);
        let given: Vec<u32> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(given, [0, 2, 4]);
    }
}
