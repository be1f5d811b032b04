//! From one process to the next: what the one leaves Active, and with what the other goes on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Fleet, Instance, Output, send, serve};
use crate::base::MonoTime;
use crate::vrrp::reason::Standing;
use crate::vrrp::router::{Router, Rules};
use crate::vrrp::settings::{Key, Settings};

/// A virtual router that a process leaves Active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftActive {
    pub key: Key,
    /// Nobody who heard the last advert misses the next one before.
    pub until: MonoTime,
    /// Of the last sealed packet that was sent or taken: peers take no older one.
    pub sequence: u32,
}

impl Fleet {
    /// Those that are Active, each of which sends an advert now, so that a successor has as long as there can be. None moves;
    /// who lets time pass after this breaks what it says.
    pub fn leave(&mut self, now: MonoTime) -> (Vec<LeftActive>, Vec<Output>) {
        let (mut left, mut out) = (vec![], vec![]);
        for instance in &mut self.instances {
            if instance.router.standing() != Standing::Active {
                continue;
            }
            send(instance, instance.router.priority().get(), &mut out);
            out.extend(serve(now, instance));
            left.push(LeftActive {
                key: instance.settings.key(),
                until: now + instance.router.rules().fastest_active_down(),
                sequence: instance.sequence,
            });
        }
        (left, out)
    }

    /// What the process before left: those of it that begin in time are Active at once. To be said before the first
    /// [`Fleet::reconfigure`].
    pub fn resume(&mut self, left: Vec<LeftActive>) {
        self.left = left;
    }

    /// One that is new.
    pub(super) fn begin(&mut self, now: MonoTime, settings: Arc<Settings>) -> Instance {
        let key = settings.key();
        let mut instance = Instance::new(now, settings);
        if let Some(at) = self.left.iter().position(|left| left.key == key) {
            let left = self.left.swap_remove(at);
            let rules = Rules::from(&*instance.settings);
            instance.router = Router::resuming(rules, instance.router.priority(), left.until);
            instance.sequence = left.sequence;
        }
        instance
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{AdvertInterval, Family, IfName, Priority, Vrid};
    use crate::vrrp::Happened;
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::reason::Reason;
    use crate::vrrp::router::{Event, Heard};
    use crate::vrrp::settings::{Authentication, Password, SyncGroup, VirtualAddress};

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_start(Duration::from_millis(ms))
    }

    fn settings(vrid: u8, group: Option<&str>) -> Settings {
        let addresses = vec![VirtualAddress::new(format!("10.0.0.{}/24", 100 + vrid).parse().unwrap())];
        let auth = Some(Authentication::Header(Password::new("secret")));
        let sync_group = group.map(|name| SyncGroup { name: name.to_owned(), tracking_weight: false });
        let name = format!("VI_{vrid}");
        let eth0 = "eth0".parse().unwrap();
        Settings { auth, addresses, sync_group, ..Settings::new(&name, eth0, Vrid::new(vrid).unwrap(), Family::V4) }
    }

