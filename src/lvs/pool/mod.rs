//! A virtual server's pool: settings and health in, table entries and events out.
//!
//! It says what the plane should hold and what users are told of; it knows no checker, no plane, no time.
//! The rules are keepalived's (`ipwrapper.c`): quorum, hysteresis, sorry server, inhibition.

mod settings;
mod view;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Destination, DestinationKey, Entry, ServiceKey};
use super::timed::{FIRST_PERCENT, Timer};
use crate::base::{Weight, WeightWish};
use settings::reaches;
pub use settings::{Adjustment, PoolId, PoolSettings, RealServer, SorryServer, Start, table_key};
pub use view::{LeavingView, PoolView, RealServerView, SorryServerView};

/// What is known of a real server's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// `alpha`, and no result so far: counts as down.
    Untried,
    Up,
    Down,
}

/// What a pool keeps of a real server from one reload to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    health: Health,
    /// The weight a checker asked for, in place of the configured one.
    dynamic_weight: Option<WeightWish>,
    /// `slow_start`: the share of its weight that it has got so far, in percent; `None`: all.
    ramp: Option<u16>,
    /// That it is up, or down, was told.
    told: bool,
    /// What an operator wants of it; its health goes on being counted.
    wish: Option<Wish>,
}

/// What an operator wants of a real server, above the configuration and its checkers, until it is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// No new connections: weight 0 and no part in the quorum. Those that are there go on.
    Drain,
    /// Out of the table, with the connections that are there, and no part in the quorum.
    Disable,
    /// This weight while it is up.
    Weight(Weight),
}

/// As operators type it.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain => f.write_str("drain"),
            Self::Disable => f.write_str("disable"),
            Self::Weight(weight) => write!(f, "weight {weight}"),
        }
    }
}

/// Something that happened to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Up {
        real_server: DestinationKey,
    },
    Down {
        real_server: DestinationKey,
    },
    /// A checker asks for this weight; `None` goes back to the configured one.
    Weight {
        real_server: DestinationKey,
        weight: Option<WeightWish>,
    },
    /// `slow_start`: its share of the weight from now on, in percent; `None`: all.
    Ramp {
        real_server: DestinationKey,
        percent: Option<u16>,
    },
    /// `drain_time` of a server that left the configuration is over.
    Left {
        real_server: DestinationKey,
    },
    /// An operator's wish; `None` takes it back.
    Operator {
        real_server: DestinationKey,
        wish: Option<Wish>,
    },
}

impl Event {
    pub const fn real_server(&self) -> DestinationKey {
        match *self {
            Self::Up { real_server }
            | Self::Down { real_server }
            | Self::Weight { real_server, .. }
            | Self::Ramp { real_server, .. }
            | Self::Left { real_server }
            | Self::Operator { real_server, .. } => real_server,
        }
    }
}

/// What users are told: `notify_up`, `quorum_down`, mail, metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolEvent {
    RealServerUp {
        real_server: DestinationKey,
    },
    RealServerDown {
        real_server: DestinationKey,
    },
    /// The sum of live weights reached `threshold`.
    QuorumGained {
        weight: u64,
        threshold: u64,
    },
    /// The sum of live weights is below `threshold`.
    QuorumLost {
        weight: u64,
        threshold: u64,
    },
    SorryServerIn {
        sorry_server: DestinationKey,
    },
    SorryServerOut {
        sorry_server: DestinationKey,
    },
    /// A reload removed the real server, and with it what an operator wanted of it.
    WishDropped {
        real_server: DestinationKey,
        wish: Wish,
    },
}

impl fmt::Display for PoolEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RealServerUp { real_server } => write!(f, "real server {real_server} is in"),
            Self::RealServerDown { real_server } => write!(f, "real server {real_server} is out"),
            Self::QuorumGained { weight, threshold } => write!(f, "has quorum: weight {weight} of {threshold}"),
            Self::QuorumLost { weight, threshold } => write!(f, "lost quorum: weight {weight} of {threshold}"),
            Self::SorryServerIn { sorry_server } => write!(f, "sorry server {sorry_server} serves"),
            Self::SorryServerOut { sorry_server } => write!(f, "sorry server {sorry_server} rests"),
            Self::WishDropped { real_server, wish } => {
                write!(f, "real server {real_server} is gone, and with it the operator's `{wish}`")
            }
        }
    }
}

