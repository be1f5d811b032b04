//! Which virtual routers speak on a network, and which VRIDs are free. Listening is `daemon/scan.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::ah;
use super::packet::{Advert, Envelope};
use super::receive::Discard;
use crate::base::{Family, MonoTime, Vrid};

/// Speakers that are kept; the network of more is not surveyed by a table.
pub const SPEAKERS_MAX: usize = 4096;

/// Who speaks for a virtual router, as last heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Speaker {
    pub vrid: Vrid,
    pub family: Family,
    pub source: IpAddr,
    /// Sent to us alone, and not to the group.
    pub unicast: bool,
    pub version: u8,
    /// With an Authentication Header, whose seal nobody here can check.
    pub sealed: bool,
    /// 0: it resigned.
    pub priority: u8,
    /// As its adverts say.
    pub interval_centis: u16,
    pub adverts: u64,
    /// The mean time between two adverts; `None` before the second.
    pub measured: Option<Duration>,
    pub addresses: Vec<IpAddr>,
    #[serde(skip)]
    first: MonoTime,
}

#[derive(Clone, Debug, Default)]
pub struct Scan {
    speakers: BTreeMap<(Family, Vrid, IpAddr), Speaker>,
    rejected: BTreeMap<Discard, u64>,
}

impl Scan {
    /// A packet of protocol 112 came in.
    pub fn packet(&mut self, now: MonoTime, envelope: &Envelope, bytes: &[u8]) {
        let taken = self.take(now, envelope, bytes, false);
        self.count(taken);
    }

    /// A packet of protocol 51 came in, whole. Those of others than VRRP are passed over.
    pub fn sealed_packet(&mut self, now: MonoTime, packet: &[u8]) {
        let taken = ah::split(packet).and_then(|(envelope, _, payload)| match payload.first() {
            Some(&ah::VRRP) => self.take(now, &envelope, payload.get(ah::LEN..).unwrap_or_default(), true),
            Some(_) | None => Ok(()),
        });
        self.count(taken);
    }

    fn count(&mut self, taken: Result<(), Discard>) {
        if let Err(reason) = taken {
            *self.rejected.entry(reason).or_default() += 1;
        }
    }

    fn take(&mut self, now: MonoTime, envelope: &Envelope, bytes: &[u8], sealed: bool) -> Result<(), Discard> {
        let unicast = !envelope.destination.is_multicast();
        if !unicast && envelope.ttl != Some(u8::MAX) {
            return Err(Discard::Ttl);
        }
        let advert = Advert::parse(bytes, envelope)?;
        let (family, source) = (Family::of(envelope.source), envelope.source);
        let key = (family, advert.vrid, source);
        if self.speakers.len() >= SPEAKERS_MAX && !self.speakers.contains_key(&key) {
            return Err(Discard::Vrid);
        }
        let speaker = self.speakers.entry(key).or_insert_with(|| Speaker {
            vrid: advert.vrid,
            family,
            source,
            unicast,
            version: advert.version().number(),
            sealed,
            priority: advert.priority,
            interval_centis: advert.interval.centis(),
            adverts: 0,
            measured: None,
            addresses: vec![],
            first: now,
        });
        let gaps = u32::try_from(speaker.adverts).unwrap_or(u32::MAX);
        speaker.measured = now.since(speaker.first).checked_div(gaps);
        speaker.adverts = speaker.adverts.saturating_add(1);
        (speaker.version, speaker.sealed) = (advert.version().number(), sealed);
        (speaker.priority, speaker.interval_centis) = (advert.priority, advert.interval.centis());
        speaker.addresses = advert.addresses;
        Ok(())
    }

    /// By family, VRID and address.
    pub fn speakers(&self) -> impl Iterator<Item = &Speaker> {
        self.speakers.values()
    }

    /// Packets that no router would take, by the first check that they fail.
    pub const fn rejected(&self) -> &BTreeMap<Discard, u64> {
        &self.rejected
    }

