//! Random services: their addresses are few, and never shared by two of one model.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Choices;
use crate::base::{AnswerPattern, Family, PatternOptions, PatternPlace, RecordType, Weight};
use crate::config::model::*;
use crate::config::source::Span;

pub(super) fn services(choose: &mut Choices<'_>, config: &mut Config) {
    for at in 0..choose.below(3) {
        let family = choose.of(&[Family::V4, Family::V6]);
        let first = GroupMember::Addresses {
            addresses: range(family, at, 1 + choose.below(3)),
            ports: choose.of(&[80..=80, 0..=0, 80..=90]),
        };
        let more = choose.maybe(|choose| {
            GroupMember::Fwmark((100 + u32::from(at) * 10 + u32::from(choose.below(3))).try_into().unwrap())
        });
        let name = ["g", "g 2"][usize::from(at)].to_owned();
        config.virtual_server_groups.push(VirtualServerGroup {
            name,
            at: Span::default(),
            members: std::iter::once(first).chain(more).collect(),
        });
    }
    let lines = [Family::V4, Family::V6].map(|family| LocalAddresses {
        addresses: range(family, 6, 1 + choose.below(3)),
        interface: choose.maybe(|_| "eth1".parse().unwrap()),
        at: Span::default(),
    });
    let lines = lines.to_vec();
    config.local_address_groups.push(LocalAddressGroup { name: "l".into(), at: Span::default(), lines });
    let followed = config.instances.first().map(|instance| instance.name.clone());
    let sync_daemon = choose.maybe(|choose| SyncDaemon {
        interface: "eth0".parse().unwrap(),
        at: Span::default(),
        instance: followed.filter(|_| choose.yes()),
        id: choose.maybe(|_| 0),
        max_len: choose.maybe(|_| 1000),
        port: choose.maybe(|_| 8849),
        ttl: choose.maybe(|_| 3),
        group: choose.maybe(|_| "ff02::81".parse().unwrap()),
    });
    config.global.sync_daemon = sync_daemon.filter(|_| config.global.plane == Plane::Ipvs);
    config.global.timeouts = choose.maybe(|choose| Timeouts {
        tcp_s: Some(choose.below(3).into()),
        tcp_fin_s: choose.maybe(|_| 30),
        udp_s: choose.maybe(|_| 2_678_400),
    });
    let mut keys = BTreeSet::new();
    for _ in 0..choose.below(5) {
        if let Some(server) = service(choose, config)
            && keys.insert(server.id.clone())
        {
            config.virtual_servers.push(server);
        }
    }
}

fn range(family: Family, at: u16, count: u16) -> Vec<IpAddr> {
    let host = |host: u16| match family {
        Family::V4 => format!("203.0.113.{}", 100 + 10 * at + host),
        Family::V6 => format!("2001:db8:9::{at}:{host}"),
    };
    (1..=count).map(|each| host(each).parse().unwrap()).collect()
}

fn id(choose: &mut Choices<'_>, config: &Config) -> Option<(VirtualServerId, Family)> {
    match choose.below(6) {
        0..=2 => {
            let family = choose.of(&[Family::V4, Family::V4, Family::V6]);
            let at = 1 + choose.below(3);
            let addr = match family {
                Family::V4 => format!("203.0.113.{at}"),
                Family::V6 => format!("2001:db8:8::{at}"),
            };
            Some((VirtualServerId::Address { addr: addr.parse().unwrap(), port: choose.of(&[80, 443, 0]) }, family))
        }
        3 => {
            let mark = u32::from(1 + choose.below(3)).try_into().unwrap();
            Some((VirtualServerId::Fwmark { mark }, choose.of(&[Family::V4, Family::V6])))
        }
        _ => {
            let at = usize::from(choose.below(2));
            let group = config.virtual_server_groups.get(at)?;
            let GroupMember::Addresses { addresses, .. } = &group.members[0] else { return None };
            Some((VirtualServerId::Group { name: group.name.clone() }, Family::of(addresses[0])))
        }
    }
}

