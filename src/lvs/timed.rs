//! What changes in a pool by time alone: the growing share of a server that came back (`slow_start`), and the end of one
//! that left the configuration (`drain_time`).
//!
//! It reads no clock: `daemon/lvs.rs` asks what is due.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::MonoTime;
use crate::lvs::pool::{Event, PoolId};
use crate::lvs::table::DestinationKey;

/// A ramp has this many steps; the first share is one of them.
const STEPS: u16 = 20;
/// In percent, with the first step.
pub const FIRST_PERCENT: u16 = 100 / STEPS;

/// What a pool waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The whole ramp.
    SlowStart(Duration),
    /// The longest stay of a server that left.
    Drain(Duration),
}

#[derive(Clone, Copy, Debug)]
struct Running {
    timer: Timer,
    since: MonoTime,
    due: MonoTime,
}

/// The timers of all pools of a plane; as many as there are real servers that ramp or leave.
#[derive(Clone, Debug, Default)]
pub struct Timed(BTreeMap<(PoolId, DestinationKey), Running>);

impl Timed {
    /// Exactly these run: one that is new begins now, one that goes on keeps its time.
    pub fn follow(&mut self, now: MonoTime, wanted: Vec<(PoolId, DestinationKey, Timer)>) {
        let mut before = std::mem::take(&mut self.0);
        for (pool, real_server, timer) in wanted {
            let key = (pool, real_server);
            let kept = before.remove(&key).filter(|kept| kept.timer == timer);
            let running = kept.unwrap_or_else(|| Running { timer, since: now, due: next(timer, now, now) });
            self.0.insert(key, running);
        }
    }

    /// When [`Timed::due`] is to be asked next.
    pub fn deadline(&self) -> Option<MonoTime> {
        self.0.values().map(|running| running.due).min()
    }

    /// What has come to pass. A timer that has ended is forgotten.
    pub fn due(&mut self, now: MonoTime) -> Vec<(PoolId, Event)> {
        let mut events = vec![];
        self.0.retain(|(pool, real_server), running| {
            if running.due > now {
                return true;
            }
            let (event, goes_on) = match running.timer {
                Timer::Drain(_) => (Event::Left { real_server: *real_server }, false),
                Timer::SlowStart(over) => {
                    let percent = percent(over, now.since(running.since));
                    running.due = next(running.timer, running.since, now);
                    (Event::Ramp { real_server: *real_server, percent }, percent.is_some())
                }
            };
            events.push((pool.clone(), event));
            goes_on
        });
        events
    }
}

fn step(over: Duration) -> Duration {
    (over / u32::from(STEPS)).max(Duration::from_millis(1))
}

/// `None`: it has the whole of its weight.
fn percent(over: Duration, passed: Duration) -> Option<u16> {
    let steps = u16::try_from(passed.as_nanos() / step(over).as_nanos()).unwrap_or(STEPS);
    (steps < STEPS).then(|| (steps.max(1) * 100) / STEPS)
}

fn next(timer: Timer, since: MonoTime, now: MonoTime) -> MonoTime {
    match timer {
        Timer::Drain(longest) => since + longest,
        Timer::SlowStart(over) => {
            let step = step(over);
            let passed = now.since(since).as_nanos() / step.as_nanos();
            since + step * u32::try_from(passed.saturating_add(1)).unwrap_or(u32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::lvs::table::{Protocol, ServiceKey};

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_start(Duration::from_secs(seconds))
    }

    fn key(n: u8) -> (PoolId, DestinationKey) {
        let addr = Ipv4Addr::new(192, 0, 2, 1).into();
        let pool = PoolId::Service(ServiceKey::Address { protocol: Protocol::Tcp, addr, port: 80 });
        (pool, DestinationKey { addr: Ipv4Addr::new(10, 0, 0, n).into(), port: 80 })
    }

    #[test]
    fn a_share_grows_in_equal_steps_to_the_whole() {
        let (pool, real_server) = key(1);
        let mut timed = Timed::default();
        let wanted = || vec![(pool.clone(), real_server, Timer::SlowStart(Duration::from_secs(40)))];
        timed.follow(at(100), wanted());
        let mut shares = vec![];
        while let Some(now) = timed.deadline() {
            for (_, event) in timed.due(now) {
                let Event::Ramp { percent, .. } = event else { panic!("{event:?}") };
                shares.push((now.since(at(100)).as_secs(), percent));
            }
            // Whatever else happens to the pool, the ramp keeps its time.
            if timed.deadline().is_some() {
                timed.follow(now, wanted());
            }
        }
        let steps = (1..20_u16).map(|step| (u64::from(step) * 2, Some(step * 5)));
        assert_eq!(shares, steps.chain([(40, None)]).collect::<Vec<_>>());
    }

    #[test]
    fn a_late_look_skips_steps_and_one_that_is_not_wanted_ends() {
        let (pool, real_server) = key(1);
        let mut timed = Timed::default();
        timed.follow(at(0), vec![(pool.clone(), real_server, Timer::SlowStart(Duration::from_secs(40)))]);
        let event = |percent| vec![(pool.clone(), Event::Ramp { real_server, percent })];
        assert_eq!(timed.due(at(1)), []);
        assert_eq!(timed.due(at(21)), event(Some(50)));
        assert_eq!(timed.deadline(), Some(at(22)));
        timed.follow(at(21), vec![]);
        assert_eq!((timed.deadline(), timed.due(at(99))), (None, vec![]));
    }

    #[test]
    fn one_that_left_goes_at_its_time() {
        let (pool, real_server) = key(2);
        let mut timed = Timed::default();
        timed.follow(at(5), vec![(pool.clone(), real_server, Timer::Drain(Duration::from_secs(30)))]);
        assert_eq!(timed.due(at(34)), []);
        assert_eq!(timed.due(at(35)), [(pool, Event::Left { real_server })]);
        assert_eq!(timed.deadline(), None);
    }
}
