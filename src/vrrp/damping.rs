//! `interface_up_down_delays`: an interface that goes down, or comes up, counts as that after a while only, and not at all
//! where it is as before by then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::happened::LinkState;
use super::links::{Link, Links};
use super::settings::LinkDelay;
use crate::base::{IfName, MonoTime};

/// What the kernel says, and when what of it is believed.
#[derive(Clone, Debug, Default)]
pub struct Damping {
    delays: BTreeMap<IfName, Delays>,
    /// As the kernel shows them; kept only while something waits.
    seen: Links,
    /// What is not believed yet.
    waiting: BTreeMap<IfName, Waits>,
    /// Flaps of each interface, down and up, that were told lately, and those since.
    told: BTreeMap<(IfName, LinkState), Told>,
}

/// However often an interface goes down (or up) for a moment, it is told once in this time, with how often.
const TOLD_EVERY: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
struct Told {
    next_at: MonoTime,
    since: Option<Flap>,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    since: MonoTime,
    until: MonoTime,
}

/// A change that was over before it was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flap {
    pub interface: IfName,
    /// What it was in between.
    pub state: LinkState,
    /// The longest.
    pub lasted: Duration,
    pub count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Delays {
    down: Duration,
    up: Duration,
}

impl Damping {
    /// The shortest of those that name an interface holds.
    pub fn configure<'a>(&mut self, delays: impl Iterator<Item = &'a LinkDelay>) {
        self.delays.clear();
        for LinkDelay { interface, down, up } in delays {
            let (down, up) = (*down, *up);
            let known = self.delays.entry(interface.clone()).or_insert(Delays { down, up });
            *known = Delays { down: known.down.min(down), up: known.up.min(up) };
        }
    }

    /// A new snapshot: what is to be believed now, after what was, and what came to nothing.
    pub fn seen(&mut self, now: MonoTime, before: &Links, seen: Links) -> (Links, Vec<Flap>) {
        if self.delays.is_empty() && self.waiting.is_empty() {
            return (seen, vec![]);
        }
        let flap = |(name, waits): (&IfName, &Waits)| {
            let (link, old) = (seen.get(name)?, before.get(name)?);
            let state = if old.running { LinkState::Down } else { LinkState::Up };
            let is_back = link.running == old.running && link.index == old.index;
            is_back.then(|| Flap { interface: name.clone(), state, lasted: now - waits.since, count: 1 })
        };
        let flaps = self.waiting.iter().filter_map(flap).collect();
        self.seen = seen;
        (self.believed(now, before), flaps)
    }

    /// Count these with those that were not told yet.
    pub fn count(&mut self, now: MonoTime, flaps: &[Flap]) {
        for flap in flaps {
            let told =
                self.told.entry((flap.interface.clone(), flap.state)).or_insert(Told { next_at: now, since: None });
            let (count, lasted) = told.since.take().map_or((0, Duration::ZERO), |before| (before.count, before.lasted));
            let (count, lasted) = (count.saturating_add(flap.count), lasted.max(flap.lasted));
            told.since = Some(Flap { lasted, count, ..flap.clone() });
        }
    }

    /// What is to be told now.
    pub fn untold(&mut self, now: MonoTime) -> Vec<Flap> {
        self.told.retain(|_, told| told.since.is_some() || told.next_at > now);
        let due = self.told.values_mut().filter(|told| told.next_at <= now);
        let flaps = due.filter_map(|told| {
            told.next_at = now + TOLD_EVERY;
            told.since.take()
        });
        flaps.collect()
    }

    pub fn deadline(&self) -> Option<MonoTime> {
        let untold = self.told.values().filter(|told| told.since.is_some()).map(|told| told.next_at);
        self.believes_at().into_iter().chain(untold).min()
    }

    fn believes_at(&self) -> Option<MonoTime> {
        self.waiting.values().map(|waits| waits.until).min()
    }

    /// What is to be believed now that a deadline passed; `None`: none did.
    pub fn due(&mut self, now: MonoTime, before: &Links) -> Option<Links> {
        self.believes_at().filter(|at| *at <= now).map(|_| self.believed(now, before))
    }

    fn believed(&mut self, now: MonoTime, before: &Links) -> Links {
        let mut believed = self.seen.clone();
        let mut waiting = BTreeMap::new();
        for (name, delays) in &self.delays {
            let (Some(link), Some(old)) = (believed.0.get_mut(name), before.get(name)) else { continue };
            // One that was made anew is another one, and so is one that is not there any more.
            if link.running == old.running || link.index != old.index {
                continue;
            }
            let delay = if link.running { delays.up } else { delays.down };
            let waits = self.waiting.get(name).copied().unwrap_or(Waits { since: now, until: now + delay });
            if waits.until > now {
                *link = as_before(link, old);
                waiting.insert(name.clone(), waits);
            }
        }
        self.waiting = waiting;
        if self.waiting.is_empty() {
            self.seen = Links::default();
        }
        believed
    }
}

