//! Against what ipvsadm 1.31 printed for the same table; `tests/contract/ipvs.rs` asks a live one.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::*;
use crate::base::Weight;
use crate::lvs::table::{Entry, Persistence, SchedulerFlags};

fn of(protocol: Protocol, address: &str) -> ServiceKey {
    let address: SocketAddr = address.parse().unwrap();
    ServiceKey::Address { protocol, addr: address.ip(), port: address.port() }
}

fn mark(mark: u32, family: Family) -> ServiceKey {
    ServiceKey::Fwmark { mark: NonZeroU32::new(mark).unwrap(), family }
}

fn service(scheduler: Scheduler, flags: [bool; 2], persistence: Option<(u32, u8, bool)>, one_packet: bool) -> Service {
    let [one, two] = flags;
    let persistence = persistence.map(|(timeout_s, prefix_len, sip)| Persistence { timeout_s, prefix_len, sip });
    Service { scheduler, flags: SchedulerFlags { one, two, three: false }, persistence, one_packet }
}

fn to(address: &str, forwarding: Forwarding, weight: u32, thresholds: (u32, u32)) -> (DestinationKey, Destination) {
    let address: SocketAddr = address.parse().unwrap();
    let (upper_threshold, lower_threshold) = thresholds;
    let weight = Weight::new(weight).unwrap();
    let key = DestinationKey { addr: address.ip(), port: address.port() };
    (key, Destination { forwarding, weight, upper_threshold, lower_threshold })
}

fn table() -> Table {
    let none = [false, false];
    let masq = Forwarding::Masq;
    let gue = |checksum| Forwarding::Tunnel(Encapsulation::Gue { port: 6080, checksum });
    let gre = Forwarding::Tunnel(Encapsulation::Gre { checksum: TunnelChecksum::None });
    let ipip = Forwarding::Tunnel(Encapsulation::Ipip);
    let rows = [
        (
            of(Protocol::Tcp, "10.0.1.100:80"),
            service(Scheduler::Sh, [true, true], None, false),
            vec![to("10.0.2.11:80", masq, 0, (100, 50)), to("10.0.2.12:8080", masq, 1, (0, 0))],
        ),
        (of(Protocol::Tcp, "10.0.1.101:80"), service(Scheduler::Mh, [true, true], None, false), vec![]),
        (
            of(Protocol::Tcp, "10.0.1.103:80"),
            service(Scheduler::Wrr, none, Some((300, 24, false)), false),
            vec![
                to("10.0.2.11:80", gue(TunnelChecksum::Checksum), 1, (0, 0)),
                to("10.0.2.12:80", gre, 1, (0, 0)),
                to("10.0.2.13:80", gue(TunnelChecksum::Remote), 1, (0, 0)),
                to("10.0.2.14:80", ipip, 1, (0, 0)),
            ],
        ),
        (of(Protocol::Tcp, "10.0.1.105:80"), service(Scheduler::Sh, [true, false], None, false), vec![]),
        (of(Protocol::Udp, "10.0.1.102:53"), service(Scheduler::Rr, none, None, true), vec![]),
        (of(Protocol::Udp, "10.0.1.104:5060"), service(Scheduler::Rr, none, Some((60, 32, true)), true), vec![]),
        (of(Protocol::Tcp, "[fd00:1::101]:80"), service(Scheduler::Rr, none, Some((120, 64, false)), false), vec![]),
        (
            mark(7, Family::V4),
            service(Scheduler::Rr, none, None, false),
            vec![to("10.0.2.12:0", Forwarding::Route, 1, (0, 0))],
        ),
        (mark(8, Family::V6), service(Scheduler::Wlc, none, Some((360, 128, false)), false), vec![]),
    ];
    let entries = rows
        .map(|(key, service, destinations)| (key, Entry { service, destinations: destinations.into_iter().collect() }));
    Table { services: entries.into() }
}

/// The first destination has been used.
fn counters() -> Counters {
    let rate = Rate { connections: 2, packets_in: 9, packets_out: 7, bytes_in: 528, bytes_out: 480 };
    let stats = Stats { connections: 16, packets_in: 76, packets_out: 58, bytes_in: 4224, bytes_out: 3840, rate };
    let used = DestinationStats { stats, active: 0, inactive: 54, persistent: 0 };
    let key = to("10.0.2.11:80", Forwarding::Masq, 0, (0, 0)).0;
    let service = ServiceStats { stats: Stats::default(), destinations: [(key, used)].into() };
    Counters { services: [(of(Protocol::Tcp, "10.0.1.100:80"), service)].into() }
}

