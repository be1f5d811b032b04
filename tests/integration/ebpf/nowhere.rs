//! Destinations that nothing leads to, or where nobody answers.

use std::net::IpAddr;

use vipd::lvs::io::ebpf::{Reason, Verdict};
use vipd::lvs::table::{Forwarding, Protocol};

use crate::frames::{Flow, packet, transport};
use crate::lab::{reason, until};
use crate::steps::key;
use crate::trials::{CLIENT_PORT, Trial, vip_of};

fn syn(vip: IpAddr, client: IpAddr, port: u16) -> Vec<u8> {
    let flow = Flow { from: (client, CLIENT_PORT), to: (vip, port), tcp: true };
    packet(client, vip, 6, &transport(flow, 2, b""), 64, None)
}

/// Source, target, and the ICMP message's type and code.
fn meant(told: &[u8], v6: bool) -> (IpAddr, IpAddr, [u8; 2]) {
    let addr = |at: usize| -> IpAddr {
        if v6 {
            IpAddr::from(<[u8; 16]>::try_from(&told[at..at + 16]).unwrap())
        } else {
            IpAddr::from(<[u8; 4]>::try_from(&told[at..at + 4]).unwrap())
        }
    };
    let (source, target, message) = if v6 { (8, 24, 40) } else { (12, 16, 20) };
    (addr(source), addr(target), [told[message], told[message + 1]])
}

/// RFC 792; RFC 4443 section 3.1: address unreachable.
const fn host_unreachable(v6: bool) -> [u8; 2] {
    if v6 { [1, 3] } else { [3, 1] }
}

#[test]
fn a_client_hears_that_nothing_leads_to_a_destination_and_one_that_is_this_host_is_served_by_it() {
    let mut trial = Trial::new();
    let mut expected = 0;
    for v6 in [false, true] {
        let (vip, client, _) = vip_of(v6);
        let addr = |v4: &str, v6_addr: &str| if v6 { v6_addr } else { v4 }.parse::<IpAddr>().unwrap();
        trial.lab.director.ip(if v6 { "route add unreachable fd67::1" } else { "route add blackhole 10.67.0.1" });
        for (port, to) in [(80, addr("10.66.0.1", "fd66::1")), (81, addr("10.67.0.1", "fd67::1"))] {
            trial.serve(key(Protocol::Tcp, vip, port), to, port, Forwarding::Route);
            // Not the stack, whose reset would be from the virtual server itself.
            let sent = syn(vip, client, port);
            let told = trial.forwarded("host unreachable", &sent);
            assert_eq!(meant(&told, v6), (vip, client, host_unreachable(v6)), "{to}");
            let quoted = if v6 { 48 } else { 28 };
            assert_eq!(told.get(quoted + 12..quoted + 20), sent.get(12..20), "{to}: the quoted packet's own addresses");
            expected += 1;
            assert_eq!(reason(&trial.plane, Reason::NoRoute), expected, "{to}");
        }
        let own = addr("10.2.0.1", "fd02::1");
        trial.serve(key(Protocol::Tcp, vip, 82), own, 82, Forwarding::Route);
        assert_eq!(trial.go(&syn(vip, client, 82)).0, Verdict::Pass, "{own} is this host's");
    }
    assert_eq!(reason(&trial.plane, Reason::NoRoute), expected);
    trial.lab.close(trial.plane);
}

#[test]
fn a_neighbour_that_does_not_answer_is_counted_and_one_that_does_is_not() {
    let mut trial = Trial::new();
    for v6 in [false, true] {
        let (vip, client, server) = vip_of(v6);
        let nobody: IpAddr = if v6 { "fd02::99" } else { "10.2.0.99" }.parse().unwrap();
        let before = reason(&trial.plane, Reason::NoNeighbour);
        // Of packets that are tried nothing is sent, so nobody is asked either.
        trial.lab.director.ip(&format!("neigh replace {server} lladdr 02:00:00:00:00:11 dev lan nud permanent"));
        trial.serve(key(Protocol::Tcp, vip, 81), server, 81, Forwarding::Route);
        trial.forwarded("to a neighbour that answers", &syn(vip, client, 81));
        trial.serve(key(Protocol::Tcp, vip, 80), nobody, 80, Forwarding::Route);
        trial.forwarded("asked for", &syn(vip, client, 80));
        assert_eq!(reason(&trial.plane, Reason::NoNeighbour), before, "it may answer yet");
        until("it was counted", || {
            trial.forwarded("asked for again", &syn(vip, client, 80));
            trial.forwarded("the other one", &syn(vip, client, 81));
            reason(&trial.plane, Reason::NoNeighbour) > before
        });
    }
    trial.lab.close(trial.plane);
}
