//! `vrrp_sync_group`: its members are Active together, or none is.
//!
//! All become Active when every one wants to be; the first that leaves Active takes the others along; a fault of
//! one is a fault of all, so that leaving it waits for all (keepalived's rules).

use super::{Fleet, Instance, Output};
use crate::base::MonoTime;
use crate::vrrp::reason::{Fault, Reason, Standing};
use crate::vrrp::router::{Event, Heard};

/// Which group leaves Active, and what its members say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub group: String,
    pub reason: Reason,
}

impl Fleet {
    /// The fault that each virtual router has from the other members of its group, in order.
    pub(super) fn group_faults<'a>(&'a self, own: impl Iterator<Item = &'a [Fault]>) -> Vec<Option<Fault>> {
        let of_each = self.instances.iter().zip(own).enumerate().filter(|(_, (instance, _))| !instance.retiring);
        let first =
            |(at, (instance, faults)): (usize, (&'a Instance, &'a [Fault]))| Some((at, instance, faults.first()?));
        let broken: Vec<(usize, &Instance, &Fault)> = of_each.filter_map(first).collect();
        let fault_of = |at: usize, instance: &Instance| {
            let group = instance.group()?;
            let found = broken.iter().find(|(other, member, _)| *other != at && member.group() == Some(group));
            let (_, Instance { settings, .. }, fault) = found?;
            let (member, because) = (settings.name.clone(), Box::new((*fault).clone()));
            Some(Fault::GroupMember { group: group.to_owned(), member, because })
        };
        self.instances.iter().enumerate().map(|(at, instance)| fault_of(at, instance)).collect()
    }

    /// Let every group whose members all want to be Active go.
    pub(super) fn settle_groups(&mut self, now: MonoTime, out: &mut Vec<Output>) {
        let wanting = self.instances.iter().filter(|instance| instance.router.wants_active());
        let groups: std::collections::BTreeSet<String> =
            wanting.filter_map(|instance| instance.group().map(str::to_owned)).collect();
        for group in groups {
            let is_member = |instance: &Instance| instance.group() == Some(&group) && !instance.retiring;
            let ready =
                |instance: &Instance| instance.router.wants_active() || instance.router.standing() == Standing::Active;
            if !self.instances.iter().filter(|instance| is_member(instance)).all(ready) {
                continue;
            }
            for at in 0..self.instances.len() {
                if self.instances.get(at).is_some_and(is_member) {
                    self.event(now, at, Event::GroupReady, out);
                }
            }
        }
    }

    /// One member left Active: the others follow.
    pub(super) fn group_left(&mut self, now: MonoTime, who: usize, left: &Left, out: &mut Vec<Output>) {
        for at in 0..self.instances.len() {
            if at != who && self.instances.get(at).is_some_and(|other| other.group() == Some(&left.group)) {
                // That these leave concerns the same group.
                let _ = self.step(now, at, Event::GroupLeft { reason: left.reason.clone() }, out);
            }
        }
    }

    /// One member heard another router. Where it follows that one, so does its group: a reload can have put it to members
    /// that are Active. One that has heard nobody yet takes none of them along.
    pub(super) fn group_follows(&mut self, now: MonoTime, who: usize, heard: Heard, out: &mut Vec<Output>) {
        let Some(member) = self.instances.get(who).filter(|member| member.router.follows()) else { return };
        let (Some(group), Some(theirs)) = (member.group(), heard.priority) else { return };
        let serves = |other: &Instance| other.router.standing() == Standing::Active && other.group() == Some(group);
        if self.instances.iter().any(serves) {
            let (group, member, active) = (group.to_owned(), member.settings.name.clone(), heard.from);
            let reason = Reason::GroupBackup { group: group.clone(), member, active, theirs };
            self.group_left(now, who, &Left { group, reason }, out);
        }
    }

    /// A lesser router claims the addresses of one member: all announce again.
    pub(super) fn reannounce(&mut self, now: MonoTime, who: usize, group: Option<&str>) {
        for (at, instance) in self.instances.iter_mut().enumerate() {
            let concerned = at == who || (group.is_some() && instance.group() == group);
            let serves = instance.router.standing() == Standing::Active;
            // Where the kernel does not hold them yet, the whole burst is still to come.
            if concerned && serves && instance.announce_when_settled.is_none() {
                instance.announcer.claimed(now, &instance.settings.garp);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::base::{AdvertInterval, Family, IfName, Vrid};
    use crate::vrrp::happened::Happened;
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::packet::{Advert, Auth, Body, Envelope};
    use crate::vrrp::settings::{GROUP_V4, Settings, SyncGroup};

    const MEMBERS: u8 = 3;

    /// An interface for each member, with an address; one may be down.
    fn links(down: Option<u8>) -> Links {
        let link = |at: u8| {
            let cidr = format!("10.9.{at}.1/24").parse().unwrap();
            let addresses = vec![Held { cidr, peer: None, ours: false, usable: true }];
            let running = down != Some(at);
            (eth(at), Link { index: at.into(), running, mac: None, downs: 0, addresses })
        };
        Links((1..=MEMBERS).map(link).collect())
    }

    fn eth(at: u8) -> IfName {
        format!("eth{at}").parse().unwrap()
    }

    fn member(at: u8, group: Option<&str>) -> Settings {
        let mut one = Settings::new(&format!("VI_{at}"), eth(at), Vrid::new(at).unwrap(), Family::V4);
        one.sync_group = group.map(|name| SyncGroup { name: name.to_owned(), tracking_weight: false });
        one
    }

    /// All are Active; how they came to it, and when.
    fn active() -> (Fleet, MonoTime, Vec<String>) {
        let mut fleet = Fleet::default();
        fleet.links(MonoTime::ZERO, links(None));
        fleet.reconfigure(MonoTime::ZERO, (1..=MEMBERS).map(|at| member(at, Some("G"))).collect());
        let now = MonoTime::ZERO + Duration::from_secs(4);
        let told = moves(&fleet.tick(now));
        (fleet, now, told)
    }

    /// The second one is Backup of 10.9.2.2, the others are Active, and only the first one is in the group.
    fn apart() -> (Fleet, MonoTime) {
        let mut fleet = Fleet::default();
        fleet.links(MonoTime::ZERO, links(None));
        let group = |at| Some("G").filter(|_| at == 1);
        fleet.reconfigure(MonoTime::ZERO, (1..=MEMBERS).map(|at| member(at, group(at))).collect());
        hears(&mut fleet, MonoTime::ZERO + Duration::from_secs(3), 200);
        let now = MonoTime::ZERO + Duration::from_secs(4);
        fleet.tick(now);
        let standing: Vec<Standing> = fleet.each_view().map(|view| view.state).collect();
        assert_eq!(standing, [Standing::Active, Standing::Backup, Standing::Active]);
        (fleet, now)
    }

    /// The second one hears 10.9.2.2 with this priority.
    fn hears(fleet: &mut Fleet, now: MonoTime, priority: u8) -> Vec<String> {
        let (source, destination): (IpAddr, IpAddr) = ("10.9.2.2".parse().unwrap(), GROUP_V4.into());
        let (vrid, interval) = (Vrid::new(2).unwrap(), AdvertInterval::DEFAULT);
        let advert = Advert { vrid, priority, interval, addresses: vec![], body: Body::V2(Auth::None) };
        let envelope = Envelope { source, destination, ttl: Some(255) };
        moves(&fleet.packet(now, &eth(2), &envelope, &advert.emit(source, destination)))
    }

    fn moves(out: &[Output]) -> Vec<String> {
        let one = |output: &Output| {
            let Output::Happened(Happened::Moved { instance, from, to, reason, .. }) = output else { return None };
            Some(format!("{instance} {from} {to}: {reason}"))
        };
        out.iter().filter_map(one).collect()
    }

    #[test]
    fn all_take_over_together_and_each_says_why() {
        let why = "no advert heard since the start; all of sync group G can be Active";
        let (_, _, told) = active();
        assert_eq!(told, ["VI_1", "VI_2", "VI_3"].map(|name| format!("{name} backup active: {why}")));
    }

    #[test]
    fn what_breaks_by_itself_fails_first_and_its_group_fails_with_it() {
        for (down, first, others) in [(1, "VI_1", ["VI_2", "VI_3"]), (3, "VI_3", ["VI_1", "VI_2"])] {
            let (mut fleet, now, _) = active();
            let why = format!("interface eth{down} is down");
            let followed = others.map(|name| format!("{name} active fault: {first} of sync group G: {why}"));
            let expected: Vec<String> = [format!("{first} active fault: {why}")].into_iter().chain(followed).collect();
            assert_eq!(moves(&fleet.links(now, links(Some(down)))), expected, "nobody is a Backup in between");
        }
    }

    #[test]
    fn one_that_yields_takes_all_along_and_they_say_why() {
        let (mut fleet, now, _) = active();
        let told = hears(&mut fleet, now, 200);
        let why = "10.9.2.2 is Active with priority 200";
        let followed = |name: &str| format!("{name} active backup: VI_2 of sync group G left Active: {why}");
        assert_eq!(told, [format!("VI_2 active backup: {why}"), followed("VI_1"), followed("VI_3")]);
    }

    const FOLLOWED: &str = "VI_2 of sync group G is Backup: 10.9.2.2 is Active with priority 200";

    #[test]
    fn a_backup_that_a_reload_puts_to_active_ones_takes_them_along_when_it_hears_its_active() {
        let (mut fleet, now) = apart();
        let told = fleet.reconfigure(now, (1..=MEMBERS).map(|at| member(at, Some("G"))).collect());
        assert_eq!(moves(&told), [""; 0], "its Active may have died meanwhile");
        assert_eq!(hears(&mut fleet, now, 0), [""; 0], "who resigns is not followed");
        assert_eq!(hears(&mut fleet, now, 50), [""; 0], "nor one that it preempts");
        let told = hears(&mut fleet, now, 200);
        assert_eq!(told, ["VI_1", "VI_3"].map(|name| format!("{name} active backup: {FOLLOWED}")));
        let told = moves(&fleet.tick(now + Duration::from_secs(4)));
        assert_eq!(told.len(), 3, "and when all hear nobody, all take over: {told:?}");
    }

    #[test]
    fn a_backup_that_a_reload_puts_to_active_ones_joins_them_when_its_active_is_gone() {
        let (mut fleet, now) = apart();
        fleet.reconfigure(now, (1..=MEMBERS).map(|at| member(at, Some("G"))).collect());
        let told = moves(&fleet.tick(now + Duration::from_secs(3)));
        let why = "no acceptable advert for 4.000 s (Active_Down 3.609 s); all of sync group G can be Active";
        assert_eq!(told, [format!("VI_2 backup active: {why}")]);
    }

    #[test]
    fn a_member_that_a_reload_adds_is_elected_by_itself_and_takes_the_group_along_only_when_it_follows_a_router() {
        let added = || {
            let mut fleet = Fleet::default();
            fleet.links(MonoTime::ZERO, links(None));
            fleet.reconfigure(MonoTime::ZERO, [1, 3].map(|at| member(at, Some("G"))).to_vec());
            let now = MonoTime::ZERO + Duration::from_secs(4);
            assert_eq!(moves(&fleet.tick(now)).len(), 2);
            let told = fleet.reconfigure(now, (1..=MEMBERS).map(|at| member(at, Some("G"))).collect());
            assert_eq!(moves(&told), ["VI_2 initialize backup: started"]);
            (fleet, now)
        };
        let (mut fleet, now) = added();
        for seconds in 1..=3 {
            assert_eq!(moves(&fleet.tick(now + Duration::from_secs(seconds))), [""; 0]);
        }
        let why = "no advert heard since the start; all of sync group G can be Active";
        assert_eq!(moves(&fleet.tick(now + Duration::from_secs(4))), [format!("VI_2 backup active: {why}")]);
        let (mut fleet, now) = added();
        let told = hears(&mut fleet, now, 200);
        assert_eq!(told, ["VI_1", "VI_3"].map(|name| format!("{name} active backup: {FOLLOWED}")));
    }
}
