//! All sessions of one daemon: which packet is whose, and what comes of it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::packet::{Diagnostic, Discard, Packet, State};
use super::session::{Action, Session, Settings};
use crate::base::MonoTime;

/// Sessions that one daemon drives.
pub const SESSIONS_MAX: usize = 1024;

/// One thing to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Send { session: String, bytes: [u8; super::packet::LEN] },
    Moved { session: String, from: State, to: State, diagnostic: Diagnostic },
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub source: IpAddr,
    /// TTL or hop limit; `None` where the kernel did not tell.
    pub ttl: Option<u8>,
    /// It came to port 4784.
    pub multihop: bool,
}

/// What `status` shows of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub name: String,
    pub state: State,
    pub diagnostic: Diagnostic,
    pub since: MonoTime,
}

#[derive(Clone, Debug, Default)]
pub struct Fleet {
    sessions: Vec<Session>,
    discards: BTreeMap<Discard, u64>,
}

impl Fleet {
    /// Drive these in place of the present ones, at most [`SESSIONS_MAX`]. A session to the same neighbour from the same
    /// address stays. `random` makes discriminators that nobody guesses.
    pub fn configure(
        &mut self,
        now: MonoTime,
        wanted: Vec<Settings>,
        mut random: impl FnMut() -> NonZeroU32,
    ) -> Vec<Output> {
        let mut out = vec![];
        let mut old = std::mem::take(&mut self.sessions);
        for settings in wanted.into_iter().take(SESSIONS_MAX) {
            let same = |session: &Session| {
                let known = session.settings();
                (&known.neighbor, &known.source, known.multihop, &known.name)
                    == (&settings.neighbor, &settings.source, settings.multihop, &settings.name)
            };
            if let Some(at) = old.iter().position(same) {
                let mut session = old.remove(at);
                session.configure(now, settings);
                self.sessions.push(session);
                continue;
            }
            let mut id = random();
            while self.sessions.iter().chain(&old).any(|session| session.discriminator() == id) {
                id = id.checked_add(1).unwrap_or(NonZeroU32::MIN);
            }
            self.sessions.push(Session::new(now, settings, id));
        }
        for mut session in old {
            let actions = session.shut_down(now);
            outputs(&session, actions, &mut out);
        }
        out
    }

    pub fn settings(&self) -> impl Iterator<Item = &Settings> {
        self.sessions.iter().map(Session::settings)
    }

    pub fn views(&self) -> Vec<View> {
        let view = |session: &Session| View {
            name: session.settings().name.clone(),
            state: session.state(),
            diagnostic: session.diagnostic(),
            since: session.since(),
        };
        self.sessions.iter().map(view).collect()
    }

    /// Packets dropped, by reason.
    pub const fn discards(&self) -> &BTreeMap<Discard, u64> {
        &self.discards
    }

    pub fn deadline(&self) -> Option<MonoTime> {
        self.sessions.iter().filter_map(Session::deadline).min()
    }

    /// Serve every deadline that has passed. Read all waiting packets before.
    pub fn tick(&mut self, now: MonoTime) -> Vec<Output> {
        let mut out = vec![];
        for session in &mut self.sessions {
            if session.deadline().is_some_and(|at| at <= now) {
                let actions = session.tick(now);
                outputs(session, actions, &mut out);
            }
        }
        out
    }

    pub fn received(&mut self, now: MonoTime, envelope: &Envelope, bytes: &[u8]) -> Vec<Output> {
        let mut out = vec![];
        match self.accept(now, envelope, bytes) {
            Ok((session, actions)) => outputs(session, actions, &mut out),
            Err(discard) => *self.discards.entry(discard).or_default() += 1,
        }
        out
    }

    /// RFC 5880 section 6.8.6: by our discriminator, or by the neighbour's address while it does not know it.
    fn accept(&mut self, now: MonoTime, envelope: &Envelope, bytes: &[u8]) -> Result<(&Session, Vec<Action>), Discard> {
        let packet = Packet::parse(bytes)?;
        let found = self.sessions.iter_mut().find(|session| {
            let settings = session.settings();
            settings.neighbor == envelope.source
                && settings.multihop == envelope.multihop
                && (packet.yours == 0 || packet.yours == session.discriminator().get())
        });
        let session = found.ok_or(Discard::Stranger)?;
        if envelope.ttl.is_none_or(|ttl| ttl < session.settings().ttl_min) {
            return Err(Discard::Ttl);
        }
        let actions = session.received(now, &packet);
        Ok((session, actions))
    }

    /// Tell all neighbours that this is the end.
    pub fn shut_down(&mut self, now: MonoTime) -> Vec<Output> {
        let mut out = vec![];
        for session in &mut self.sessions {
            let actions = session.shut_down(now);
            outputs(session, actions, &mut out);
        }
        out
    }
}

fn outputs(session: &Session, actions: Vec<Action>, out: &mut Vec<Output>) {
    let name = || session.settings().name.clone();
    out.extend(actions.into_iter().map(|action| match action {
        Action::Send(packet) => Output::Send { session: name(), bytes: packet.emit() },
        Action::Moved { from, to, diagnostic } => Output::Moved { session: name(), from, to, diagnostic },
    }));
}
