//! `DNS_CHECK`: one query by UDP. Datagrams that do not answer it are passed over.
//!
//! The query and what an answer says are in `dns.rs` of the room.

use std::hash::{BuildHasher as _, RandomState};

use socket2::{Protocol, Type};

use crate::healthcheck::dns;
use crate::healthcheck::outcome::Outcome;
use crate::healthcheck::probe::DnsProbe;

use super::socket;

/// Only the header counts.
const ANSWER_MAX_BYTES: usize = 512;

/// One run; it ends within `connect_timeout`.
pub async fn check(probe: &DnsProbe) -> Outcome {
    let socket = match socket::datagram(&probe.endpoint, Type::DGRAM, Protocol::UDP) {
        Ok(socket) => socket,
        Err(failure) => return failure,
    };
    // An answer to an older run, or to somebody else, must not pass for one to this.
    let [high, low, ..] = RandomState::new().hash_one(0_u8).to_be_bytes();
    let id = u16::from_be_bytes([high, low]);
    let query = dns::query(id, &probe.name, probe.record);
    let mut room = [0; ANSWER_MAX_BYTES];
    socket::exchange(&probe.endpoint, &socket, &query, &mut room, |datagram, _| dns::judge(id, datagram)).await
}
