//! What a connection goes through, in IPVS's words (`tcp_states` in `ip_vs_proto_tcp.c`, with `tests/vm/states.sh`, and the
//! nearest of `sctp_states` in `ip_vs_proto_sctp.c`).

use std::net::IpAddr;

use vipd::lvs::io::ebpf::Verdict;
use vipd::lvs::ipvsadm::manual::Manual as _;
use vipd::lvs::table::{Forwarding, Protocol};

use crate::lab::wait;
use crate::replies::{FIN, RST, answer};
use crate::steps::key;
use crate::table::{ACK, SYN, segment};
use crate::trials::{Trial, sctp, vip_of};

/// Who sends, and what: flags of TCP, or a chunk of SCTP.
enum From {
    Client(u8),
    Server(u8),
}
use From::{Client, Server};

/// Each packet, and the state that it leads to.
type Life = &'static [(From, &'static str)];

const OPENED: Life = &[(Client(SYN), "SYN_RECV"), (Server(SYN | ACK), "SYN_RECV"), (Client(ACK), "ESTABLISHED")];
const BY_NAT: [Life; 5] = [
    &[
        (Client(FIN | ACK), "CLOSE_WAIT"),
        (Server(ACK), "CLOSE_WAIT"),
        (Client(FIN | ACK), "CLOSE_WAIT"),
        (Server(FIN | ACK), "TIME_WAIT"),
        (Client(ACK), "TIME_WAIT"),
        (Client(SYN), "SYN_RECV"),
    ],
    &[
        (Server(FIN | ACK), "FIN_WAIT"),
        (Client(ACK), "FIN_WAIT"),
        (Client(FIN | ACK), "TIME_WAIT"),
        (Server(ACK), "TIME_WAIT"),
    ],
    &[(Client(FIN | ACK), "CLOSE_WAIT"), (Client(SYN), "SYN_RECV"), (Client(ACK), "ESTABLISHED")],
    &[(Client(RST), "CLOSE")],
    &[(Server(RST), "CLOSE")],
];
/// Nobody sees the server's packets.
const ONE_WAY: [Life; 2] = [
    &[(Client(FIN | ACK), "FIN_WAIT"), (Client(ACK), "FIN_WAIT"), (Client(RST), "CLOSE")],
    &[(Client(FIN | ACK), "FIN_WAIT"), (Client(SYN), "SYN_RECV"), (Client(ACK), "ESTABLISHED")],
];
const OF_SCTP: [Life; 3] = [
    &[
        (Client(1), "INIT1"),
        (Server(2), "INIT1"),
        (Client(10), "ESTABLISHED"),
        (Server(11), "ESTABLISHED"),
        (Client(7), "SHUTDOWN_RECEIVED"),
        (Server(8), "SHUTDOWN_ACK_SENT"),
        (Client(14), "CLOSED"),
    ],
    &[
        (Client(1), "INIT1"),
        (Client(10), "ESTABLISHED"),
        (Server(7), "SHUTDOWN_SENT"),
        (Client(8), "SHUTDOWN_ACK_SENT"),
    ],
    &[(Client(1), "INIT1"), (Server(6), "CLOSED")],
];

/// Live it, by packets of the client's and the server's that `packet` makes.
fn live(trial: &mut Trial, port: u16, life: &[(From, &str)], packet: impl Fn(&From) -> Vec<u8>) {
    for (at, (from, wanted)) in life.iter().enumerate() {
        assert_eq!(trial.go(&packet(from)).0, Verdict::Forward, "packet {at} of port {port}");
        let listed = wait(trial.plane.connections()).unwrap();
        let one = listed.iter().find(|one| one.client.port == port);
        assert_eq!(one.map(|one| one.state.as_str()), Some(*wanted), "packet {at} of port {port}");
    }
}

fn live_tcp(trial: &mut Trial, (vip, client, server): (IpAddr, IpAddr, IpAddr), port: u16, life: Life) {
    live(trial, port, life, |from| match from {
        Client(flags) => segment((client, port), vip, *flags),
        Server(flags) => answer((server, 80), (client, port), *flags),
    });
}

#[test]
fn a_connection_goes_through_the_states_of_ipvs() {
    for v6 in [false, true] {
        let ends = vip_of(v6);
        let (vip, client, server) = ends;
        let mut trial = Trial::new();
        trial.lab.make_whole();
        trial.serve(key(Protocol::Tcp, vip, 80), server, 80, Forwarding::Masq);
        for (life, port) in BY_NAT.iter().zip(10_000..) {
            live_tcp(&mut trial, ends, port, OPENED);
            live_tcp(&mut trial, ends, port, life);
        }
        trial.serve(key(Protocol::Sctp, vip, 3868), server, 3868, Forwarding::Masq);
        for (life, port) in OF_SCTP.iter().zip(20_000..) {
            live(&mut trial, port, life, |from| match from {
                Client(chunk) => sctp((client, port), (vip, 3868), *chunk, 4),
                Server(chunk) => sctp((server, 3868), (client, port), *chunk, 4),
            });
        }
        trial.lab.close(trial.plane);

        let mut trial = Trial::new();
        trial.lab.make_whole();
        trial.serve(key(Protocol::Tcp, vip, 80), server, 80, Forwarding::Route);
        for (life, port) in ONE_WAY.iter().zip(10_000..) {
            live_tcp(&mut trial, ends, port, &[(Client(SYN), "SYN_RECV"), (Client(ACK), "ESTABLISHED")]);
            live_tcp(&mut trial, ends, port, life);
        }
        trial.lab.close(trial.plane);
    }
}
