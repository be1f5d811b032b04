//! The promises, generic over [`Datapath`] and an operator's hand ([`Manual`]). A feature that a plane lacks is asked for all
//! the same: it must be refused as unsupported, and must leave nothing behind.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vipd::lvs::datapath::{Datapath, DatapathError, Feature};
use vipd::lvs::ipvsadm::manual::Manual;
use vipd::lvs::plan::{Scope, plan};
use vipd::lvs::table::{DestinationKey, Entry, Scheduler, Step, Table};

use crate::sequences;
use crate::tables::{self, address, at, destination, keys, service};

/// Hold the plane to everything; it ends empty.
pub async fn run<D: Manual>(plane: &mut D) {
    println!("held to the promises: {}", plane.capabilities().plane);
    clear(plane).await;
    steps_are_idempotent(plane).await;
    a_destination_needs_its_service(plane).await;
    nonsense_thresholds_are_refused(plane).await;
    what_is_not_unicast_is_refused(plane).await;
    one_failure_does_not_stop_the_others(plane).await;
    everything_comes_back_as_it_was_asked(plane).await;
    what_is_not_supported_is_refused_and_leaves_nothing(plane).await;
    a_service_of_somebody_else_is_left_alone(plane).await;
    random_tables_are_reached_from_one_another(plane).await;
    sequences::run(plane).await;
    many_services_fit(plane).await;
    counters_cover_the_table(plane).await;
    clear(plane).await;
}

async fn clear<D: Datapath>(plane: &mut D) {
    let held = plane.snapshot().await.expect("snapshot");
    let steps = plan(&held, &Table::default(), &Scope::everything(&held));
    plane.apply(&steps).await.expect("flush");
    assert_eq!(plane.snapshot().await.expect("snapshot"), Table::default());
}

/// Snapshot, plan, apply; the plane then holds `desired`, and nothing is left to do.
async fn converge<D: Datapath>(plane: &mut D, desired: &Table, name: &str) {
    let held = plane.snapshot().await.expect("snapshot");
    let scope = Scope::everything(&held);
    let steps = plan(&held, desired, &scope);
    if let Err(error) = plane.apply(&steps).await {
        panic!("{name}: {:?}", error.failed);
    }
    let after = plane.snapshot().await.expect("snapshot");
    assert_eq!(&after, desired, "{name}");
    assert_eq!(plan(&after, desired, &scope), vec![], "{name}");
}

async fn steps_are_idempotent<D: Datapath>(plane: &mut D) {
    let (key, rr, wrr) = (address(1), service(Scheduler::Rr), service(Scheduler::Wrr));
    let other = if plane.capabilities().schedulers.contains(&Scheduler::Wrr) { wrr } else { rr };
    let rows: [(&str, Vec<Step>, Option<Held>); 7] = [
        ("delete what is not there", vec![Step::DeleteDestination(key, at(1)), Step::DeleteService(key)], None),
        (
            "edit what is not there",
            vec![Step::EditService(key, rr), Step::EditDestination(key, at(1), destination(3))],
            Some((3, 1)),
        ),
        (
            "add what is there",
            vec![Step::AddService(key, other), Step::AddDestination(key, at(1), destination(5))],
            Some((5, 1)),
        ),
        (
            "delete a destination twice",
            vec![Step::DeleteDestination(key, at(1)), Step::DeleteDestination(key, at(1))],
            Some((0, 0)),
        ),
        (
            "add, edit and add again at once",
            vec![
                Step::AddDestination(key, at(1), destination(1)),
                Step::EditDestination(key, at(1), destination(2)),
                Step::AddDestination(key, at(1), destination(4)),
            ],
            Some((4, 1)),
        ),
        ("delete and add at once", vec![Step::DeleteService(key), Step::AddService(key, rr)], Some((0, 0))),
        ("delete a service twice", vec![Step::DeleteService(key), Step::DeleteService(key)], None),
    ];
    for (name, steps, wanted) in rows {
        for step in &steps {
            if let Err(error) = plane.apply(&[*step]).await {
                panic!("{name}, one by one: {:?}", error.failed);
            }
        }
        check(plane, name, wanted).await;
        if let Err(error) = plane.apply(&steps).await {
            panic!("{name}, as a batch: {:?}", error.failed);
        }
        check(plane, name, wanted).await;
    }
}

