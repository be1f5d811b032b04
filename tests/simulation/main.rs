//! Several routers on a seeded wire: what a cluster promises, under loss, delay, duplication, reordering, partitions,
//! stalls, crashes and clocks that differ.
//!
//! `VIPD_SIM_SEED=N` replays one seed with its history; `VIPD_SIM_SEEDS=N` runs that many instead of 256, from
//! `VIPD_SIM_FIRST=N` on. `scripts/simulate` runs 100,000 on every core.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod faults;
mod invariants;
mod lan;
mod node;
mod random;
mod scenario;

use std::collections::BTreeSet;
use std::time::Duration;

use vipd::base::AdvertInterval;
use vipd::vrrp::{Key, Standing, Version};

use faults::Fault;
use lan::{Lan, Violation};
use scenario::{Extras, Mistake};

/// The whole story of one seed; gives its history.
fn story(seed: u64, mistake: Option<Mistake>) -> Result<Vec<String>, Violation> {
    let mut lan = Lan::new(seed, mistake);
    let troubled = lan.intervals(60);
    faults::plan(&mut lan, troubled);
    lan.run_for(troubled + lan.intervals(14))?;
    lan.note("faults end");
    // Active_Down is the bound of a hand-over; those that sleep are woken.
    lan.happens(Fault::Heal)?;
    lan.run_for(lan.active_down() + lan.intervals(2))?;
    if let Some(at) = lan.nodes.iter().position(|node| node.stopping) {
        return Err(lan.violation(format!("host {at} does not come to the end of its hand-over")));
    }
    lan.happens(Fault::Heal)?;
    lan.run_for(lan.takes_over_within() + lan.intervals(2))?;
    one_active(&lan)?;
    undisturbed(&mut lan, None)?;
    outweighed(&mut lan)?;
    let backup = (0..lan.nodes.len()).find(|at| lan.nodes[*at].is(&lan.keys()[0], Standing::Backup)).unwrap();
    undisturbed(&mut lan, Some(backup))?;
    hands_over(&mut lan)?;
    fails_over(&mut lan)?;
    dies(&mut lan)?;
    Ok(lan.history)
}

/// Exactly one Active, the same host for all virtual routers of a group; the others are Backup.
fn one_active(lan: &Lan) -> Result<usize, Violation> {
    let hosts = |key: &Key| (0..lan.nodes.len()).filter(|at| lan.nodes[*at].is(key, Standing::Active)).collect();
    let active: BTreeSet<Vec<usize>> = lan.keys().iter().map(hosts).collect();
    match active.first().map(Vec::as_slice) {
        Some([one]) if active.len() == 1 => Ok(*one),
        _ => Err(lan.violation(format!("one host should be Active: {active:?}"))),
    }
}

/// Nobody moves without a cause, also where one Backup sleeps past its own `Active_Down`.
fn undisturbed(lan: &mut Lan, sleeper: Option<usize>) -> Result<(), Violation> {
    let moved = lan.moves.len();
    if let Some(at) = sleeper {
        lan.happens(Fault::Stall(at))?;
        // Between once and twice its Active_Down, of at least 3 intervals.
        lan.run_for(lan.active_down() + lan.intervals(1))?;
        lan.happens(Fault::Wake(at))?;
    }
    lan.run_for(lan.intervals(20))?;
    match lan.moves.get(moved) {
        None => Ok(()),
        Some((at, host, key, standing)) => {
            Err(lan.violation(format!("{at:?}: host {host} moved to {standing} without a cause ({key})")))
        }
    }
}

/// The Active becomes the lesser one without a fault: whoever preempts takes over with not a moment without service.
fn outweighed(lan: &mut Lan) -> Result<(), Violation> {
    if !Extras::of(lan.seed).weights {
        return Ok(());
    }
    let active = one_active(lan)?;
    lan.watch.never_dark = true;
    lan.happens(Fault::Weight { at: active, good: false })?;
    lan.run_for(lan.takes_over_within() + lan.intervals(1))?;
    let next = one_active(lan)?;
    let better = (0..lan.nodes.len()).find(|at| {
        let preempts = lan.nodes[*at].settings[0].preempt && !lan.nodes[*at].has_yielded();
        preempts && lan.nodes[*at].priority() > lan.nodes[next].priority()
    });
    if let Some(better) = better {
        return Err(lan.violation(format!("host {next} is Active, and host {better} is better")));
    }
    lan.watch.never_dark = false;
    lan.happens(Fault::Weight { at: active, good: true })?;
    lan.run_for(lan.takes_over_within() + lan.intervals(1))?;
    one_active(lan).map(drop)
}

