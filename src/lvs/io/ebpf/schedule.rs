//! The order in which a service gives its connections away, worked out ahead for the kernel.
//!
//! Pure: the same destinations give the same order on every director. The kernel adds a counter (rr, wrr) or a hash
//! of the client (sh, mh) or of the virtual address (dh), modulo the length; the others look at every destination.

use crate::lvs::table::{DestinationKey, Scheduler};
use std::net::IpAddr;

/// Length of an mh order: a prime, IPVS's default (`CONFIG_IP_VS_MH_TAB_INDEX` 12, `ip_vs_mh.c`).
pub const MH_LENGTH: u32 = 4093;
/// Buckets of sh (`IP_VS_SH_TAB_SIZE`, `ip_vs_sh.c`).
pub const SH_LENGTH: usize = 256;
/// Buckets of dh (`IP_VS_DH_TAB_SIZE`, `ip_vs_dh.c`).
pub const DH_LENGTH: usize = 256;
/// Longest wrr order; weights whose sum is higher are scaled down to it, to one at least.
pub const WRR_LENGTH_MAX: u64 = 4096;

/// Longest order that is for floods alone; as [`WRR_LENGTH_MAX`].
pub const FLOOD_LENGTH_MAX: u64 = 256;

/// A destination that takes new connections: its weight is above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub key: DestinationKey,
    pub weight: u32,
    pub slot: u32,
}

/// Slots in the order of the schedule. Candidates are sorted by key.
pub fn order(scheduler: Scheduler, candidates: &[Candidate]) -> Vec<u32> {
    match scheduler {
        Scheduler::Wrr => weighted(candidates),
        Scheduler::Sh => source_hash(candidates),
        Scheduler::Mh => maglev(candidates),
        Scheduler::Dh => destination_hash(candidates),
        Scheduler::Fo | Scheduler::Ovf => heaviest_first(candidates),
        // The kernel takes turns, or compares all.
        Scheduler::Rr
        | Scheduler::Lc
        | Scheduler::Wlc
        | Scheduler::Sed
        | Scheduler::Nq
        | Scheduler::Lblc
        | Scheduler::Lblcr => slots(candidates),
    }
}

/// How many places of `order`, from the first on, a hash is to choose from in a flood of SYNs, when nobody counts and
/// nobody takes turns: each destination has its share by weight (rr and lc ask for none). Where they are not so yet, turns
/// of the heavier ones are put behind them. 0: the scheduler is a hash, or has to know what there is (ovf, lblc, lblcr).
pub fn for_floods(scheduler: Scheduler, candidates: &[Candidate], order: &mut Vec<u32>) -> u32 {
    match scheduler {
        Scheduler::Rr | Scheduler::Wrr | Scheduler::Lc => {}
        Scheduler::Fo => return u32::from(!order.is_empty()),
        Scheduler::Wlc | Scheduler::Sed | Scheduler::Nq => {
            let turns = turns(candidates, FLOOD_LENGTH_MAX);
            // The last turn is everybody's, which is `order`.
            order.extend(turns.iter().take(turns.len().saturating_sub(candidates.len())));
        }
        Scheduler::Sh | Scheduler::Mh | Scheduler::Dh | Scheduler::Ovf | Scheduler::Lblc | Scheduler::Lblcr => {
            return 0;
        }
    }
    u32::try_from(order.len()).unwrap_or(u32::MAX)
}

fn slots(candidates: &[Candidate]) -> Vec<u32> {
    candidates.iter().map(|candidate| candidate.slot).collect()
}

/// Of those with one weight the first by key is the first (`ip_vs_fo.c`, `ip_vs_ovf.c`).
fn heaviest_first(candidates: &[Candidate]) -> Vec<u32> {
    let mut sorted = candidates.to_vec();
    sorted.sort_by_key(|candidate| std::cmp::Reverse(candidate.weight));
    slots(&sorted)
}

/// Buckets in turn, whatever the weights (`ip_vs_dh.c`).
fn destination_hash(candidates: &[Candidate]) -> Vec<u32> {
    let length = DH_LENGTH.max(candidates.len());
    slots(candidates).into_iter().cycle().take(length).collect()
}