/// A link that went down may have lost addresses with it, which are not missed before it is believed.
fn as_before(link: &Link, old: &Link) -> Link {
    if old.running { old.clone() } else { Link { running: false, ..link.clone() } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delays of an interface, what the kernel shows of it at which time, and what is believed after each.
    #[test]
    fn a_change_is_believed_when_it_has_lasted() {
        let name: IfName = "eth0".parse().unwrap();
        let shown = |state: char| {
            let link = |index, running| Link { index, running, mac: None, downs: 0, addresses: vec![] };
            let link = match state {
                'u' => Some(link(2, true)),
                'd' => Some(link(2, false)),
                'U' => Some(link(3, true)),
                _ => None,
            };
            Links(link.map(|link| (name.clone(), link)).into_iter().collect())
        };
        let delay = |down, up| {
            let [down, up] = [down, up].map(Duration::from_secs);
            LinkDelay { interface: name.clone(), down, up }
        };
        // (delays, what the kernel shows second by second and '.' where it says nothing, what is believed)
        let rows = [
            ("none", vec![], "udud", "udud"),
            ("it lasts", vec![delay(3, 0)], "ud...", "uuuud"),
            ("it is back before", vec![delay(3, 0)], "ud.u...", "uuuuuuu"),
            ("each time anew", vec![delay(3, 0)], "ud.ud..d", "uuuuuuud"),
            ("news do not put it off", vec![delay(3, 0)], "uddddd", "uuuudd"),
            ("up late", vec![delay(0, 2)], "udu..", "udddu"),
            ("down at once, up late", vec![delay(0, 2)], "ududu..", "udddddu"),
            ("gone is gone", vec![delay(9, 9)], "u-u", "u-u"),
            ("made anew", vec![delay(9, 9)], "udU", "uuU"),
            ("the shortest", vec![delay(9, 9), delay(1, 9)], "ud.", "uud"),
        ];
        for (what, delays, kernel, expected) in rows {
            let mut damping = Damping::default();
            damping.configure(delays.iter());
            let mut before = Links::default();
            let mut said = String::new();
            for (second, state) in kernel.chars().enumerate() {
                let now = MonoTime::from_start(Duration::from_secs(100 + second as u64));
                before = match state {
                    '.' => damping.due(now, &before).unwrap_or(before),
                    state => damping.seen(now, &before, shown(state)).0,
                };
                said.extend("udU-".chars().find(|state| shown(*state) == before));
            }
            assert_eq!(said, expected.chars().take(kernel.len()).collect::<String>(), "{what}");
        }
    }

    #[test]
    fn what_waits_when_the_delays_go_is_no_news_from_before() {
        let name: IfName = "eth0".parse().unwrap();
        let links = |running| {
            Links([(name.clone(), Link { index: 2, running, mac: None, downs: 0, addresses: vec![] })].into())
        };
        let [down, up] = [Duration::from_secs(9); 2];
        for back in [false, true] {
            let mut damping = Damping::default();
            damping.configure([LinkDelay { interface: name.clone(), down, up }].iter());
            let now = MonoTime::from_start(Duration::from_secs(100));
            let mut believed = damping.seen(now, &links(true), links(false)).0;
            assert_eq!(believed, links(true));
            damping.configure([].iter());
            if back {
                believed = damping.seen(now, &believed, links(true)).0;
            }
            let last = damping.due(now + down, &believed).unwrap_or(believed);
            assert_eq!((last, damping.deadline()), (links(back), None), "back: {back}");
        }
    }

    #[test]
    fn what_an_interface_loses_while_it_may_be_back_is_not_missed() {
        let name: IfName = "eth0".parse().unwrap();
        let held =
            super::super::links::Held { cidr: "192.0.2.1/24".parse().unwrap(), peer: None, ours: true, usable: true };
        let links = |running, addresses| {
            Links([(name.clone(), Link { index: 2, running, mac: None, downs: 0, addresses })].into())
        };
        let mut damping = Damping::default();
        let [down, up] = [Duration::from_secs(1); 2];
        damping.configure([LinkDelay { interface: name.clone(), down, up }].iter());
        let now = MonoTime::from_start(Duration::from_secs(100));
        let before = links(true, vec![held]);
        assert_eq!(damping.seen(now, &before, links(false, vec![])).0, before);
        assert_eq!(damping.deadline(), Some(now + down));
        assert_eq!(damping.due(now + down, &before), Some(links(false, vec![])));
        assert_eq!(damping.deadline(), None);
    }

    #[test]
    fn a_storm_of_flaps_is_told_once_in_ten_seconds_and_none_is_forgotten() {
        let at = |ms| MonoTime::from_start(Duration::from_millis(ms));
        let mut damping = Damping::default();
        let mut told = vec![];
        for number in 1..=20 {
            let (interface, lasted) = ("eth0".parse().unwrap(), Duration::from_millis(number));
            damping.count(at(number * 50), &[Flap { interface, state: LinkState::Down, lasted, count: 1 }]);
            told.extend(damping.untold(at(number * 50)));
        }
        assert_eq!(told.iter().map(|flap| flap.count).collect::<Vec<_>>(), [1]);
        assert_eq!(damping.deadline(), Some(at(10_050)));
        let rest = damping.untold(at(10_050));
        let rest: Vec<_> = rest.iter().map(|flap| (flap.count, flap.lasted.as_millis())).collect();
        assert_eq!(rest, [(19, 20)]);
        assert_eq!((damping.deadline(), damping.untold(at(20_050))), (None, vec![]));
        assert!(damping.told.is_empty());
    }

    #[test]
    fn flaps_down_and_up_are_counted_apart() {
        let flap =
            |state| Flap { interface: "eth0".parse().unwrap(), state, lasted: Duration::from_millis(9), count: 1 };
        let states = [LinkState::Down, LinkState::Up, LinkState::Down];
        let mut damping = Damping::default();
        damping.count(MonoTime::ZERO, &states.map(flap));
        let told = damping.untold(MonoTime::ZERO);
        let told: Vec<_> = told.iter().map(|flap| (flap.state, flap.count)).collect();
        assert_eq!(told, [(LinkState::Up, 1), (LinkState::Down, 2)]);
    }
}
