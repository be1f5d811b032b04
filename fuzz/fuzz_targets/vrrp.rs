//! Packets with their IP headers, through all that a daemon does with one: the header, the seal of an Authentication
//! Header, the message, the checks, the election. No panic; what is dropped is counted once, with its reason.
#![no_main]

use std::cell::OnceCell;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vipd::base::{Family, IfName, MonoTime, Priority, Vrid};
use vipd::vrrp::fleet::Fleet;
use vipd::vrrp::links::{Held, Link, Links};
use vipd::vrrp::{Authentication, Password, Peer, Settings, Transport, Version, VirtualAddress, ah, ip, packet};

/// The Internet checksum, so that not every mutation ends there.
fn mend(message: &mut [u8]) {
    if message.len() < 8 {
        return;
    }
    message[6..8].fill(0);
    let words = message.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    message[6..8].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn eth0() -> IfName {
    "eth0".parse().unwrap()
}

/// One virtual router for each way that a packet can go.
fn fleet() -> Fleet {
    let held = |cidr: &str| Held { cidr: cidr.parse().unwrap(), peer: None, ours: false, usable: true };
    let addresses = vec![held("10.0.0.1/24"), held("fe80::1/64")];
    let link = Link { index: 2, running: true, mac: Some([2, 0, 0, 0, 0, 1]), downs: 0, addresses };
    let one = |vrid: u8, family, version, change: fn(&mut Settings)| {
        let mut settings = Settings::new(&format!("VI_{vrid}"), eth0(), Vrid::new(vrid).unwrap(), family);
        settings.version = version;
        let vip = if family == Family::V4 { "10.0.0.9/24" } else { "fe80::9/64" };
        settings.addresses = vec![VirtualAddress::new(vip.parse().unwrap())];
        change(&mut settings);
        settings
    };
    let settings = vec![
        one(1, Family::V4, Version::V2, |_| ()),
        one(2, Family::V4, Version::V2, |s| s.auth = Some(Authentication::Password(Password::new("secret")))),
        one(3, Family::V4, Version::V2, |s| s.auth = Some(Authentication::Header(Password::new("secret")))),
        one(4, Family::V4, Version::V3, |s| s.strict_address_list = true),
        one(5, Family::V4, Version::V3, |s| s.priority = Priority::OWNER),
        one(6, Family::V4, Version::V3, |s| {
            let peers = vec![Peer { addr: "10.0.0.2".parse().unwrap(), ttl: 64..=255 }];
            s.transport = Transport::Unicast { source: None, peers, ttl: 255, only_peers: true };
        }),
        one(1, Family::V6, Version::V3, |_| ()),
        one(2, Family::V6, Version::V3, |s| s.preempt = false),
    ];
    let mut fleet = Fleet::default();
    fleet.links(MonoTime::ZERO, Links([(eth0(), link)].into()));
    fleet.reconfigure(MonoTime::ZERO, settings);
    fleet
}

fn packets(fleet: &Fleet) -> u64 {
    let strangers: u64 = fleet.strangers().values().flat_map(|reasons| reasons.values()).sum();
    let of = |view: vipd::vrrp::InstanceView| view.counters.adverts_received + view.discards.values().sum::<u64>();
    strangers + fleet.views().into_iter().map(of).sum::<u64>()
}

thread_local! {
    static READY: (OnceCell<Fleet>, IfName) = (OnceCell::new(), eth0());
}

fuzz_target!(|bytes: &[u8]| {
    READY.with(|(ready, eth0)| {
        let Some((kind, rest)) = bytes.split_first() else { return };
        let mut fleet = ready.get_or_init(fleet).clone();
        let now = MonoTime::from_start(Duration::from_millis(10));
        let mut message = rest.to_vec();
        if kind & 1 == 1 {
            mend(&mut message);
        }
        let (v4, v6) = (("10.0.0.2", "224.0.0.18"), ("fe80::2", "ff02::12"));
        let (source, group) = if kind & 2 == 2 { v6 } else { v4 };
        let (source, group) = (source.parse().unwrap(), group.parse().unwrap());
        let whole = match kind & 0b1100 {
            0 => message,
            4 => ah::packet(*b"secret\0\0", source, group, 255, 7, &message).map_or(vec![], |packet| {
                ip::frame_of([0; 6], group, packet)[14..].to_vec()
            }),
            _ => ip::frame([0; 6], source, group, &message).map_or(vec![], |frame| frame[14..].to_vec()),
        };
        let Some(read) = ip::read(&whole) else { return };
        let outputs = match read.protocol {
            packet::PROTOCOL => fleet.packet(now, eth0, &read.envelope, read.payload),
            ah::PROTOCOL => fleet.sealed_packet(now, eth0, read.whole),
            _ => return,
        };
        assert!(outputs.len() < 32, "{outputs:?}");
        assert_eq!(packets(&fleet), 1);
    });
});
