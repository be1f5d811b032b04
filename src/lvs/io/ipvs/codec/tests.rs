//! Against bytes that a Linux 6.1 kernel sent, and against garbage.

use proptest::prelude::*;

use super::*;

/// A reply to `GET_SERVICE`: `-A -t 10.0.1.100:80 -s sh -b sh-port -p 300 -M 255.255.255.0`.
const SERVICE_REPLY: &[(u16, &str)] = &[
    (1, "0200"),
    (2, "0600"),
    (3, "0a000164000000000000000000000000"),
    (4, "0050"),
    (6, "736800"),
    (7, "13000000ffffffff"),
    (8, "2c010000"),
    (9, "ffffff00"),
];

/// A reply to `GET_DEST`: `-a -r 10.0.2.11:80 -i --tun-type gue --tun-port 6080 --tun-nocsum -x 9 -y 4`.
const DESTINATION_REPLY: &[(u16, &str)] = &[
    (1, "0a00020b000000000000000000000000"),
    (2, "0050"),
    (3, "02000000"),
    (4, "01000000"),
    (13, "01"),
    (14, "17c0"),
    (15, "0000"),
    (5, "09000000"),
    (6, "04000000"),
    (7, "00000000"),
    (8, "00000000"),
    (9, "00000000"),
    (11, "0200"),
];

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn reply(kind: u16, attributes: &[(u16, &str)], stats: &[(u16, u64)], wide: bool) -> Vec<u8> {
    let mut body = Writer::default();
    body.nest(kind, |to| {
        for (kind, value) in attributes {
            to.bytes(*kind, &hex(value));
        }
        let fill = |to: &mut Writer| {
            for (kind, value) in stats {
                if wide {
                    to.bytes(*kind, &value.to_ne_bytes());
                } else {
                    to.u32(*kind, u32::try_from(*value).unwrap());
                }
            }
        };
        to.nest(if wide { 12 } else { 10 }, fill);
    });
    body.finish()
}

#[test]
fn a_service_of_a_real_kernel_is_read() {
    let held = read_service(&reply(1, SERVICE_REPLY, &[(1, 7), (5, 1 << 40), (10, 3)], true)).unwrap();
    let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: Ipv4Addr::new(10, 0, 1, 100).into(), port: 80 };
    assert_eq!(held.key, key);
    let wanted = Service {
        scheduler: Scheduler::Sh,
        flags: SchedulerFlags { one: false, two: true, three: false },
        persistence: Some(Persistence { timeout_s: 300, prefix_len: 24, sip: false }),
        one_packet: false,
    };
    assert_eq!(held.service, Some(wanted));
    assert_eq!((held.stats.connections, held.stats.bytes_out, held.stats.rate.bytes_out), (7, 1 << 40, 3));
}

#[test]
fn a_destination_of_a_real_kernel_is_read() {
    let body = reply(2, DESTINATION_REPLY, &[(1, 7), (5, 9)], false);
    let held = read_counted_destination(Family::V4, &body).unwrap();
    assert_eq!(held.key, DestinationKey { addr: Ipv4Addr::new(10, 0, 2, 11).into(), port: 80 });
    let gue = Encapsulation::Gue { port: 6080, checksum: TunnelChecksum::None };
    let wanted = Destination {
        forwarding: Forwarding::Tunnel(gue),
        weight: Weight::ONE,
        upper_threshold: 9,
        lower_threshold: 4,
    };
    assert_eq!(held.destination, wanted);
    assert_eq!((held.stats.stats.connections, held.stats.stats.bytes_out), (7, 9), "counters of 32 bits");
    assert_eq!(read_destination(Family::V4, &body), Ok((held.key, held.destination)));
}

#[test]
fn timeouts_and_version_of_a_real_kernel_are_read() {
    let mut body = Writer::default();
    for (kind, value) in [(4, "84030000"), (5, "78000000"), (6, "2c010000")] {
        body.bytes(kind, &hex(value));
    }
    let timeouts = Timeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 };
    assert_eq!(read_timeouts(&body.finish()), Ok(timeouts));
    assert_eq!(read_timeouts(&timeouts_request(timeouts)), Ok(timeouts));
    let mut body = Writer::default();
    body.bytes(1, &hex("01020100"));
    body.bytes(2, &hex("00100000"));
    assert_eq!(read_info(&body.finish()), Ok(Info { version: (1, 2, 1), table_size: 4096 }));
}

