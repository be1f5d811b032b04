//! Where the addresses of a virtual router stand, and the interfaces that are made for them.

use super::{Settings, Transport, VirtualAddress};
use crate::base::IfName;

/// `use_vmac`: a macvlan with the virtual router's MAC address, above its interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vmac {
    pub name: IfName,
    /// [`crate::vrrp::ip::virtual_mac`], unless the configuration says another.
    pub mac: [u8; 6],
    /// IPv6 addresses stand on it; without, it has no IPv6 at all.
    pub ipv6: bool,
    /// `vmac_xmit_base`: adverts come from the MAC address of the interface below.
    pub xmit_base: bool,
}

/// A [`Vmac`] and the interface that it stands on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    pub base: IfName,
    pub vmac: Vmac,
}

impl Settings {
    /// Where addresses stand that name no interface.
    pub fn device(&self) -> &IfName {
        self.vmac.as_ref().map_or(&self.interface, |vmac| &vmac.name)
    }

    /// Where this address stands.
    pub fn device_of<'a>(&'a self, address: &'a VirtualAddress) -> &'a IfName {
        address.dev.as_ref().unwrap_or_else(|| self.device())
    }

    /// The interface whose wire this address is on: the one below, where it stands on one of the virtual router's own.
    pub fn below<'a>(&'a self, address: &'a VirtualAddress) -> &'a IfName {
        let name = self.device_of(address);
        let own = self.vmac.iter().map(|vmac| (&self.interface, vmac));
        let mut own = own.chain(self.address_devices.iter().map(|device| (&device.base, &device.vmac)));
        own.find(|(_, vmac)| vmac.name == *name).map_or(name, |(base, _)| base)
    }

    /// Whether it is one of its own.
    pub fn is_own_device(&self, name: &IfName) -> bool {
        let devices = self.address_devices.iter().map(|device| &device.vmac);
        self.vmac.iter().chain(devices).any(|vmac| vmac.name == *name)
    }

    /// The interfaces of its own.
    pub fn own_devices(&self) -> impl Iterator<Item = Device> {
        let vmac = self.vmac.clone().map(|vmac| Device { base: self.interface.clone(), vmac });
        vmac.into_iter().chain(self.address_devices.iter().cloned())
    }

    /// The addresses that stand elsewhere than the virtual router, and are announced again and again (`garp_extra_if`).
    pub fn extra(&self) -> Vec<usize> {
        let is_own = |name: &IfName| self.address_devices.iter().any(|device| device.vmac.name == *name);
        let is_extra = |address: &VirtualAddress| {
            let name = self.device_of(address);
            name != self.device() && (self.garp.extra_everywhere || is_own(name))
        };
        let positions = self.addresses.iter().enumerate().filter(|(_, address)| is_extra(address));
        positions.map(|(at, _)| at).collect()
    }

    /// The hardware address that its adverts come from, where it is not that of the interface.
    pub fn advert_mac(&self) -> Option<[u8; 6]> {
        match self.transport {
            Transport::Multicast { .. } => self.vmac.as_ref().filter(|vmac| !vmac.xmit_base).map(|vmac| vmac.mac),
            Transport::Unicast { .. } => None,
        }
    }
}
