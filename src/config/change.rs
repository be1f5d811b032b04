//! What differs between two configurations, object by object, and what that does to the virtual routers.
//!
//! It compares the canonical statements (`show.rs`): whatever a file can say is compared, without a list of fields here.

mod refusal;
mod render;
#[cfg(test)]
mod tests;
mod transition;

use std::collections::HashMap;

use serde::Serialize;

use super::model::{Config, VirtualServer};
use super::problem::Flaws;
use super::show::{Node, statements};
pub use refusal::{Refusal, refusal};
pub use transition::{Expected, Risk, Transition};

/// What would be shown of a password.
const HIDDEN: &str = "(not shown)";

/// One difference of an object or of a statement in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// `what` with all of its block.
    Added {
        what: String,
        text: String,
    },
    Removed {
        what: String,
        text: String,
    },
    /// A statement of another value; empty: it had none.
    Value {
        what: String,
        old: String,
        new: String,
    },
    /// An object of which something changed.
    Inside {
        what: String,
        changes: Vec<Change>,
    },
    /// The same lines in another order.
    Order {
        what: String,
    },
}

/// All differences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// Of every virtual router, old or new.
    pub transitions: Vec<Transition>,
    /// What the running daemon takes up at its next start only.
    pub at_next_start: Vec<&'static str>,
    /// Why a running daemon would refuse the reload; nothing is changed then.
    pub refused: Option<String>,
}

/// What turns `old` into `new`, of which the file has these flaws.
pub fn plan(old: &Config, new: &Config, flaws: Flaws) -> Plan {
    let mut at_next_start = vec![];
    if old.global.lvs_flush != new.global.lvs_flush {
        at_next_start.push("lvs_flush");
    }
    let (was, is) = (&old.global.process, &new.global.process);
    let rows = [
        ("vrrp_rt_priority", was.rt_priority != is.rt_priority),
        ("vrrp_priority", was.nice != is.nice),
        ("vrrp_rlimit_rttime", was.rt_limit != is.rt_limit),
        ("vip_fence", was.fence != is.fence),
        ("lvs_ebpf_connections", old.global.ebpf_connections != new.global.ebpf_connections),
        ("startup_script", old.global.startup != new.global.startup),
    ];
    at_next_start.extend(rows.iter().filter(|(_, changed)| *changed).map(|(keyword, _)| *keyword));
    Plan {
        changes: changes(&statements(old, &unlike(old, new)), &statements(new, &unlike(new, old))),
        transitions: transition::transitions(old, new),
        at_next_start,
        refused: refusal(old, new, flaws).map(|refusal| refusal.to_string()),
    }
}

/// The virtual servers of `of` that `other` does not hold as they are: of thousands, a reload changes few.
fn unlike<'a>(of: &'a Config, other: &Config) -> Vec<&'a VirtualServer> {
    let held: HashMap<_, _> = other.virtual_servers.iter().map(|one| (&one.id, one)).collect();
    of.virtual_servers.iter().filter(|one| held.get(&one.id) != Some(one)).collect()
}

/// What makes two statements the same one: an object is named by its first line, a value by its keyword.
fn identity(node: &Node) -> (&str, Option<&str>) {
    (&node.keyword, node.block.as_ref().map(|_| node.value.as_str()))
}

/// Old and new statements of one block, each with its counterpart where it has one, in the order of the new block;
/// what is gone comes last.
fn pairs<'a>(old: &'a [Node], new: &'a [Node]) -> Vec<(Option<&'a Node>, Option<&'a Node>)> {
    let mut waiting: HashMap<_, Vec<usize>> = HashMap::with_capacity(old.len());
    for (at, node) in old.iter().enumerate().rev() {
        waiting.entry(identity(node)).or_default().push(at);
    }
    let mut partners: Vec<Option<usize>> = vec![None; new.len()];
    // What is equal belongs together, whatever stands before it.
    for (partner, node) in partners.iter_mut().zip(new) {
        let Some(same) = waiting.get_mut(&identity(node)) else { continue };
        if let Some(found) = same.iter().rposition(|at| old.get(*at) == Some(node)) {
            *partner = Some(same.remove(found));
        }
    }
    for (partner, node) in partners.iter_mut().zip(new).filter(|(partner, _)| partner.is_none()) {
        *partner = waiting.get_mut(&identity(node)).and_then(Vec::pop);
    }
    let mut gone: Vec<usize> = waiting.into_values().flatten().collect();
    gone.sort_unstable();
    let kept = partners.iter().zip(new).map(|(at, node)| (at.and_then(|at| old.get(at)), Some(node)));
    kept.chain(gone.into_iter().map(|at| (old.get(at), None))).collect()
}

fn changes(old: &[Node], new: &[Node]) -> Vec<Change> {
    pairs(old, new).into_iter().filter_map(|(old, new)| change(old, new)).collect()
}

fn change(old: Option<&Node>, new: Option<&Node>) -> Option<Change> {
    match (old, new) {
        (None, None) => None,
        (None, Some(new)) => Some(Change::Added { what: shown(new).head(), text: shown(new).to_string() }),
        (Some(old), None) => Some(Change::Removed { what: shown(old).head(), text: shown(old).to_string() }),
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => Some(changed(old, new)),
    }
}

fn changed(old: &Node, new: &Node) -> Change {
    let (Some(before), Some(after)) = (&old.block, &new.block) else {
        let (before, after) = (shown(old), shown(new));
        return Change::Value { what: new.keyword.clone().into_owned(), old: before.value, new: after.value };
    };
    let mut changes = changes(before, after);
    if changes.is_empty() {
        return Change::Order { what: new.head() };
    }
    changes.sort_by_key(|change| matches!(change, Change::Inside { .. } | Change::Order { .. }));
    Change::Inside { what: new.head(), changes }
}

/// The statement without its secrets.
fn shown(node: &Node) -> Node {
    let block = node.block.as_ref().map(|block| block.iter().map(shown).collect());
    let value =
        if ["auth_pass", "password"].contains(&node.keyword.as_ref()) { HIDDEN.to_owned() } else { node.value.clone() };
    Node { keyword: node.keyword.clone(), value, block }
}
