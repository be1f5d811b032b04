//! The last events, for `status`: what moved, when, and why. Bounded; the oldest goes first.

use std::collections::VecDeque;

use crate::base::MonoTime;
use crate::control::api::{EVENTS_MAX, EventStatus};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Instance,
    RealServer,
    VirtualServer,
    Script,
    Config,
    Plane,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::RealServer => "real_server",
            Self::VirtualServer => "virtual_server",
            Self::Script => "script",
            Self::Config => "config",
            Self::Plane => "plane",
        }
    }
}

#[derive(Debug, Default)]
pub struct Recorder {
    events: VecDeque<(MonoTime, Kind, String, String)>,
}

impl Recorder {
    /// Keep one; the oldest of [`EVENTS_MAX`] makes room.
    pub fn record(&mut self, now: MonoTime, kind: Kind, name: &str, text: String) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back((now, kind, name.to_owned(), text));
    }

    /// Oldest first, as seen from `now`.
    pub fn list(&self, now: MonoTime) -> Vec<EventStatus> {
        let told = |(at, kind, name, text): &(MonoTime, Kind, String, String)| EventStatus {
            s_ago: now.since(*at).as_secs_f64(),
            kind: kind.word().to_owned(),
            name: name.clone(),
            text: text.clone(),
        };
        self.events.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut recorder = Recorder::default();
        for number in 0..EVENTS_MAX + 3 {
            recorder.record(MonoTime::ZERO, Kind::Instance, "VI_1", number.to_string());
        }
        let told = recorder.list(MonoTime::from_start(Duration::from_secs(2)));
        assert_eq!(told.len(), EVENTS_MAX);
        assert_eq!((told[0].text.as_str(), told[0].s_ago), ("3", 2.0));
    }
}