fn same(listing: Listing, printed: &str) {
    // A blank at the end of a line is written `~`, so that editors leave it.
    assert_eq!(list(Header::default(), &table(), &counters(), listing), printed.replace('~', " "));
}

#[test]
fn the_table_is_ipvsadms() {
    same(
        Listing::Table,
        "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.1.100:80 sh (sh-fallback,sh-port)
  -> 10.0.2.11:80                 Masq    0      0          54       ~
  -> 10.0.2.12:8080               Masq    1      0          0        ~
TCP  10.0.1.101:80 mh (mh-fallback,mh-port)
TCP  10.0.1.103:80 wrr persistent 300 mask 255.255.255.0
  -> 10.0.2.11:80                 Tunnel  1      0          0        ~
  -> 10.0.2.12:80                 Tunnel  1      0          0        ~
  -> 10.0.2.13:80                 Tunnel  1      0          0        ~
  -> 10.0.2.14:80                 Tunnel  1      0          0        ~
TCP  10.0.1.105:80 sh (sh-fallback)
UDP  10.0.1.102:53 rr ops
UDP  10.0.1.104:5060 rr persistent 60 pe sip ops
TCP  [fd00:1::101]:80 rr persistent 120 mask 64
FWM  7 rr
  -> 10.0.2.12:0                  Route   1      0          0        ~
FWM  8 IPv6 wlc persistent 360
",
    );
}

#[test]
fn the_counters_are_ipvsadms() {
    same(
        Listing::Stats { exact: false },
        "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.0.1.100:80                       0        0        0        0        0
  -> 10.0.2.11:80                       16       76       58     4224     3840
  -> 10.0.2.12:8080                      0        0        0        0        0
TCP  10.0.1.101:80                       0        0        0        0        0
TCP  10.0.1.103:80                       0        0        0        0        0
  -> 10.0.2.11:80                        0        0        0        0        0
  -> 10.0.2.12:80                        0        0        0        0        0
  -> 10.0.2.13:80                        0        0        0        0        0
  -> 10.0.2.14:80                        0        0        0        0        0
TCP  10.0.1.105:80                       0        0        0        0        0
UDP  10.0.1.102:53                       0        0        0        0        0
UDP  10.0.1.104:5060                     0        0        0        0        0
TCP  [fd00:1::101]:80                    0        0        0        0        0
FWM  7                                   0        0        0        0        0
  -> 10.0.2.12:0                         0        0        0        0        0
FWM  8 IPv6                              0        0        0        0        0
",
    );
    let rates = list(Header::default(), &table(), &counters(), Listing::Rate { exact: true });
    assert!(rates.contains("\nProt LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n"));
    assert!(rates.contains("\n  -> 10.0.2.11:80                        2        9        7      528      480\n"));
}

#[test]
fn thresholds_and_tunnels_are_ipvsadms() {
    let thresholds = list(Header::default(), &table(), &counters(), Listing::Thresholds);
    assert!(thresholds.contains("\n  -> 10.0.2.11:80                 100        50         0          54        \n"));
    let tunnels = list(Header::default(), &table(), &counters(), Listing::TunnelInfo);
    for row in [
        "  -> 10.0.2.12:8080               Masq    n/a           1      0          0         \n",
        "  -> 10.0.2.11:80                 Tunnel  gue:6080:+c   1      0          0         \n",
        "  -> 10.0.2.12:80                 Tunnel  gre:-c        1      0          0         \n",
        "  -> 10.0.2.13:80                 Tunnel  gue:6080:r+c  1      0          0         \n",
        "  -> 10.0.2.14:80                 Tunnel  ipip          1      0          0         \n",
    ] {
        assert!(tunnels.contains(row), "{row}");
    }
    let persistent = list(Header::default(), &table(), &counters(), Listing::PersistentConnections);
    assert!(persistent.contains("\n  -> 10.0.2.12:8080               1         0           0          0         \n"));
}

#[test]
fn large_numbers_are_shortened_as_ipvsadm_does_it() {
    let rows = [
        (0, "        0", "        0"),
        (99_999_999, " 99999999", " 99999999"),
        (100_000_000, "  100000K", " 100000000"),
        (1_000_000_000, "    1000M", " 1000000000"),
        (100_000_000_000, "     100G", " 100000000000"),
        (100_000_000_000_000, "     100T", " 100000000000000"),
    ];
    for (number, short, exact) in rows {
        let columns = |exact| Numbers([number; 5], exact).to_string();
        assert_eq!(columns(false), short.repeat(5));
        assert_eq!(columns(true), exact.repeat(5));
    }
}
