//! Static addresses, routes and rules that virtual routers track (`track_group`): whether the kernel holds them.

use std::collections::BTreeSet;

use super::{Fleet, Output};
use crate::base::MonoTime;
use crate::vrrp::happened::Failure;
use crate::vrrp::settings::{Outcome, Tracked};

impl Fleet {
    /// The kernel was asked for all static items; `failures` says which of them it does not hold.
    pub fn statics(&mut self, now: MonoTime, failures: &[Failure]) -> Vec<Output> {
        let missing: BTreeSet<String> = failures.iter().filter_map(Failure::item).collect();
        let tracked = self.instances.iter().flat_map(|instance| &instance.settings.track);
        let outcome = |what: &Tracked| match what {
            Tracked::Static(item) => Some((what.clone(), Outcome::Good(!missing.contains(item)))),
            Tracked::Interface(_) | Tracked::Script(_) | Tracked::File(_) | Tracked::Process(_) | Tracked::Bfd(_) => {
                None
            }
        };
        let now_known: Vec<_> = tracked.filter_map(|track| outcome(&track.what)).collect();
        let mut out = vec![];
        if now_known.iter().any(|(what, outcome)| self.outcomes.get(what) != Some(outcome)) {
            self.outcomes.extend(now_known);
            self.refresh(now, &mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Family, IfName, Vrid};
    use crate::vrrp::links::{Held, Link, Links};
    use crate::vrrp::reason::{Fault, Standing};
    use crate::vrrp::settings::{Settings, Track};

    #[test]
    fn a_virtual_router_waits_for_its_static_items_and_has_a_fault_without_them() {
        let eth0: IfName = "eth0".parse().unwrap();
        let held = Held { cidr: "192.0.2.2/24".parse().unwrap(), peer: None, ours: false, usable: true };
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses: vec![held] };
        let what = Tracked::Static("address 192.0.2.9/24".to_owned());
        let track = vec![Track { what: what.clone(), weight: None, reverse: false }];
        let settings = Settings { track, ..Settings::new("VI_1", eth0.clone(), Vrid::new(1).unwrap(), Family::V4) };
        let failure = |address: &str| Failure::AddressAdd { address: address.parse().unwrap(), error: String::new() };
        let mut fleet = Fleet::default();
        let now = MonoTime::ZERO;
        fleet.links(now, Links([(eth0, link)].into()));
        fleet.reconfigure(now, vec![settings]);
        let state = |fleet: &Fleet| fleet.view("VI_1").map(|view| (view.state, view.faults)).unwrap();
        assert_eq!(state(&fleet), (Standing::Initialize, vec![]), "nothing is known yet");
        fleet.statics(now, &[failure("192.0.2.8/24")]);
        assert_eq!(state(&fleet), (Standing::Backup, vec![]), "another one is missing");
        fleet.statics(now, &[failure("192.0.2.9/24")]);
        assert_eq!(state(&fleet), (Standing::Fault, vec![Fault::TrackFailed { tracked: what }]));
        assert_eq!(fleet.statics(now, &[failure("192.0.2.9/24")]), [], "no news");
        fleet.statics(now, &[]);
        assert_eq!(state(&fleet), (Standing::Backup, vec![]), "it is back");
    }
}
