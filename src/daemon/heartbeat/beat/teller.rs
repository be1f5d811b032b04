//! What the heartbeat tells the supervisor, without ever waiting for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::vrrp::Happened;

/// Events go at once or are lost, and counted; but the last move of each virtual router waits for its turn.
#[derive(Debug)]
pub struct Teller {
    told: mpsc::Sender<Happened>,
    lost: Arc<AtomicU64>,
    moves: BTreeMap<String, Happened>,
}

impl Teller {
    pub const fn new(told: mpsc::Sender<Happened>, lost: Arc<AtomicU64>) -> Self {
        Self { told, lost, moves: BTreeMap::new() }
    }

    pub fn tell(&mut self, happened: Happened) {
        // After an older one of the same.
        if let Happened::Moved { instance, .. } = &happened
            && self.moves.contains_key(instance)
        {
            self.keep(happened);
        } else {
            self.try_tell(happened);
        }
    }

    /// Tell what had to wait, as far as there is room.
    pub fn catch_up(&mut self) {
        while self.told.capacity() > 0
            && let Some((_, moved)) = self.moves.pop_first()
        {
            self.try_tell(moved);
        }
    }

    fn try_tell(&mut self, happened: Happened) {
        if let Err(TrySendError::Full(happened)) = self.told.try_send(happened) {
            self.keep(happened);
        }
    }

    /// Of two moves the last one counts.
    fn keep(&mut self, happened: Happened) {
        let replaced = if let Happened::Moved { instance, .. } = &happened {
            self.moves.insert(instance.clone(), happened).is_some()
        } else {
            true
        };
        if replaced {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Teller {
    /// Nobody is told of these any more.
    fn drop(&mut self) {
        self.lost.fetch_add(u64::try_from(self.moves.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{MonoTime, Priority};
    use crate::vrrp::{Evidence, Reason, Standing};

    fn moved(instance: &str, to: Standing) -> Happened {
        Happened::Moved {
            at: MonoTime::default(),
            instance: instance.to_owned(),
            from: Standing::Initialize,
            to,
            reason: Reason::Started,
            priority: Priority::DEFAULT,
            late: std::time::Duration::ZERO,
            evidence: Evidence::default(),
        }
    }

    #[test]
    fn the_last_move_of_each_is_told_when_there_is_room_and_what_else_does_not_fit_is_counted() {
        let (told, mut events) = mpsc::channel(1);
        let lost = Arc::<AtomicU64>::default();
        let mut teller = Teller::new(told, Arc::clone(&lost));
        let stalled = || Happened::Stalled { at: MonoTime::default(), late: std::time::Duration::ZERO };
        let first = [stalled(), moved("a", Standing::Active), stalled(), moved("b", Standing::Active)];
        for happened in first {
            teller.tell(happened);
        }
        teller.tell(moved("a", Standing::Backup));
        teller.catch_up();
        assert_eq!(events.try_recv().unwrap(), stalled());
        // There is room again, and yet the older ones are first.
        teller.tell(moved("a", Standing::Fault));
        for wanted in [moved("a", Standing::Fault), moved("b", Standing::Active)] {
            teller.catch_up();
            assert_eq!(events.try_recv().unwrap(), wanted);
        }
        teller.catch_up();
        assert!(events.try_recv().is_err());
        assert_eq!(lost.load(Ordering::Relaxed), 3, "a packet's event and two moves that another one followed");
    }
}