/// An orderly stop: not a moment without service, and a successor within the skew.
fn hands_over(lan: &mut Lan) -> Result<(), Violation> {
    let active = one_active(lan)?;
    lan.run_for(lan.random.clone().between(Duration::ZERO, lan.intervals(1)))?;
    // An advert that a resignation overtakes takes it back, whoever hears them in that order.
    lan.run_until_the_wire_is_empty()?;
    lan.watch.never_dark = true;
    lan.happens(Fault::Stop(active))?;
    lan.run_for(lan.intervals(1) + lan.delay_max * 3)?;
    one_active(lan)?;
    lan.run_for(lan.active_down() + lan.intervals(1))?;
    lan.watch.never_dark = false;
    one_active(lan)?;
    lan.happens(Fault::Boot(active))?;
    lan.run_for(lan.takes_over_within() + lan.intervals(1))
}

/// A planned failover: another host serves, and again not a moment without.
fn fails_over(lan: &mut Lan) -> Result<(), Violation> {
    let active = one_active(lan)?;
    lan.run_until_the_wire_is_empty()?;
    lan.watch.never_dark = true;
    lan.happens(Fault::HandOver(active))?;
    lan.run_for(lan.intervals(1) + lan.delay_max * 3)?;
    let next = one_active(lan)?;
    if next == active {
        return Err(lan.violation(format!("host {active} did not hand over")));
    }
    // It lingers until the successor was heard for a while.
    lan.run_for(lan.active_down() + lan.intervals(1))?;
    undisturbed(lan, None)?;
    lan.watch.never_dark = false;
    Ok(())
}

/// Kill -9 of the Active: where the skews tell the others apart, exactly one of them takes over.
fn dies(lan: &mut Lan) -> Result<(), Violation> {
    let active = one_active(lan)?;
    let moved = lan.moves.len();
    lan.happens(Fault::Crash(active))?;
    lan.run_for(lan.takes_over_within())?;
    one_active(lan)?;
    let became = lan.moves[moved..].iter().filter(|(_, _, _, standing)| *standing == Standing::Active);
    let became: BTreeSet<usize> = became.map(|(_, host, _, _)| *host).collect();
    if became.len() != 1 && told_apart(lan, active) {
        return Err(lan.violation(format!("hosts {became:?} took over from one that died")));
    }
    Ok(())
}

fn told_apart(lan: &Lan, dead: usize) -> bool {
    let others = lan.nodes.iter().enumerate().filter(|(at, _)| *at != dead).map(|(_, node)| node);
    let mut skews: Vec<Duration> = others
        .filter_map(|node| {
            let (one, priority) = (&node.settings[0], node.priority()?);
            Some(match one.version {
                Version::V2 => AdvertInterval::DEFAULT.skew(priority),
                Version::V3 => one.interval.skew(priority),
            })
        })
        .collect();
    skews.sort();
    match skews.as_slice() {
        [first, second, ..] => second.saturating_sub(*first) > lan.delay_max * 3,
        _ => true,
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn the_promises_hold_for_every_seed() {
    if let Some(seed) = number("VIPD_SIM_SEED") {
        match story(seed, None) {
            Ok(history) => println!("{}\nseed {seed} holds", history.join("\n")),
            Err(violation) => panic!("\n{violation}"),
        }
        return;
    }
    let first = number("VIPD_SIM_FIRST").unwrap_or(0);
    for seed in first..first + number("VIPD_SIM_SEEDS").unwrap_or(256) {
        if let Err(violation) = story(seed, None) {
            panic!("\n{violation}");
        }
    }
}

/// 31885: a host slept while its link came back. 50710: an Active left unanswered those that began and resigned beside it.
#[test]
fn seeds_that_once_broke_a_promise_hold() {
    for seed in [31_885, 50_710] {
        story(seed, None).unwrap_or_else(|violation| panic!("\n{violation}"));
    }
}

#[test]
fn a_seed_always_gives_the_same_history() {
    for seed in [0, 7, 255] {
        assert_eq!(story(seed, None).unwrap(), story(seed, None).unwrap(), "seed {seed}");
    }
}

#[test]
fn planted_mistakes_are_found() {
    let rows = [
        (Mistake::CoarseTimer, "took over from one that died"),
        (Mistake::TieNeverLost, "are Active for"),
        (Mistake::TieBrokenTheWrongWay, "are Active for"),
        (Mistake::PriorityZeroMissed, "one host should be Active"),
        (Mistake::DecideBeforeDrain, "without a cause"),
        (Mistake::NothingLetGo, "its kernel answers true"),
        (Mistake::ReloadForgotten, "its kernel has other addresses"),
        (Mistake::WeightNotTold, "is better"),
        (Mistake::StrangerHeard, "nobody serves"),
    ];
    for (mistake, symptom) in rows {
        let found = (0..64).filter_map(|seed| story(seed, Some(mistake)).err());
        let found: Vec<String> = found.map(|violation| violation.what).collect();
        assert!(found.iter().any(|what| what.contains(symptom)), "{mistake:?}: {found:?}");
    }
}