#[test]
fn a_request_is_what_the_kernel_would_tell() {
    let held = read_service(&reply(1, SERVICE_REPLY, &[], true)).unwrap();
    // HASHED (2) is the kernel's own flag, so it is not asked for.
    let asked: Vec<_> = SERVICE_REPLY
        .iter()
        .map(|(kind, value)| if *kind == 7 { (7, "11000000ffffffff") } else { (*kind, *value) })
        .collect();
    let mut wanted = Writer::default();
    wanted.nest(1, |to| asked.iter().for_each(|(kind, value)| to.bytes(*kind, &hex(value))));
    assert_eq!(service_request(held.key, held.service), wanted.finish());
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let without = |kind: u16| SERVICE_REPLY.iter().copied().filter(|(k, _)| *k != kind).collect::<Vec<_>>();
    let with = |kind: u16, value: &'static str| {
        SERVICE_REPLY.iter().map(|(k, v)| (*k, if *k == kind { value } else { v })).collect::<Vec<_>>()
    };
    let rows = [
        ("no family", without(1), AnswerError::Missing { name: "service family" }),
        ("family 7", with(1, "0700"), AnswerError::Value { name: "service family", got: 7 }),
        ("protocol 1", with(2, "0100"), AnswerError::Value { name: "protocol", got: 1 }),
        ("short address", with(3, "0a000164"), AnswerError::Length { name: "service address" }),
        ("flags of four bytes", with(7, "13000000"), AnswerError::Length { name: "service flags" }),
        ("name that is no text", with(6, "ff00"), AnswerError::Text { name: "scheduler" }),
    ];
    for (name, attributes, wanted) in rows {
        assert_eq!(read_service(&reply(1, &attributes, &[], true)), Err(wanted), "{name}");
    }
    let unknown = reply(1, &with(6, "74776f7300"), &[], true);
    assert_eq!(read_service(&unknown).unwrap().service, None, "a scheduler that we do not know is not ours");
}

fn any_addr(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()).boxed(),
        Family::V6 => any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()).boxed(),
    }
}

fn any_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn any_key() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let address = any_family().prop_flat_map(any_addr);
    prop_oneof![
        (protocol, address, any::<u16>()).prop_map(|(protocol, addr, port)| ServiceKey::Address {
            protocol,
            addr,
            port
        }),
        (any::<NonZeroU32>(), any_family()).prop_map(|(mark, family)| ServiceKey::Fwmark { mark, family }),
    ]
}

fn any_service(family: Family) -> impl Strategy<Value = Service> {
    let persistence = (1u32..2_678_400, 1..=family.bits(), any::<bool>())
        .prop_map(|(timeout_s, prefix_len, sip)| Persistence { timeout_s, prefix_len, sip });
    let scheduler = prop::sample::select(Scheduler::ALL.to_vec());
    (scheduler, any::<[bool; 4]>(), prop::option::of(persistence)).prop_map(|(scheduler, bits, persistence)| {
        let [one, two, three, one_packet] = bits;
        Service { scheduler, flags: SchedulerFlags { one, two, three }, persistence, one_packet }
    })
}

fn any_destination() -> impl Strategy<Value = Destination> {
    let checksum =
        prop_oneof![Just(TunnelChecksum::None), Just(TunnelChecksum::Checksum), Just(TunnelChecksum::Remote)];
    let forwarding = (0u8..5, any::<u16>(), checksum).prop_map(|(kind, port, checksum)| match kind {
        0 => Forwarding::Masq,
        1 => Forwarding::Route,
        2 => Forwarding::Tunnel(Encapsulation::Ipip),
        3 => Forwarding::Tunnel(Encapsulation::Gue { port, checksum }),
        _ => Forwarding::Tunnel(Encapsulation::Gre { checksum }),
    });
    (forwarding, 0..=Weight::MAX, any::<[u32; 2]>()).prop_map(|(forwarding, weight, [upper, lower])| Destination {
        forwarding,
        weight: Weight::new(weight).unwrap(),
        upper_threshold: upper,
        lower_threshold: lower,
    })
}

proptest! {
    #[test]
    fn a_service_comes_back_as_it_went(
        (key, service) in any_key().prop_flat_map(|key| (Just(key), any_service(key.family())))
    ) {
        let held = read_service(&service_request(key, Some(service))).unwrap();
        prop_assert_eq!((held.key, held.service), (key, Some(service)));
    }

    #[test]
    fn a_destination_comes_back_as_it_went(
        service in any_key(), addr in any_family().prop_flat_map(any_addr), port in any::<u16>(), to in any_destination()
    ) {
        let at = DestinationKey { addr, port };
        let held = read_destination(service.family(), &destination_request(service, at, Some(to)).unwrap()).unwrap();
        prop_assert_eq!(held, (at, to));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = (read_service(&bytes), read_counted_destination(Family::V6, &bytes), read_timeouts(&bytes), read_info(&bytes));
    }

    #[test]
    fn a_broken_real_answer_never_panics(at in 0usize..200, byte: u8, cut in 0usize..200) {
        for (kind, attributes) in [(1, SERVICE_REPLY), (2, DESTINATION_REPLY)] {
            let mut body = reply(kind, attributes, &[(1, 1), (2, 2)], true);
            if let Some(hit) = body.get_mut(at) { *hit = byte; }
            body.truncate(cut);
            let _ = (read_service(&body), read_counted_destination(Family::V4, &body));
        }
    }
}
