//! One virtual router: the state machine of RFC 9568 section 6.4, with keepalived's additions.
//!
//! No socket, no clock, no task: feed it [`Event`]s with the time, carry out the [`Action`]s it returns, in
//! order. It knows no address and no tracker; [`super::fleet`] owns one per virtual router.

mod transition;

use std::net::IpAddr;
use std::time::Duration;

use super::happened::ConflictPhase;
use super::reason::{Fault, Reason, Standing};
use super::settings::{Settings, Version};
use crate::base::{AdvertInterval, MonoTime, Priority};

/// How long a stopping Active waits for its successor at most: `Active_Down` of slow adverts, within what a service
/// manager waits for a stop.
pub const HAND_OVER_MAX: Duration = Duration::from_secs(25);
/// How long it serves on when it has heard its successor, whose first advert goes out before it has the addresses.
pub const LINGER: Duration = Duration::from_millis(100);
/// Adverts of others that are answered in one interval. A flood gets no more; and when an Active goes, each of several equal
/// routers may begin and resign once, which makes all others begin unless the one that stays answers.
pub const ANSWERS_MAX: u8 = 8;

/// What the state machine needs of the [`Settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the configuration, free of the others")]
pub struct Rules {
    pub version: Version,
    pub interval: AdvertInterval,
    pub down_timer_adverts: u8,
    pub preempt: bool,
    pub preempt_delay: Duration,
    pub start_as_active: bool,
    pub silent_to_lower: bool,
    /// An advert of its own goes out before it steps down: the winner then announces its addresses again.
    pub last_word: bool,
    /// In a sync group: it may be Active only when the group says so.
    pub group: Option<String>,
}

impl From<&Settings> for Rules {
    fn from(settings: &Settings) -> Self {
        Self {
            version: settings.version,
            interval: settings.interval,
            down_timer_adverts: settings.down_timer_adverts.clamp(1, 100),
            preempt: settings.preempt,
            preempt_delay: settings.preempt_delay,
            start_as_active: settings.start_as_active,
            silent_to_lower: settings.silent_to_lower,
            last_word: settings.last_word,
            group: settings.sync_group.as_ref().map(|group| group.name.clone()),
        }
    }
}

impl Rules {
    /// `Skew_Time`: parts of a second in VRRPv2 (RFC 3768 section 6.1), of the interval in VRRPv3.
    pub fn skew(&self, interval: AdvertInterval, priority: Priority) -> Duration {
        match self.version {
            Version::V2 => AdvertInterval::DEFAULT.skew(priority),
            Version::V3 => interval.skew(priority),
        }
    }

    /// `Active_Down_Interval`.
    pub fn active_down(&self, interval: AdvertInterval, priority: Priority) -> Duration {
        interval.duration() * u32::from(self.down_timer_adverts) + self.skew(interval, priority)
    }

    /// The least that any Backup waits: its skew is never zero.
    pub fn fastest_active_down(&self) -> Duration {
        self.interval.duration() * u32::from(self.down_timer_adverts)
    }

    /// The longest that any Backup of this virtual router waits, rounded up to a skew of a whole interval.
    pub fn slowest_active_down(&self) -> Duration {
        let skew_most = match self.version {
            Version::V2 => AdvertInterval::DEFAULT.duration(),
            Version::V3 => self.interval.duration(),
        };
        self.interval.duration() * u32::from(self.down_timer_adverts) + skew_most
    }
}

/// An advert that passed all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub from: IpAddr,
    /// `None`: priority 0, the Active resigns.
    pub priority: Option<Priority>,
    pub interval: AdvertInterval,
    /// Its source address is greater than ours: it wins at equal priority (RFC 9568 section 6.4.3).
    pub from_greater: bool,
}

/// Whether it may take part, from its trackers, its interface and its sync group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A tracked script has no result yet.
    Unknown,
    Fit,
    Broken(Fault),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Level-triggered: may be repeated.
    Condition(Condition),
    Heard(Heard),
    /// Time has passed; means nothing before [`Router::deadline`].
    DeadlineReached,
    /// The effective priority.
    Priority(Priority),
    /// All members of the sync group want to be Active.
    GroupReady,
    /// Another member of the sync group left Active, or follows another router: why this one leaves Active too.
    GroupLeft {
        reason: Reason,
    },
    /// The operator wants another router to be Active. Nobody takes over: Active again, unless `force`.
    HandOver {
        force: bool,
    },
    /// Hand over, then stop for good.
    Shutdown,
    /// New settings; the state stays.
    Configured(Rules),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advert now; 0 resigns.
    Advert {
        priority: u8,
    },
    /// Hold the addresses, then announce them, and not before this.
    Take {
        announce_at: MonoTime,
    },
    /// Hold no address, announce none.
    Drop,
    /// Announce the addresses again.
    Reannounce,
    Moved {
        from: Standing,
        to: Standing,
        reason: Reason,
        late: Duration,
    },
    Conflict {
        phase: ConflictPhase,
        rival: IpAddr,
        theirs: Priority,
    },
}

#[derive(Clone, Debug)]
pub struct Router {
    rules: Rules,
    priority: Priority,
    state: State,
}

/// What only one state knows lives in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Who was Active in the process before goes on, where it begins before this time.
    Initialize {
        active_until: Option<MonoTime>,
    },
    Backup(Backup),
    Active(Active),
    Fault,
    HandingOver(HandingOver),
    Stopped,
}

