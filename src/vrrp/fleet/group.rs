//! `vrrp_sync_group`: its members are Active together, or none is.
//!
//! All become Active when every one wants to be; the first that leaves Active takes the others along; a fault of
//! one is a fault of all, so that leaving it waits for all (keepalived's rules).

use super::{Fleet, Instance, Output};
use crate::base::MonoTime;
use crate::vrrp::reason::{Fault, Standing};
use crate::vrrp::router::Event;

impl Fleet {
    /// The fault that each virtual router has from the other members of its group, in order.
    pub(super) fn group_faults<'a>(&self, own: impl Iterator<Item = &'a [Fault]>) -> Vec<Option<Fault>> {
        let broken: Vec<(usize, &Instance)> = self
            .instances
            .iter()
            .zip(own)
            .enumerate()
            .filter(|(_, (instance, faults))| !faults.is_empty() && !instance.retiring)
            .map(|(at, (instance, _))| (at, instance))
            .collect();
        let fault_of = |at: usize, instance: &Instance| {
            let group = instance.group()?;
            let (_, member) = broken.iter().find(|(other, member)| *other != at && member.group() == Some(group))?;
            Some(Fault::GroupMember { group: group.to_owned(), member: member.settings.name.clone() })
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
    pub(super) fn group_left(&mut self, now: MonoTime, who: usize, group: &str, member: &str, out: &mut Vec<Output>) {
        for at in 0..self.instances.len() {
            if at != who && self.instances.get(at).is_some_and(|other| other.group() == Some(group)) {
                self.event(now, at, Event::GroupLeft { member: member.to_owned() }, out);
            }
        }
    }

    /// A lesser router claims the addresses of one member: all announce again.
    pub(super) fn reannounce(&mut self, now: MonoTime, who: usize, group: Option<&str>) {
        for (at, instance) in self.instances.iter_mut().enumerate() {
            let concerned = at == who || (group.is_some() && instance.group() == group);
            let serves = instance.router.standing() == Standing::Active;
            // Where the kernel does not hold them yet, the whole burst is still to come.
            if concerned && serves && !instance.announce_when_settled {
                instance.announcer.claimed(now);
            }
        }
    }
}
