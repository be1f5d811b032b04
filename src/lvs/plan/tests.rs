//! Laws of the plan on random pairs of tables.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::lvs::io::memory::Memory;
use crate::lvs::table::{Forwarding, Persistence, Protocol, Scheduler, SchedulerFlags, Service};

fn any_key() -> impl Strategy<Value = ServiceKey> {
    (0u8..5).prop_map(|n| ServiceKey::Address {
        protocol: if n % 2 == 0 { Protocol::Tcp } else { Protocol::Udp },
        addr: IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)),
        port: 80,
    })
}

fn any_destination() -> impl Strategy<Value = (DestinationKey, Destination)> {
    (0u8..6, 0u32..3, any::<bool>()).prop_map(|(n, weight, masq)| {
        let at = DestinationKey { addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)), port: 80 };
        let forwarding = if masq { Forwarding::Masq } else { Forwarding::Route };
        let weight = Weight::new(weight).unwrap();
        (at, Destination { forwarding, weight, upper_threshold: 0, lower_threshold: 0 })
    })
}

fn any_service() -> impl Strategy<Value = Service> {
    (any::<bool>(), any::<bool>()).prop_map(|(rr, persistent)| Service {
        scheduler: if rr { Scheduler::Rr } else { Scheduler::Wlc },
        flags: SchedulerFlags::default(),
        persistence: persistent.then_some(Persistence { timeout_s: 360, prefix_len: 32, sip: false }),
        one_packet: false,
    })
}

fn any_table() -> impl Strategy<Value = Table> {
    let entry = (any_service(), prop::collection::btree_map(0u8..6, any_destination(), 0..5))
        .prop_map(|(service, to)| Entry { service, destinations: to.into_values().collect() });
    prop::collection::btree_map(any_key(), entry, 0..5).prop_map(|services| Table { services })
}

fn serving(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| entry.destinations.values().any(serves))
}

fn present(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| !entry.destinations.is_empty())
}

proptest! {
    #[test]
    fn the_steps_lead_to_the_desired_table_and_leave_what_is_foreign(
        current in any_table(), desired in any_table(), owned in prop::collection::btree_set(any_key(), 0..5)
    ) {
        let scope = Scope { owned };
        let wanted = outcome(&current, &desired, &scope);
        let mut plane = Memory::new().holding(current.clone());
        for step in plan(&current, &desired, &scope) {
            plane.apply_one(&step).unwrap();
        }
        prop_assert_eq!(plane.table(), &wanted);
        for (key, entry) in &desired.services {
            prop_assert_eq!(wanted.services.get(key), Some(entry));
        }
        for (key, entry) in current.services.iter().filter(|(key, _)| !desired.services.contains_key(key)) {
            let left = (!scope.owned.contains(key)).then_some(entry);
            prop_assert_eq!(wanted.services.get(key), left);
        }
        prop_assert_eq!(plan(plane.table(), &desired, &scope), vec![]);
    }

    #[test]
    fn every_step_changes_something(current in any_table(), desired in any_table()) {
        let mut plane = Memory::new().holding(current.clone());
        for step in plan(&current, &desired, &Scope::everything(&current)) {
            let before = plane.table().clone();
            plane.apply_one(&step).unwrap();
            prop_assert_ne!(&before, plane.table());
        }
    }

    #[test]
    fn a_service_that_serves_before_and_after_serves_in_between(current in any_table(), desired in any_table()) {
        let mut plane = Memory::new().holding(current.clone());
        for step in plan(&current, &desired, &Scope::everything(&current)) {
            plane.apply_one(&step).unwrap();
            for key in current.services.keys() {
                let (before, after) = (current.services.get(key), desired.services.get(key));
                let now = plane.table().services.get(key);
                prop_assert!(!(serving(before) && serving(after)) || serving(now), "{} cannot serve", key);
                prop_assert!(!(present(before) && present(after)) || present(now), "{} is empty", key);
            }
        }
    }
}

#[test]
fn a_flush_leaves_nothing() {
    let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 80 };
    let service =
        Service { scheduler: Scheduler::Rr, flags: SchedulerFlags::default(), persistence: None, one_packet: false };
    let table = Table { services: [(key, Entry { service, destinations: BTreeMap::new() })].into() };
    assert_eq!(plan(&table, &Table::default(), &Scope::everything(&table)), vec![Step::DeleteService(key)]);
    assert_eq!(plan(&table, &Table::default(), &Scope::default()), vec![], "somebody else's service stays");
}