/// An event for a real server that the pool does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pool} has no real server {real_server}")]
pub struct UnknownRealServer {
    pub pool: PoolId,
    pub real_server: DestinationKey,
}

/// Settings and health of one virtual server. Real servers are named as the configuration names them.
#[derive(Clone, Debug)]
pub struct Pool {
    settings: PoolSettings,
    members: BTreeMap<DestinationKey, Member>,
    /// Servers that left the configuration and keep their connections for a while.
    leaving: BTreeMap<DestinationKey, RealServer>,
    quorum_up: bool,
}

impl Pool {
    /// Start with the health that each real server starts with, and what is known of some besides; the first quorum verdict
    /// is an event.
    pub fn new(settings: PoolSettings, known: &[Event]) -> (Self, Vec<PoolEvent>) {
        let (settings, _) = settings.adjusted();
        let mut members: BTreeMap<_, _> =
            settings.real_servers.iter().map(|(at, real)| (*at, Member::starting(real.start))).collect();
        for event in known {
            let at = event.real_server();
            if let (Some(member), Some(real)) = (members.get_mut(&at), settings.real_servers.get(&at)) {
                member.know(*event, real.start);
            }
        }
        let mut pool = Self { settings, members, leaving: BTreeMap::new(), quorum_up: false };
        let mut told = pool.judge();
        if !pool.quorum_up {
            // keepalived tells the verdict at start even where nothing changed.
            told.push(PoolEvent::QuorumLost { weight: pool.live_weight(), threshold: pool.threshold() });
            told.extend(pool.sorry_in());
        }
        (pool, told)
    }

    /// Take up other settings; the health of real servers that stay is kept.
    ///
    /// Real servers that go are gone without an event, nobody checks them any more; what an operator wanted of them is
    /// told to be gone. With `drain_time` they stay in the table for a while.
    pub fn reconfigure(&mut self, settings: PoolSettings) -> Vec<PoolEvent> {
        let (settings, _) = settings.adjusted();
        let old_sorry = self.sorry_address();
        let mut members = BTreeMap::new();
        for (at, real) in &settings.real_servers {
            let kept = self.members.get(at).map_or_else(|| Member::starting(real.start), |m| m.carried(real.start));
            members.insert(*at, kept);
        }
        let goes = |at: &DestinationKey| !settings.real_servers.contains_key(at);
        if settings.drain_time.is_zero() {
            self.leaving.clear();
        } else {
            let served = self.settings.real_servers.iter().filter(|(at, real)| self.weight_now(**at, real).is_some());
            let left: Vec<_> = served.filter(|(at, _)| goes(at)).map(|(at, real)| (*at, *real)).collect();
            self.leaving.extend(left);
            // The services of a group may be others now.
            let served = |at, forwarding| settings.services.iter().any(|key| reaches(*key, at, forwarding));
            self.leaving.retain(|at, real| goes(at) && served(*at, real.forwarding));
        }
        let mut told: Vec<_> = self.wishes().filter(|(at, _)| !members.contains_key(at)).map(dropped).collect();
        self.members = members;
        self.settings = settings;
        if !self.quorum_up && self.sorry_address() != old_sorry {
            told.extend(old_sorry.map(|sorry_server| PoolEvent::SorryServerOut { sorry_server }));
            told.extend(self.sorry_in());
        }
        told.extend(self.judge());
        told
    }

