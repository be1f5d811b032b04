//! Packets with an Authentication Header: whose they are, whether the seal fits, and that none is heard twice.

use super::{Fleet, Output};
use crate::base::{IfName, MonoTime};
use crate::vrrp::ah;
use crate::vrrp::receive::Discard;

impl Fleet {
    /// A packet of protocol 51 came in on `interface`, whole.
    pub fn sealed_packet(&mut self, now: MonoTime, interface: &IfName, packet: &[u8]) -> Vec<Output> {
        let (envelope, ip, payload) = match ah::split(packet) {
            Ok(parts) => parts,
            // Counted, and not told: nobody knows whom it came from.
            Err(reason) => {
                let _ = self.strangers.entry(interface.clone()).or_default().count(now, reason);
                return vec![];
            }
        };
        let inner = payload.get(ah::LEN..).unwrap_or_default();
        let accept = |fleet: &mut Self, at: Option<usize>, out: &mut Vec<Output>| {
            let known = at.and_then(|at| fleet.instances.get_mut(at)).ok_or(Discard::Vrid)?;
            let password = known.seal().ok_or(Discard::AuthType)?;
            let ah::Verified { sequence, message } = ah::verify(password.bytes(), ip, payload)?;
            if sequence <= known.sequence {
                return Err(Discard::Replayed);
            }
            known.sequence = sequence;
            fleet.accept(now, at, &envelope, message, out)
        };
        self.heard(now, interface, envelope.source, inner, accept)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::base::{Cidr, Family, Priority, Vrid};
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::packet::{Advert, Auth, Body, Envelope};
    use crate::vrrp::settings::{Authentication, Password, Peer, Settings, Transport, VirtualAddress};

    fn eth0() -> IfName {
        "eth0".parse().unwrap()
    }

    fn fleet() -> Fleet {
        let mut fleet = Fleet::default();
        let cidr: Cidr = "10.0.0.1/24".parse().unwrap();
        let addresses = vec![Held { cidr, peer: None, ours: false, usable: true }];
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses };
        fleet.links(MonoTime::ZERO, Links([(eth0(), link)].into()));
        let mut settings = Settings::new("VI_1", eth0(), Vrid::new(7).unwrap(), Family::V4);
        settings.addresses = vec![VirtualAddress::new("10.0.0.9/24".parse().unwrap())];
        settings.auth = Some(Authentication::Header(Password::new("secret")));
        fleet.reconfigure(MonoTime::ZERO, vec![settings]);
        fleet
    }

    /// What 10.0.0.2 sends with this password and sequence number.
    fn sealed(password: &str, sequence: u32) -> Vec<u8> {
        let (source, group): (IpAddr, IpAddr) = ("10.0.0.2".parse().unwrap(), "224.0.0.18".parse().unwrap());
        let advert = Advert {
            vrid: Vrid::new(7).unwrap(),
            priority: Priority::DEFAULT.get(),
            interval: crate::base::AdvertInterval::DEFAULT,
            addresses: vec!["10.0.0.9".parse().unwrap()],
            body: Body::V2(Auth::Header),
        };
        let message = advert.emit(source, group);
        ah::packet(Password::new(password).bytes(), source, group, 255, sequence, &message).unwrap()
    }

    /// Two routers with a key and this `unicast_ttl`; what the first one sends, and what came of it at the other one.
    fn sealed_by_unicast(ttl: u8) -> (u8, u64, usize) {
        let router = |own: u8, peer: u8| {
            let mut fleet = Fleet::default();
            let cidr: Cidr = format!("10.0.0.{own}/24").parse().unwrap();
            let addresses = vec![Held { cidr, peer: None, ours: false, usable: true }];
            let link = Link { index: 2, running: true, mac: None, downs: 0, addresses };
            fleet.links(MonoTime::ZERO, Links([(eth0(), link)].into()));
            let peers = vec![Peer::new(format!("10.0.0.{peer}").parse().unwrap())];
            let settings = Settings {
                auth: Some(Authentication::Header(Password::new("secret"))),
                transport: Transport::Unicast { source: None, peers, ttl, only_peers: true },
                ..Settings::new("VI_1", eth0(), Vrid::new(7).unwrap(), Family::V4)
            };
            fleet.reconfigure(MonoTime::ZERO, vec![settings]);
            fleet
        };
        let (mut one, mut other) = (router(1, 2), router(2, 1));
        let out = one.tick(one.deadline(MonoTime::ZERO).unwrap());
        let sent = out.into_iter().find_map(|output| match output {
            Output::SendSealed { packet, .. } => Some(packet),
            Output::Send { .. }
            | Output::Hold { .. }
            | Output::Serve { .. }
            | Output::Announce { .. }
            | Output::Happened(_) => None,
        });
        let sent = sent.unwrap();
        other.sealed_packet(MonoTime::ZERO, &eth0(), &sent);
        let view = other.views().remove(0);
        (sent[crate::vrrp::ip::TTL], view.counters.adverts_received, view.discards.len())
    }

    #[test]
    fn the_seal_fits_whatever_the_time_to_live_is() {
        for ttl in [255, 64, 1] {
            assert_eq!(sealed_by_unicast(ttl), (ttl, 1, 0), "unicast_ttl {ttl}");
        }
    }

    #[test]
    fn a_seal_that_fits_is_taken_once_and_nothing_else_is() {
        let mut fleet = fleet();
        let rows = [
            ("the first", sealed("secret", 7), None),
            ("again", sealed("secret", 7), Some(Discard::Replayed)),
            ("older", sealed("secret", 6), Some(Discard::Replayed)),
            ("the next", sealed("secret", 8), None),
            ("another key", sealed("sesame", 9), Some(Discard::AuthData)),
            ("short", sealed("secret", 9)[..40].to_vec(), Some(Discard::Vrid)),
            ("no whole IPv4 header", sealed("secret", 9)[..19].to_vec(), Some(Discard::Length)),
            ("IPv6", [&[0x6c], &sealed("secret", 9)[1..]].concat(), Some(Discard::Version)),
        ];
        let mut at = MonoTime::ZERO;
        let (mut taken, mut total) = (0, 0);
        for (name, packet, discard) in rows {
            at += std::time::Duration::from_millis(10);
            fleet.sealed_packet(at, &eth0(), &packet);
            let view = fleet.views().remove(0);
            match discard {
                None => taken += 1,
                // It names no virtual router, and counts for none.
                Some(reason @ (Discard::Vrid | Discard::Length | Discard::Version)) => {
                    assert_eq!(fleet.strangers()[&eth0()][&reason], 1, "{name}");
                }
                Some(_) => total += 1,
            }
            assert_eq!(view.counters.adverts_received, taken, "{name}");
            assert_eq!(view.discards.values().sum::<u64>(), total, "{name}: {:?}", view.discards);
        }
        let discards = fleet.views().remove(0).discards;
        assert_eq!((discards[&Discard::Replayed], discards[&Discard::AuthData]), (2, 1));

        let plain = sealed("secret", 10);
        let (envelope, _, payload) = ah::split(&plain).unwrap();
        let envelope = Envelope { ..envelope };
        fleet.packet(at, &eth0(), &envelope, &payload[ah::LEN..]);
        assert_eq!(fleet.views().remove(0).discards[&Discard::AuthType], 1, "without its header");
    }
}
