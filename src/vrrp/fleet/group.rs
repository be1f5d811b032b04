//! `vrrp_sync_group`: its members are Active together, or none is.
//!
//! All become Active when every one wants to be; the first that leaves Active takes the others along; a fault of
//! one is a fault of all, so that leaving it waits for all (keepalived's rules).

use super::{Fleet, Instance, Output};
use crate::base::MonoTime;
use crate::vrrp::reason::{Fault, Standing};
use crate::vrrp::router::Event;

/// Who left Active, and which group follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub group: String,
    pub member: String,
}

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
    pub(super) fn group_left(&mut self, now: MonoTime, who: usize, left: &Left, out: &mut Vec<Output>) {
        for at in 0..self.instances.len() {
            if at != who && self.instances.get(at).is_some_and(|other| other.group() == Some(&left.group)) {
                self.event(now, at, Event::GroupLeft { member: left.member.clone() }, out);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Family, IfName, Vrid};
    use crate::vrrp::happened::Happened;
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::settings::{Settings, SyncGroup};

    /// Two interfaces with an address each; those that are named are down.
    fn links(down: &[&str]) -> Links {
        let link = |index: u32, name: &str| {
            let cidr = format!("10.9.{index}.1/24").parse().unwrap();
            let addresses = vec![Held { cidr, peer: None, ours: false, usable: true }];
            (
                name.parse::<IfName>().unwrap(),
                Link { index, running: !down.contains(&name), mac: None, downs: 0, addresses },
            )
        };
        Links([link(1, "eth1"), link(2, "eth2")].into())
    }

    fn moves(out: &[Output]) -> Vec<String> {
        let one = |output: &Output| match output {
            Output::Happened(Happened::Moved { instance, from, to, .. }) => Some(format!("{instance} {from} {to}")),
            _ => None,
        };
        out.iter().filter_map(one).collect()
    }

    #[test]
    fn what_breaks_by_itself_fails_first_and_its_group_fails_with_it() {
        for (down, first, second) in [("eth1", "VI_1", "VI_2"), ("eth2", "VI_2", "VI_1")] {
            let member = |name: &str, vrid, interface: &str| {
                let mut one = Settings::new(name, interface.parse().unwrap(), Vrid::new(vrid).unwrap(), Family::V4);
                one.sync_group = Some(SyncGroup { name: "G".to_owned(), tracking_weight: false });
                one
            };
            let mut fleet = Fleet::default();
            let mut now = MonoTime::ZERO;
            fleet.links(now, links(&[]));
            fleet.reconfigure(now, vec![member("VI_1", 1, "eth1"), member("VI_2", 2, "eth2")]);
            now += Duration::from_secs(4);
            assert_eq!(moves(&fleet.tick(now)), ["VI_1 backup active", "VI_2 backup active"], "{down}");
            let failed = fleet.links(now, links(&[down]));
            let expected = [format!("{first} active fault"), format!("{second} active fault")];
            assert_eq!(moves(&failed), expected, "{down}: nobody is a Backup in between");
        }
    }
}
