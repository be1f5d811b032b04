//! Until when a virtual router may serve: told with each advert, and while it hands over.
//!
//! Who heard the last advert waits at least [`Rules::fastest_active_down`](crate::vrrp::router::Rules): whoever is not run
//! for so long is deaf before its successor serves.

use super::{Instance, Output};
use crate::base::MonoTime;
use crate::vrrp::reason::Standing;

/// As it is at `now`; nothing where it does not serve.
pub(super) fn serve(now: MonoTime, instance: &Instance) -> Option<Output> {
    let rules = instance.router.rules();
    let until = match instance.router.standing() {
        Standing::Active => now + rules.fastest_active_down(),
        Standing::HandingOver => instance.router.deadline()? + rules.interval.duration(),
        Standing::Initialize | Standing::Backup | Standing::Fault | Standing::Stopped => return None,
    };
    Some(Output::Serve { key: instance.settings.key(), until })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use crate::base::{AdvertInterval, Family, IfName, MonoTime, Priority, Vrid};
    use crate::vrrp::fleet::{Fleet, Output};
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::packet::{Advert, Body, ChecksumForm, Envelope};
    use crate::vrrp::router::LINGER;
    use crate::vrrp::settings::{GROUP_V4, Settings, Version};

    /// What one step tells the fence, in order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Told {
        Advert(u8),
        /// After the step's own time.
        Serve(Duration),
        Holds(bool),
    }
    use Told::{Advert as Sent, Holds, Serve};

    fn told(now: MonoTime, out: &[Output]) -> Vec<Told> {
        let one = |output: &Output| match output {
            Output::Send { bytes, .. } => Some(Sent(bytes[2])),
            Output::Serve { until, .. } => Some(Serve(*until - now)),
            Output::Hold { holdings, .. } => Some(Holds(!holdings.is_empty())),
            Output::SendSealed { .. } | Output::Announce { .. } | Output::Happened(_) => None,
        };
        out.iter().filter_map(one).collect()
    }

    /// A virtual router of priority 100 and this interval that has just become Active, and what that told.
    fn active(interval: AdvertInterval) -> (Fleet, MonoTime, Vec<Told>) {
        let eth0: IfName = "eth0".parse().unwrap();
        let mut one = Settings::new("VI_1", eth0.clone(), Vrid::new(7).unwrap(), Family::V4);
        (one.version, one.interval, one.priority) = (Version::V3, interval, Priority::new(100).unwrap());
        one.addresses = vec![crate::vrrp::VirtualAddress::new("192.0.2.10/24".parse().unwrap())];
        let own = Held { cidr: "192.0.2.1/24".parse().unwrap(), peer: None, ours: false, usable: true };
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses: vec![own] };
        let mut fleet = Fleet::default();
        fleet.links(MonoTime::ZERO, Links([(eth0, link)].into()));
        let started = fleet.reconfigure(MonoTime::ZERO, vec![one]);
        assert_eq!(told(MonoTime::ZERO, &started), [], "a Backup serves nothing");
        let now = fleet.view("VI_1").unwrap().deadline.unwrap();
        let out = fleet.tick(now);
        (fleet, now, told(now, &out))
    }

    fn better(fleet: &mut Fleet, now: MonoTime, interval: AdvertInterval) -> Vec<Told> {
        let (source, destination): (IpAddr, IpAddr) = ("192.0.2.2".parse().unwrap(), GROUP_V4.into());
        let body = Body::V3 { checksum: ChecksumForm::PseudoHeader };
        let (vrid, addresses) = (Vrid::new(7).unwrap(), vec!["192.0.2.10".parse().unwrap()]);
        let advert = Advert { vrid, priority: 200, interval, addresses, body };
        let envelope = Envelope { source, destination, ttl: Some(255) };
        told(now, &fleet.packet(now, &"eth0".parse().unwrap(), &envelope, &advert.emit(source, destination)))
    }

    #[test]
    fn it_is_deaf_before_any_backup_that_heard_its_last_advert_serves() {
        for centis in [2, 10, 100] {
            let interval = AdvertInterval::from_centis(centis).unwrap();
            let span = interval.duration();
            let deaf_after = span * 3;
            let (mut fleet, begun, first) = active(interval);
            assert_eq!(first, [Sent(100), Serve(deaf_after), Holds(true)], "{centis} cs: deaf no more before it holds");
            // In time, and late: it counts from when the advert goes out.
            for now in [begun + span, begun + span * 4] {
                let beat = told(now, &fleet.tick(now));
                assert_eq!(beat, [Sent(100), Serve(deaf_after)], "{centis} cs, at {now:?}");
            }
            let early = begun + span * 4 + span / 2;
            assert_eq!(told(early, &fleet.tick(early)), [], "{centis} cs: no advert, no more time");
            let yields = better(&mut fleet, early, interval);
            assert_eq!(yields.last(), Some(&Holds(false)), "{centis} cs: {yields:?}");
            assert!(!yields.iter().any(|told| matches!(told, Serve(_))), "{centis} cs: {yields:?}");
        }
    }

    #[test]
    fn who_stops_is_deaf_an_interval_after_it_let_go() {
        for centis in [2, 10, 100] {
            let interval = AdvertInterval::from_centis(centis).unwrap();
            let span = interval.duration();
            let (mut fleet, now, _) = active(interval);
            let stops = told(now, &fleet.shutdown(now));
            let longest = span * 4;
            assert_eq!(stops, [Sent(0), Serve(longest + span)], "{centis} cs: it waits for the slowest Backup");
            let heard = now + span / 2;
            let until = (heard + LINGER).min(now + longest);
            assert_eq!(
                better(&mut fleet, heard, interval),
                [Serve(until - heard + span)],
                "{centis} cs: its successor"
            );
            assert_eq!(told(until, &fleet.tick(until)), [Holds(false)], "{centis} cs");
        }
    }
}
