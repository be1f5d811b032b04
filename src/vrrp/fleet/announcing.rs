//! Announcements in turn: `garp_interval` and `gna_interval` are between two on one interface, or on the interfaces of a
//! `garp_group`, of whichever virtual routers. Answers to claims of others wait for nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Fleet, Output};
use crate::base::{Family, IfName, MonoTime};
use crate::vrrp::announce::PACE;
use crate::vrrp::instance::Instance;
use crate::vrrp::settings::Garp;

/// What shares one interval: the interface, or the first of its group.
pub(super) type Lane = (IfName, Family);

impl Fleet {
    /// When the next announcement may go out.
    pub(super) fn announces_at(&self) -> Option<MonoTime> {
        let each = self.instances.iter().filter_map(|instance| {
            let due = instance.announces_at()?;
            let free = lane(instance).and_then(|(lane, _)| self.lanes.get(&lane).copied());
            Some(free.map_or(due, |free| due.max(free)))
        });
        each.min()
    }

    /// Whatever is due, and one of each lane.
    pub(super) fn announce(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        let mut turns: BTreeMap<Lane, (MonoTime, usize, Duration)> = BTreeMap::new();
        for (position, instance) in self.instances.iter_mut().enumerate() {
            let claimed = instance.claims.due(now);
            announce(instance, now, claimed, out);
            let Some(due) = instance.announces_at().filter(|at| *at <= now) else { continue };
            match lane(instance) {
                None => all_due(instance, now, Duration::ZERO, out),
                Some((lane, _)) if self.lanes.get(&lane).is_some_and(|free| *free > now) => (),
                // Who waited for longest.
                Some((lane, interval)) => {
                    let first = turns.entry(lane).or_insert((due, position, interval));
                    *first = (*first).min((due, position, interval));
                }
            }
        }
        for (lane, (_, position, interval)) in turns {
            let Some(instance) = self.instances.get_mut(position) else { continue };
            let before = out.len();
            all_due(instance, now, interval, out);
            if out.len() > before {
                self.lanes.insert(lane, now + interval);
            }
        }
    }
}

/// Of the address that is next, and how long it is closed then; `None`: it waits for no other.
fn lane(instance: &Instance) -> Option<(Lane, Duration)> {
    let settings = &instance.settings;
    let next = settings.addresses.get(instance.announcer.next());
    let interface = next.map_or(&settings.interface, |address| settings.below(address));
    let (leader, interval) = settings
        .garp_lanes
        .get(interface)
        .map_or((interface, settings.garp.interval), |lane| (&lane.leader, lane.interval));
    // Where others of its addresses are spaced, they go one by one.
    let mut all = settings.garp_lanes.values().map(|lane| lane.interval).chain([settings.garp.interval]);
    let interval = if interval.is_zero() && all.any(|each| !each.is_zero()) { PACE } else { interval };
    (!interval.is_zero()).then(|| ((leader.clone(), settings.family), interval))
}

fn all_due(instance: &mut Instance, now: MonoTime, interval: Duration, out: &mut Vec<Output>) {
    let garp = Garp { interval, ..instance.settings.garp };
    let own = instance.announcer.due(now, &garp, instance.settings.addresses.len());
    let extra = if own.is_empty() || interval.is_zero() { instance.extra_due(now) } else { vec![] };
    announce(instance, now, own.chain(extra), out);
}

