//! The law of a reload: starting with A and loading B leaves what starting with B leaves.
//!
//! `VIPD_LAW_PAIRS=N` sets the number of pairs. It goes on the memory plane; what differs on purpose is health: it is
//! carried over, so every check reports once after the reload before the two are compared.

use std::env;

use proptest::prelude::*;
use proptest::test_runner::{Config as RunConfig, TestRunner};

use super::*;
use crate::base::{MonoTime, WeightWish};
use crate::config::io::loader::{LoadOptions, load_text};
use crate::config::show::tests::random::any_config;
use crate::healthcheck::probe::Probe;
use crate::healthcheck::settings::CheckSettings;
use crate::lvs::director::Director;
use crate::lvs::io::memory::Memory;
use crate::lvs::plan::plan;
use crate::lvs::pool::{Event, Start};
use crate::lvs::table::Table;
use crate::lvs::timed::Timer;
use crate::notify::command::ScriptCommand;
use crate::vrrp::fleet::Fleet;
use crate::vrrp::view::InstanceView;

const PAIRS: u32 = 10_000;

fn pairs() -> u32 {
    env::var("VIPD_LAW_PAIRS").map_or(PAIRS, |pairs| pairs.parse().unwrap())
}

/// A hysteresis remembers whether the quorum was there: without one, what is wanted follows from health alone.
fn wanted(mut config: Config) -> Wanted {
    for server in &mut config.virtual_servers {
        server.hysteresis = 0;
    }
    translate(&config).unwrap()
}

/// What the forwarding task does, without the waiting: only what changed is looked at, and then nothing is left to do.
fn converge(plane: &mut Memory, director: &mut Director) {
    let (steps, becomes) = director.catch_up(plane.table());
    for step in steps {
        plane.apply_one(&step).unwrap();
    }
    for (key, entry) in becomes {
        assert_eq!(plane.table().services.get(&key), entry.as_ref(), "{key}");
    }
    assert_eq!(plan(plane.table(), &director.desired(), &director.scope()), []);
    director.settled();
}

/// Every check tells; `news` are picked in turn.
fn report(director: &mut Director, wanted: &Wanted, news: &[u8]) {
    for (target, news) in wanted.targets.values().zip(news.iter().cycle()) {
        let real_server = target.real_server;
        let events = match news % 4 {
            0 => vec![Event::Up { real_server }, Event::Weight { real_server, weight: None }],
            1 => vec![Event::Down { real_server }],
            2 => vec![Event::Up { real_server }, Event::Weight { real_server, weight: Some(WeightWish::Percent(70)) }],
            _ => vec![],
        };
        for event in events {
            director.handle(&target.pool, event).unwrap();
        }
    }
}

/// The table after each configuration was loaded in turn; checks of all but the last tell `news`, then all are good.
fn forwarding(all: &[&Wanted], news: &[u8]) -> Table {
    let mut plane = Memory::new();
    let mut director = Director::default();
    for (at, wanted) in all.iter().enumerate() {
        director.reconfigure(wanted.pools.clone()).unwrap();
        converge(&mut plane, &mut director);
        report(&mut director, wanted, if at + 1 < all.len() { news } else { &[0] });
        converge(&mut plane, &mut director);
    }
    // Then time passes.
    for (pool, real_server, timer) in director.timers() {
        let event = match timer {
            Timer::SlowStart(_) => Event::Ramp { real_server, percent: None },
            Timer::Drain(_) => Event::Left { real_server },
        };
        director.handle(&pool, event).unwrap();
    }
    converge(&mut plane, &mut director);
    plane.table().clone()
}

/// What virtual routers show of their settings, and where they listen.
fn election(all: &[&Wanted]) -> (Vec<InstanceView>, String) {
    let mut fleet = Fleet::default();
    for (second, wanted) in (0..).zip(all) {
        let now = MonoTime::from_start(std::time::Duration::from_secs(second));
        fleet.reconfigure(now, wanted.instances.clone());
    }
    let mut views = fleet.views();
    for view in &mut views {
        view.since = MonoTime::ZERO;
    }
    (views, format!("{:?}", fleet.sockets()))
}

#[test]
fn a_reload_leaves_what_a_start_leaves() {
    let mut runner = TestRunner::new(RunConfig::with_cases(pairs()));
    let two = (any_config(), any_config(), proptest::collection::vec(any::<u8>(), 1..8));
    let law = runner.run(&two, |(a, b, news)| {
        let (a, b) = (wanted(a), wanted(b));
        prop_assert_eq!(forwarding(&[&a, &b], &news), forwarding(&[&b], &[]));
        prop_assert_eq!(election(&[&a, &b]), election(&[&b]));
        Ok(())
    });
    law.unwrap_or_else(|error| panic!("{error}"));
}

