//! Entries by which real servers' answers are known: how long they count, and for whom.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use vipd::lvs::datapath::Datapath as _;
use vipd::lvs::io::ebpf::Verdict;
use vipd::lvs::ipvsadm::manual::Manual as _;
use vipd::lvs::table::{Forwarding, Protocol, ServiceKey, Step};

use crate::frames::{Flow, ends, packet, transport};
use crate::lab::{MASQ_VIP, wait};
use crate::raw;
use crate::steps::{apply, at, key};
use crate::table::{ACK, SYN, segment};
use crate::trials::{Trial, ports, vip_of};
use crate::xdp_trials;

pub const FIN: u8 = 1;
pub const RST: u8 = 4;
/// `VIPD_CONNECTION_REPLY`.
const REPLY: u8 = 1;
/// `VIPD_STATE_ESTABLISHED` and `VIPD_STATE_TIME_WAIT`.
const ESTABLISHED: u8 = 1;
const TIME_WAIT: u8 = 3;

/// What a real server sends to a client.
pub fn answer(server: (IpAddr, u16), client: (IpAddr, u16), flags: u8) -> Vec<u8> {
    packet(server.0, client.0, 6, &transport(Flow { from: server, to: client, tcp: true }, flags, &[]), 64, None)
}

/// Two services have the server, so that an answer is known by its entry alone.
fn serve_twice(trial: &mut Trial, protocol: Protocol, vip: IpAddr, server: IpAddr) -> [ServiceKey; 2] {
    [80, 81].map(|port| {
        let vip = key(protocol, vip, port);
        trial.serve(vip, server, 8080, Forwarding::Masq);
        vip
    })
}

/// By XDP where it is on, and what that leaves by TC.
fn go(trial: &mut Trial, by_xdp: bool, packet: &[u8]) -> (Verdict, Vec<u8>) {
    if by_xdp {
        let (verdict, frame) = trial.go_by_xdp(packet);
        if verdict != Verdict::Pass {
            return (verdict, frame);
        }
        assert_eq!(&frame[14..], packet, "as it came");
    }
    trial.go(packet)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finished,
    Reset,
    Idle,
    Removed,
}

/// A port that led to the virtual address once leads to the real server itself now.
#[test]
fn a_client_that_asks_the_real_server_itself_is_left_alone() {
    for by_xdp in [false, true] {
        let mut trial = if by_xdp { xdp_trials::trial() } else { Trial::new() };
        for (v6, end) in [false, true]
            .into_iter()
            .flat_map(|v6| [End::Finished, End::Reset, End::Idle, End::Removed].map(|end| (v6, end)))
        {
            let what = format!("{end:?}, IPv6 {v6}, XDP {by_xdp}");
            let (vip, client, server) = vip_of(v6);
            let (client, server) = ((client, 40_000 + end as u16), (server, 8080));
            let services = serve_twice(&mut trial, Protocol::Tcp, vip, server.0);
            let forward = |trial: &mut Trial, packet: Vec<u8>| {
                let (verdict, frame) = go(trial, by_xdp, &packet);
                assert_eq!(verdict, Verdict::Forward, "{what}: {:?}", trial.plane.reasons());
                ends(&frame).unwrap()
            };
            let up = |flags| segment(client, vip, flags);
            let down = |flags| answer(server, client, flags);
            for packet in [up(SYN), down(SYN | ACK), up(ACK), down(ACK)] {
                forward(&mut trial, packet);
            }
            match end {
                End::Finished => {
                    for packet in [up(FIN | ACK), down(FIN | ACK), up(ACK)] {
                        forward(&mut trial, packet);
                    }
                }
                End::Reset => assert_eq!(forward(&mut trial, down(RST | ACK)), (vip, client.0)),
                End::Idle => raw::edit(&trial.lab, |entry| raw::age(entry, Duration::from_secs(901))),
                End::Removed => {
                    let removed = services.map(|vip| Step::DeleteDestination(vip, at(server.0, server.1)));
                    apply(&mut trial.plane, &removed);
                    // It is looked at every 250 ms.
                    raw::edit(&trial.lab, |entry| raw::age(entry, Duration::from_secs(1)));
                }
            }
            let is_known_to_be_over = matches!(end, End::Idle | End::Removed);
            let first = [ACK].into_iter().filter(|_| is_known_to_be_over);
            for flags in first.chain([SYN | ACK, ACK, ACK, FIN | ACK, RST]) {
                let packet = down(flags);
                let (verdict, frame) = go(&mut trial, by_xdp, &packet);
                assert_eq!((verdict, &frame[14..]), (Verdict::Pass, &packet[..]), "{what}, flags {flags}");
            }
            if end != End::Removed {
                assert_eq!(forward(&mut trial, up(SYN)), (client.0, server.0));
                assert_eq!(
                    forward(&mut trial, down(SYN | ACK)),
                    (vip, client.0),
                    "{what}: by the virtual address again"
                );
            }
            apply(&mut trial.plane, &services.map(Step::DeleteService));
        }
        trial.lab.close(trial.plane);
    }
}

