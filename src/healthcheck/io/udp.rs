//! `UDP_CHECK`: one datagram, and the wait for an answer or an ICMP error.
//!
//! What an answer must be is decided in `hex.rs`.

use socket2::{Protocol, Type};

use crate::healthcheck::hex::ReplyExpect;
use crate::healthcheck::outcome::Outcome;
use crate::healthcheck::probe::UdpProbe;

use super::socket;

/// One run; it ends within `connect_timeout`.
pub async fn check(probe: &UdpProbe) -> Outcome {
    let socket = match socket::datagram(&probe.endpoint, Type::DGRAM, Protocol::UDP) {
        Ok(socket) => socket,
        Err(failure) => return failure,
    };
    let mut room = vec![0; probe.reply.as_ref().map_or(0, ReplyExpect::room_bytes)];
    let judge = |reply: &[u8], bytes| match &probe.reply {
        None => Some(Outcome::Replied { bytes }),
        Some(expect) => Some(expect.judge(reply, bytes)),
    };
    let outcome = socket::exchange(&probe.endpoint, &socket, &probe.payload, &mut room, judge).await;
    if let (Outcome::Timeout { after, .. }, None) = (&outcome, &probe.reply) {
        return Outcome::Silent { after: *after };
    }
    outcome
}
