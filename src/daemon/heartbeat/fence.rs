//! The heartbeat's side of the fence: which slot a virtual router has, and until when it may serve.

use std::collections::BTreeMap;

use crate::base::MonoTime;
use crate::vrrp::io::fence::{Deadlines, SLOTS_MAX};
use crate::vrrp::settings::Key;

/// Slots of those that hold addresses; without a fence there are none.
#[derive(Debug)]
pub struct FenceSlots {
    deadlines: Option<Deadlines>,
    slots: BTreeMap<Key, u32>,
}

impl FenceSlots {
    pub const fn new(deadlines: Option<Deadlines>) -> Self {
        Self { deadlines, slots: BTreeMap::new() }
    }

    /// The slot of a virtual router, from now on; `None` where there is no fence, or no slot left.
    pub fn slot(&mut self, key: &Key) -> Option<u32> {
        self.deadlines.as_ref()?;
        if let Some(slot) = self.slots.get(key) {
            return Some(*slot);
        }
        let taken: std::collections::BTreeSet<u32> = self.slots.values().copied().collect();
        let slot = (0..SLOTS_MAX).find(|slot| !taken.contains(slot))?;
        self.slots.insert(key.clone(), slot);
        Some(slot)
    }

    /// From `until` on it is deaf, unless told again.
    pub fn serve(&mut self, key: &Key, until: MonoTime) {
        if let (Some(slot), Some(deadlines)) = (self.slot(key), &mut self.deadlines) {
            // A slot below the map's size is always taken.
            let _ = deadlines.set(slot, Some(until));
        }
    }

    /// It holds nothing any more, and the kernel has let go.
    pub fn released(&mut self, key: &Key) {
        if let (Some(slot), Some(deadlines)) = (self.slots.remove(key), &mut self.deadlines) {
            let _ = deadlines.set(slot, None);
        }
    }
}
