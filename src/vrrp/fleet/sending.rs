//! An advert as it leaves: once per destination, sealed where there is a key.

use super::Output;
use crate::vrrp::instance::Instance;
use crate::vrrp::{ah, ip};

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
        let mut packet = ah::packet(password.bytes(), source, destination, instance.sequence, &bytes);
        if let Some(field) = packet.as_mut().and_then(|packet| packet.get_mut(ip::TTL)) {
            // It is not under the seal (RFC 2402 section 3.3.3.1.1.1).
            *field = ttl;
        }
        out.extend(packet.map(|packet| Output::SendSealed { key, destination, packet, mac }));
    }
}
