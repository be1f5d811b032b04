//! Which routing rules lead marked packets to our device, and in which order they come and go. Pure.
//!
//! A service by firewall mark may be on an address of this host, so its rules stand before the lookup of the table
//! `local`, which has priority 0 by itself. Ours take priority 0, and the lookup of `local` is written again with
//! priority 1 before that with priority 0 goes: at no moment is there none.

use std::collections::BTreeSet;

/// Transports that the program serves: what else is marked (a ping) is the stack's, as with IPVS.
const PROTOCOLS: [u8; 3] = [6, 17, 132];

/// A rule, as far as the order asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// Packets with this mark and transport go to our device; priority 0.
    Mark { mark: u32, protocol: u8 },
    /// The lookup of `local` that we wrote; priority 1.
    OurLocal,
    /// The lookup of `local` as it was found, or put back.
    Local { priority: u32 },
}

/// One change; additions go behind the rules of the same priority (`fib_nl_newrule`, `net/core/fib_rules.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Add(Rule),
    /// The first one of its kind.
    Delete(Rule),
}

/// What to do, in order, so that of `held`, in the kernel's order, exactly these marks lead to our device.
pub(super) fn plan(held: &[Rule], marks: &BTreeSet<u32>) -> Vec<Change> {
    let wanted: BTreeSet<Rule> =
        marks.iter().flat_map(|mark| PROTOCOLS.map(|protocol| Rule::Mark { mark: *mark, protocol })).collect();
    let missing: Vec<Rule> = wanted.iter().copied().filter(|rule| !held.contains(rule)).collect();
    let mut changes: Vec<Change> = missing.iter().copied().map(Change::Add).collect();
    if wanted.is_empty() {
        if held.contains(&Rule::OurLocal) && !held.iter().any(|rule| matches!(rule, Rule::Local { .. })) {
            changes.push(Change::Add(Rule::Local { priority: 0 }));
        }
    } else {
        changes.extend(local_behind(held, !missing.is_empty()));
    }
    let surplus = |rule: &&Rule| match rule {
        Rule::Mark { .. } => !wanted.contains(rule),
        Rule::OurLocal => wanted.is_empty(),
        Rule::Local { .. } => false,
    };
    changes.extend(held.iter().filter(surplus).copied().map(Change::Delete));
    changes
}

/// Lookups of `local` that stand before one of our rules go, once another one stands behind them.
fn local_behind(held: &[Rule], more: bool) -> Vec<Change> {
    const FIRST: Rule = Rule::Local { priority: 0 };
    let last = held.iter().rposition(|rule| matches!(rule, Rule::Mark { .. }));
    let is_before = |at: usize| more || last.is_some_and(|last| at < last);
    let before = held.iter().enumerate().filter(|(at, rule)| **rule == FIRST && is_before(*at)).count();
    let all = held.iter().filter(|rule| matches!(rule, Rule::OurLocal | Rule::Local { .. })).count();
    let mut changes = vec![];
    if all == before {
        changes.push(Change::Add(Rule::OurLocal));
    }
    changes.extend(std::iter::repeat_n(Change::Delete(FIRST), before));
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOCAL: Rule = Rule::Local { priority: 0 };

    fn priority(rule: Rule) -> u32 {
        match rule {
            Rule::Mark { .. } => 0,
            Rule::OurLocal => 1,
            Rule::Local { priority } => priority,
        }
    }

    fn add(held: &mut Vec<Rule>, rule: Rule) {
        let at = held.iter().position(|other| priority(*other) > priority(rule)).unwrap_or(held.len());
        held.insert(at, rule);
    }

    fn has_local(held: &[Rule]) -> bool {
        held.iter().any(|rule| matches!(rule, Rule::OurLocal | Rule::Local { .. }))
    }

    /// The kernel: it is told the changes one by one, and asked after each.
    fn carry_out(held: &mut Vec<Rule>, marks: &BTreeSet<u32>) {
        let had_local = has_local(held);
        for change in plan(held, marks) {
            match change {
                Change::Add(rule) => add(held, rule),
                Change::Delete(rule) => {
                    let at = held.iter().position(|other| *other == rule).expect("only what is there is deleted");
                    held.remove(at);
                }
            }
            assert!(!had_local || has_local(held), "{change:?} leaves no local rule: {held:?}");
        }
        assert_eq!(plan(held, marks), [], "settled: {held:?}");
    }

    #[test]
    fn marks_come_before_local_and_everything_is_as_it_was_behind_them() {
        let mut held = vec![LOCAL];
        carry_out(&mut held, &BTreeSet::from([7]));
        let of = |mark| PROTOCOLS.map(|protocol| Rule::Mark { mark, protocol });
        assert_eq!(held, [of(7).as_slice(), &[Rule::OurLocal]].concat());
        carry_out(&mut held, &BTreeSet::from([7, 9]));
        assert_eq!(held, [of(7).as_slice(), &of(9), &[Rule::OurLocal]].concat());
        carry_out(&mut held, &BTreeSet::from([9]));
        assert_eq!(held, [of(9).as_slice(), &[Rule::OurLocal]].concat());
        carry_out(&mut held, &BTreeSet::new());
        assert_eq!(held, [LOCAL]);
    }

    #[test]
    fn a_lookup_of_local_that_stands_further_behind_is_left_alone() {
        let mut held = vec![Rule::Local { priority: 100 }];
        carry_out(&mut held, &BTreeSet::from([7]));
        assert_eq!(held.last(), Some(&Rule::Local { priority: 100 }));
        carry_out(&mut held, &BTreeSet::new());
        assert_eq!(held, [Rule::Local { priority: 100 }]);
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let mark = (1_u32..3, 0_usize..3).prop_map(|(mark, at)| Rule::Mark { mark, protocol: PROTOCOLS[at] });
        prop_oneof![Just(LOCAL), Just(Rule::Local { priority: 5 }), Just(Rule::OurLocal), mark]
    }

    proptest! {
        /// Whatever a killed daemon or a stranger left.
        #[test]
        fn any_rules_become_right(
            found in prop::collection::vec(any_rule(), 0..8),
            marks in prop::collection::btree_set(1_u32..3, 0..3),
        ) {
            let mut held = vec![];
            for rule in found {
                if rule == LOCAL || !held.contains(&rule) {
                    add(&mut held, rule);
                }
            }
            let had_local = has_local(&held);
            carry_out(&mut held, &marks);
            let wanted = marks.len() * PROTOCOLS.len();
            let is_mark = |rule: &Rule| matches!(rule, Rule::Mark { .. });
            prop_assert_eq!(held.iter().filter(|rule| is_mark(rule)).count(), wanted);
            if wanted > 0 {
                prop_assert!(held.iter().take(wanted).all(is_mark), "before all: {:?}", held);
                prop_assert!(has_local(&held));
            } else {
                prop_assert!(!held.contains(&Rule::OurLocal));
                prop_assert_eq!(has_local(&held), had_local);
            }
        }
    }
}