fn service(choose: &mut Choices<'_>, config: &Config) -> Option<VirtualServer> {
    let (id, family) = id(choose, config)?;
    let port = match &id {
        VirtualServerId::Address { port, .. } => Some(*port),
        VirtualServerId::Fwmark { .. } | VirtualServerId::Group { .. } => None,
    };
    let marked = matches!(id, VirtualServerId::Fwmark { .. });
    let protocol = if marked { Protocol::Udp } else { choose.of(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp]) };
    let kinds = [LbKind::Nat, LbKind::Dr, LbKind::Tun(Wrapping::Ipip), LbKind::FullNat];
    let lb_kind = choose.of(&kinds);
    let mut real_servers: Vec<RealServer> = vec![];
    for _ in 0..=choose.below(3) {
        let real = real_server(choose, family, port, lb_kind);
        if !real_servers.iter().any(|other| (other.addr, other.port) == (real.addr, real.port)) {
            real_servers.push(real);
        }
    }
    // A service of weights 0 alone is told of.
    if let Some(first) = real_servers.first_mut().filter(|first| first.weight.get() == 0) {
        first.weight = Weight::ONE;
    }
    let sum: u32 = real_servers.iter().map(|real| real.weight.get()).sum();
    let quorum = 1 + u32::from(choose.below(5)) % sum.max(1);
    let persistence = Persistence {
        timeout_s: choose.of(&[360, 1, 2_678_400]),
        prefix_len: choose.maybe(|choose| choose.of(&[24, 32, 1, 64])),
        sip: choose.seldom() && protocol == Protocol::Udp,
    };
    let sorry_server = choose.maybe(|choose| {
        let own = choose.maybe(|choose| choose.of(&kinds));
        let any = choose.of(&[8080, port.filter(|port| *port != 0).unwrap_or(0).max(1)]);
        let addr = range(family, 5, 1)[0];
        SorryServer { addr, port: delivered(own.unwrap_or(lb_kind), port).unwrap_or(any), lb_kind: own }
    });
    Some(VirtualServer {
        id,
        at: Span::default(),
        family,
        lb_algo: choose.of(&["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"]),
        sched_flags: [choose.seldom(), choose.seldom(), choose.seldom()],
        lb_kind,
        // FullNat cannot do without.
        local_addresses: (lb_kind == LbKind::FullNat
            || sorry_server.is_some_and(|sorry| sorry.lb_kind == Some(LbKind::FullNat))
            || choose.seldom())
        .then(|| "l".to_owned()),
        toa: choose.seldom(),
        protocol,
        ops: choose.seldom() && protocol == Protocol::Udp,
        persistence: (port == Some(0) || choose.seldom()).then_some(persistence),
        quorum,
        hysteresis: u32::from(choose.below(3)) % quorum,
        quorum_up: choose.maybe(|choose| Box::new(choose.command(true))),
        quorum_down: choose.maybe(|choose| Box::new(choose.command(true))),
        alpha: choose.seldom(),
        omega: choose.seldom(),
        ha_suspend: choose.seldom(),
        slow_start: choose.maybe(Choices::time),
        drain_time: choose.maybe(Choices::time),
        sorry_inhibit: sorry_server.is_some() && choose.seldom(),
        sorry_server,
        inhibit_on_failure: choose.seldom(),
        check: times(choose, true),
        virtualhost: choose.maybe(Choices::text),
        mail: choose.maybe(Choices::yes),
        real_servers,
    })
}

/// DR and TUN leave the port of a packet as it is.
fn delivered(kind: LbKind, service: Option<u16>) -> Option<u16> {
    matches!(kind, LbKind::Dr | LbKind::Tun(_)).then_some(service.unwrap_or(0))
}

fn real_server(choose: &mut Choices<'_>, family: Family, port: Option<u16>, service: LbKind) -> RealServer {
    let own = choose.maybe(|choose| {
        choose.of(&[
            LbKind::Nat,
            LbKind::Dr,
            LbKind::Tun(Wrapping::Ipip),
            LbKind::Tun(Wrapping::Gue { port: 6080, checksum: WrappingChecksum::Remote }),
            LbKind::Tun(Wrapping::Gre { checksum: WrappingChecksum::None }),
        ])
    });
    let kind = own.unwrap_or(service);
    let fixed = port.filter(|port| *port != 0);
    let any = if fixed.is_some() { choose.of(&[8080, 8081]) } else { choose.of(&[8080, 0]) };
    let family = if matches!(kind, LbKind::Tun(_)) && choose.seldom() { Family::V4 } else { family };
    let addr = match family {
        Family::V4 => format!("10.0.0.{}", 1 + choose.below(4)),
        Family::V6 => format!("fd00::{}", 1 + choose.below(4)),
    };
    RealServer {
        addr: addr.parse().unwrap(),
        port: delivered(kind, port).unwrap_or(any),
        at: Span::default(),
        weight: Weight::new(choose.of(&[1, 0, 5, 65_535])).unwrap(),
        lb_kind: own,
        inhibit_on_failure: choose.maybe(Choices::yes),
        upper_threshold: choose.of(&[0, 0, 100]),
        lower_threshold: 0,
        alpha: choose.maybe(Choices::yes),
        notify_up: choose.maybe(|choose| Box::new(choose.command(true))),
        notify_down: choose.maybe(|choose| Box::new(choose.command(true))),
        check: times(choose, true),
        virtualhost: choose.maybe(Choices::text),
        mail: choose.maybe(Choices::yes),
        checkers: (0..choose.below(3)).map(|_| checker(choose, family)).collect(),
    }
}

fn times(choose: &mut Choices<'_>, connecting: bool) -> CheckDefaults {
    CheckDefaults {
        delay_loop: choose.maybe(Choices::time),
        connect_timeout: choose.maybe(Choices::time).filter(|_| connecting),
        retry: choose.maybe(|choose| choose.of(&[1, 3])),
        delay_before_retry: choose.maybe(Choices::time),
        warmup: choose.maybe(|choose| choose.of(&[std::time::Duration::ZERO, std::time::Duration::from_millis(1)])),
    }
}

