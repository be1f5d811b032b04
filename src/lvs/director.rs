//! All pools of one plane: what the plane should hold, which of its services are ours, and which pools changed.
//!
//! It knows no plane and no time; `daemon/lvs.rs` carries its table to the plane. News of one real server costs what its
//! pool costs, however many pools there are.

use std::collections::{BTreeMap, BTreeSet};

use super::datapath::Locals;
use super::plan::{Scope, plan};
use super::pool::{Event, Pool, PoolEvent, PoolId, PoolSettings, PoolView, UnknownRealServer};
use super::table::{DestinationKey, Entry, ServiceKey, Step, Table};
use super::timed::Timer;

/// An event and the pool it happened in.
pub type Told = (PoolId, PoolEvent);

/// Why a set of pools cannot stand together; nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolsError {
    #[error("two virtual servers are named {pool}")]
    Twice { pool: PoolId },
    #[error("{service} belongs to two virtual servers: {first} and {second}")]
    Shared { service: ServiceKey, first: PoolId, second: PoolId },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    #[error("there is no virtual server {pool}")]
    UnknownPool { pool: PoolId },
    #[error(transparent)]
    UnknownRealServer(#[from] UnknownRealServer),
}

/// The pools of one plane.
#[derive(Clone, Debug, Default)]
pub struct Director {
    pools: BTreeMap<PoolId, Pool>,
    /// Services of an earlier configuration or run, as long as the plane may hold them.
    left: BTreeSet<ServiceKey>,
    /// What is known of real servers whose pools begin with the first configuration.
    known: BTreeMap<PoolId, Vec<Event>>,
    /// Pools whose services the plane may hold in another way than wanted.
    touched: BTreeSet<PoolId>,
    /// Pools that readers have not seen as they are now.
    unseen: Unseen,
}

/// What to show anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unseen {
    /// There are other pools than before.
    #[default]
    All,
    /// These are as they were not before.
    Pools(BTreeSet<PoolId>),
}

impl Director {
    /// Start with no pool; `left` are services that an earlier run of ours left in the plane, `known` is what it knew of the
    /// real servers of pools that the first configuration has.
    pub fn new(left: BTreeSet<ServiceKey>, known: Vec<(PoolId, Event)>) -> Self {
        let mut of: BTreeMap<PoolId, Vec<Event>> = BTreeMap::new();
        for (pool, event) in known {
            of.entry(pool).or_default().push(event);
        }
        Self { left, known: of, ..Self::default() }
    }

    /// Take up another set of pools: those that stay keep their health.
    ///
    /// # Errors
    /// [`PoolsError`]; the pools are then as they were.
    pub fn reconfigure(&mut self, settings: Vec<PoolSettings>) -> Result<Vec<Told>, PoolsError> {
        check(&settings)?;
        let mut told = vec![];
        let known = std::mem::take(&mut self.known);
        let mut pools = BTreeMap::new();
        for settings in settings {
            let id = settings.id.clone();
            let (pool, events) = match self.pools.remove(&id) {
                Some(kept) if *kept.settings() == settings => (kept, vec![]),
                Some(mut kept) => {
                    self.left.extend(&kept.settings().services);
                    self.touched.insert(id.clone());
                    let events = kept.reconfigure(settings);
                    (kept, events)
                }
                None => {
                    self.touched.insert(id.clone());
                    Pool::new(settings, known.get(&id).map_or(&[], Vec::as_slice))
                }
            };
            told.extend(events.into_iter().map(|event| (id.clone(), event)));
            pools.insert(id, pool);
        }
        for (id, gone) in std::mem::replace(&mut self.pools, pools) {
            self.left.extend(&gone.settings().services);
            told.extend(gone.removed().into_iter().map(|event| (id.clone(), event)));
        }
        self.unseen = Unseen::All;
        Ok(told)
    }

    /// All that the plane may hold with these pools, whatever their health, so that it can be refused before anything
    /// changes.
    ///
    /// # Errors
    /// [`PoolsError`].
    pub fn preview(settings: Vec<PoolSettings>) -> Result<Table, PoolsError> {
        check(&settings)?;
        Ok(Table { services: settings.into_iter().flat_map(PoolSettings::whole).collect() })
    }

