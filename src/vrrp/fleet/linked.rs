//! What the interfaces of the host tell: their state, their addresses, and who else claims those.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Fleet, Output, hold_all};
use crate::base::{Family, IfName, MonoTime};
use crate::vrrp::happened::Happened;
use crate::vrrp::links::{self, Links, changes, lost, was_down};
use crate::vrrp::reason::Standing;
use crate::vrrp::settings::{Device, VirtualAddress};

impl Fleet {
    /// A full snapshot of the interfaces and addresses.
    pub fn links(&mut self, now: MonoTime, links: Links) -> Vec<Output> {
        let (links, flaps) = self.damping.seen(now, &self.links, links);
        self.damping.count(now, &flaps);
        let mut out = self.tell_flaps(now);
        out.extend(self.believe(now, links, &flaps.into_iter().map(|flap| flap.interface).collect()));
        out
    }

    /// Flaps that nobody was told of yet, to each virtual router that uses or tracks the interface.
    pub(super) fn tell_flaps(&mut self, now: MonoTime) -> Vec<Output> {
        let flaps = self.damping.untold(now);
        let told = self.instances.iter().flat_map(|instance| links::flaps(now, &instance.settings, &flaps));
        told.map(Output::Happened).collect()
    }

    /// Go by these; `flapped` were down for a moment.
    pub(super) fn believe(&mut self, now: MonoTime, links: Links, flapped: &BTreeSet<IfName>) -> Vec<Output> {
        let mut out = vec![];
        let before = std::mem::replace(&mut self.links, links);
        let devices: Vec<Device> = self.instances.iter().flat_map(|instance| instance.settings.own_devices()).collect();
        let gone = lost(&before, &self.links, &devices.iter().map(|device| &device.vmac.name).collect());
        for instance in &self.instances {
            out.extend(changes(now, &instance.settings, &before, &self.links).into_iter().map(Output::Happened));
        }
        let a_link_went = !flapped.is_empty() || links::any_went_down(&before, &self.links);
        for instance in &mut self.instances {
            if a_link_went {
                instance.restorer.link_went(now);
            }
            if instance.router.standing() != Standing::Active {
                continue;
            }
            // Gone between two snapshots: not the ones that are still on their way into the kernel.
            let lost = |address: &&VirtualAddress| {
                gone.get(instance.settings.device_of(address)).is_some_and(|gone| gone.contains(&address.cidr))
            };
            let lost: Vec<_> = instance.settings.addresses.iter().filter(lost).cloned().collect();
            if lost.is_empty() {
                continue;
            }
            let by_somebody = |address: &VirtualAddress| {
                let device = instance.settings.device_of(address);
                // The kernel takes IPv6 addresses along with their link, and no others.
                let with_its_link = flapped.contains(device) || was_down(device, &before, &self.links);
                address.cidr.family() == Family::V4 || !with_its_link
            };
            let removed: Vec<_> = lost.into_iter().filter(by_somebody).collect();
            if !removed.is_empty() {
                instance.restorer.removed(now);
            }
            let put_back = instance.restorer.fault(now).is_none();
            if put_back {
                let restored = u64::try_from(removed.len()).unwrap_or(u64::MAX);
                instance.counters.addresses_restored = instance.counters.addresses_restored.saturating_add(restored);
            }
            let name = &instance.settings.name;
            out.extend(removed.into_iter().map(|address| {
                let (instance, address) = (name.clone(), address.cidr);
                Output::Happened(Happened::AddressLost { at: now, instance, address, put_back })
            }));
            if !put_back {
                continue;
            }
            instance.announce_when_settled = Some(now);
            out.push(hold_all(instance));
        }
        self.refresh(now, &mut out);
        out
    }

