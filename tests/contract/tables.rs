//! Tables that the promises are asked with.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use vipd::base::{Family, Weight};
#[cfg(feature = "ebpf")]
use vipd::lvs::datapath::Locals;
use vipd::lvs::table::{
    Destination, DestinationKey, Encapsulation, Entry, Forwarding, Persistence, Protocol, Scheduler, SchedulerFlags,
    Service, ServiceKey, Table, TunnelChecksum,
};

pub fn address(n: u8) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, addr: Ipv4Addr::new(192, 0, 2, n).into(), port: 80 }
}

pub fn address6(n: u16) -> ServiceKey {
    let addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into();
    ServiceKey::Address { protocol: Protocol::Tcp, addr, port: 80 }
}

/// Different services; the first is `address(1)`.
pub fn keys(count: u8) -> impl Iterator<Item = ServiceKey> {
    (1..=count).map(address)
}

pub fn at(n: u8) -> DestinationKey {
    DestinationKey { addr: Ipv4Addr::new(198, 51, 100, n).into(), port: 80 }
}

fn at6(n: u16) -> DestinationKey {
    DestinationKey { addr: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, n).into(), port: 80 }
}

pub fn service(scheduler: Scheduler) -> Service {
    Service { scheduler, flags: SchedulerFlags::default(), persistence: None, one_packet: false }
}

pub fn destination(weight: u32) -> Destination {
    let weight = Weight::new(weight).expect("a weight");
    Destination { forwarding: Forwarding::Masq, weight, upper_threshold: 0, lower_threshold: 0 }
}

fn one(key: ServiceKey, service: Service, destinations: &[(DestinationKey, Destination)]) -> Table {
    Table { services: [(key, Entry { service, destinations: destinations.iter().copied().collect() })].into() }
}

fn of(protocol: Protocol, addr: IpAddr, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol, addr, port }
}

fn by(forwarding: Forwarding) -> Destination {
    Destination { forwarding, ..destination(1) }
}

/// Every scheduler, forwarding method and option by itself, with a name. No two use one service.
pub fn every_feature() -> Vec<(&'static str, Table)> {
    let mut tables = vec![];
    for (n, scheduler) in (1u8..).zip(Scheduler::ALL) {
        tables.push((scheduler.name(), one(address(100 + n), service(scheduler), &[(at(1), destination(1))])));
    }
    tables.extend(forwarding_methods());
    tables.extend(kinds_of_service());
    tables.extend(options());
    tables
}

fn forwarding_methods() -> Vec<(&'static str, Table)> {
    let rr = service(Scheduler::Rr);
    let checksums = [TunnelChecksum::None, TunnelChecksum::Checksum, TunnelChecksum::Remote];
    let gue = |checksum| Forwarding::Tunnel(Encapsulation::Gue { port: 6080, checksum });
    let gre = |checksum| Forwarding::Tunnel(Encapsulation::Gre { checksum });
    let methods = |make: &dyn Fn(TunnelChecksum) -> Forwarding, most: u8| -> Vec<_> {
        (1..=most).zip(checksums).map(|(n, checksum)| (at(n), by(make(checksum)))).collect()
    };
    let ipip = by(Forwarding::Tunnel(Encapsulation::Ipip));
    vec![
        (
            "Masq to another port",
            one(address(1), rr, &[(DestinationKey { port: 8080, ..at(1) }, by(Forwarding::Masq))]),
        ),
        ("Route", one(address(2), rr, &[(at(1), by(Forwarding::Route))])),
        ("Tunnel ipip", one(address(3), rr, &[(at(1), ipip)])),
        ("Tunnel gue", one(address(4), rr, &methods(&gue, 1))),
        ("Tunnel gre", one(address(5), rr, &methods(&gre, 1))),
        ("Tunnel gue with checksums", one(address(8), rr, &methods(&gue, 3))),
        ("Tunnel gre with checksums", one(address(9), rr, &methods(&gre, 2))),
        ("Tunnel of IPv6", one(address6(7), rr, &[(at6(1), ipip), (at(1), ipip)])),
        ("Tunnel of IPv4 to IPv6", one(address(7), rr, &[(at6(1), ipip), (at(1), ipip)])),
        ("FullNat of IPv6", one(address6(6), rr, &[(at6(1), by(Forwarding::FullNat))])),
        ("FullNat", one(address(6), rr, &[(at(1), by(Forwarding::FullNat))])),
    ]
}