/// Scripts that track, check and are told, each with an account of its own and without.
#[test]
fn script_user_runs_what_names_nobody() {
    let text = "global_defs {\n script_user nobody nogroup\n}\n\
        vrrp_script own {\n script \"/bin/true own\"\n user daemon\n}\n\
        vrrp_script default {\n script \"/bin/true default\"\n}\n\
        vrrp_instance V {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1\n }\n\
        track_script {\n own\n default\n }\n notify_master \"/bin/true m\"\n notify_backup /bin/true daemon\n}\n\
        virtual_server 192.0.2.1 80 {\n real_server 192.0.2.2 80 {\n MISC_CHECK {\n misc_path /bin/true\n }\n }\n\
        real_server 192.0.2.3 80 {\n MISC_CHECK {\n misc_path /bin/true\n user daemon\n }\n }\n}\n";
    let options = LoadOptions { system: false, ..LoadOptions::default() };
    let loaded = load_text("/nonexistent/test.conf", text, &options);
    assert!(!loaded.is_fatal(), "{:?}", loaded.problems);
    let wanted = translate(&loaded.config).unwrap();
    let user = |command: &ScriptCommand| command.account().map(|account| account.user.clone()).unwrap();
    let tracked: Vec<_> = wanted.trackers.iter().map(|one| (one.script.as_str(), user(&one.command))).collect();
    assert_eq!(tracked, [("own", "daemon".to_owned()), ("default", "nobody".to_owned())]);
    let notify = &wanted.scripts.instances["V"];
    assert_eq!(notify.master.as_ref().map(user).as_deref(), Some("nobody"));
    assert_eq!(notify.backup.as_ref().map(user).as_deref(), Some("daemon"));
    let by = |one: &CheckSettings| {
        let Probe::Script(probe) = &one.probe else { panic!("{one:?}") };
        (probe.user.clone().unwrap(), probe.group.clone())
    };
    let checked: Vec<_> = wanted.checks.iter().map(by).collect();
    assert_eq!(checked, [("nobody".to_owned(), Some("nogroup".to_owned())), ("daemon".to_owned(), None)]);
}

/// What a check is made with, on one line.
fn in_words(check: &CheckSettings) -> String {
    let (timeout, host) = match &check.probe {
        Probe::Tcp(endpoint) => (Some(endpoint.connect_timeout), None),
        Probe::Http(probe) => (Some(probe.endpoint.connect_timeout), probe.first.host.clone()),
        Probe::Dns(probe) => (Some(probe.endpoint.connect_timeout), None),
        Probe::Https(_)
        | Probe::Script(_)
        | Probe::Smtp(_)
        | Probe::Udp(_)
        | Probe::Ping(_)
        | Probe::Agent(_)
        | Probe::Grpc(_)
        | Probe::File(_)
        | Probe::Bfd(_) => (None, None),
    };
    let CheckSettings { delay_loop, retry, delay_before_retry, warmup, alpha, log_all_failures, .. } = check;
    let kind = check.probe.keyword();
    format!(
        "{kind} {delay_loop:?} {timeout:?} {retry} {delay_before_retry:?} {warmup:?} {alpha} {log_all_failures} {host:?}"
    )
}

#[test]
fn what_is_said_nearest_to_a_check_counts() {
    let times = |n: u8, alpha: &str| {
        format!(
            "delay_loop {n}1\nconnect_timeout {n}2\nretry {n}3\ndelay_before_retry {n}4\nwarmup {n}5\n{alpha}\n\
            virtualhost h{n}\n"
        )
    };
    let http = |inner: &str, url: &str| format!("HTTP_GET {{\n{inner}url {{\npath /\n{url}}}\n}}\n");
    let all = format!("TCP_CHECK {{\n}}\n{}DNS_CHECK {{\n}}\nMISC_CHECK {{\nmisc_path /bin/true\n}}\n", http("", ""));
    let here = |n: u8, alpha: &str| format!("{}log_all_failures off\n", times(n, alpha));
    let real = |n: u8, inner: &str| format!("real_server 192.0.2.{n} 80 {{\n{inner}}}\n");
    let text = format!(
        "global_defs {{\nchecker_log_all_failures\nscript_user root\n}}\n\
        virtual_server 192.0.2.1 80 {{\nprotocol TCP\ninhibit_on_failure\n{}{}{}{}}}\n\
        virtual_server 192.0.2.2 80 {{\nprotocol TCP\n{}}}\n",
        times(1, "alpha"),
        real(11, &all),
        real(12, &format!("inhibit_on_failure off\n{}{all}", times(2, "alpha off"))),
        real(13, &format!("{}{}", times(2, "alpha off"), http(&here(3, "alpha"), "virtualhost h4\n"))),
        real(14, &all),
    );
    let options = LoadOptions { system: false, ..LoadOptions::default() };
    let loaded = load_text("/nonexistent/test.conf", &text, &options);
    assert!(!loaded.is_fatal(), "{:?}", loaded.problems);
    let wanted = translate(&loaded.config).unwrap();
    let made: Vec<String> = wanted.checks.iter().map(in_words).collect();
    let rows = [
        "TCP_CHECK 11s Some(12s) 13 14s 15s true true None",
        "HTTP_GET 11s Some(12s) 13 14s 15s true true Some(\"h1\")",
        "DNS_CHECK 11s Some(12s) 13 14s 15s true true None",
        "MISC_CHECK 11s None 13 14s 15s true true None",
        "TCP_CHECK 21s Some(22s) 23 24s 25s false true None",
        "HTTP_GET 21s Some(22s) 23 24s 25s false true Some(\"h2\")",
        "DNS_CHECK 21s Some(22s) 23 24s 25s false true None",
        "MISC_CHECK 21s None 23 24s 25s false true None",
        "HTTP_GET 31s Some(32s) 33 34s 35s true false Some(\"h4\")",
        // keepalived's defaults.
        "TCP_CHECK 60s Some(5s) 1 1s 60s false true None",
        "HTTP_GET 60s Some(5s) 1 3s 60s false true None",
        "DNS_CHECK 60s Some(5s) 3 60s 60s false true None",
        "MISC_CHECK 60s None 0 1s 60s false true None",
    ];
    assert_eq!(made, rows);
    let servers = wanted.pools.iter().flat_map(|pool| pool.real_servers.values());
    let kept: Vec<_> = servers.map(|server| (server.inhibit_on_failure, server.start)).collect();
    assert_eq!(kept, [(true, Start::Down), (false, Start::Up), (true, Start::Down), (false, Start::Up)]);
}
