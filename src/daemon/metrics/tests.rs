//! What Prometheus reads is a snapshot.

use super::*;
use crate::control::api::{
    ConfigStatus, DaemonCounters, InstanceCounters, PeerStatus, PlaneStatus, SchedulingStatus, TrackerStatus,
};

fn status() -> Status {
    Status {
        version: "1.2.3".into(),
        pid: 1,
        state: "RUNNING".into(),
        uptime_s: 60,
        config: ConfigStatus {
            file: "vipd.conf".into(),
            loaded_s_ago: 30,
            reloads: 2,
            failed_reloads: 1,
            last_failure: Some("no".into()),
        },
        scheduling: SchedulingStatus { heartbeat: "real-time, priority 2".into(), refused: None },
        instances: vec![
            router("VI_1", "MASTER", &["192.0.2.100/24", "192.0.2.101/24"]),
            router("a \"b\"\\c", "FAULT", &[]),
        ],
        trackers: vec![TrackerStatus {
            kind: "script".into(),
            name: "chk".into(),
            state: "good".into(),
            because: None,
        }],
        virtual_servers: vec![server()],
        plane: Some(PlaneStatus {
            name: "ebpf".into(),
            refused: None,
            hooks: [].into(),
            hooks_because: [].into(),
            connections: 7,
            connections_max: Some(262_144),
            reasons: [("no_route".into(), 3)].into(),
        }),
        strangers: [("eth0".to_owned(), [("vrid".to_owned(), 9)].into())].into(),
        bad_frames: [("arp".to_owned(), 5)].into(),
        bfd_discards: [].into(),
        events: vec![],
        counters: DaemonCounters { events_lost: 1, log_lines_lost: 2, plane_failures: 3 },
    }
}

fn router(name: &str, state: &str, addresses: &[&str]) -> InstanceStatus {
    InstanceStatus {
        name: name.into(),
        state: state.into(),
        interface: "eth0".into(),
        vrid: 51,
        family: "IPv4".into(),
        version: 3,
        priority: 100,
        effective_priority: 90,
        since_s: 12.5,
        because: "somebody said so".into(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        peer: Some(PeerStatus { address: "192.0.2.2".into(), priority: 50, heard_s_ago: 0.25 }),
        active_down_ms: 3609.0,
        adverts_sent: 10,
        adverts_received: 20,
        transitions: 2,
        counters: InstanceCounters { became_master: 1, addresses_restored: 4, ..InstanceCounters::default() },
        discards: [("checksum".to_owned(), 7)].into(),
    }
}

fn server() -> VirtualServerStatus {
    let check = CheckStatus {
        kind: "HTTP_GET".into(),
        state: "up".into(),
        last: Some("status 200".into()),
        latency_ms: Some(1.5),
        age_s: Some(0.5),
    };
    let untried =
        CheckStatus { kind: "TCP_CHECK".into(), state: "stale".into(), last: None, latency_ms: None, age_s: None };
    VirtualServerStatus {
        virtual_server: "TCP 192.0.2.100:80".into(),
        service: "TCP 192.0.2.100:80".into(),
        plane: "ebpf".into(),
        scheduler: "mh".into(),
        forwarding: "Route".into(),
        state: "up".into(),
        quorum: 1,
        live_weight: 5,
        connections: 10,
        packets_in: 100,
        bytes_in: 1000,
        packets_out: 0,
        bytes_out: 0,
        real_servers: vec![RealServerStatus {
            address: "192.0.2.10:80".into(),
            state: "draining".into(),
            since_s: None,
            by_operator: None,
            weight: 0,
            configured_weight: 5,
            active: 3,
            inactive: 4,
            connections: 10,
            checks: vec![check.clone(), check, untried],
        }],
    }
}

fn counted() -> AllStats {
    let stats = Stats { advert_rcvd: 20, advert_sent: 10, become_master: 1, ..Stats::default() };
    [("VI_1".to_owned(), stats)].into()
}

#[test]
fn a_scrape_reads_as_prometheus_wants_it() {
    insta::assert_snapshot!(text(status(), counted(), Detail::Whole).unwrap());
}

#[test]
fn a_scrape_of_services_alone_names_no_real_server() {
    let text = text(status(), counted(), Detail::Services).unwrap();
    assert!(text.contains("vipd_virtual_server_up"), "{text}");
    assert!(!text.contains("192.0.2.10:80"), "{text}");
}

#[test]
fn the_words_of_a_target_are_known_or_refused() {
    for (query, detail) in [
        ("", Some(Detail::Whole)),
        ("real_servers=1", Some(Detail::Whole)),
        ("real_servers=0", Some(Detail::Services)),
        ("real_servers=2", None),
        ("x", None),
    ] {
        assert_eq!(Detail::asked(query), detail, "{query}");
    }
}