/// The weight of the first destination (0: none) and the number of destinations.
type Held = (u32, usize);

/// What the plane holds of `address(1)`; `None`: no service.
async fn check<D: Datapath>(plane: &mut D, name: &str, wanted: Option<Held>) {
    let table = plane.snapshot().await.expect("snapshot");
    let entry = table.services.get(&address(1));
    let got = entry.map(|entry| {
        let weight = entry.destinations.values().next().map_or(0, |to| to.weight.get());
        (weight, entry.destinations.len())
    });
    assert_eq!(got, wanted, "{name}");
}

async fn a_destination_needs_its_service<D: Datapath>(plane: &mut D) {
    let steps = [
        Step::AddDestination(address(9), at(1), destination(1)),
        Step::EditDestination(address(9), at(1), destination(1)),
    ];
    for step in steps {
        let error = plane.apply(&[step]).await.expect_err("a destination without a service");
        assert!(matches!(error.failed.as_slice(), [(_, DatapathError::NotFound { .. })]), "{error:?}");
    }
}

async fn nonsense_thresholds_are_refused<D: Datapath>(plane: &mut D) {
    let mut odd = destination(1);
    (odd.upper_threshold, odd.lower_threshold) = (5, 9);
    let steps = [Step::AddService(address(1), service(Scheduler::Rr)), Step::AddDestination(address(1), at(1), odd)];
    let error = plane.apply(&steps).await.expect_err("a lower threshold above the upper one");
    assert_eq!(error.failed.len(), 1, "{error:?}");
    let table = plane.snapshot().await.expect("snapshot");
    assert_eq!(table.services[&address(1)].destinations, BTreeMap::new());
    clear(plane).await;
}

async fn what_is_not_unicast_is_refused<D: Datapath>(plane: &mut D) {
    let addresses = ["0.0.0.0", "224.0.0.5", "239.255.255.255", "255.255.255.255", "::", "fe80::5", "ff02::1"];
    for text in addresses {
        let addr: IpAddr = text.parse().expect("an address");
        let key = if addr.is_ipv4() { address(1) } else { tables::address6(1) };
        let add = Step::AddDestination(key, DestinationKey { addr, port: 80 }, destination(1));
        let steps = [Step::AddService(key, service(Scheduler::Rr)), add];
        let error = plane.apply(&steps).await.expect_err(text);
        let refused = matches!(error.failed.as_slice(), [(step, DatapathError::Kernel { source, .. })]
            if *step == add && source.raw_os_error() == Some(22)); // EINVAL
        // Where IPv6 is not served at all, that is said.
        let no_ipv6 = error.failed.iter().all(|(_, error)| matches!(error, DatapathError::Unsupported { .. }));
        assert!(refused || !addr.is_ipv4() && no_ipv6, "{text}: {error:?}");
        let table = plane.snapshot().await.expect("snapshot");
        assert!(table.services.values().all(|entry| entry.destinations.is_empty()), "{text} is there");
        clear(plane).await;
    }
}

async fn one_failure_does_not_stop_the_others<D: Datapath>(plane: &mut D) {
    let steps = [
        Step::AddService(address(1), service(Scheduler::Rr)),
        Step::AddDestination(address(9), at(1), destination(1)),
        Step::AddDestination(address(1), at(1), destination(1)),
    ];
    let error = plane.apply(&steps).await.expect_err("one of three");
    assert_eq!((error.tried, error.failed.len()), (3, 1));
    assert_eq!(error.failed[0].0, steps[1], "the error names the step");
    check(plane, "the others are done", Some((1, 1))).await;
    clear(plane).await;
}

async fn everything_comes_back_as_it_was_asked<D: Datapath>(plane: &mut D) {
    let capabilities = plane.capabilities();
    let mut whole = Table::default();
    for (name, table) in tables::every_feature() {
        if capabilities.check_table(&table).is_empty() {
            converge(plane, &table, name).await;
            whole.services.extend(table.services);
        }
    }
    converge(plane, &whole, "all of it at once").await;
    clear(plane).await;
}

