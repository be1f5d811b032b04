//! The keeper's routes and rules: added while they are held, put back where they vanished, removed otherwise.

use std::collections::BTreeSet;
use std::fmt::Display;

use futures_util::future::join_all;

use super::PIPELINE;
use crate::base::{Beside, Route, Rule};
use crate::vrrp::Failure;
use crate::vrrp::io::route::{self, RouteError};
use crate::vrrp::links::Links;

/// What we put into the kernel.
#[derive(Debug, Default)]
pub struct Placed {
    routes: BTreeSet<Route>,
    rules: BTreeSet<Rule>,
    /// Wanted routes in whose place somebody else has one.
    foreign: BTreeSet<Route>,
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
    /// Have these in the kernel, in order, since rules may lead to the tables of routes. With a new order `wanted` is what
    /// all hold, and what is in its way goes first; without, these are additions only.
    pub async fn hold(
        &mut self,
        handle: &rtnetlink::Handle,
        links: &Links,
        (routes, rules): (&[Route], &[Rule]),
        wanted: Option<&BTreeSet<&Route>>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        // One that stands alone is refused where others are already, so those beside it follow.
        let (alone, beside): (Vec<_>, Vec<_>) = routes.iter().partition(|one| one.beside.is_none());
        for batch in [alone, beside].concat().chunks(PIPELINE) {
            if let Some(wanted) = wanted {
                for one in batch {
                    self.make_way(handle, links, one, wanted).await;
                }
            }
            let each = batch.iter().map(|one| {
                // The kernel would replace the first of several.
                let is_old = |other: &Route| other != *one && same_place(other, one);
                let replace = !self.are_beside(one) && self.routes.iter().any(is_old);
                route::add(handle, links, one, replace)
            });
            for (one, mut done) in batch.iter().zip(join_all(each).await) {
                let known = self.routes.contains(one);
                if matches!(done, Err(RouteError::Foreign)) && !known && self.are_beside(one) {
                    done = self.add_before(handle, links, one).await;
                }
                if outcome.note(&format!("route {one}"), known, done) {
                    self.routes.retain(|other| other == *one || !same_place(other, one));
                    self.routes.insert(Route::clone(one));
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

    /// The kernel takes no route a second time, wherever it is to stand: one that only moves goes first.
    async fn make_way(&mut self, handle: &rtnetlink::Handle, links: &Links, one: &Route, wanted: &BTreeSet<&Route>) {
        for beside in [None, Some(Beside::First), Some(Beside::Last)] {
            let before = Route { beside, ..one.clone() };
            if !wanted.contains(&before) && self.routes.remove(&before) {
                // Where it cannot be removed, adding the new one says why.
                let _ = route::remove(handle, links, &before).await;
            }
        }
    }

    /// Whether routes of ours that asked for their place beside others are in the place of this one, which asks for none.
    fn are_beside(&self, one: &Route) -> bool {
        one.beside.is_none() && self.routes.iter().any(|other| other.beside.is_some() && same_key(other, one))
    }

    /// A route that stands alone is refused where others are, ours as well: those go, and are added again behind it.
    async fn add_before(&mut self, handle: &rtnetlink::Handle, links: &Links, one: &Route) -> Result<(), RouteError> {
        if self.foreign.contains(one) {
            return Err(RouteError::Foreign);
        }
        let ours: Vec<Route> = self.routes.iter().filter(|other| same_key(other, one)).cloned().collect();
        for other in ours {
            // Where it cannot be removed, adding the new one says why.
            let _ = route::remove(handle, links, &other).await;
            self.routes.remove(&other);
        }
        let done = route::add(handle, links, one, false).await;
        if matches!(done, Err(RouteError::Foreign)) {
            self.foreign.insert(one.clone());
        }
        done
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
        self.foreign.retain(|route| routes.contains(route));
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
