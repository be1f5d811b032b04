//! Random sequences of steps: after each of them the plane holds what a model holds that knows nothing of planes.
//!
//! Steps come as the daemon sends them (idempotent, several at once) and as an operator's hand does (strict, one by one); many
//! of them are to be refused, and then leave all as it was. A failure says the seed and the steps that led to it; the same seed
//! gives the same steps to every plane.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use vipd::lvs::datapath::Capabilities;
use vipd::lvs::ipvsadm::Change;
use vipd::lvs::ipvsadm::manual::Manual;
use vipd::lvs::table::{Entry, ServiceKey, Step, Table};

use crate::tables::{self, Random};

const SEQUENCES: u64 = 16;
/// In the VM, which is slow.
const SEQUENCES_VM: u64 = 8;
const MOVES: usize = 40;

/// What somebody does to a plane.
#[derive(Clone, Debug)]
enum Move {
    /// The daemon: what is there is added again as an edit, what is gone is deleted once more.
    Apply(Vec<Step>),
    /// A hand: what does not fit is refused.
    Change(Change),
}

/// What a plane is to hold.
struct Model {
    able: Capabilities,
    table: Table,
}

impl Model {
    /// No plane takes it, or this one does not.
    fn is_refused(&self, step: &Step) -> bool {
        let nonsense = match step {
            Step::AddDestination(_, _, to) | Step::EditDestination(_, _, to) => to.lower_threshold > to.upper_threshold,
            Step::AddService(..) | Step::EditService(..) | Step::DeleteDestination(..) | Step::DeleteService(_) => {
                false
            }
        };
        nonsense || self.able.check_step(step).is_err()
    }

    /// Idempotent; whether it is done.
    fn apply(&mut self, step: &Step) -> bool {
        if self.is_refused(step) {
            return false;
        }
        match *step {
            Step::AddService(key, service) | Step::EditService(key, service) => {
                let destinations =
                    self.table.services.remove(&key).map_or_else(BTreeMap::new, |entry| entry.destinations);
                self.table.services.insert(key, Entry { service, destinations });
            }
            Step::AddDestination(key, at, to) | Step::EditDestination(key, at, to) => {
                let Some(entry) = self.table.services.get_mut(&key) else { return false };
                entry.destinations.insert(at, to);
            }
            Step::DeleteDestination(key, at) => {
                self.table.services.get_mut(&key).map(|entry| entry.destinations.remove(&at));
            }
            Step::DeleteService(key) => {
                self.table.services.remove(&key);
            }
        }
        true
    }

    /// Strict; whether it is done.
    fn change(&mut self, change: &Change) -> bool {
        let holds = |key: &ServiceKey| self.table.services.contains_key(key);
        let has = |key, at| self.table.services.get(key).is_some_and(|entry| entry.destinations.contains_key(at));
        match change {
            Change::Step(step) => {
                let fits = match step {
                    Step::AddService(key, _) => !holds(key),
                    Step::EditService(key, _) | Step::DeleteService(key) => holds(key),
                    Step::AddDestination(key, at, _) => holds(key) && !has(key, at),
                    Step::EditDestination(key, at, _) | Step::DeleteDestination(key, at) => has(key, at),
                };
                fits && self.apply(step)
            }
            Change::Clear => {
                self.table = Table::default();
                true
            }
            // Not every plane counts.
            Change::Zero(key) => self.able.plane != "memory" && key.is_none_or(|key| holds(&key)),
            Change::Set(_) | Change::StartDaemon(_) | Change::StopDaemon(_) => panic!("no move asks for {change:?}"),
        }
    }
}

/// The plane is empty before and after.
pub async fn run<M: Manual>(plane: &mut M) {
    let sequences = if std::env::var_os("VIPD_PLANE").is_some() { SEQUENCES_VM } else { SEQUENCES };
    for seed in 0..sequences {
        let mut model = Model { able: plane.capabilities(), table: Table::default() };
        let mut random = Random::new(seed);
        let mut moves = vec![];
        for _ in 0..MOVES {
            moves.push(a_move(&mut random));
            let wrong = carry_out(plane, &mut model, &moves[moves.len() - 1]).await;
            assert!(wrong.is_none(), "{}", wrong.map_or_else(String::new, |wrong| told(seed, &moves, &wrong)));
        }
        plane.change(&[Change::Clear]).await;
    }
}

/// Do it to both; what differs then.
async fn carry_out<M: Manual>(plane: &mut M, model: &mut Model, what: &Move) -> Option<String> {
    match what {
        Move::Apply(steps) => {
            let refused: Vec<Step> = steps.iter().filter(|step| !model.apply(step)).copied().collect();
            let failed = plane.apply(steps).await.err().map_or_else(Vec::new, |error| error.failed);
            // A plane may refuse what it is not able to before it does the rest.
            let agree = failed.len() == refused.len() && failed.iter().all(|(step, _)| refused.contains(step));
            if !agree {
                return Some(format!("refused were {failed:?},\nnot {refused:?}"));
            }
        }
        Move::Change(change) => {
            let done = model.change(change);
            let results = plane.change(std::slice::from_ref(change)).await;
            if results.len() != 1 || results[0].is_ok() != done {
                return Some(format!(
                    "the answer is {results:?}, and it should {}",
                    if done { "be done" } else { "be refused" }
                ));
            }
        }
    }
    let held = plane.snapshot().await.expect("snapshot");
    (held != model.table).then(|| format!("the plane holds {held:?},\nnot {:?}", model.table))
}

fn told(seed: u64, moves: &[Move], wrong: &str) -> String {
    let mut text = format!("seed {seed}, after {} moves:\n", moves.len());
    for (number, what) in (1..).zip(moves) {
        writeln!(text, "{number:3} {what:?}").expect("a string takes everything");
    }
    text + wrong
}

fn a_move(random: &mut Random) -> Move {
    match random.below(40) {
        0 => Move::Change(Change::Clear),
        1 => Move::Change(Change::Zero(None)),
        2 => Move::Change(Change::Zero(Some(tables::any_key(random)))),
        3..20 => Move::Change(Change::Step(a_step(random))),
        _ => Move::Apply((0..=random.below(5)).map(|_| a_step(random)).collect()),
    }
}

/// Of few things, so that many steps are about what is there.
fn a_step(random: &mut Random) -> Step {
    let key = tables::any_key(random);
    match random.below(16) {
        0..3 => Step::AddService(key, tables::any_service(random, &key)),
        3..5 => Step::EditService(key, tables::any_service(random, &key)),
        5 => Step::DeleteService(key),
        6..10 => Step::AddDestination(key, tables::any_at(random, &key), tables::any_destination(random, &key)),
        10..14 => Step::EditDestination(key, tables::any_at(random, &key), tables::any_destination(random, &key)),
        _ => Step::DeleteDestination(key, tables::any_at(random, &key)),
    }
}