fn kinds_of_service() -> Vec<(&'static str, Table)> {
    let rr = service(Scheduler::Rr);
    let masq = destination(1);
    let (v4, v6): (IpAddr, IpAddr) =
        (Ipv4Addr::new(192, 0, 2, 50).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 50).into());
    let mark = |family| ServiceKey::Fwmark { mark: NonZeroU32::MIN.saturating_add(6), family };
    let clear = |key: DestinationKey| DestinationKey { port: 0, ..key };
    vec![
        ("UDP", one(of(Protocol::Udp, v4, 53), rr, &[(at(1), masq)])),
        ("SCTP", one(of(Protocol::Sctp, v4, 99), rr, &[(at(1), masq)])),
        ("IPv6 TCP", one(of(Protocol::Tcp, v6, 80), rr, &[(at6(1), masq), (at6(2), by(Forwarding::Route))])),
        ("IPv6 UDP", one(of(Protocol::Udp, v6, 53), rr, &[(at6(1), masq)])),
        ("mark", one(mark(Family::V4), rr, &[(clear(at(1)), by(Forwarding::Route)), (clear(at(2)), masq)])),
        ("mark of IPv6", one(mark(Family::V6), rr, &[(clear(at6(1)), masq)])),
    ]
}

fn options() -> Vec<(&'static str, Table)> {
    let keep = |timeout_s, prefix_len, sip| Some(Persistence { timeout_s, prefix_len, sip });
    let persistent = |persistence| Service { persistence, ..service(Scheduler::Rr) };
    let flags = |one, two, three| SchedulerFlags { one, two, three };
    let vip = |n| IpAddr::from(Ipv4Addr::new(192, 0, 2, n));
    let vip6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 60).into();
    let limited = Destination { upper_threshold: 100, lower_threshold: 50, ..destination(1) };
    let ops = Service { one_packet: true, ..service(Scheduler::Rr) };
    let sh = Service { flags: flags(true, true, false), ..service(Scheduler::Sh) };
    let mh = Service { flags: flags(false, true, false), ..service(Scheduler::Mh) };
    let heavy = Weight::new(Weight::MAX).expect("the largest weight");
    vec![
        (
            "persistence",
            one(of(Protocol::Tcp, vip(60), 80), persistent(keep(360, 32, false)), &[(at(1), destination(1))]),
        ),
        ("persistence by network", one(of(Protocol::Tcp, vip(61), 80), persistent(keep(300, 24, false)), &[])),
        ("persistence of every port", one(of(Protocol::Tcp, vip(62), 0), persistent(keep(60, 32, false)), &[])),
        ("persistence of IPv6", one(of(Protocol::Tcp, vip6, 80), persistent(keep(120, 64, false)), &[])),
        ("persistence by Call-ID", one(of(Protocol::Udp, vip(63), 5060), persistent(keep(60, 32, true)), &[])),
        ("one packet", one(of(Protocol::Udp, vip(64), 53), ops, &[(at(1), destination(1))])),
        ("thresholds", one(of(Protocol::Tcp, vip(65), 80), service(Scheduler::Rr), &[(at(1), limited)])),
        ("flags of sh", one(of(Protocol::Tcp, vip(66), 80), sh, &[])),
        ("flags of mh", one(of(Protocol::Tcp, vip(67), 80), mh, &[])),
        (
            "weights from 0 to the largest",
            one(
                of(Protocol::Tcp, vip(68), 80),
                service(Scheduler::Wlc),
                &[(at(1), destination(0)), (at(2), Destination { weight: heavy, ..destination(1) })],
            ),
        ),
        ("an empty service", one(of(Protocol::Tcp, vip(69), 80), service(Scheduler::Rr), &[])),
    ]
}

/// The same numbers for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// By xorshift64.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len().try_into().expect("few"));
        choices[usize::try_from(index).expect("few")]
    }

    /// One in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Services of every kind.
fn every_kind() -> [ServiceKey; 9] {
    let v4 = |n| IpAddr::from(Ipv4Addr::new(192, 0, 2, n));
    let mark = |family| ServiceKey::Fwmark { mark: NonZeroU32::MIN.saturating_add(8), family };
    [
        address(1),
        address(2),
        address6(1),
        address6(2),
        of(Protocol::Udp, v4(1), 53),
        of(Protocol::Sctp, v4(1), 99),
        of(Protocol::Tcp, v4(3), 0),
        mark(Family::V4),
        mark(Family::V6),
    ]
}

/// One of nine.
pub fn any_key(random: &mut Random) -> ServiceKey {
    random.one_of(&every_kind())
}