    /// Take in what happened, and say what users are to be told, in order.
    ///
    /// # Errors
    /// [`UnknownRealServer`]: the checker belongs to a configuration that is gone.
    pub fn handle(&mut self, event: Event) -> Result<Vec<PoolEvent>, UnknownRealServer> {
        let at = event.real_server();
        if matches!(event, Event::Left { .. }) {
            self.leaving.remove(&at);
            return Ok(vec![]);
        }
        let slow_start = !self.settings.slow_start.is_zero();
        let init_notifies = self.settings.init_notifies;
        let unknown = || UnknownRealServer { pool: self.settings.id.clone(), real_server: at };
        let start = self.settings.real_servers.get(&at).ok_or_else(unknown)?.start;
        let member = self.members.get_mut(&at).ok_or_else(unknown)?;
        let mut told = vec![];
        match event {
            Event::Up { real_server } => {
                if member.health != Health::Up || (init_notifies && !member.told) {
                    told.push(PoolEvent::RealServerUp { real_server });
                }
                if member.health != Health::Up && slow_start {
                    member.ramp = Some(FIRST_PERCENT);
                }
                member.told = true;
                member.health = Health::Up;
            }
            Event::Down { real_server } => {
                // A server without checkers is always up; of an alpha server the first result is told.
                if start != Start::Unchecked {
                    if member.health != Health::Down || (init_notifies && !member.told) {
                        told.push(PoolEvent::RealServerDown { real_server });
                    }
                    (member.told, member.ramp) = (true, None);
                    member.health = Health::Down;
                }
            }
            Event::Weight { weight, .. } => member.dynamic_weight = weight,
            Event::Ramp { percent, .. } => member.ramp = percent,
            // Dealt with above: it is none of the members.
            Event::Left { .. } => {}
            Event::Operator { wish, .. } => member.wish = wish,
        }
        told.extend(self.judge());
        Ok(told)
    }

    /// What is told of a pool that a reload removed.
    pub fn removed(&self) -> Vec<PoolEvent> {
        self.stop().into_iter().chain(self.wishes().map(dropped)).collect()
    }

    fn wishes(&self) -> impl Iterator<Item = (DestinationKey, Wish)> {
        self.members.iter().filter_map(|(at, member)| Some((*at, member.wish?)))
    }

    /// What stopping tells: with `omega` everything that is up goes down, else nothing.
    pub fn stop(&self) -> Vec<PoolEvent> {
        if !self.settings.omega {
            return vec![];
        }
        let up = self.members.iter().filter(|(_, member)| member.health == Health::Up);
        let mut told: Vec<_> = up.map(|(at, _)| PoolEvent::RealServerDown { real_server: *at }).collect();
        if self.quorum_up {
            told.push(PoolEvent::QuorumLost { weight: 0, threshold: self.threshold() });
        }
        told
    }

    pub const fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// What it waits for.
    pub fn timers(&self) -> impl Iterator<Item = (DestinationKey, Timer)> {
        let ramping = self.members.iter().filter(|(_, member)| member.ramp.is_some());
        let ramping = ramping.map(|(at, _)| (*at, Timer::SlowStart(self.settings.slow_start)));
        ramping.chain(self.leaving.keys().map(|at| (*at, Timer::Drain(self.settings.drain_time))))
    }

    pub const fn has_quorum(&self) -> bool {
        self.quorum_up
    }

    /// What the plane should hold of this pool: an entry for each of its services.
    pub fn desired(&self) -> Vec<(ServiceKey, Entry)> {
        self.settings.services.iter().map(|key| (*key, self.entry(*key))).collect()
    }

    fn entry(&self, key: ServiceKey) -> Entry {
        let mut destinations: BTreeMap<DestinationKey, Destination> = BTreeMap::new();
        for (at, real) in &self.settings.real_servers {
            let Some(weight) = self.weight_now(*at, real).filter(|_| reaches(key, *at, real.forwarding)) else {
                continue;
            };
            // Two real servers can fold into one destination where the port is forced: the heavier one stands.
            let to =
                destinations.entry(table_key(key, *at, real.forwarding)).or_insert_with(|| real.destination(weight));
            if weight > to.weight {
                *to = real.destination(weight);
            }
        }
        for (at, real) in self.leaving.iter().filter(|(at, real)| reaches(key, **at, real.forwarding)) {
            let at = table_key(key, *at, real.forwarding);
            destinations.entry(at).or_insert_with(|| real.destination(Weight::ZERO));
        }
        let sorry = self.settings.sorry_server.filter(|sorry| reaches(key, sorry.address, sorry.forwarding));
        if let Some(sorry) = sorry {
            let at = table_key(key, sorry.address, sorry.forwarding);
            if !self.quorum_up {
                destinations.insert(at, sorry.destination(Weight::ONE));
            } else if sorry.inhibit {
                destinations.entry(at).or_insert_with(|| sorry.destination(Weight::ZERO));
            }
        }
        Entry { service: self.settings.service, destinations }
    }