    /// A process that begins at this time with what the one before left, and what it sets off.
    fn process(begins: MonoTime, left: Vec<LeftActive>, wanted: Vec<Settings>) -> (Fleet, Vec<Output>) {
        let eth0: IfName = "eth0".parse().unwrap();
        let own = Held { cidr: "10.0.0.1/24".parse().unwrap(), peer: None, ours: false, usable: true };
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses: vec![own] };
        let mut fleet = Fleet::default();
        fleet.links(begins, Links([(eth0, link)].into()));
        fleet.resume(left);
        let mut out = fleet.reconfigure(begins, wanted);
        out.extend(fleet.tick(begins));
        (fleet, out)
    }

    fn standings(fleet: &Fleet) -> Vec<Standing> {
        fleet.views().iter().map(|view| view.state).collect()
    }

    fn adverts(out: &[Output]) -> usize {
        out.iter().filter(|output| matches!(output, Output::SendSealed { .. })).count()
    }

    #[test]
    fn the_next_process_goes_on_as_long_as_nobody_misses_an_advert() {
        use Standing::{Active, Backup};
        let rows = [
            ("at once", 10_000, None, [Active, Active]),
            ("in the last moment", 12_999, None, [Active, Active]),
            ("too late", 13_000, None, [Backup, Backup]),
            ("with a sync group", 12_999, Some("G"), [Active, Active]),
            ("with a sync group, too late", 13_000, Some("G"), [Backup, Backup]),
        ];
        for (name, begins, group, wanted) in rows {
            let both = || vec![settings(1, group), settings(2, group)];
            let (mut fleet, _) = process(at(0), vec![], both());
            assert_eq!(fleet.leave(at(0)).0, [], "{name}: who is not Active leaves nothing");
            for _ in 0..4 {
                let next = fleet.deadline(at(0)).unwrap();
                fleet.tick(next);
            }
            assert_eq!(standings(&fleet), [Active, Active], "{name}");
            let before: Vec<u32> = fleet.instances.iter().map(|instance| instance.sequence).collect();
            let (left, out) = fleet.leave(at(10_000));
            assert_eq!((left.len(), adverts(&out), standings(&fleet)), (2, 2, vec![Active, Active]), "{name}");
            assert_eq!(left[0].until, at(13_000), "{name}: three adverts of a second");

            let text = serde_json::to_string(&left).unwrap();
            let (mut next, out) = process(at(begins), serde_json::from_str(&text).unwrap(), both());
            assert_eq!(standings(&next), wanted, "{name}");
            let resumed = |output: &Output| {
                matches!(output, Output::Happened(Happened::Moved { to: Active, reason, .. })
                    if reason.word() == if group.is_some() { "group_ready" } else { "resumed" })
            };
            let moved = out.iter().filter(|output| resumed(output)).count();
            assert_eq!(moved, wanted.iter().filter(|standing| **standing == Active).count(), "{name}: {out:?}");
            next.leave(at(begins));
            assert!(next.instances.iter().zip(before).all(|(one, before)| one.sequence > before), "{name}: no replay");
        }
    }

    /// When it announces an address from then on, in its first two seconds, if the kernel holds them after so many ms.
    fn announces(fleet: &mut Fleet, begins: MonoTime, settled_ms: u64) -> Option<Duration> {
        let keys: Vec<Key> = fleet.instances.iter().map(|instance| instance.settings.key()).collect();
        let settled = begins + Duration::from_millis(settled_ms);
        let mut now = begins;
        let mut first = None;
        while now <= begins + Duration::from_secs(2) && first.is_none() {
            let is_announced = |output: &Output| matches!(output, Output::Announce { .. });
            first = fleet.tick(now).iter().any(is_announced).then(|| now - begins);
            if now == settled {
                for key in &keys {
                    fleet.settled(now, key);
                }
            }
            let next = fleet.deadline(now).unwrap_or(settled);
            now = if now < settled { next.min(settled) } else { next.max(now) };
        }
        first
    }

    fn hears(fleet: &mut Fleet, now: MonoTime, priority: u8) {
        let heard = Heard {
            from: "10.0.0.2".parse().unwrap(),
            priority: Some(Priority::new(priority).unwrap()),
            interval: AdvertInterval::DEFAULT,
            from_greater: true,
        };
        let mut out = vec![];
        fleet.event(now, 0, Event::Heard(heard), &mut out);
    }

    #[test]
    fn who_goes_on_announces_nothing_before_it_could_hear_who_took_over() {
        let interval = Duration::from_secs(1);
        for group in [None, Some("G")] {
            let wanted = || vec![Settings { priority: Priority::new(100).unwrap(), ..settings(1, group) }];
            let (mut fleet, _) = process(at(0), vec![], wanted());
            let begins = fleet.deadline(at(0)).unwrap();
            fleet.tick(begins);
            assert_eq!(announces(&mut fleet, begins, 5), Some(Duration::from_millis(5)), "{group:?}: it took over");
            let leaves = begins + Duration::from_secs(20);
            let left = fleet.leave(leaves).0;
            assert_eq!(left.len(), 1, "{group:?}");
            let again = leaves + Duration::from_millis(500);
            let next = || process(again, left.clone(), wanted()).0;
            let listens = interval + next().instances[0].router.skew();
            assert_eq!(announces(&mut next(), again, 5), Some(listens), "{group:?}: it goes on");
            assert_eq!(
                announces(&mut next(), again, 1_700),
                Some(Duration::from_millis(1_700)),
                "{group:?}: slow kernel"
            );

            let mut yields = next();
            yields.settled(again, &wanted()[0].key());
            hears(&mut yields, again + interval / 2, 200);
            assert_eq!(standings(&yields), [Standing::Backup], "{group:?}");
            assert_eq!(
                announces(&mut yields, again + interval / 2, 5),
                None,
                "{group:?}: it took over, and keeps its clients"
            );

            let mut stays = next();
            stays.settled(again, &wanted()[0].key());
            hears(&mut stays, again + interval / 2, 50);
            let at_once = announces(&mut stays, again + interval / 2, 5);
            assert_eq!(at_once, Some(Duration::ZERO), "{group:?}: a lesser one hears who has them");
        }
    }

    #[test]
    fn who_has_a_fault_when_the_next_process_begins_does_not_go_on() {
        let key = settings(1, None).key();
        let left = LeftActive { key, until: at(13_000), sequence: 0 };
        let mut fleet = Fleet::default();
        fleet.resume(vec![left]);
        fleet.reconfigure(at(10_000), vec![settings(1, None)]);
        assert_eq!(standings(&fleet), [Standing::Fault]);
        let own = Held { cidr: "10.0.0.1/24".parse().unwrap(), peer: None, ours: false, usable: true };
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses: vec![own] };
        let out = fleet.links(at(10_001), Links([("eth0".parse().unwrap(), link)].into()));
        assert_eq!(standings(&fleet), [Standing::Backup], "{out:?}");
        assert!(fleet.view("VI_1").unwrap().reason.is_some_and(|reason| reason == Reason::FaultCleared));
    }
}
