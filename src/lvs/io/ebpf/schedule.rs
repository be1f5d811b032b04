//! The order in which a service gives its connections away, worked out ahead for the kernel.
//!
//! Pure: the same destinations give the same order on every director. The kernel adds a counter (rr, wrr) or a hash
//! of the client (sh, mh) or of the virtual address (dh), modulo the length; the others look at every destination.
//!
//! The orders of sh, dh and mh and the hashes (`bpf/choice.h`) are those of IPVS, so that clients keep their server
//! where one director of a pair forwards by IPVS and the other by eBPF, or where one changes from the one to the other.
//! IPVS walks its destinations from the one that was added last, which in a file is that of the highest address most
//! often: so the walk is from the highest key down here, whatever the order in which they came back.

use crate::lvs::table::{DestinationKey, Scheduler, SchedulerFlags};

mod maglev;

/// Length of an mh order: a prime, IPVS's default (`CONFIG_IP_VS_MH_TAB_INDEX` 12, `ip_vs_mh.c`).
pub const MH_LENGTH: u32 = 4093;
/// Bits of a weight in mh (`IP_VS_MH_TAB_BITS`).
const MH_WEIGHT_BITS: u32 = 6;
/// Buckets of sh (`IP_VS_SH_TAB_SIZE`, `ip_vs_sh.c`).
pub const SH_LENGTH: usize = 256;
/// [`SH_LENGTH`], to compare weights with.
const SH_BUCKETS: u64 = 256;
/// Buckets of dh (`IP_VS_DH_TAB_SIZE`, `ip_vs_dh.c`).
pub const DH_LENGTH: usize = 256;
/// Longest wrr order; weights whose sum is higher are scaled down to it, to one at least.
pub const WRR_LENGTH_MAX: u64 = 4096;

/// Longest order that is for floods alone; as [`WRR_LENGTH_MAX`].
pub const FLOOD_LENGTH_MAX: u64 = 256;

/// A destination that takes new connections; of weight 0, one that does not and has its places in sh or mh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub key: DestinationKey,
    pub weight: u32,
    pub slot: u32,
}

/// sh-fallback, mh-fallback: clients of a destination that takes none go to others, and nobody else does.
pub const fn falls_back(scheduler: Scheduler, flags: SchedulerFlags) -> bool {
    flags.one && matches!(scheduler, Scheduler::Sh | Scheduler::Mh)
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

/// Buckets in turn, whatever the weights (`ip_vs_dh_reassign`).
fn destination_hash(candidates: &[Candidate]) -> Vec<u32> {
    let length = DH_LENGTH.max(candidates.len());
    candidates.iter().rev().map(|candidate| candidate.slot).cycle().take(length).collect()
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

/// Each has as many buckets in a row as its weight, one at least, again and again (`ip_vs_sh_reassign`). Where there are not enough for
/// all, IPVS leaves the last ones out; here the weights are in lowest terms then, and if need be scaled down.
fn source_hash(candidates: &[Candidate]) -> Vec<u32> {
    let fits = |weights: &[u32]| weights.iter().copied().map(u64::from).sum::<u64>() <= SH_BUCKETS;
    let written: Vec<u32> = candidates.iter().map(|candidate| candidate.weight.max(1)).collect();
    let lowest = lowest_terms(candidates).iter().map(|weight| (*weight).max(1)).collect();
    let weights = [written, lowest].into_iter().find(|weights| fits(weights));
    let Some(weights) = weights else {
        let turn = weighted(candidates);
        let length = SH_LENGTH.max(turn.len());
        return turn.into_iter().cycle().take(length).collect();
    };
    let rows = candidates.iter().zip(weights).rev();
    let turn = rows.flat_map(|(candidate, weight)| (0..weight).map(|_| candidate.slot));
    turn.collect::<Vec<_>>().into_iter().cycle().take(SH_LENGTH).collect()
}

/// A destination's walk over the order: every place once, since the length is a prime.
struct Walk {
    at: u32,
    step: u32,
    slot: u32,
    turns: u32,
}

impl Walk {
    fn new(candidate: &Candidate, turns: u32) -> Self {
        let value = maglev::folded(candidate.key.addr).wrapping_add(candidate.key.port.into());
        Self {
            at: maglev::hash(value, maglev::FIRST_KEY) % MH_LENGTH,
            step: maglev::hash(value, maglev::SECOND_KEY) % (MH_LENGTH - 1) + 1,
            slot: candidate.slot,
            turns,
        }
    }

    /// Takes the next place of its walk that is free. There is one.
    fn take(&mut self, places: &mut [Option<u32>]) {
        loop {
            let place = usize::try_from(self.at).ok().and_then(|at| places.get_mut(at));
            if let Some(free @ None) = place {
                *free = Some(self.slot);
                return;
            }
            self.at = (self.at + self.step) % MH_LENGTH;
        }
    }
}

/// Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4) as `ip_vs_mh_populate` does it: each walk takes as many free
/// places as its weight says, in turn. Weights are in lowest terms and shifted down to six bits, to one at least: so one of
/// weight 0 has the places of a light one (IPVS: those of the weight that it had).
fn maglev(candidates: &[Candidate]) -> Vec<u32> {
    let weights = lowest_terms(candidates);
    let heaviest = weights.iter().copied().max().unwrap_or(0);
    if heaviest == 0 {
        return Vec::new();
    }
    let shift = (u32::BITS - heaviest.leading_zeros()).saturating_sub(MH_WEIGHT_BITS);
    let rows = candidates.iter().zip(&weights).rev();
    let mut walks: Vec<Walk> = rows.map(|(candidate, weight)| Walk::new(candidate, (weight >> shift).max(1))).collect();
    let length = usize::try_from(MH_LENGTH).unwrap_or(0);
    let mut places: Vec<Option<u32>> = vec![None; length];
    let mut left = length;
    while left > 0 {
        for walk in &mut walks {
            for _ in 0..walk.turns {
                if left == 0 {
                    break;
                }
                walk.take(&mut places);
                left -= 1;
            }
        }
    }
    places.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