/// Resigned, and still serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HandingOver {
    since: MonoTime,
    until: MonoTime,
    /// Who took over.
    to: Option<IpAddr>,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Stop,
    /// Be a Backup that lets its successor be, whatever that one's priority.
    Yield {
        force: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Active {
    advert_at: MonoTime,
    rival: Option<Rival>,
    answers: Option<Answers>,
}

/// Adverts of others that were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answers {
    /// They are counted from here on, for an interval.
    since: MonoTime,
    given: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Backup {
    active_down_at: MonoTime,
    /// VRRPv3: the interval of the Active.
    learnt: Option<AdvertInterval>,
    /// The advert that explains the next expiry of the timer.
    last: Last,
    /// `preempt_delay` runs until then.
    preempt_at: Option<MonoTime>,
    /// The timer expired, and the sync group is not ready.
    wants: bool,
    /// The operator had it hand over: it preempts nobody until the Active falls silent or resigns.
    yielded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Nothing,
    Accepted {
        at: MonoTime,
    },
    Resigned {
        by: IpAddr,
    },
    Lesser {
        by: IpAddr,
        theirs: Priority,
    },
    /// It was Active in the process before.
    Resumed,
}

/// A lesser router that is Active too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rival {
    addr: IpAddr,
    theirs: Priority,
    last_heard: MonoTime,
}

type Move = (State, Vec<Action>);

impl Router {
    pub const fn new(rules: Rules, priority: Priority) -> Self {
        Self { rules, priority, state: State::Initialize { active_until: None } }
    }

    /// One that was Active in the process before, whose adverts nobody misses before `until`: where it begins by then it is
    /// Active without a wait, else it is one that starts.
    pub const fn resuming(rules: Rules, priority: Priority, until: MonoTime) -> Self {
        Self { rules, priority, state: State::Initialize { active_until: Some(until) } }
    }

    pub const fn standing(&self) -> Standing {
        self.state.standing()
    }

    pub const fn priority(&self) -> Priority {
        self.priority
    }

    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// When [`Event::DeadlineReached`] is due.
    pub const fn deadline(&self) -> Option<MonoTime> {
        match self.state {
            State::Backup(Backup { active_down_at, .. }) => Some(active_down_at),
            State::Active(Active { advert_at, .. }) => Some(advert_at),
            State::HandingOver(HandingOver { until, .. }) => Some(until),
            State::Initialize { .. } | State::Fault | State::Stopped => None,
        }
    }

    /// A Backup whose timer expired, and whose sync group is not ready.
    pub const fn wants_active(&self) -> bool {
        match self.state {
            State::Backup(Backup { wants, .. }) => wants,
            State::Initialize { .. } | State::Active(_) | State::Fault | State::HandingOver(_) | State::Stopped => {
                false
            }
        }
    }

    /// A Backup that lets the Active be that it heard last.
    pub const fn follows(&self) -> bool {
        matches!(self.state, State::Backup(Backup { last: Last::Accepted { .. }, .. }))
    }

    /// A Backup that waits before it preempts: until when.
    pub const fn preempt_at(&self) -> Option<MonoTime> {
        match self.state {
            State::Backup(Backup { preempt_at, .. }) => preempt_at,
            State::Initialize { .. } | State::Active(_) | State::Fault | State::HandingOver(_) | State::Stopped => None,
        }
    }

    /// A Backup that an operator had hand over, and whose successor lives.
    pub const fn has_yielded(&self) -> bool {
        matches!(self.state, State::Backup(Backup { yielded: true, .. }))
    }

    pub const fn learnt_interval(&self) -> Option<AdvertInterval> {
        match self.state {
            State::Backup(Backup { learnt, .. }) => learnt,
            State::Initialize { .. } | State::Active(_) | State::Fault | State::HandingOver(_) | State::Stopped => None,
        }
    }

    /// `Active_Down_Interval` as it is now: a Backup uses the Active's interval.
    pub fn active_down(&self) -> Duration {
        self.rules.active_down(self.learnt_interval().unwrap_or(self.rules.interval), self.priority)
    }

    pub fn skew(&self) -> Duration {
        self.rules.skew(self.learnt_interval().unwrap_or(self.rules.interval), self.priority)
    }

    /// Move, and say what is to be done, in order.
    pub fn handle(&mut self, now: MonoTime, event: Event) -> Vec<Action> {
        match event {
            Event::Priority(priority) => self.priority = priority,
            Event::Configured(ref rules) => self.rules = rules.clone(),
            Event::Condition(_)
            | Event::Heard(_)
            | Event::DeadlineReached
            | Event::GroupReady
            | Event::GroupLeft { .. }
            | Event::HandOver { .. }
            | Event::Shutdown => (),
        }
        let (next, actions) = self.decide(now, event);
        self.state = next;
        actions
    }
}

impl State {
    const fn standing(&self) -> Standing {
        match self {
            Self::Initialize { .. } => Standing::Initialize,
            Self::Backup(_) => Standing::Backup,
            Self::Active(_) => Standing::Active,
            Self::Fault => Standing::Fault,
            Self::HandingOver(_) => Standing::HandingOver,
            Self::Stopped => Standing::Stopped,
        }
    }
}

#[cfg(test)]
mod tests;
