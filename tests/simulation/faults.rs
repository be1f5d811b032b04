//! What goes wrong, and how it is repaired.

use std::time::Duration;

use vipd::vrrp::fleet::Output;

use super::lan::{Lan, Wire};
use super::node::Node;
use super::random::Random;
use super::scenario::Extras;

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Boot(usize),
    /// Kill -9.
    Crash(usize),
    /// The operator stops the daemon.
    Stop(usize),
    /// The daemon is not run (SIGSTOP, a hypervisor, a storm of interrupts).
    Stall(usize),
    Wake(usize),
    Link {
        at: usize,
        up: bool,
    },
    Script {
        at: usize,
        good: bool,
    },
    /// The script that moves the priority of a host.
    Weight {
        at: usize,
        good: bool,
    },
    /// The operator asks the Active to hand over.
    HandOver(usize),
    /// Of the virtual routers of a host, the first that is Active hands over, with its sync group.
    HandOverOne(usize),
    /// The operator adds an address to all virtual routers of a host, or removes it again.
    Reload(usize),
    /// The operator puts all virtual routers of a host into their sync group, or takes them out.
    Regroup {
        at: usize,
        together: bool,
    },
    /// The operator lets the host hold nothing, or ends that.
    Maintenance {
        at: usize,
        on: bool,
    },
    /// In parts of a thousand.
    Loss(u64),
    Duplication(u64),
    Late(u64),
    Cut {
        from: usize,
        to: usize,
    },
    Join {
        from: usize,
        to: usize,
    },
    /// Repair everything.
    Heal,
}

/// Plan some faults for the next `span`.
pub fn plan(lan: &mut Lan, span: Duration) {
    plan_reloads(lan, span);
    plan_extras(lan, span);
    let count = 3 + lan.random.index(10);
    for _ in 0..count {
        let start = lan.random.between(Duration::ZERO, span);
        let longest = lan.intervals(12);
        let end = start + lan.random.between(Duration::ZERO, longest);
        let hosts = lan.nodes.len();
        let (one, other) = (lan.random.index(hosts), lan.random.index(hosts));
        let some = lan.random.pick(&[50, 100, 300, 500]);
        let kind = lan.random.below(12);
        let mut pair = |first, then| {
            lan.at(start, first);
            lan.at(end, then);
        };
        match kind {
            0 => pair(Fault::Crash(one), Fault::Boot(one)),
            1 => pair(Fault::Stop(one), Fault::Boot(one)),
            2 => pair(Fault::Stall(one), Fault::Wake(one)),
            3 => pair(Fault::Link { at: one, up: false }, Fault::Link { at: one, up: true }),
            4 => pair(Fault::Script { at: one, good: false }, Fault::Script { at: one, good: true }),
            5 => pair(Fault::Loss(some), Fault::Loss(0)),
            6 => pair(Fault::Duplication(some), Fault::Duplication(0)),
            7 => pair(Fault::Late(some), Fault::Late(0)),
            8 => pair(Fault::Cut { from: one, to: other }, Fault::Join { from: one, to: other }),
            9 => {
                pair(Fault::HandOver(one), Fault::HandOver(other));
                // While it waits for a successor.
                let soon = start + lan.intervals(1) / 2;
                lan.at(soon, Fault::Reload(one));
            }
            10 => pair(Fault::Maintenance { at: one, on: true }, Fault::Maintenance { at: one, on: false }),
            _ => {
                // A partition: the hosts below `one` and the others do not hear each other.
                for (from, to) in (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to))) {
                    if (from < one) != (to < one) {
                        pair(Fault::Cut { from, to }, Fault::Join { from, to });
                    }
                }
            }
        }
    }
}

/// By a sequence of their own: the seeds that once broke a promise keep their stories.
fn plan_reloads(lan: &mut Lan, span: Duration) {
    let mut random = Random::new(!lan.seed);
    for _ in 0..random.below(4) {
        let start = random.between(Duration::ZERO, span);
        let at = random.index(lan.nodes.len());
        lan.at(start, Fault::Reload(at));
    }
}

