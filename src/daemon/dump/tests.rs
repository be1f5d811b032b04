//! The texts of the dumps.

use std::time::Duration;

use super::*;
use crate::config::io::loader::{LoadOptions, load_text};
use crate::daemon::translate::translate;
use crate::vrrp::fleet::Fleet;

const TEXT: &str = "vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority 150
    authentication {
        auth_type PASS
        auth_pass secret
    }
    virtual_ipaddress {
        192.0.2.1/24
        192.0.2.2 dev eth1 label eth1:v
    }
}
";

/// The texts of one moment: data, JSON, statistics.
fn texts() -> (String, String, String) {
    let config = load_text("a.conf", TEXT, &LoadOptions { system: false, ..LoadOptions::default() }).config;
    let wanted = translate(&config.clone()).unwrap();
    let mut fleet = Fleet::default();
    fleet.reconfigure(MonoTime::ZERO, wanted.instances);
    let mut views = fleet.views();
    views[0].counters.adverts_sent = 7;
    views[0].discards.insert(Discard::Ttl, 3);
    views[0].state = Standing::Active;
    let stats = stats(&views);
    let now = MonoTime::from_start(Duration::from_secs(5));
    let moment = Moment { config: &config, views: &views, stats: &stats, now, unix_s: 1_795_261_121.5 };
    (moment.data_text(), moment.json(), stats_text(&stats))
}

#[test]
fn the_dumps_are_those_of_keepalived() {
    let (data, json, stats) = texts();
    insta::assert_snapshot!("data", data);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    insta::assert_snapshot!("json", format!("{json:#}"));
    insta::assert_snapshot!("stats", stats);
}

#[test]
fn what_was_cleared_is_not_counted_again() {
    let before: AllStats = [("A".to_owned(), Stats { advert_sent: 7, ip_ttl_err: 2, ..Stats::default() })].into();
    let now: AllStats = [
        ("A".to_owned(), Stats { advert_sent: 9, ip_ttl_err: 2, ..Stats::default() }),
        ("B".to_owned(), Stats { advert_sent: 1, ..Stats::default() }),
    ]
    .into();
    let since = since(now, &before);
    assert_eq!(since["A"], Stats { advert_sent: 2, ..Stats::default() });
    assert_eq!(since["B"].advert_sent, 1);
}
