//! An advert as it leaves: once per destination, sealed where there is a key.

use super::Output;
use crate::vrrp::ah;
use crate::vrrp::instance::Instance;

/// The advert with this priority; 0: it resigns.
pub(super) fn send(instance: &mut Instance, priority: u8, out: &mut Vec<Output>) {
    instance.counters.adverts_sent += 1;
    if priority == 0 {
        instance.counters.priority_zero_sent += 1;
    }
    let (key, mac, ttl) = (instance.settings.key(), instance.settings.advert_mac(), instance.settings.transport.ttl());
    for (source, destination, bytes) in instance.adverts(priority) {
        let key = key.clone();
        let Some(password) = instance.seal() else {
            out.push(Output::Send { key, source, destination, bytes, ttl, mac });
            continue;
        };
        // It ends after 136 years of an advert a second, and with it what the peers believe: then a new key is due.
        instance.sequence = instance.sequence.saturating_add(1);
        let packet = ah::packet(password.bytes(), source, destination, ttl, instance.sequence, &bytes);
        out.extend(packet.map(|packet| Output::SendSealed { key, destination, packet, mac }));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use crate::base::{AdvertInterval, Family, IfName, MonoTime, Priority, Vrid};
    use crate::vrrp::fleet::{Fleet, Output};
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::packet::{Advert, Body, ChecksumForm, Envelope};
    use crate::vrrp::settings::{Checksums, OldUnicastChecksum, Peer, Settings, Transport, Version, VirtualAddress};

    /// How the adverts of an Active are summed after it heard a lesser router that sums in this way; `None`: it was dropped.
    fn answered(old_unicast: OldUnicastChecksum, checksum: ChecksumForm) -> Option<Body> {
        let [own, peer]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|addr| addr.parse().unwrap());
        let eth0: IfName = "eth0".parse().unwrap();
        let vrid = Vrid::new(7).unwrap();
        let peers = vec![Peer::new(peer)];
        let settings = Settings {
            version: Version::V3,
            priority: Priority::OWNER,
            transport: Transport::Unicast { source: None, peers, ttl: 255, only_peers: true },
            checksums: Checksums { bare: false, old_unicast },
            addresses: vec![VirtualAddress::new("192.0.2.9/24".parse().unwrap())],
            ..Settings::new("VI_1", eth0.clone(), vrid, Family::V4)
        };
        let held = Held { cidr: "192.0.2.1/24".parse().unwrap(), peer: None, ours: false, usable: true };
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses: vec![held] };
        let mut fleet = Fleet::default();
        fleet.links(MonoTime::ZERO, Links([(eth0.clone(), link)].into()));
        fleet.reconfigure(MonoTime::ZERO, vec![settings]);
        let (interval, addresses) = (AdvertInterval::DEFAULT, vec!["192.0.2.9".parse().unwrap()]);
        let lesser = Advert { vrid, priority: 50, interval, addresses, body: Body::V3 { checksum } };
        let envelope = Envelope { source: peer, destination: own, ttl: Some(255) };
        let now = MonoTime::from_start(Duration::from_millis(10));
        let out = fleet.packet(now, &eth0, &envelope, &lesser.emit(peer, own));
        let sent = out.into_iter().find_map(|output| match output {
            Output::Send { bytes, .. } => Some(bytes),
            Output::SendSealed { .. }
            | Output::Hold { .. }
            | Output::Serve { .. }
            | Output::Announce { .. }
            | Output::Happened(_) => None,
        })?;
        let back = Envelope { source: own, destination: peer, ttl: Some(255) };
        Some(Advert::parse(&sent, &back).unwrap().body)
    }

    #[test]
    fn an_old_peer_is_answered_with_its_checksum_unless_that_is_ruled_out() {
        use ChecksumForm::{OldUnicast, PseudoHeader};
        use OldUnicastChecksum::{Always, Auto, Never};
        let rows = [
            (Auto, PseudoHeader, Some(PseudoHeader)),
            (Auto, OldUnicast, Some(OldUnicast)),
            (Always, PseudoHeader, Some(OldUnicast)),
            (Always, OldUnicast, Some(OldUnicast)),
            (Never, PseudoHeader, Some(PseudoHeader)),
            (Never, OldUnicast, None),
        ];
        for (setting, heard, expected) in rows {
            let expected = expected.map(|checksum| Body::V3 { checksum });
            assert_eq!(answered(setting, heard), expected, "{setting:?}, {heard:?}");
        }
    }
}