const fn gcd(a: u32, b: u32) -> u32 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Weights in lowest terms.
fn lowest_terms(candidates: &[Candidate]) -> Vec<u32> {
    let divisor = candidates.iter().fold(0, |divisor, candidate| gcd(divisor, candidate.weight)).max(1);
    candidates.iter().map(|candidate| candidate.weight / divisor).collect()
}

/// As long as wrr's may be.
fn weighted(candidates: &[Candidate]) -> Vec<u32> {
    turns(candidates, WRR_LENGTH_MAX)
}

/// Each in turn, the heavier ones in more rounds: 3 and 1 give `a a a b` as `a`, `a`, `a b` (`ip_vs_wrr.c`). Weights whose
/// sum is above `most` are scaled down to it, to one at least.
fn turns(candidates: &[Candidate], most: u64) -> Vec<u32> {
    let mut weights = lowest_terms(candidates);
    let sum: u64 = weights.iter().copied().map(u64::from).sum();
    if sum > most {
        for weight in &mut weights {
            let scaled = u64::from(*weight).saturating_mul(most) / sum;
            *weight = u32::try_from(scaled).unwrap_or(u32::MAX).max(1);
        }
    }
    let heaviest = weights.iter().copied().max().unwrap_or(0);
    let mut order = Vec::new();
    for level in (1..=heaviest).rev() {
        let taking = candidates.iter().zip(&weights).filter(|(_, weight)| **weight >= level);
        order.extend(taking.map(|(candidate, _)| candidate.slot));
    }
    order
}

/// Buckets by weight.
fn source_hash(candidates: &[Candidate]) -> Vec<u32> {
    let turn = weighted(candidates);
    let length = SH_LENGTH.max(turn.len());
    turn.into_iter().cycle().take(length).collect()
}

const fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

/// A hash that does not change between versions: directors of two versions must agree.
fn hash(key: DestinationKey, seed: u64) -> u64 {
    let bits = match key.addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
        IpAddr::V6(addr) => addr.to_bits(),
    };
    let [high, low] = [u64::try_from(bits >> 64).unwrap_or(0), u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0)];
    let hash = [high, low, u64::from(key.port)].into_iter().fold(seed, mix);
    mix(hash, seed)
}

/// A destination's walk over the order: every place once, since the length is a prime.
struct Walk {
    at: u32,
    step: u32,
    slot: u32,
    weight: u64,
    credit: u64,
}

impl Walk {
    /// Half a turn is earned beforehand: shares are then rounded to the nearest, not down.
    fn new(candidate: &Candidate, weight: u32, heaviest: u64) -> Self {
        let modulo = |hash: u64, by: u32| u32::try_from(hash % u64::from(by)).unwrap_or(0);
        Self {
            at: modulo(hash(candidate.key, 0x1319_8a2e_0370_7344), MH_LENGTH),
            step: modulo(hash(candidate.key, 0xa409_3822_299f_31d0), MH_LENGTH - 1) + 1,
            slot: candidate.slot,
            weight: weight.into(),
            credit: heaviest / 2,
        }
    }

    fn next_place(&mut self) -> u32 {
        let place = self.at;
        self.at += self.step;
        if self.at >= MH_LENGTH {
            self.at -= MH_LENGTH;
        }
        place
    }
}

/// Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): each walk takes its next free place in turn, as often
/// as its weight has earned since the last round.
fn maglev(candidates: &[Candidate]) -> Vec<u32> {
    let weights = lowest_terms(candidates);
    let heaviest = u64::from(weights.iter().copied().max().unwrap_or(0));
    if heaviest == 0 {
        return Vec::new();
    }
    let mut walks: Vec<Walk> =
        candidates.iter().zip(&weights).map(|(candidate, weight)| Walk::new(candidate, *weight, heaviest)).collect();
    let length = usize::try_from(MH_LENGTH).unwrap_or(0);
    let mut places: Vec<Option<u32>> = vec![None; length];
    let mut left = length;
    while left > 0 {
        for walk in &mut walks {
            walk.credit += walk.weight;
            if walk.credit < heaviest || left == 0 {
                continue;
            }
            walk.credit -= heaviest;
            // Ends: a walk visits every place, and one is free.
            while left > 0 {
                let place = usize::try_from(walk.next_place()).unwrap_or(0);
                if let Some(free @ None) = places.get_mut(place) {
                    *free = Some(walk.slot);
                    left -= 1;
                    break;
                }
            }
        }
    }
    places.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