fn checker(choose: &mut Choices<'_>, family: Family) -> Checker {
    let kind = match choose.below(10) {
        0 => CheckerKind::Tcp,
        1 => CheckerKind::Http(Box::new(http(choose))),
        2 => CheckerKind::Https(Box::new(HttpsCheck {
            http: http(choose),
            sni: match choose.below(3) {
                0 => Sni::Off,
                1 => Sni::Virtualhost,
                _ => Sni::Name(choose.text()),
            },
            compliant: choose.yes(),
            reuse: choose.seldom(),
        })),
        3 => CheckerKind::Smtp { helo: choose.of(&["a.example", "#x", "}"]).parse().unwrap() },
        4 => CheckerKind::Dns(DnsCheck {
            name: choose.of(&[".", "www.example.org", "a b.c"]).parse().unwrap(),
            record: choose.of(&RecordType::ALL).0,
        }),
        5 => CheckerKind::Udp(Box::new(udp(choose))),
        6 => CheckerKind::Ping,
        7 => CheckerKind::Agent { send: choose.maybe(Choices::text) },
        8 => CheckerKind::Grpc(Box::new(GrpcCheck {
            service: choose.of(&["", "a.B", "#x"]).to_owned(),
            virtualhost: choose.maybe(Choices::text),
            tls: choose.maybe(|choose| GrpcTls {
                sni: choose.of(&[Sni::Off, Sni::Virtualhost, Sni::Name("b".to_owned())]),
                reuse: choose.yes(),
            }),
        })),
        _ => CheckerKind::Misc(Box::new(MiscCheck {
            command: Command { user: choose.maybe(Choices::user), ..choose.command(false) },
            timeout: choose.maybe(|_| std::time::Duration::from_secs(7)),
            dynamic: choose.seldom(),
        })),
    };
    let connecting = !matches!(kind, CheckerKind::Misc(_));
    let connect_ip: Option<IpAddr> = choose.maybe(|_| "10.9.9.9".parse().unwrap()).filter(|_| connecting);
    let source = match connect_ip.map_or(family, Family::of) {
        Family::V4 => "10.8.8.8",
        Family::V6 => "fd00::8",
    };
    Checker {
        at: Span::default(),
        kind,
        check: times(choose, connecting),
        connect_ip,
        connect_port: choose.maybe(|choose| choose.of(&[1, 65_535])).filter(|_| connecting),
        bind_ip: choose.maybe(|_| source.parse().unwrap()).filter(|_| connecting),
        bind_port: choose.maybe(|_| 4000).filter(|_| connecting),
        bind_if: choose.maybe(super::interface).filter(|_| connecting),
        fwmark: choose.maybe(|_| 7.try_into().unwrap()).filter(|_| connecting),
        alpha: choose.maybe(Choices::yes),
        log_all_failures: choose.maybe(Choices::yes),
    }
}

fn http(choose: &mut Choices<'_>) -> HttpCheck {
    HttpCheck {
        version: choose.of(&[HttpVersion::V1_0, HttpVersion::V1_0WithHost, HttpVersion::V1_1, HttpVersion::V2]),
        virtualhost: choose.maybe(Choices::text),
        urls: (0..=choose.below(2)).map(|_| url(choose)).collect(),
        fast_recovery: choose.seldom(),
        headers: headers(choose),
    }
}

fn udp(choose: &mut Choices<'_>) -> UdpCheck {
    let reply_required = choose.yes();
    UdpCheck {
        payload: choose.maybe(|_| vec![0, 0x1f, 0xa0]),
        reply_required,
        reply: choose.maybe(|choose| choose.of(&["00x1", "ff"]).parse().unwrap()).filter(|_| reply_required),
        reply_min_bytes: choose.maybe(|choose| choose.of(&[0, 9])),
        reply_max_bytes: choose.maybe(|choose| choose.of(&[9, 65_535])),
    }
}

fn url(choose: &mut Choices<'_>) -> Url {
    Url {
        path: choose.of(&["/", "/a b?x=#1", "/${x}"]).to_owned(),
        digest: choose.maybe(|_| *b"0123456789abcdef"),
        status: (0..choose.below(3)).map(|_| choose.of(&[(200, 200), (200, 299), (100, 599)])).collect(),
        virtualhost: choose.maybe(Choices::text),
        pattern: choose.maybe(pattern),
        compliant: choose.maybe(Choices::yes),
        headers: headers(choose),
    }
}

fn headers(choose: &mut Choices<'_>) -> Vec<Header> {
    (0..choose.below(2))
        .map(|_| Header { name: "X-A".to_owned(), value: choose.of(&["b", "b c", "#x"]).to_owned() })
        .collect()
}

fn pattern(choose: &mut Choices<'_>) -> AnswerPattern {
    let options = PatternOptions { caseless: choose.yes(), multiline: choose.yes(), ..PatternOptions::default() };
    let place = PatternPlace {
        min_offset: choose.below(3).into(),
        max_offset: choose.maybe(|choose| choose.below(9).into()),
        no_match: choose.yes(),
    };
    let text = choose.of(&["up", r"a\s+b", "say \"x\"", "it's", "$HOME", "^[b]$", "#x !", "é"]);
    AnswerPattern::new(text, options, place).unwrap()
}