    /// # Errors
    /// [`HealthError`]: the news is about something that a reload removed.
    pub fn handle(&mut self, pool: &PoolId, event: Event) -> Result<Vec<Told>, HealthError> {
        let known = self.pools.get_mut(pool).ok_or_else(|| HealthError::UnknownPool { pool: pool.clone() })?;
        let told = known.handle(event)?;
        self.touched.insert(pool.clone());
        if let Unseen::Pools(unseen) = &mut self.unseen {
            unseen.insert(pool.clone());
        }
        Ok(told.into_iter().map(|event| (pool.clone(), event)).collect())
    }

    /// What stopping tells (`omega`).
    pub fn stop(&self) -> Vec<Told> {
        let told = self.pools.iter().flat_map(|(id, pool)| pool.stop().into_iter().map(|event| (id.clone(), event)));
        told.collect()
    }

    /// What the plane should hold.
    pub fn desired(&self) -> Table {
        Table { services: self.pools.values().flat_map(Pool::desired).collect() }
    }

    /// Where `FullNat` connections of each service begin.
    pub fn locals(&self) -> BTreeMap<ServiceKey, Locals> {
        let pools = self.pools.values().map(Pool::settings).filter(|settings| !settings.locals.addresses.is_empty());
        pools.flat_map(|settings| settings.services.iter().map(|key| (*key, settings.locals.clone()))).collect()
    }

    /// Services that the plane may hold because of us.
    pub fn scope(&self) -> Scope {
        Scope { owned: self.services().chain(self.left.iter().copied()).collect() }
    }

    /// The steps for a plane that holds `known`, which is in step but for what changed here since [`Self::settled`]; and
    /// what becomes of each service that they are about. The same as a plan for the whole table.
    pub fn catch_up(&self, known: &Table) -> (Vec<Step>, Vec<(ServiceKey, Option<Entry>)>) {
        let touched = self.touched.iter().filter_map(|id| self.pools.get(id));
        let desired = Table { services: touched.flat_map(Pool::desired).collect() };
        let mut about: BTreeSet<ServiceKey> = desired.services.keys().copied().collect();
        // One that left a pool may belong to another one now, which is touched or has it since before.
        about.extend(&self.left);
        let held = about.iter().filter_map(|key| Some((*key, known.services.get(key)?.clone())));
        let steps = plan(&Table { services: held.collect() }, &desired, &Scope { owned: about.clone() });
        let becomes = about.into_iter().map(|key| (key, desired.services.get(&key).cloned())).collect();
        (steps, becomes)
    }

    /// The plane holds what is desired: what was removed is not ours any more.
    pub fn settled(&mut self) {
        self.left.clear();
        self.touched.clear();
    }

    /// Which pools to show anew since the last time this was asked.
    pub fn take_unseen(&mut self) -> Unseen {
        std::mem::replace(&mut self.unseen, Unseen::Pools(BTreeSet::new()))
    }

    /// One pool as readers see it.
    pub fn view(&self, pool: &PoolId) -> Option<PoolView> {
        self.pools.get(pool).map(Pool::view)
    }

    fn services(&self) -> impl Iterator<Item = ServiceKey> {
        self.pools.values().flat_map(|pool| pool.settings().services.iter().copied())
    }

    /// What all pools wait for.
    pub fn timers(&self) -> Vec<(PoolId, DestinationKey, Timer)> {
        let of =
            |(id, pool): (&PoolId, &Pool)| pool.timers().map(|(at, timer)| (id.clone(), at, timer)).collect::<Vec<_>>();
        self.pools.iter().flat_map(of).collect()
    }

    pub fn views(&self) -> Vec<PoolView> {
        self.pools.values().map(Pool::view).collect()
    }
}

