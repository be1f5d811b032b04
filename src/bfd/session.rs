//! One session: the state machine of RFC 5880 section 6.8, its timers, and the arithmetic of the detection time.
//!
//! No socket, no clock: it takes the time, and gives what is to be sent and told.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use super::packet::{Diagnostic, Packet, State};
use crate::base::MonoTime;

/// While a session is not Up it sends no faster (RFC 5880 section 6.8.3).
pub const SLOW: Duration = Duration::from_secs(1);

/// One `bfd_instance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    pub neighbor: IpAddr,
    pub source: Option<IpAddr>,
    pub min_rx: Duration,
    pub min_tx: Duration,
    /// At least [`SLOW`].
    pub idle_tx: Duration,
    pub multiplier: NonZeroU8,
    /// It waits for the neighbour to begin.
    pub passive: bool,
    /// TTL or hop limit that is sent.
    pub ttl: u8,
    /// The least TTL that is taken.
    pub ttl_min: u8,
    /// Port 4784 (RFC 5883).
    pub multihop: bool,
}

/// One thing to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Send(Packet),
    Moved { from: State, to: State, diagnostic: Diagnostic },
}

/// What is known of the neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remote {
    state: State,
    discriminator: NonZeroU32,
    multiplier: NonZeroU8,
    desired_min_tx: Duration,
    required_min_rx: Duration,
    demand: bool,
}

/// Timers that the neighbour still goes by: it has not answered the poll that tells of others (section 6.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    min_tx: Duration,
    min_rx: Duration,
}

#[derive(Clone, Debug)]
pub struct Session {
    settings: Settings,
    discriminator: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    /// `None` until a packet was taken, and again after the detection time (RFC 5880 section 6.8.1).
    remote: Option<Remote>,
    /// `None`: it sends nothing by itself.
    send_at: Option<MonoTime>,
    expires_at: Option<MonoTime>,
    /// A poll of ours waits for its answer.
    polling: bool,
    /// While a poll tells of other timers: until its answer nothing gets slower to send, or sooner to expire.
    told: Option<Told>,
    since: MonoTime,
    /// For the jitter; any sequence will do that is not the neighbour's.
    random: u32,
}

impl Session {
    pub fn new(now: MonoTime, settings: Settings, discriminator: NonZeroU32) -> Self {
        let send_at = if settings.passive { None } else { Some(now) };
        Self {
            settings,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::None,
            remote: None,
            send_at,
            expires_at: None,
            polling: false,
            told: None,
            since: now,
            random: discriminator.get(),
        }
    }

    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub const fn discriminator(&self) -> NonZeroU32 {
        self.discriminator
    }

    pub const fn state(&self) -> State {
        self.state
    }

    pub const fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    pub const fn since(&self) -> MonoTime {
        self.since
    }

    /// When [`Session::tick`] is due.
    pub fn deadline(&self) -> Option<MonoTime> {
        [self.send_at, self.expires_at].into_iter().flatten().min()
    }

    /// `bfd.DesiredMinTxInterval`: slow while not Up.
    fn desired_min_tx(&self) -> Duration {
        match self.state {
            State::Up => self.settings.min_tx,
            State::AdminDown | State::Down | State::Init => self.settings.idle_tx.max(SLOW).max(self.settings.min_tx),
        }
    }

    /// Between two packets, before the jitter; `None`: the neighbour wants none (section 6.8.7).
    pub fn interval(&self) -> Option<Duration> {
        let Some(remote) = self.remote else { return Some(self.desired_min_tx()) };
        let quiet = remote.demand && remote.state == State::Up && self.state == State::Up && !self.polling;
        let wanted = remote.required_min_rx;
        let own = self.told.map_or(self.desired_min_tx(), |told| self.desired_min_tx().min(told.min_tx));
        (!quiet && !wanted.is_zero()).then(|| own.max(wanted))
    }

    /// So long without a packet, and the session is down (section 6.8.4).
    pub fn detection_time(&self) -> Option<Duration> {
        let remote = self.remote?;
        let min_rx = self.told.map_or(self.settings.min_rx, |told| self.settings.min_rx.max(told.min_rx));
        Some(min_rx.max(remote.desired_min_tx) * u32::from(remote.multiplier.get()))
    }

    fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling,
            is_final: false,
            demand: false,
            multiplier: self.settings.multiplier,
            mine: self.discriminator,
            yours: self.remote.map_or(0, |remote| remote.discriminator.get()),
            desired_min_tx: self.desired_min_tx(),
            required_min_rx: self.settings.min_rx,
        }
    }

    /// Serve the deadlines that have passed.
    pub fn tick(&mut self, now: MonoTime) -> Vec<Action> {
        let mut actions = vec![];
        if self.expires_at.is_some_and(|at| at <= now) {
            self.expires_at = None;
            self.remote = None;
            match self.state {
                State::Init | State::Up => {
                    self.go(now, State::Down, Diagnostic::Expired, &mut actions);
                    // Said at once: where only our receiving is broken, the neighbour learns of it.
                    self.send_at = Some(now);
                }
                // The neighbour may have wanted no packets, and what it wanted is forgotten with it.
                State::Down if !self.settings.passive => _ = self.send_at.get_or_insert(now),
                State::AdminDown | State::Down => {}
            }
        }
        if self.send_at.is_some_and(|at| at <= now) {
            actions.push(Action::Send(self.packet()));
            self.schedule(now);
        }
        if self.settings.passive && self.remote.is_none() {
            self.send_at = None;
        }
        actions
    }

    /// The next packet goes out after the interval less a jitter of up to a quarter (section 6.8.7).
    fn schedule(&mut self, now: MonoTime) {
        // Xorshift (Marsaglia, 2003).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let least = if self.settings.multiplier.get() == 1 { 10 } else { 0 };
        let off = least + self.random % (26 - least);
        self.send_at = self.interval().map(|interval| now + interval * (100 - off) / 100);
    }

    /// A packet for this session (section 6.8.6): its TTL and discriminators have been checked.
    pub fn received(&mut self, now: MonoTime, packet: &Packet) -> Vec<Action> {
        let mut actions = vec![];
        let before = self.interval();
        let silent = self.remote.is_none();
        self.remote = Some(Remote {
            state: packet.state,
            discriminator: packet.mine,
            multiplier: packet.multiplier,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
            demand: packet.demand,
        });
        if packet.is_final {
            (self.polling, self.told) = (false, None);
        }
        if self.state == State::AdminDown {
            return actions;
        }
        match (self.state, packet.state) {
            (State::Init | State::Up, State::AdminDown) => {
                self.go(now, State::Down, Diagnostic::NeighborDown, &mut actions);
            }
            (State::Down, State::Down) => self.go(now, State::Init, Diagnostic::None, &mut actions),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.go(now, State::Up, Diagnostic::None, &mut actions);
            }
            (State::Up, State::Down) => self.go(now, State::Down, Diagnostic::NeighborDown, &mut actions),
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up)
            | (State::AdminDown, _) => {}
        }
        self.expires_at = self.detection_time().map(|time| now + time);
        if packet.poll {
            actions.push(Action::Send(Packet { poll: false, is_final: true, ..self.packet() }));
        }
        let moved = actions.iter().any(|action| matches!(action, Action::Moved { .. }));
        if moved || silent {
            // Said at once: the neighbour need not wait for it.
            actions.push(Action::Send(self.packet()));
            self.schedule(now);
        } else if self.interval() != before {
            self.schedule(now);
        }
        actions
    }

    /// Tell the neighbour, for the last time (section 6.8.16).
    pub fn shut_down(&mut self, now: MonoTime) -> Vec<Action> {
        let mut actions = vec![];
        self.go(now, State::AdminDown, Diagnostic::AdminDown, &mut actions);
        actions.push(Action::Send(self.packet()));
        (self.send_at, self.expires_at) = (None, None);
        actions
    }

    /// Other timers, for the same neighbour: a poll tells of them (section 6.8.3).
    pub fn configure(&mut self, now: MonoTime, settings: Settings) {
        if self.settings != settings {
            let Settings { min_tx, min_rx, .. } = self.settings;
            let told = self.told.unwrap_or(Told { min_tx, min_rx });
            let told = Told { min_tx: told.min_tx.min(min_tx), min_rx: told.min_rx.max(min_rx) };
            self.settings = settings;
            self.polling = self.state == State::Up;
            self.told = self.polling.then_some(told);
            self.expires_at = self.expires_at.and(self.detection_time()).map(|time| now + time);
            if !self.settings.passive || self.remote.is_some() {
                self.schedule(now);
            }
        }
    }

    fn go(&mut self, now: MonoTime, to: State, diagnostic: Diagnostic, actions: &mut Vec<Action>) {
        let from = std::mem::replace(&mut self.state, to);
        if from == to {
            return;
        }
        self.since = now;
        self.diagnostic = diagnostic;
        // Its own send interval is another one now.
        self.polling = to == State::Up;
        self.told = None;
        actions.push(Action::Moved { from, to, diagnostic });
    }
}

#[cfg(test)]
mod tests;
