//! What a drill writes down: every probe, every connection, every move of the VIP. Data only.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::pair::Seat;
use crate::base::MonoTime;

/// Index of the source address that a probe or a connection came from.
pub type Flow = u8;

/// One UDP probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub flow: Flow,
    pub sent: MonoTime,
    pub answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub at: MonoTime,
    /// The name of the server that answered.
    pub from: Arc<str>,
}

/// One new TCP connection with one GET on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub flow: Flow,
    pub started: MonoTime,
    pub ended: MonoTime,
    /// The name of the server that answered, or what went wrong.
    pub result: Result<Arc<str>, String>,
}

/// A long-lived connection came to an end that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub at: MonoTime,
    pub error: String,
}

/// A director got the VIP on its interface, or lost it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    pub at: MonoTime,
    pub seat: Seat,
    pub holds: bool,
}

/// The client's neighbour entry for the VIP changed: where its packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub at: MonoTime,
    /// None: no entry, or an address of neither director.
    pub towards: Option<Seat>,
}

/// A director sent an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    pub at: MonoTime,
    pub seat: Seat,
    pub vrid: u8,
    pub priority: u8,
}

/// A director claimed an address (gratuitous ARP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub at: MonoTime,
    pub seat: Seat,
    pub addr: Ipv4Addr,
}

/// A director answered one of [`super::questions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub at: MonoTime,
    pub seat: Seat,
}

/// What was written down around a fault: from a while before it until all was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Shortly before the fault.
    pub begin: MonoTime,
    /// The moment of the fault.
    pub from: MonoTime,
    pub to: MonoTime,
    pub probes: Vec<Probe>,
    pub requests: Vec<Request>,
    pub broken: Vec<Broken>,
    pub moves: Vec<Move>,
    pub turns: Vec<Turn>,
    pub adverts: Vec<Advert>,
    pub claims: Vec<Claim>,
    pub replies: Vec<Reply>,
    /// Who had the VIP at the begin.
    pub held_at_begin: Vec<Seat>,
    /// Whom the client sent to at the begin.
    pub towards_at_begin: Option<Seat>,
}

/// What was sent so shortly before a fault may still be under way, and counts as after it.
const UNDER_WAY: Duration = Duration::from_millis(20);

impl Window {
    /// Nothing was written down.
    pub fn empty(begin: MonoTime, from: MonoTime, to: MonoTime) -> Self {
        Self {
            begin,
            from,
            to,
            probes: vec![],
            requests: vec![],
            broken: vec![],
            moves: vec![],
            turns: vec![],
            adverts: vec![],
            claims: vec![],
            replies: vec![],
            held_at_begin: vec![],
            towards_at_begin: None,
        }
    }

    /// Probes that the fault could hit, in the order of sending.
    pub fn probes_after(&self) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(|probe| probe.sent + UNDER_WAY >= self.from)
    }

    /// Connections that the fault could hit.
    pub fn requests_after(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|request| request.ended >= self.from)
    }

    /// Long-lived connections that broke since the fault.
    pub fn broken_after(&self) -> impl Iterator<Item = &Broken> {
        self.broken.iter().filter(|broken| broken.at >= self.from)
    }
}