/// Where FullNat connections of the services of [`any_key`] begin.
#[cfg(feature = "ebpf")]
pub fn locals() -> BTreeMap<ServiceKey, Locals> {
    let addresses =
        vec![Ipv4Addr::new(198, 51, 100, 200).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 2, 1).into()];
    every_kind().map(|key| (key, Locals::from(addresses.clone()))).into()
}

/// Settings that every plane takes for this service, or lacks a feature for.
pub fn any_service(random: &mut Random, key: &ServiceKey) -> Service {
    let every_port = matches!(key, ServiceKey::Address { port: 0, .. });
    let datagrams = matches!(key, ServiceKey::Address { protocol: Protocol::Udp, .. });
    let prefixes: &[u8] = if key.family() == Family::V4 { &[1, 24, 32] } else { &[1, 64, 128] };
    let persistence = (every_port || random.once_in(3)).then(|| Persistence {
        timeout_s: random.one_of(&[1, 60, 2_678_400]),
        prefix_len: random.one_of(prefixes),
        sip: datagrams && random.once_in(3),
    });
    let flags = SchedulerFlags { one: random.once_in(4), two: random.once_in(4), three: random.once_in(8) };
    let one_packet = datagrams && random.once_in(3);
    Service { scheduler: random.one_of(&Scheduler::ALL), flags, persistence, one_packet }
}

/// One of seven, seldom of the other family.
pub fn any_at(random: &mut Random, key: &ServiceKey) -> DestinationKey {
    let port = match key {
        ServiceKey::Address { port, .. } => *port,
        ServiceKey::Fwmark { .. } => 0,
    };
    let is_v4 = (key.family() == Family::V4) != random.once_in(10);
    let at = if is_v4 { at(random.one_of(&[1, 2, 3, 4])) } else { at6(random.one_of(&[1, 2, 3])) };
    DestinationKey { port, ..at }
}

/// `FullNat` is not asked of marks, nor of datagrams that are scheduled one by one.
pub fn any_destination(random: &mut Random, key: &ServiceKey) -> Destination {
    let checksum = random.one_of(&[TunnelChecksum::None, TunnelChecksum::Checksum]);
    let plain = matches!(key, ServiceKey::Address { protocol: Protocol::Tcp | Protocol::Sctp, .. });
    let forwarding = random.one_of(&[
        Forwarding::Masq,
        Forwarding::Masq,
        Forwarding::Route,
        Forwarding::Tunnel(Encapsulation::Ipip),
        Forwarding::Tunnel(Encapsulation::Gue { port: 6080, checksum }),
        Forwarding::Tunnel(Encapsulation::Gre { checksum }),
        if plain { Forwarding::FullNat } else { Forwarding::Route },
    ]);
    let weight = random.one_of(&[0, 1, 2, 100, Weight::MAX]);
    let (upper_threshold, lower_threshold) = random.one_of(&[(0, 0), (0, 0), (10, 0), (10, 9), (9, 10)]);
    Destination { forwarding, upper_threshold, lower_threshold, ..destination(weight) }
}

/// A table out of few keys and many settings, the same for the same seed.
pub fn random(seed: u64) -> Table {
    let mut random = Random::new(seed);
    let mut next = |below| random.below(below);
    let schedulers = Scheduler::ALL;
    let mut services = BTreeMap::new();
    for key in keys(6).chain((1..=4).map(address6)) {
        if next(3) == 0 {
            continue;
        }
        let mut wanted = service(Scheduler::Rr);
        if let Some(scheduler) = usize::try_from(next(13)).ok().and_then(|n| schedulers.get(n)) {
            wanted.scheduler = *scheduler;
        }
        if next(4) == 0 {
            let prefix_len = if key.family() == Family::V4 { 24 } else { 56 };
            wanted.persistence = Some(Persistence { timeout_s: 60, prefix_len, sip: false });
        }
        let mut destinations = BTreeMap::new();
        for n in 1..=8 {
            if next(2) == 0 {
                let method = [Forwarding::Masq, Forwarding::Route, Forwarding::Tunnel(Encapsulation::Ipip)];
                let forwarding = method.into_iter().cycle().nth(usize::try_from(next(3)).unwrap_or(0));
                let weight = u32::try_from(next(5)).unwrap_or(0);
                let forwarding = forwarding.unwrap_or(Forwarding::Masq);
                let key = if key.family() == Family::V4 { at(n) } else { at6(n.into()) };
                destinations.insert(key, Destination { forwarding, ..destination(weight) });
            }
        }
        services.insert(key, Entry { service: wanted, destinations });
    }
    Table { services }
}
