//! What has to be heard, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Fleet, Output};
use crate::base::{Family, IfName, MonoTime};
use crate::vrrp::settings::Transport;

/// What a socket is to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Multicast groups; none for unicast.
    pub groups: BTreeSet<IpAddr>,
    /// Packets with an Authentication Header too.
    pub sealed: bool,
    /// Interfaces of virtual routers: the kernel gives packets from such a hardware address to them alone.
    pub devices: BTreeMap<IfName, [u8; 6]>,
}

impl Fleet {
    /// Where packets come from: what is heard per interface and family.
    pub fn sockets(&self) -> BTreeMap<(IfName, Family), Heard> {
        let mut needed: BTreeMap<_, Heard> = BTreeMap::new();
        for instance in &self.instances {
            let settings = &instance.settings;
            let heard = needed.entry((settings.interface.clone(), settings.family)).or_default();
            heard.sealed |= instance.seal().is_some() && settings.family == Family::V4;
            heard.devices.extend(settings.vmac.as_ref().map(|vmac| (vmac.name.clone(), vmac.mac)));
            match &settings.transport {
                Transport::Multicast { group, .. } => _ = heard.groups.insert(*group),
                Transport::Unicast { .. } => (),
            }
        }
        needed
    }

    /// Nothing is heard there, for want of a socket: who took over without hearing would be a second Active.
    pub fn deaf(&mut self, now: MonoTime, places: BTreeSet<(IfName, Family)>) -> Vec<Output> {
        let mut out = vec![];
        if self.deaf != places {
            self.deaf = places;
            self.refresh(now, &mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{AdvertInterval, Priority, Vrid};
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::packet::{Advert, Auth, Body, Envelope};
    use crate::vrrp::settings::{GROUP_V4, Settings, VirtualAddress};
    use crate::vrrp::{Fault, Happened, Standing, Warning};

    /// An owner on 192.0.2.1 that hears another one, which wins, on 192.0.2.2; and the warnings that came of it.
    fn owner_hears_another(ignores: bool) -> (Fleet, usize) {
        let address: IpAddr = "192.0.2.10".parse().unwrap();
        let eth0: IfName = "eth0".parse().unwrap();
        let mut owner = Settings::new("VI_1", eth0.clone(), Vrid::new(7).unwrap(), Family::V4);
        owner.priority = Priority::OWNER;
        owner.owner_ignores_adverts = ignores;
        owner.addresses = vec![VirtualAddress::new("192.0.2.10/24".parse().unwrap())];
        let own = Held { cidr: "192.0.2.1/24".parse().unwrap(), peer: None, ours: false, usable: true };
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses: vec![own] };
        let mut fleet = Fleet::default();
        fleet.links(MonoTime::ZERO, Links([(eth0.clone(), link)].into()));
        fleet.reconfigure(MonoTime::ZERO, vec![owner]);
        let advert = Advert {
            vrid: Vrid::new(7).unwrap(),
            priority: 255,
            interval: AdvertInterval::DEFAULT,
            addresses: vec![address],
            body: Body::V2(Auth::None),
        };
        let (source, destination) = ("192.0.2.2".parse().unwrap(), IpAddr::V4(GROUP_V4));
        let envelope = Envelope { source, destination, ttl: Some(255) };
        let now = MonoTime::from_start(Duration::from_millis(10));
        let told = fleet.packet(now, &eth0, &envelope, &advert.emit(source, destination));
        let two =
            |output: &&Output| matches!(output, Output::Happened(Happened::Warned { warning: Warning::TwoOwners, .. }));
        let warned = told.iter().filter(two).count();
        (fleet, warned)
    }

    #[test]
    fn an_owner_that_ignores_adverts_counts_them_and_stays() {
        for (ignores, standing) in [(false, Standing::Backup), (true, Standing::Active)] {
            let (fleet, warned) = owner_hears_another(ignores);
            let view = fleet.view("VI_1").unwrap();
            assert_eq!((view.state, view.counters.adverts_received), (standing, 1), "ignores: {ignores}");
            assert_eq!(warned, 1, "it is told that there are two owners");
        }
    }

    #[test]
    fn a_router_that_cannot_hear_is_not_active() {
        let (mut fleet, _) = owner_hears_another(true);
        let eth0: IfName = "eth0".parse().unwrap();
        let fault = Fault::NoSocket { interface: eth0.clone() };
        let rows = [
            ("of the other family", vec![Family::V6], Standing::Active, vec![]),
            ("its own", vec![Family::V4], Standing::Fault, vec![fault]),
            ("there again", vec![], Standing::Active, vec![]),
        ];
        for (name, families, standing, faults) in rows {
            let now = MonoTime::from_start(Duration::from_secs(1));
            fleet.deaf(now, families.into_iter().map(|family| (eth0.clone(), family)).collect());
            let view = fleet.view("VI_1").unwrap();
            assert_eq!((view.state, view.faults), (standing, faults), "{name}");
        }
    }

    #[test]
    fn the_socket_hears_the_group_of_each_virtual_router() {
        let eth0: IfName = "eth0".parse().unwrap();
        let group = |vrid, group: &str| {
            let group: IpAddr = group.parse().unwrap();
            let plain = Settings::new(&format!("VI_{vrid}"), eth0.clone(), Vrid::new(vrid).unwrap(), Family::of(group));
            Settings { transport: Transport::Multicast { group, source: None }, ..plain }
        };
        let mut fleet = Fleet::default();
        let wanted = [(1, "224.0.0.18"), (2, "224.0.0.19"), (3, "ff02::13")];
        fleet.reconfigure(MonoTime::ZERO, wanted.map(|(vrid, of)| group(vrid, of)).to_vec());
        let heard = |family| fleet.sockets()[&(eth0.clone(), family)].groups.clone();
        let groups = |all: &[&str]| all.iter().map(|group| group.parse().unwrap()).collect::<BTreeSet<IpAddr>>();
        assert_eq!(heard(Family::V4), groups(&["224.0.0.18", "224.0.0.19"]));
        assert_eq!(heard(Family::V6), groups(&["ff02::13"]));
    }
}
