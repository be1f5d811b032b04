//! The addresses of this host, in the map where the programs look them up: of them the kernel's routes say the same as of
//! what no route leads to. Level-triggered, by [`Own::follow`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use aya::maps::{HashMap, MapData};

use super::abi;
use super::fault::Fault;
use super::netlink::Netlink;
use super::words;

/// What the map holds.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// `None`: whatever an earlier run left.
    held: Option<BTreeSet<IpAddr>>,
}

impl Own {
    /// Write what has changed.
    ///
    /// # Errors
    /// [`Fault`] of netlink, or of the map, which holds [`abi::OWN_ADDRESSES`]; the next call tries again.
    pub(super) fn follow(
        &mut self,
        netlink: &Netlink,
        map: &mut HashMap<MapData, abi::Address, u32>,
    ) -> Result<(), Fault> {
        let now = netlink.addresses().map_err(|error| Fault::new("listing the addresses of this host", &error))?;
        if self.held.as_ref() == Some(&now) {
            return Ok(());
        }
        let held = match self.held.take() {
            Some(held) => held,
            None => map.keys().map(|key| key.map(words::ip)).collect::<Result<_, _>>().map_err(fault())?,
        };
        for gone in held.difference(&now) {
            map.remove(&words::address(*gone)).map_err(fault())?;
        }
        for new in now.difference(&held) {
            map.insert(words::address(*new), 1, 0).map_err(fault())?;
        }
        self.held = Some(now);
        Ok(())
    }
}

fn fault() -> impl FnOnce(aya::maps::MapError) -> Fault {
    Fault::map("noting the addresses of this host")
}
