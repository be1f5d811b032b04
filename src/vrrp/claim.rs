//! Somebody else says that our addresses are at their hardware address: say again that they are here, paced.
//!
//! Hosts and switches believe the last one who spoke, so the last word must be ours; two that both hold an address
//! must not shout each other down.

use std::collections::BTreeMap;
use std::time::Duration;

use super::announce::BATCH;
use crate::base::MonoTime;

/// Least time between two such announcements of one address.
pub const PACE: Duration = Duration::from_millis(100);
/// Between two events that tell of it.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The claims on the addresses of one virtual router, by position.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    due: BTreeMap<usize, MonoTime>,
    answered: BTreeMap<usize, MonoTime>,
    untold: u64,
    told_at: Option<MonoTime>,
}

impl Claims {
    /// Somebody claims the address at this position; `Some` with the number of those not told yet when it is time
    /// for an event.
    pub fn claimed(&mut self, now: MonoTime, at: usize) -> Option<u64> {
        let earliest = self.answered.get(&at).map_or(now, |answered| now.max(*answered + PACE));
        self.due.entry(at).or_insert(earliest);
        self.untold = self.untold.saturating_add(1);
        if self.told_at.is_some_and(|told| now - told < TELL_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }

    /// Which addresses to announce now, a batch at most.
    pub fn due(&mut self, now: MonoTime) -> Vec<usize> {
        let due: Vec<usize> =
            self.due.iter().filter(|(_, when)| **when <= now).map(|(at, _)| *at).take(BATCH).collect();
        for at in &due {
            self.due.remove(at);
            self.answered.insert(*at, now);
        }
        due
    }

    pub fn deadline(&self) -> Option<MonoTime> {
        self.due.values().min().copied()
    }

    /// The addresses are not ours any more, or others are.
    pub fn stop(&mut self) {
        self.due.clear();
        self.answered.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn the_first_claim_is_answered_at_once_and_a_flood_at_a_pace_with_the_last_word_ours() {
        let mut claims = Claims::default();
        let (mut answers, mut told) = (vec![], 0);
        for ms in 0..=1000 {
            told += u64::from(claims.claimed(at(ms), 3).is_some());
            answers.extend(claims.due(at(ms)).into_iter().map(|position| (ms, position)));
        }
        let wanted: Vec<_> = (0..=10).map(|number| (number * 100, 3)).collect();
        assert_eq!((answers, told), (wanted, 1));
        claims.claimed(at(1001), 3);
        assert_eq!(claims.deadline(), Some(at(1100)), "the claim after our last word is answered too");
        assert_eq!(claims.due(at(1100)), [3]);
        assert_eq!(claims.deadline(), None);
    }

    #[test]
    fn many_are_answered_in_batches_and_none_after_the_end() {
        let mut claims = Claims::default();
        for position in 0..2 * BATCH {
            claims.claimed(at(0), position);
        }
        assert_eq!(claims.due(at(0)).len(), BATCH);
        assert_eq!(claims.deadline(), Some(at(0)), "the next batch is due");
        claims.stop();
        assert_eq!((claims.due(at(500)), claims.deadline()), (vec![], None));
    }
}