fn announce(instance: &mut Instance, now: MonoTime, positions: impl IntoIterator<Item = usize>, out: &mut Vec<Output>) {
    for position in positions {
        let settings = &instance.settings;
        let Some(address) = settings.addresses.get(position) else { continue };
        let interface = settings.device_of(address).clone();
        out.push(Output::Announce { key: settings.key(), interface, address: address.cidr.addr() });
        instance.note_announced(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Priority, Vrid};
    use crate::vrrp::announce::AFTER_LINGER;
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::settings::{Garp, GarpLane, Settings, VirtualAddress};

    /// When which address of these routers is announced, in milliseconds.
    fn seen(interfaces: &[&str], routers: Vec<Settings>) -> Vec<(u64, String)> {
        let mut fleet = Fleet::default();
        let mut now = MonoTime::ZERO;
        let link = |(index, name): (u32, &&str)| {
            let cidr = format!("192.0.2.{index}/24").parse().unwrap();
            let held = Held { cidr, peer: None, ours: false, usable: true };
            (name.parse().unwrap(), Link { index, running: true, mac: None, downs: 0, addresses: vec![held] })
        };
        fleet.links(now, Links((200..).zip(interfaces).map(link).collect()));
        let keys: Vec<_> = routers.iter().map(Settings::key).collect();
        fleet.reconfigure(now, routers);
        for key in &keys {
            fleet.settled(now, key);
        }
        let mut seen = vec![];
        // What follows a takeover later is of no concern here.
        let end = now + AFTER_LINGER;
        while let Some(at) = fleet.deadline(now).filter(|at| *at < end) {
            now = at.max(now);
            for output in fleet.tick(now) {
                if let Output::Announce { address, .. } = output {
                    seen.push((u64::try_from((now - MonoTime::ZERO).as_millis()).unwrap(), address.to_string()));
                }
            }
        }
        seen
    }

    /// Owners on these interfaces with two addresses each, on `devs` or there; all in a `garp_group` that `leader` names.
    fn announced(interfaces: &[&str], devs: &[&str], interval_ms: u64, leader: Option<&str>) -> Vec<(u64, String)> {
        let router = |(vrid, name): (u8, &&str)| {
            let mut settings =
                Settings::new(&vrid.to_string(), name.parse().unwrap(), Vrid::new(vrid).unwrap(), Family::V4);
            settings.priority = Priority::OWNER;
            let interval = Duration::from_millis(interval_ms);
            settings.garp = Garp { repeat: 2, delay: Duration::ZERO, interval, ..Garp::default() };
            let leader = leader.map(|leader| leader.parse::<IfName>().unwrap());
            let lane = |name: &&str| Some((name.parse().unwrap(), GarpLane { leader: leader.clone()?, interval }));
            settings.garp_lanes = interfaces.iter().filter_map(lane).collect();
            let dev = devs.get(usize::from(vrid) - 1).map(|dev| dev.parse().unwrap());
            let address = |at| {
                let cidr = format!("192.0.2.{vrid}{at}/24").parse().unwrap();
                VirtualAddress { dev: dev.clone(), ..VirtualAddress::new(cidr) }
            };
            settings.addresses = (0..2).map(address).collect();
            settings
        };
        seen(interfaces, (1..).zip(interfaces).map(router).collect())
    }

    #[test]
    fn announcements_of_one_interface_or_group_share_the_interval() {
        let paced = |first: u64, rows: &[&str]| -> Vec<(u64, String)> {
            (0..).zip(rows).map(|(at, last)| (first + at * 10, format!("192.0.2.{last}"))).collect()
        };
        let both = ["10", "20", "11", "21", "10", "20", "11", "21"];
        let same = announced(&["eth0", "eth0"], &[], 10, None);
        let first = same.first().map_or(0, |(at, _)| *at);
        assert_eq!(same, paced(first, &both), "in turn");
        assert_eq!(announced(&["eth0", "eth1"], &[], 10, Some("eth0")), paced(first, &both), "a group");
        let by_dev = announced(&["eth0", "eth1"], &["eth1", "eth1"], 10, None);
        assert_eq!(by_dev, paced(first, &both), "the interface that the addresses stand on counts");
        let apart = announced(&["eth0", "eth1"], &[], 10, None);
        assert_eq!((apart.len(), apart.last().map(|(at, _)| *at)), (8, Some(first + 30)), "each for itself");
        assert_eq!(announced(&["eth0", "eth0"], &[], 0, None).len(), 8, "none waits for another");
    }

    #[test]
    fn an_address_waits_for_the_interval_of_the_one_before_it() {
        let mut settings = Settings::new("1", "eth0".parse().unwrap(), Vrid::new(1).unwrap(), Family::V4);
        settings.priority = Priority::OWNER;
        let (interval, eth1) = (Duration::from_millis(50), "eth1".parse::<IfName>().unwrap());
        settings.garp = Garp { repeat: 2, delay: Duration::ZERO, interval, ..Garp::default() };
        let lane = GarpLane { leader: eth1.clone(), interval: Duration::from_millis(10) };
        settings.garp_lanes = [(eth1.clone(), lane)].into();
        let [here, there] = ["192.0.2.10/24", "192.0.2.11/24"].map(|cidr| VirtualAddress::new(cidr.parse().unwrap()));
        settings.addresses = vec![here, VirtualAddress { dev: Some(eth1), ..there }];
        let seen = seen(&["eth0", "eth1"], vec![settings]);
        let first = seen[0].0;
        let seen: Vec<_> = seen.iter().map(|(at, address)| (at - first, address.as_str())).collect();
        let (here, there) = ("192.0.2.10", "192.0.2.11");
        assert_eq!(seen, [(0, here), (50, there), (60, here), (110, there)]);
    }
}
