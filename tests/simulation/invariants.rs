//! What must hold at every moment, and how long what may happen for a while has gone on.

use std::collections::BTreeMap;

use vipd::base::MonoTime;
use vipd::vrrp::{Key, Standing};

use super::lan::{Lan, Violation};

#[derive(Debug, Default)]
pub struct Watch {
    /// Two Actives of one virtual router, since when.
    both: BTreeMap<(usize, usize, Key), MonoTime>,
    /// Nobody serves, since when.
    dark: BTreeMap<Key, MonoTime>,
    /// Not even for a moment may nobody serve.
    pub never_dark: bool,
    pub left_behind: Option<String>,
}

/// Check everything that must always hold.
///
/// # Errors
/// The first that does not.
pub fn always(lan: &mut Lan) -> Result<(), Violation> {
    if let Some(left) = lan.watch.left_behind.take() {
        return Err(lan.violation(left));
    }
    for key in lan.keys() {
        held_exactly_while_serving(lan, &key)?;
        not_two(lan, &key)?;
        not_none(lan, &key)?;
    }
    Ok(())
}

fn held_exactly_while_serving(lan: &Lan, key: &Key) -> Result<(), Violation> {
    for (at, node) in lan.nodes.iter().enumerate().filter(|(_, node)| node.runs()) {
        let (serves, answers) = (node.serves(key), node.answers(key, lan.now));
        if serves != answers {
            return Err(lan.violation(format!("host {at}, {key}: serves {serves}, its kernel answers {answers}")));
        }
        if node.is(key, Standing::Active) && !node.holds_as_configured(key) {
            return Err(
                lan.violation(format!("host {at}, {key}: its kernel has other addresses than its configuration"))
            );
        }
    }
    Ok(())
}

/// From when on a bound counts: after the last disturbance, and after packets that it made late.
fn calm_since(lan: &Lan) -> MonoTime {
    lan.disturbed_at.max(lan.stale_until)
}

/// At most one Active among routers that hear each other for one interval and a packet there and back.
fn not_two(lan: &mut Lan, key: &Key) -> Result<(), Violation> {
    let active: Vec<usize> = (0..lan.nodes.len()).filter(|at| lan.nodes[*at].is(key, Standing::Active)).collect();
    let mut both = BTreeMap::new();
    for (number, one) in active.iter().enumerate() {
        for other in &active[number + 1..] {
            let here = lan.nodes[*one].link_up && lan.nodes[*other].link_up;
            if here && lan.wire.is_whole() && lan.wire.hear_each_other(*one, *other) {
                let pair = (*one, *other, key.clone());
                both.insert(pair.clone(), lan.watch.both.get(&pair).copied().unwrap_or(lan.now));
            }
        }
    }
    lan.watch.both.retain(|(_, _, other), _| other != key);
    lan.watch.both.append(&mut both.clone());
    let most = lan.intervals(1) + lan.delay_max * 2;
    for ((one, other, _), since) in both {
        let lasted = lan.now.since(since.max(calm_since(lan)));
        if lasted > most {
            return Err(lan.violation(format!("{key}: hosts {one} and {other} are Active for {lasted:?}")));
        }
    }
    Ok(())
}

/// Somebody serves, `Active_Down` of the slowest after the last disturbance, where anybody could.
fn not_none(lan: &mut Lan, key: &Key) -> Result<(), Violation> {
    let served = lan.nodes.iter().any(|node| node.serves(key));
    if served || !lan.nodes.iter().any(super::node::Node::is_fit) {
        lan.watch.dark.remove(key);
        return Ok(());
    }
    let since = *lan.watch.dark.entry(key.clone()).or_insert(lan.now);
    if lan.watch.never_dark {
        return Err(lan.violation(format!("{key}: nobody serves")));
    }
    let lasted = lan.now.since(since.max(calm_since(lan)));
    if lan.wire.is_whole() && lasted > lan.takes_over_within() {
        return Err(lan.violation(format!("{key}: nobody serves for {lasted:?}")));
    }
    Ok(())
}