/// By a sequence of their own, too.
fn plan_extras(lan: &mut Lan, span: Duration) {
    let Extras { weights, regroups, .. } = Extras::of(lan.seed);
    let mut random = Random::new(lan.seed.rotate_left(16));
    for _ in 0..if weights { 1 + random.below(6) } else { 0 } {
        let (start, at) = (random.between(Duration::ZERO, span), random.index(lan.nodes.len()));
        let end = start + random.between(Duration::ZERO, lan.intervals(12));
        lan.at(start, Fault::Weight { at, good: false });
        lan.at(end, Fault::Weight { at, good: true });
    }
    if !regroups || lan.keys().len() == 1 {
        return;
    }
    // All hosts are out of their groups for a while, so that different hosts can be Active.
    for _ in 0..=random.below(3) {
        let start = random.between(Duration::ZERO, span);
        let one = random.index(lan.nodes.len());
        for at in 0..lan.nodes.len() {
            let end = start + lan.intervals(1) + random.between(Duration::ZERO, lan.intervals(12));
            lan.at(start, Fault::Regroup { at, together: false });
            lan.at(end, Fault::Regroup { at, together: true });
        }
        for at in [one, (one + 1) % lan.nodes.len()] {
            let soon = start + random.between(Duration::ZERO, lan.intervals(1));
            lan.at(soon, Fault::HandOverOne(at));
        }
    }
}

/// Carry it out.
pub fn happen(lan: &mut Lan, fault: Fault) {
    let now = lan.now;
    match fault {
        Fault::Boot(at) if lan.nodes[at].fleet.is_none() => {
            let outputs = lan.nodes[at].boot(at, now);
            lan.carry_out(at, outputs);
            lan.turn(at);
        }
        // It still hands over.
        Fault::Boot(at) if lan.nodes[at].stopping => {
            let soon = lan.intervals(1);
            lan.at(soon, Fault::Boot(at));
        }
        Fault::Crash(at) => lan.nodes[at].die(),
        Fault::Stop(at) if lan.nodes[at].runs() => {
            lan.nodes[at].stopping = true;
            let outputs = lan.nodes[at].shutdown(now);
            lan.carry_out(at, outputs);
            lan.turn(at);
        }
        Fault::Boot(_) | Fault::Stop(_) => (),
        Fault::Stall(at) => lan.nodes[at].stalled = true,
        Fault::Wake(at) => {
            lan.nodes[at].stalled = false;
            // What became of its links and its script meanwhile waits for it.
            for outputs in [lan.nodes[at].look(at, now), lan.nodes[at].report(now)] {
                lan.carry_out(at, outputs);
            }
            lan.turn(at);
        }
        Fault::Link { at, up } => {
            lan.nodes[at].link_up = up;
            awake(lan, at, |node| node.look(at, now));
        }
        Fault::Script { at, good } => {
            lan.nodes[at].script_good = good;
            awake(lan, at, |node| node.report(now));
        }
        Fault::Weight { at, good } => {
            lan.nodes[at].weight_good = good;
            awake(lan, at, |node| node.report(now));
        }
        Fault::HandOver(at) => awake(lan, at, |node| node.hand_over(now, usize::MAX)),
        Fault::HandOverOne(at) => awake(lan, at, |node| node.hand_over(now, 1)),
        // One that stops takes no other settings, and one that sleeps is not asked.
        Fault::Reload(at) if lan.nodes[at].stalled || lan.nodes[at].stopping => (),
        Fault::Reload(at) => {
            let outputs = lan.nodes[at].reload(now);
            lan.carry_out(at, outputs);
        }
        Fault::Regroup { at, together } => awake(lan, at, |node| node.regroup(now, together)),
        Fault::Maintenance { at, on } => awake(lan, at, |node| node.maintain(now, on)),
        Fault::Loss(permille) => lan.wire.loss = permille,
        Fault::Duplication(permille) => lan.wire.duplication = permille,
        Fault::Late(permille) => {
            lan.wire.late = permille;
            lan.stale_until = now + lan.intervals(2);
        }
        Fault::Cut { from, to } => *lan.wire.cuts.entry((from, to)).or_default() += 1,
        Fault::Join { from, to } => {
            let cuts = lan.wire.cuts.entry((from, to)).or_default();
            *cuts = cuts.saturating_sub(1);
        }
        Fault::Heal => heal(lan),
    }
}

/// Let a host do this, unless it is not run.
fn awake(lan: &mut Lan, at: usize, act: impl FnOnce(&mut Node) -> Vec<Output>) {
    let outputs = if lan.nodes[at].stalled { vec![] } else { act(&mut lan.nodes[at]) };
    lan.carry_out(at, outputs);
}

fn heal(lan: &mut Lan) {
    if lan.wire.late > 0 {
        lan.stale_until = lan.now + lan.intervals(2);
    }
    lan.wire = Wire::default();
    for at in 0..lan.nodes.len() {
        lan.nodes[at].script_good = true;
        lan.nodes[at].link_up = true;
        lan.nodes[at].stalled = false;
        for fault in [
            Fault::Link { at, up: true },
            Fault::Script { at, good: true },
            Fault::Weight { at, good: true },
            Fault::Wake(at),
            Fault::Regroup { at, together: true },
            Fault::Boot(at),
            Fault::Maintenance { at, on: false },
        ] {
            happen(lan, fault);
        }
    }
}