fn check(settings: &[PoolSettings]) -> Result<(), PoolsError> {
    let mut names = BTreeSet::new();
    let mut services: BTreeMap<ServiceKey, &PoolId> = BTreeMap::new();
    for pool in settings {
        if !names.insert(&pool.id) {
            return Err(PoolsError::Twice { pool: pool.id.clone() });
        }
        for service in &pool.services {
            if let Some(first) = services.insert(*service, &pool.id) {
                let (first, second) = (first.clone(), pool.id.clone());
                return Err(PoolsError::Shared { service: *service, first, second });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::base::Weight;
    use crate::lvs::pool::{RealServer, Start};
    use crate::lvs::table::{DestinationKey, Forwarding, Protocol, Scheduler, SchedulerFlags, Service};

    fn service(n: u8) -> ServiceKey {
        ServiceKey::Address { protocol: Protocol::Tcp, addr: Ipv4Addr::new(192, 0, 2, n).into(), port: 80 }
    }

    fn at(n: u8) -> DestinationKey {
        DestinationKey { addr: Ipv4Addr::new(10, 0, 0, n).into(), port: 80 }
    }

    fn pool(n: u8) -> PoolSettings {
        let real = RealServer {
            forwarding: Forwarding::Masq,
            weight: Weight::ONE,
            inhibit_on_failure: false,
            upper_threshold: 0,
            lower_threshold: 0,
            start: Start::Up,
        };
        PoolSettings {
            id: PoolId::Service(service(n)),
            services: vec![service(n)],
            service: Service {
                scheduler: Scheduler::Rr,
                flags: SchedulerFlags::default(),
                persistence: None,
                one_packet: false,
            },
            locals: Locals::default(),
            quorum: 1,
            hysteresis: 0,
            omega: true,
            sorry_server: None,
            slow_start: Duration::ZERO,
            drain_time: Duration::ZERO,
            init_notifies: false,
            real_servers: [(at(1), real), (at(2), real)].into(),
        }
    }

    #[test]
    fn a_reload_keeps_health_and_owns_what_it_leaves_until_it_is_gone() {
        let mut director = Director::default();
        director.reconfigure(vec![pool(1), pool(2)]).unwrap();
        let id = PoolId::Service(service(1));
        director.handle(&id, Event::Down { real_server: at(1) }).unwrap();
        director.reconfigure(vec![pool(1), pool(3)]).unwrap();
        let table = director.desired();
        assert_eq!(table.services.keys().copied().collect::<Vec<_>>(), [service(1), service(3)]);
        assert_eq!(table.services[&service(1)].destinations.keys().copied().collect::<Vec<_>>(), [at(2)]);
        assert!(director.scope().owned.contains(&service(2)), "to be deleted");
        director.settled();
        assert!(!director.scope().owned.contains(&service(2)), "somebody may add it by ipvsadm now");
    }

    #[test]
    fn a_pool_that_goes_says_so_where_omega_asks_for_it() {
        let mut director = Director::default();
        director.reconfigure(vec![pool(1)]).unwrap();
        let told = director.reconfigure(vec![]).unwrap();
        assert_eq!(told.len(), 3, "two real servers and the quorum: {told:?}");
    }

    #[test]
    fn pools_that_share_a_service_are_refused_and_nothing_changes() {
        let mut director = Director::default();
        director.reconfigure(vec![pool(1)]).unwrap();
        let before = director.desired();
        let other = PoolSettings { id: PoolId::Group { name: "g".into(), protocol: Protocol::Tcp }, ..pool(2) };
        let refused = director.reconfigure(vec![pool(2), other]).unwrap_err();
        assert!(matches!(refused, PoolsError::Shared { .. }), "{refused}");
        assert_eq!(director.reconfigure(vec![pool(2), pool(2)]), Err(PoolsError::Twice { pool: pool(2).id }));
        assert_eq!(director.desired(), before);
    }

    #[test]
    fn news_of_an_unknown_pool_is_an_error() {
        let id = PoolId::Service(service(9));
        let refused = Director::default().handle(&id, Event::Up { real_server: at(1) });
        assert_eq!(refused, Err(HealthError::UnknownPool { pool: id }));
    }
}