    /// The weight in the table; `None`: not in the table. One that is drained keeps its connections beside a sorry
    /// server too: that is what a drain is for.
    fn weight_now(&self, at: DestinationKey, real: &RealServer) -> Option<Weight> {
        let member = self.members.get(&at)?;
        let up = member.health == Health::Up;
        let replaced = !self.quorum_up && self.settings.sorry_server.is_some();
        match member.wish {
            Some(Wish::Disable) => None,
            Some(Wish::Drain) if up => Some(Weight::ZERO),
            Some(Wish::Weight(weight)) if up && !replaced => Some(weight),
            None if up && !replaced => Some(member.ramped(real.weight)),
            Some(Wish::Drain | Wish::Weight(_)) | None => real.inhibit_on_failure.then_some(Weight::ZERO),
        }
    }

    /// Sum of the weights of live real servers.
    fn live_weight(&self) -> u64 {
        let live = self.members.iter().filter(|(_, member)| member.health == Health::Up);
        let weights = live.filter_map(|(at, member)| {
            let configured = self.settings.real_servers.get(at)?.weight;
            let weight = match member.wish {
                Some(Wish::Drain | Wish::Disable) => Weight::ZERO,
                Some(Wish::Weight(weight)) => weight,
                None => member.asked(configured),
            };
            Some(u64::from(weight.get()))
        });
        weights.sum()
    }

    /// The sum of weights at which the verdict turns.
    fn threshold(&self) -> u64 {
        let (quorum, hysteresis) = (u64::from(self.settings.quorum), u64::from(self.settings.hysteresis));
        if self.quorum_up { quorum.saturating_sub(hysteresis) } else { quorum + hysteresis }
    }

    fn judge(&mut self) -> Vec<PoolEvent> {
        let (weight, threshold) = (self.live_weight(), self.threshold());
        match (self.quorum_up, weight >= threshold) {
            (true, true) | (false, false) => vec![],
            (false, true) => {
                self.quorum_up = true;
                let out = self.sorry_address().map(|sorry_server| PoolEvent::SorryServerOut { sorry_server });
                std::iter::once(PoolEvent::QuorumGained { weight, threshold }).chain(out).collect()
            }
            (true, false) => {
                self.quorum_up = false;
                std::iter::once(PoolEvent::QuorumLost { weight, threshold }).chain(self.sorry_in()).collect()
            }
        }
    }

    fn sorry_in(&self) -> Option<PoolEvent> {
        self.sorry_address().map(|sorry_server| PoolEvent::SorryServerIn { sorry_server })
    }

    fn sorry_address(&self) -> Option<DestinationKey> {
        self.settings.sorry_server.map(|sorry| sorry.address)
    }
}

const fn dropped((real_server, wish): (DestinationKey, Wish)) -> PoolEvent {
    PoolEvent::WishDropped { real_server, wish }
}

impl Member {
    const fn starting(start: Start) -> Self {
        let health = match start {
            Start::Unchecked | Start::Up => Health::Up,
            Start::Down => Health::Untried,
        };
        Self { health, dynamic_weight: None, ramp: None, told: false, wish: None }
    }

    /// What was so before it began is nothing that happens: nobody is told, and no share has to grow.
    const fn know(&mut self, event: Event, start: Start) {
        match (event, start) {
            (Event::Up { .. }, _) => self.health = Health::Up,
            (Event::Down { .. }, Start::Up | Start::Down) => self.health = Health::Down,
            (Event::Weight { weight, .. }, _) => self.dynamic_weight = weight,
            (Event::Down { .. }, Start::Unchecked)
            | (Event::Ramp { .. } | Event::Left { .. } | Event::Operator { .. }, _) => {}
        }
    }

    /// The weight that a checker asked for, else the configured one.
    fn asked(&self, configured: Weight) -> Weight {
        self.dynamic_weight.map_or(configured, |wish| wish.of(configured))
    }

    /// The same as far as `slow_start` has come.
    fn ramped(&self, configured: Weight) -> Weight {
        let whole = self.asked(configured);
        self.ramp.map_or(whole, |percent| WeightWish::Percent(percent).of(whole))
    }

    /// The same member under other settings: one without checkers is up.
    const fn carried(self, start: Start) -> Self {
        match start {
            Start::Unchecked => Self { health: Health::Up, dynamic_weight: None, ramp: None, ..self },
            Start::Up | Start::Down => self,
        }
    }
}

#[cfg(test)]
mod tests;