async fn what_is_not_supported_is_refused_and_leaves_nothing<D: Datapath>(plane: &mut D) {
    let capabilities = plane.capabilities();
    let base = Step::AddService(address(1), service(Scheduler::Rr));
    plane.apply(&[base]).await.expect("a round robin service of TCP over IPv4 is what every plane can do");
    let before = plane.snapshot().await.expect("snapshot");
    let mut refused = 0;
    for (name, table) in tables::every_feature() {
        for step in plan(&Table::default(), &table, &Scope::default()) {
            if capabilities.check_step(&step).is_ok() {
                continue;
            }
            let error = plane.apply(&[step]).await.expect_err(name);
            assert!(matches!(error.failed.as_slice(), [(_, DatapathError::Unsupported { .. })]), "{name}: {error:?}");
            refused += 1;
        }
    }
    assert_eq!(plane.snapshot().await.expect("snapshot"), before);
    let lacking = Feature::ALL.iter().filter(|feature| !capabilities.features.contains(feature)).count();
    assert!(refused >= lacking, "{lacking} features are lacking, and only {refused} steps were refused");
    clear(plane).await;
}

async fn a_service_of_somebody_else_is_left_alone<D: Datapath>(plane: &mut D) {
    let theirs = Table {
        services: [(address(7), Entry { service: service(Scheduler::Rr), destinations: BTreeMap::new() })].into(),
    };
    converge(plane, &theirs, "theirs").await;
    let ours = Table {
        services: [(address(1), Entry { service: service(Scheduler::Rr), destinations: BTreeMap::new() })].into(),
    };
    let scope = Scope { owned: ours.services.keys().copied().collect() };
    for desired in [&ours, &Table::default()] {
        let held = plane.snapshot().await.expect("snapshot");
        plane.apply(&plan(&held, desired, &scope)).await.expect("ours");
        assert!(plane.snapshot().await.expect("snapshot").services.contains_key(&address(7)));
    }
    assert_eq!(plane.snapshot().await.expect("snapshot"), theirs);
    clear(plane).await;
}

async fn random_tables_are_reached_from_one_another<D: Datapath>(plane: &mut D) {
    let able = plane.capabilities();
    for seed in 0..40 {
        let mut table = tables::random(seed);
        for (key, entry) in &mut table.services {
            entry.destinations.retain(|at, to| able.check_step(&Step::AddDestination(*key, *at, *to)).is_ok());
        }
        table.services.retain(|key, entry| able.check_step(&Step::AddService(*key, entry.service)).is_ok());
        converge(plane, &table, &format!("seed {seed}")).await;
    }
    clear(plane).await;
}

/// More than one batch, and more than one answer of a dump holds.
async fn many_services_fit<D: Datapath>(plane: &mut D) {
    let mut table = Table::default();
    for key in keys(200) {
        let destinations = (1..=5).map(|n| (at(n), destination(u32::from(n)))).collect();
        table.services.insert(key, Entry { service: service(Scheduler::Rr), destinations });
    }
    if let Some(entry) = table.services.get_mut(&address(1)) {
        entry.destinations = (1..=250).map(|n| (at(n), destination(1))).collect();
    }
    converge(plane, &table, "200 services, one of 250 destinations").await;
}

/// Runs with the table of [`many_services_fit`] in place.
async fn counters_cover_the_table<D: Datapath>(plane: &mut D) {
    let table = plane.snapshot().await.expect("snapshot");
    let counters = plane.counters().await.expect("counters");
    assert!(!table.services.is_empty());
    assert_eq!(counters.services.keys().collect::<Vec<_>>(), table.services.keys().collect::<Vec<_>>());
    for (key, entry) in &table.services {
        let counted = &counters.services[key];
        assert_eq!(counted.destinations.keys().collect::<Vec<_>>(), entry.destinations.keys().collect::<Vec<_>>());
        assert_eq!(counted.stats.connections, 0, "no traffic, no connection");
    }
    clear(plane).await;
}
