//! The interfaces of virtual routers with a MAC address of their own, as the keeper has them: there while they are
//! configured, up while their router holds addresses.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Family, IfName};
use crate::vrrp::Failure;
use crate::vrrp::io::{macvlan, sysctl};
use crate::vrrp::links::Links;
use crate::vrrp::settings::{Device, Vmac};

/// What the interface below needs while there is one above it: it answers for its own addresses alone, and names none
/// of the virtual ones when it asks, since neighbours would learn them at its own MAC address.
const BELOW: [(&str, u8); 3] = [("arp_ignore", 1), ("arp_filter", 1), ("arp_announce", 2)];

#[derive(Debug)]
struct There {
    index: u32,
    up: bool,
    base: IfName,
}

/// Those that were made, or taken over.
#[derive(Debug, Default)]
pub struct Devices {
    there: BTreeMap<IfName, There>,
    /// What the interfaces below had before.
    before: BTreeMap<IfName, Vec<(&'static str, u8)>>,
}

impl Devices {
    /// Make what is missing, and let those in `up` be up. Gives whether any was made, and what the kernel refused.
    pub async fn hold<'a>(
        &mut self,
        handle: &rtnetlink::Handle,
        links: &Links,
        wanted: impl Iterator<Item = &'a Device>,
        up: &BTreeSet<IfName>,
    ) -> (bool, BTreeMap<IfName, Failure>) {
        let (mut made, mut refused) = (false, BTreeMap::new());
        for Device { base, vmac } in wanted {
            let failed = |error: String| Failure::Device { name: vmac.name.clone(), error };
            let known = self.there.get(&vmac.name);
            let is_known = |known: &There| links.get(&vmac.name).is_some_and(|link| link.index == known.index);
            if known.is_none_or(|known| !is_known(known)) {
                match self.make(handle, links, base, vmac).await {
                    Ok(()) => made = true,
                    Err(error) => _ = refused.insert(vmac.name.clone(), failed(error)),
                }
            }
            let Some(there) = self.there.get_mut(&vmac.name) else { continue };
            let seen_up = links.get(&vmac.name).is_none_or(|link| link.index != there.index || link.running);
            if up.contains(&vmac.name) && !(there.up && seen_up) {
                match macvlan::set(handle, there.index, true).await {
                    Ok(()) => (there.up, made) = (true, true),
                    Err(error) => _ = refused.insert(vmac.name.clone(), failed(error.to_string())),
                }
            }
        }
        (made, refused)
    }

    async fn make(
        &mut self,
        handle: &rtnetlink::Handle,
        links: &Links,
        base: &IfName,
        vmac: &Vmac,
    ) -> Result<(), String> {
        self.there.remove(&vmac.name);
        let link = links.get(base).ok_or_else(|| format!("there is no interface {base}"))?;
        sysctl::own_rp_filter().map_err(|error| format!("rp_filter: {error}"))?;
        let index = macvlan::ensure(handle, link.index, vmac).await.map_err(|error| error.to_string())?;
        if !self.before.contains_key(base) {
            let read = |name| sysctl::get(Family::V4, base, name).map(|value| (name, value));
            let before = BELOW.iter().filter_map(|(name, _)| read(*name).ok()).collect();
            self.before.insert(base.clone(), before);
        }
        for (name, value) in BELOW {
            sysctl::set(Family::V4, base, name, value).map_err(|error| format!("{name} of {base}: {error}"))?;
        }
        self.there.insert(vmac.name.clone(), There { index, up: false, base: base.clone() });
        Ok(())
    }

    /// Remove those that are not wanted, and let down those that are not in `up`.
    pub async fn keep_only(
        &mut self,
        handle: &rtnetlink::Handle,
        wanted: &BTreeSet<IfName>,
        up: &BTreeSet<IfName>,
    ) -> Vec<Failure> {
        let mut failures = vec![];
        let names: Vec<IfName> = self.there.keys().cloned().collect();
        for name in names {
            let Some(there) = self.there.get_mut(&name) else { continue };
            let done = if !wanted.contains(&name) {
                let done = macvlan::remove(handle, there.index).await;
                self.there.remove(&name);
                done
            } else if there.up && !up.contains(&name) {
                there.up = false;
                macvlan::set(handle, there.index, false).await
            } else {
                Ok(())
            };
            failures.extend(done.err().map(|error| Failure::Device { name, error: error.to_string() }));
        }
        self.put_back();
        failures
    }

    /// The interfaces that nothing stands on any more are as they were.
    fn put_back(&mut self) {
        let used: BTreeSet<&IfName> = self.there.values().map(|there| &there.base).collect();
        let free: Vec<IfName> = self.before.keys().filter(|base| !used.contains(base)).cloned().collect();
        for base in free {
            for (name, value) in self.before.remove(&base).unwrap_or_default() {
                // An interface that is gone needs nothing.
                let _ = sysctl::set(Family::V4, &base, name, value);
            }
        }
    }
}
