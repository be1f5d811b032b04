//! What people read is a snapshot.

use super::*;
use crate::control::api::{
    CheckStatus, ConfigStatus, DaemonCounters, EventStatus, HookBecause, InstanceCounters, PeerStatus, SchedulingStatus,
};

fn example() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 4711,
        state: "RUNNING".into(),
        uptime_s: 93_784,
        config: ConfigStatus {
            file: "/etc/keepalived/keepalived.conf".into(),
            loaded_s_ago: 61,
            reloads: 1,
            failed_reloads: 0,
            last_failure: None,
        },
        scheduling: SchedulingStatus {
            heartbeat: "ordinary, nice -20".into(),
            refused: Some("real-time, priority 2 is refused (Operation not permitted (os error 1))".into()),
        },
        instances: vec![InstanceStatus {
            name: "VI_1".into(),
            state: "BACKUP".into(),
            interface: "eth0".into(),
            vrid: 51,
            family: "IPv4".into(),
            version: 3,
            priority: 100,
            effective_priority: 90,
            since_s: 12.34,
            because: "192.0.2.2 advertises 150".into(),
            addresses: vec!["192.0.2.100/24".into()],
            peer: Some(PeerStatus { address: "192.0.2.2".into(), priority: 150, heard_s_ago: 0.04 }),
            active_down_ms: 361.0,
            adverts_sent: 0,
            adverts_received: 123,
            transitions: 1,
            counters: InstanceCounters::default(),
            discards: [("checksum".to_owned(), 7)].into(),
        }],
        trackers: vec![TrackerStatus {
            kind: "process".into(),
            name: "haproxy".into(),
            state: "bad".into(),
            because: Some("0 processes run".into()),
        }],
        plane: Some(PlaneStatus {
            name: "ebpf".into(),
            refused: None,
            hooks: [("eth0".to_owned(), "xdp".to_owned()), ("veth1".to_owned(), "tc".to_owned())].into(),
            hooks_because: [
                ("eth0".to_owned(), HookBecause { reason: "its driver runs XDP".into(), is_refusal: false }),
                ("veth1".to_owned(), HookBecause { reason: "XDP was refused: busy".into(), is_refusal: true }),
            ]
            .into(),
            connections: 7,
            connections_max: Some(262_144),
            reasons: [("changing".to_owned(), 0), ("local_ports_full".to_owned(), 3), ("no_route".to_owned(), 12)]
                .into(),
        }),
        virtual_servers: vec![VirtualServerStatus {
            virtual_server: "TCP 192.0.2.100:80".into(),
            service: "TCP 192.0.2.100:80".into(),
            plane: "ebpf".into(),
            scheduler: "mh".into(),
            forwarding: "Route".into(),
            state: "up".into(),
            quorum: 1,
            live_weight: 1,
            connections: 10,
            packets_in: 100,
            bytes_in: 1000,
            packets_out: 0,
            bytes_out: 0,
            real_servers: vec![RealServerStatus {
                address: "192.0.2.11:80".into(),
                state: "down".into(),
                since_s: Some(75.2),
                by_operator: Some("drain".to_owned()),
                weight: 0,
                configured_weight: 1,
                active: 0,
                inactive: 2,
                connections: 10,
                checks: vec![CheckStatus {
                    kind: "TCP_CHECK".into(),
                    state: "down".into(),
                    last: Some("connection refused".into()),
                    latency_ms: Some(0.2),
                    age_s: Some(0.7),
                }],
            }],
        }],
        strangers: [("eth0".to_owned(), [("vrid".to_owned(), 12), ("ttl".to_owned(), 3)].into())].into(),
        bad_frames: [("arp".to_owned(), 1)].into(),
        bfd_discards: [("ttl".to_owned(), 2)].into(),
        events: vec![EventStatus {
            s_ago: 12.3,
            kind: "instance".into(),
            name: "VI_1".into(),
            text: "MASTER -> BACKUP: 192.0.2.2 advertises 150".into(),
        }],
        counters: DaemonCounters::default(),
    }
}

#[test]
fn a_status_reads_as_a_table() {
    insta::assert_snapshot!(render(&example(), 10));
}

#[test]
fn a_frame_is_written_over_the_one_before_and_fits() {
    let rows = [
        ("whatever the room", None, "\x1b[Hone\x1b[K\ntwo\x1b[K\nthree\x1b[K\n\x1b[J"),
        ("room enough", Some((80, 4)), "\x1b[Hone\x1b[K\ntwo\x1b[K\nthree\x1b[K\n\x1b[J"),
        ("the last line would scroll", Some((80, 3)), "\x1b[Hone\x1b[K\ntwo\x1b[K\n1 more lines\x1b[J"),
        ("narrow", Some((3, 4)), "\x1b[Hone\ntwo\nthr\n\x1b[J"),
        ("one line", Some((80, 1)), "\x1b[H3 more lines\x1b[J"),
    ];
    for (name, room, wanted) in rows {
        assert_eq!(frame("one\ntwo\nthree\n", room), wanted, "{name}");
    }
}

#[test]
fn spans_are_short() {
    for (seconds, text) in [(7, "7s"), (241, "4m 1s"), (7_500, "2h 5m"), (273_600, "3d 4h")] {
        assert_eq!(span(seconds), text);
    }
}

#[test]
fn the_last_result_of_a_check_that_makes_none_is_not_all_that_is_told() {
    let rows = [
        ("down", "TCP_CHECK: connection refused in 0.2 ms, 0.7 s ago"),
        ("stale", "TCP_CHECK: NO RESULT ANY MORE; connection refused in 0.2 ms, 0.7 s ago"),
        (
            "resting",
            "TCP_CHECK: rests, since no address of the service is here; connection refused in 0.2 ms, 0.7 s ago",
        ),
    ];
    for (state, told) in rows {
        let mut server = example().virtual_servers.remove(0).real_servers.remove(0);
        server.checks[0].state = state.to_owned();
        assert_eq!(real_server(&server).last().unwrap(), told, "{state}");
    }
}
