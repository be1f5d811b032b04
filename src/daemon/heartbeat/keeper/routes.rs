//! The keeper's routes and rules: added while they are held, put back where they vanished, removed otherwise.

use std::collections::BTreeSet;
use std::fmt::Display;

use futures_util::future::join_all;

use super::PIPELINE;
use crate::base::{Beside, Route, Rule};
use crate::vrrp::Failure;
use crate::vrrp::io::route::{self, Alike, RouteError};
use crate::vrrp::links::Links;

/// What we put into the kernel.
#[derive(Debug, Default)]
pub struct Placed {
    routes: BTreeSet<Route>,
    rules: BTreeSet<Rule>,
}

/// How holding went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub failures: Vec<Failure>,
    /// What somebody else had removed, in words.
    pub restored: Vec<String>,
}

/// What tells one route from another for the kernel, where they do not stand beside each other.
fn same_place(a: &Route, b: &Route) -> bool {
    a.beside.is_none() && b.beside.is_none() && same_key(a, b)
}

fn same_key(a: &Route, b: &Route) -> bool {
    (a.destination, a.table, a.tos, a.metric, a.from) == (b.destination, b.table, b.tos, b.metric, b.from)
}

impl Placed {
    /// Have these in the kernel: additions only, in order, since rules may lead to the tables of routes.
    pub async fn hold(
        &mut self,
        handle: &rtnetlink::Handle,
        links: &Links,
        routes: &[Route],
        rules: &[Rule],
    ) -> Outcome {
        let mut outcome = Outcome::default();
        for batch in routes.chunks(PIPELINE) {
            for one in batch {
                self.make_way(handle, links, one).await;
            }
            let each = batch.iter().map(|one| async {
                let alike = self.alike(one);
                (alike, route::add(handle, links, one, alike).await)
            });
            for (one, (alike, done)) in batch.iter().zip(join_all(each).await) {
                let known = self.routes.contains(one);
                if outcome.note(&format!("route {one}"), known, done) {
                    if alike == Alike::Replaced {
                        self.routes.retain(|other| other == one || !same_place(other, one));
                    }
                    self.routes.insert(one.clone());
                }
            }
        }
        for batch in rules.chunks(PIPELINE) {
            let done = join_all(batch.iter().map(|one| route::add_rule(handle, one))).await;
            for (one, done) in batch.iter().zip(done) {
                let known = self.rules.contains(one);
                if outcome.note(&format!("rule {one}"), known, done) {
                    self.rules.insert(one.clone());
                }
            }
        }
        outcome
    }

    /// What this route has to do with those that we placed.
    fn alike(&self, one: &Route) -> Alike {
        let ours = |is: fn(&Route, &Route) -> bool| self.routes.iter().any(|other| other != one && is(other, one));
        // The kernel would replace the first of several that stand beside each other.
        if ours(|other, one| other.beside.is_some() && same_key(other, one)) {
            Alike::Beside
        } else if ours(same_place) {
            Alike::Replaced
        } else {
            Alike::Foreign
        }
    }

    /// The kernel takes no route a second time, so one that only changes its place goes first.
    async fn make_way(&mut self, handle: &rtnetlink::Handle, links: &Links, one: &Route) {
        for beside in [None, Some(Beside::First), Some(Beside::Last)] {
            let before = Route { beside, ..one.clone() };
            // Where it cannot be removed, adding it says why.
            if before != *one && self.routes.remove(&before) {
                let _ = route::remove(handle, links, &before).await;
            }
        }
    }

    /// Remove what is ours and not among the wanted any more.
    pub async fn keep_only(
        &mut self,
        handle: &rtnetlink::Handle,
        links: &Links,
        routes: &BTreeSet<&Route>,
        rules: &BTreeSet<&Rule>,
    ) -> Vec<Failure> {
        let mut failures = vec![];
        let gone: Vec<Rule> = self.rules.iter().filter(|rule| !rules.contains(rule)).cloned().collect();
        for batch in gone.chunks(PIPELINE) {
            let done = join_all(batch.iter().map(|one| route::remove_rule(handle, one))).await;
            failures.extend(batch.iter().zip(done).filter_map(|(one, done)| not_removed(&format!("rule {one}"), done)));
        }
        self.rules.retain(|rule| rules.contains(rule));
        let gone: Vec<Route> = self.routes.iter().filter(|route| !routes.contains(route)).cloned().collect();
        for batch in gone.chunks(PIPELINE) {
            let done = join_all(batch.iter().map(|one| route::remove(handle, links, one))).await;
            failures
                .extend(batch.iter().zip(done).filter_map(|(one, done)| not_removed(&format!("route {one}"), done)));
        }
        self.routes.retain(|route| routes.contains(route));
        failures
    }
}

impl Outcome {
    /// Whether it is in the kernel now, and ours.
    fn note(&mut self, what: &str, known: bool, done: Result<(), RouteError>) -> bool {
        match done {
            Ok(()) => {
                if known {
                    self.restored.push(what.to_owned());
                }
                true
            }
            Err(RouteError::Foreign) if known => true,
            Err(error) => {
                self.failures.push(Failure::RouteAdd { what: what.to_owned(), error: error.to_string() });
                false
            }
        }
    }
}

fn not_removed(what: &str, done: Result<(), impl Display>) -> Option<Failure> {
    let error = done.err()?.to_string();
    Some(Failure::RouteRemove { what: what.to_owned(), error })
}