    /// A neighbour on the link with this index says that `address` is at `mac`.
    pub fn claimed(&mut self, now: MonoTime, index: u32, address: IpAddr, mac: [u8; 6]) -> Vec<Output> {
        let mut links = self.links.0.iter();
        let Some((name, link)) = links.find(|(_, link)| link.index == index) else { return vec![] };
        // Its own hardware address is a rival's too where it belongs to the virtual router (`use_vmac`).
        let as_ours = link.mac == Some(mac);
        if !as_ours && self.links.0.values().any(|link| link.mac == Some(mac)) {
            return vec![]; // our own, by way of a bridge or of a virtual interface
        }
        let mut out = vec![];
        for instance in &mut self.instances {
            // Where the kernel does not hold them yet, the whole burst is still to come.
            if instance.router.standing() != Standing::Active || instance.announce_when_settled.is_some() {
                continue;
            }
            let settings = &instance.settings;
            let is_it = |held: &VirtualAddress| held.cidr.addr() == address && settings.device_of(held) == name;
            let Some(at) = instance.settings.addresses.iter().position(is_it) else { continue };
            if as_ours && (!settings.is_own_device(name) || instance.is_echo(now)) {
                continue;
            }
            instance.counters.claims += 1;
            if let Some(count) = instance.claims.claimed(now, at) {
                let instance = instance.settings.name.clone();
                out.push(Output::Happened(Happened::Claimed { at: now, instance, address, mac, count }));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Family, IfName, Vrid};
    use crate::vrrp::happened::LinkState;
    use crate::vrrp::links::{Held, Link};
    use crate::vrrp::settings::{Garp, LinkDelay, Settings, Vmac};

    #[test]
    fn an_interface_that_flaps_moves_nothing_and_one_that_stays_down_does() {
        let eth0: IfName = "eth0".parse().unwrap();
        let links = |running| {
            let own = Held { cidr: "192.0.2.2/24".parse().unwrap(), peer: None, ours: false, usable: true };
            Links([(eth0.clone(), Link { index: 2, running, mac: None, downs: 0, addresses: vec![own] })].into())
        };
        let [down, up] = [1500, 500].map(Duration::from_millis);
        let link_delays = vec![LinkDelay { interface: eth0.clone(), down, up }];
        let settings =
            Settings { link_delays, ..Settings::new("VI_1", eth0.clone(), Vrid::new(1).unwrap(), Family::V4) };
        let mut fleet = Fleet::default();
        let mut now = MonoTime::ZERO;
        fleet.links(now, links(true));
        fleet.reconfigure(now, vec![settings]);
        let state = |fleet: &Fleet| fleet.view("VI_1").unwrap().state;
        for flap in 0..3 {
            now += Duration::from_millis(20);
            assert_eq!(fleet.links(now, links(false)), [], "flap {flap}");
            now += Duration::from_millis(20);
            let (instance, interface, state) = ("VI_1".to_owned(), eth0.clone(), LinkState::Down);
            let lasted = Duration::from_millis(20);
            let told = Happened::LinkFlapped { at: now, instance, interface, state, lasted, count: 1 };
            let told = if flap == 0 { vec![Output::Happened(told)] } else { vec![] }; // the others later, together
            assert_eq!(fleet.links(now, links(true)), told, "flap {flap}");
        }
        assert_eq!(state(&fleet), Standing::Backup);
        fleet.links(now, links(false));
        assert_eq!(fleet.deadline(now), Some(now + down));
        fleet.tick(now + down);
        assert_eq!(state(&fleet), Standing::Fault);
        now += down;
        fleet.links(now, links(true));
        assert_eq!((state(&fleet), fleet.deadline(now)), (Standing::Fault, Some(now + up)));
        fleet.tick(now + up);
        assert_eq!(state(&fleet), Standing::Backup);
    }

    /// How often an Active with `use_vmac` answers claims with this hardware address, the virtual router's being `..07`, that
    /// come on this link after so many milliseconds each.
    fn answers(mac: u8, index: u32, at_ms: &[u64]) -> usize {
        let own = [0, 0, 0x5e, 0, 1, 7];
        let vmac = Vmac { name: "vrrp.7".parse().unwrap(), mac: own, ipv6: false, xmit_base: false };
        let settings = Settings {
            vmac: Some(vmac),
            priority: crate::base::Priority::OWNER,
            addresses: vec![VirtualAddress::new("192.0.2.100/24".parse().unwrap())],
            garp: Garp { repeat: 1, delay: Duration::ZERO, ..Garp::default() },
            ..Settings::new("VI_1", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), Family::V4)
        };
        let key = settings.key();
        let link = |index, mac, cidr: &str| {
            let held = Held { cidr: cidr.parse().unwrap(), peer: None, ours: false, usable: true };
            Link { index, running: true, mac: Some(mac), downs: 0, addresses: vec![held] }
        };
        let eth0 = link(2, [2, 0, 0, 0, 0, 1], "192.0.2.1/24");
        let vrrp = link(3, own, "192.0.2.100/24");
        let mut fleet = Fleet::default();
        let mut now = MonoTime::ZERO;
        fleet.links(now, Links([("eth0".parse().unwrap(), eth0), ("vrrp.7".parse().unwrap(), vrrp)].into()));
        fleet.reconfigure(now, vec![settings]);
        fleet.settled(now, &key);
        let announced = |out: Vec<Output>| out.iter().filter(|one| matches!(one, Output::Announce { .. })).count();
        // The takeover is announced, and that is over.
        while now < MonoTime::ZERO + Duration::from_millis(900) {
            now += Duration::from_millis(1);
            fleet.tick(now);
        }
        let mut count = 0;
        for ms in 0..1_000 {
            now += Duration::from_millis(1);
            let claims = at_ms.iter().filter(|at| **at == ms).count();
            for _ in 0..claims {
                fleet.claimed(now, index, "192.0.2.100".parse().unwrap(), [0, 0, 0x5e, 0, 1, mac]);
            }
            count += announced(fleet.tick(now));
        }
        count
    }

    #[test]
    fn a_rival_with_the_same_virtual_mac_is_answered_and_an_echo_is_not() {
        let rows: [(&str, u8, u32, &[u64], usize); 7] = [
            ("a rival", 7, 3, &[0], 1),
            ("a rival, and our answer comes back", 7, 3, &[0, 1], 1),
            ("a rival that says it five times, so that the last word is ours", 7, 3, &[0, 1, 1, 2, 3], 2),
            ("again and again", 7, 3, &[0, 300, 600], 3),
            ("by the interface below, where nothing stands", 7, 2, &[0], 0),
            ("with another hardware address", 9, 3, &[0], 1),
            ("nobody", 7, 3, &[], 0),
        ];
        for (name, mac, index, at_ms, expected) in rows {
            assert_eq!(answers(mac, index, at_ms), expected, "{name}");
        }
    }

    /// An Active whose IPv6 address vanishes six times within a second: how often it is put back, and whether that is a fault.
    fn vanishes(damped: bool, counted: bool) -> (u64, Standing) {
        let eth0: IfName = "eth0".parse().unwrap();
        let address = VirtualAddress::new("2001:db8::100/64".parse().unwrap());
        let links = |running, downs, held: bool| {
            let on_it = |cidr: &str, ours| Held { cidr: cidr.parse().unwrap(), peer: None, ours, usable: true };
            let virtual_one = held.then(|| on_it("2001:db8::100/64", true));
            let addresses = [on_it("fe80::1/64", false)].into_iter().chain(virtual_one).collect();
            Links([(eth0.clone(), Link { index: 2, running, mac: None, downs, addresses })].into())
        };
        let [down, up] = [Duration::from_secs(1); 2];
        let link_delays = if damped { vec![LinkDelay { interface: eth0.clone(), down, up }] } else { vec![] };
        let settings = Settings {
            link_delays,
            addresses: vec![address],
            ..Settings::new("VI_1", eth0.clone(), Vrid::new(1).unwrap(), Family::V6)
        };
        let mut fleet = Fleet::default();
        let mut now = MonoTime::ZERO;
        fleet.links(now, links(true, 0, false));
        fleet.reconfigure(now, vec![settings]);
        now += Duration::from_secs(4);
        fleet.tick(now);
        let mut restored = 0;
        for flap in 1..=6 {
            let (before, after) = if counted { (flap - 1, flap) } else { (0, 0) };
            now += Duration::from_millis(50);
            fleet.links(now, links(true, before, true));
            if damped {
                fleet.links(now, links(false, after, false));
            }
            let out = fleet.links(now, links(true, after, false));
            let held = |output: &Output| matches!(output, Output::Hold { holdings, .. } if !holdings.is_empty());
            restored += u64::from(out.iter().any(held));
        }
        (restored, fleet.view("VI_1").unwrap().state)
    }

    #[test]
    fn addresses_that_go_with_their_link_are_put_back_and_nobody_is_blamed() {
        let rows = [
            ("removed by somebody", false, false, (4, Standing::Fault)),
            ("down and up between two snapshots", false, true, (6, Standing::Active)),
            ("a damped flap of a link that counts nothing", true, false, (6, Standing::Active)),
            ("a damped flap", true, true, (6, Standing::Active)),
        ];
        for (name, damped, counted, expected) in rows {
            assert_eq!(vanishes(damped, counted), expected, "{name}");
        }
    }
}