#[test]
fn an_answer_that_comes_late_to_a_client_who_went_on_asking_is_known() {
    for by_xdp in [false, true] {
        let mut trial = if by_xdp { xdp_trials::trial() } else { Trial::new() };
        let (vip, client, server) = vip_of(false);
        serve_twice(&mut trial, Protocol::Udp, vip, server);
        let (there, back) = (
            Flow { from: (client, 40_000), to: (vip, 80), tcp: false },
            Flow { from: (server, 8080), to: (client, 40_000), tcp: false },
        );
        let [ask, told] =
            [there, back].map(|flow| packet(flow.from.0, flow.to.0, 17, &transport(flow, 0, b"data"), 64, None));
        assert_eq!(go(&mut trial, by_xdp, &ask).0, Verdict::Forward);
        let long = Duration::from_secs(400);
        raw::edit(&trial.lab, |entry| {
            if entry.connection.flags & REPLY != 0 {
                raw::age(entry, long);
            }
        });
        let (verdict, frame) = go(&mut trial, by_xdp, &told);
        assert_eq!((verdict, ends(&frame)), (Verdict::Forward, Some((vip, client))));
        raw::edit(&trial.lab, |entry| raw::age(entry, long));
        assert_eq!(go(&mut trial, by_xdp, &told).0, Verdict::Pass, "nobody has asked for so long");
        trial.lab.close(trial.plane);
    }
}

/// The states of the entries by which answers are known.
fn states(trial: &Trial) -> Vec<u8> {
    let all = raw::entries(&trial.lab).into_iter().map(|entry| entry.connection);
    let mut states: Vec<u8> = all.filter(|entry| entry.flags & REPLY != 0).map(|entry| entry.state).collect();
    states.sort_unstable();
    states
}

#[test]
fn what_is_left_of_a_full_nat_connection_does_not_end_the_next_one_of_its_port() {
    let mut trial = Trial::new();
    let (_, client, server) = vip_of(false);
    let (vip, local): (IpAddr, IpAddr) = (MASQ_VIP.into(), "10.2.0.2".parse().unwrap());
    let service = key(Protocol::Tcp, vip, 80);
    trial.plane.set_locals(&BTreeMap::from([(service, vec![local].into())])).unwrap();
    trial.serve(service, server, 8080, Forwarding::FullNat);
    let up = |flags| segment((client, 40_000), vip, flags);
    let open = |trial: &mut Trial| {
        let (port, _) = ports(&trial.forwarded("the SYN", &up(SYN)));
        trial.forwarded("its answer", &answer((server, 8080), (local, port), SYN | ACK));
        trial.forwarded("the last of the handshake", &up(ACK));
        port
    };
    let first = open(&mut trial);
    assert_eq!(states(&trial), [ESTABLISHED]);
    trial.forwarded("the client ends", &up(FIN | ACK));
    trial.forwarded("the server ends", &answer((server, 8080), (local, first), FIN | ACK));
    assert_eq!(states(&trial), [TIME_WAIT]);
    let second = open(&mut trial);
    assert_ne!(first, second);
    assert_eq!(trial.go(&answer((server, 8080), (local, first), RST)).0, Verdict::Drop);
    let listed = wait(trial.plane.connections()).unwrap();
    assert_eq!(listed.iter().map(|one| one.state.as_str()).collect::<Vec<_>>(), ["ESTABLISHED"]);
    trial.forwarded("the next one's", &answer((server, 8080), (local, second), ACK));
    trial.lab.close(trial.plane);
}
