//! What each state says of itself, made by the state machine itself.

use super::*;
use crate::base::{AdvertInterval, Family, Vrid};
use crate::vrrp::fleet::Fleet;
use crate::vrrp::links::{Held, Link, Links};
use crate::vrrp::packet::{Advert, Body, Envelope};
use crate::vrrp::{Settings, Track, Tracked, Version, VirtualAddress};

fn ms(ms: u64) -> MonoTime {
    MonoTime::from_start(Duration::from_millis(ms))
}

fn links(running: bool) -> Links {
    let own = Held { cidr: "192.0.2.1/24".parse().unwrap(), peer: None, ours: false, usable: true };
    let link = Link { index: 2, running, mac: None, downs: 0, addresses: vec![own] };
    Links([("eth0".parse().unwrap(), link)].into())
}

fn settings() -> Settings {
    let mut settings = Settings::new("VI_1", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), Family::V4);
    settings.version = Version::V3;
    settings.addresses = vec![VirtualAddress::new("192.0.2.100/24".parse().unwrap())];
    settings
}

fn fleet(settings: Settings) -> Fleet {
    let mut fleet = Fleet::default();
    fleet.links(ms(0), links(true));
    fleet.reconfigure(ms(0), vec![settings]);
    fleet
}

fn hear(fleet: &mut Fleet, now: MonoTime, priority: u8) {
    let advert = Advert {
        vrid: Vrid::new(7).unwrap(),
        priority,
        interval: AdvertInterval::DEFAULT,
        addresses: vec!["192.0.2.100".parse().unwrap()],
        body: Body::V3 { checksum: crate::vrrp::packet::ChecksumForm::PseudoHeader },
    };
    let (source, destination) = ("192.0.2.2".parse().unwrap(), "224.0.0.18".parse().unwrap());
    let envelope = Envelope { source, destination, ttl: Some(255) };
    fleet.packet(now, &"eth0".parse().unwrap(), &envelope, &advert.emit(source, destination));
}

fn said(fleet: &Fleet, now: MonoTime) -> String {
    let views = fleet.views();
    let explained = explain(now, 0.0, &views[0], &views, std::iter::empty());
    format!("{} because {}; {}", explained.state, explained.because, explained.next)
}

#[test]
fn every_state_says_why_and_what_changes_it() {
    let mut lan = fleet(settings());
    assert_eq!(
        said(&lan, ms(1000)),
        "BACKUP because it has heard no advert since it started, 1.000 s ago; \
         becomes MASTER in 2.609 s unless it hears one (Active_Down 3.609 s)"
    );
    hear(&mut lan, ms(1500), 150);
    hear(&mut lan, ms(2500), 150);
    assert_eq!(
        said(&lan, ms(2900)),
        "BACKUP because 192.0.2.2 advertises 150 > 100 since 1.400 s ago, last heard 0.400 s ago; \
         would become MASTER in 3.209 s without another advert (Active_Down 3.609 s)"
    );
    hear(&mut lan, ms(3500), 0);
    assert_eq!(
        said(&lan, ms(3600)),
        "BACKUP because 192.0.2.2 resigned, last heard 0.100 s ago; becomes MASTER in 0.509 s"
    );
    lan.tick(ms(4200));
    assert_eq!(
        said(&lan, ms(5000)),
        "MASTER because 192.0.2.2 resigned; the last other router it heard was 192.0.2.2 with priority 0, 1.500 s ago; \
         would become BACKUP by an advert above 100, or of 100 from a greater address; its next advert is due in 0.200 s"
    );
    lan.links(ms(5100), links(false));
    assert_eq!(
        said(&lan, ms(5200)),
        "FAULT because interface eth0 is down; it becomes BACKUP when all of that is over"
    );
}

type Change = fn(&mut Settings);

#[test]
fn a_lesser_master_is_left_alone_or_preempted() {
    let rows: [(&str, Change, &str); 3] = [
        ("preempts", |_| (), "becomes MASTER in 3.109 s: it preempts the lesser master"),
        (
            "waits",
            |settings| settings.preempt_delay = Duration::from_mins(1),
            "preempts in 59.5 s (preempt_delay); without another advert in 3.109 s",
        ),
        (
            "nopreempt",
            |settings| settings.preempt = false,
            "would become MASTER in 3.109 s without another advert (Active_Down 3.609 s); \
             nopreempt lets the lesser master go on",
        ),
    ];
    for (name, change, wanted) in rows {
        let mut settings = settings();
        change(&mut settings);
        let mut lan = fleet(settings);
        hear(&mut lan, ms(0), 90);
        let said = said(&lan, ms(500));
        let begin = "BACKUP because 192.0.2.2 advertises 90 < 100 since 0.500 s ago, last heard 0.500 s ago; ";
        assert_eq!(said.strip_prefix(begin), Some(wanted), "{name}: {said}");
    }
}

#[test]
fn a_weight_that_brings_no_failover_is_told() {
    let mut settings = settings();
    settings.track = vec![Track { what: Tracked::Script("chk".to_owned()), weight: Some(-5), reverse: false }];
    let mut lan = fleet(settings);
    lan.tracked(ms(10), Tracked::Script("chk".to_owned()), Outcome::Good(true));
    hear(&mut lan, ms(20), 90);
    lan.tick(ms(4000));
    let views = lan.views();
    let notes = explain(ms(4100), 0.0, &views[0], &views, std::iter::empty()).notes;
    assert_eq!(
        notes[0],
        "script chk is good (weight -5, now +0 to the priority; its failure would leave 95, and 90 was heard: no failover)"
    );
}