    /// The VRIDs that nobody speaks for, and that are not in `taken`.
    pub fn free(&self, family: Family, taken: &BTreeSet<Vrid>) -> Vec<RangeInclusive<u8>> {
        let heard = self.speakers.keys().filter(|(of, ..)| *of == family).map(|(_, vrid, _)| vrid.get());
        let used: BTreeSet<u8> = heard.chain(taken.iter().map(|vrid| vrid.get())).collect();
        let mut free: Vec<RangeInclusive<u8>> = vec![];
        for vrid in (1..=u8::MAX).filter(|vrid| !used.contains(vrid)) {
            match free.last_mut() {
                Some(last) if last.end().checked_add(1) == Some(vrid) => *last = *last.start()..=vrid,
                Some(_) | None => free.push(vrid..=vrid),
            }
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AdvertInterval;
    use crate::vrrp::packet::Body;

    #[test]
    fn speakers_are_told_apart_and_the_rest_is_free() {
        let mut scan = Scan::default();
        let mut hear = |ms, source: &str, vrid, priority, ttl| {
            let (source, destination) = (source.parse().unwrap(), "224.0.0.18".parse().unwrap());
            let advert = Advert {
                vrid: Vrid::new(vrid).unwrap(),
                priority,
                interval: AdvertInterval::from_centis(50).unwrap(),
                addresses: vec!["192.0.2.9".parse().unwrap()],
                body: Body::V3 { checksum: crate::vrrp::packet::ChecksumForm::PseudoHeader },
            };
            let envelope = Envelope { source, destination, ttl: Some(ttl) };
            scan.packet(MonoTime::from_start(Duration::from_millis(ms)), &envelope, &advert.emit(source, destination));
        };
        for ms in [0, 500, 1010] {
            hear(ms, "192.0.2.1", 7, 150, 255);
        }
        hear(0, "192.0.2.2", 7, 100, 255);
        hear(0, "192.0.2.3", 255, 1, 255);
        hear(0, "192.0.2.3", 9, 1, 64);
        let heard: Vec<_> = scan
            .speakers()
            .map(|one| (one.source.to_string(), one.vrid.get(), one.priority, one.adverts, one.measured))
            .collect();
        let half = Some(Duration::from_millis(505));
        assert_eq!(
            heard,
            [
                ("192.0.2.1".to_owned(), 7, 150, 3, half),
                ("192.0.2.2".to_owned(), 7, 100, 1, None),
                ("192.0.2.3".to_owned(), 255, 1, 1, None)
            ]
        );
        assert_eq!(scan.rejected(), &BTreeMap::from([(Discard::Ttl, 1)]));
        let own = BTreeSet::from([Vrid::new(1).unwrap()]);
        assert_eq!(scan.free(Family::V4, &own), [2..=6, 8..=254]);
        assert_eq!(scan.free(Family::V6, &BTreeSet::new()), [1..=255]);
    }
    #[test]
    fn a_sealed_advert_is_heard_without_its_key_and_other_sealed_packets_are_passed_over() {
        let (source, destination) = ("192.0.2.1".parse().unwrap(), "224.0.0.18".parse().unwrap());
        let advert = Advert {
            vrid: Vrid::new(7).unwrap(),
            priority: 150,
            interval: AdvertInterval::from_centis(100).unwrap(),
            addresses: vec!["192.0.2.9".parse().unwrap()],
            body: Body::V2(crate::vrrp::packet::Auth::Header),
        };
        let packet = ah::packet(*b"unknown!", source, destination, 255, 1, &advert.emit(source, destination)).unwrap();
        let mut of_ipsec = packet.clone();
        of_ipsec[20] = 6;
        let mut scan = Scan::default();
        for bytes in [&packet, &of_ipsec, &packet[..50].to_vec()] {
            scan.sealed_packet(MonoTime::ZERO, bytes);
        }
        let heard: Vec<_> = scan.speakers().map(|one| (one.source, one.vrid.get(), one.sealed, one.adverts)).collect();
        assert_eq!(heard, [(source, 7, true, 1)]);
        assert_eq!(scan.rejected(), &BTreeMap::from([(Discard::Length, 1)]));
    }
}
