//! Interfaces with the MAC address of a virtual router: the instance's own, and those of addresses elsewhere.

use super::virtual_address;
use crate::base::{Family, IfName};
use crate::config::model;
use crate::vrrp;

/// `use_vmac` of the instance.
pub(super) fn own(vmac: &model::Vmac, instance: &model::VrrpInstance, config: &model::Config) -> vrrp::Vmac {
    let model::Vmac { name, mac, xmit_base } = vmac;
    let mut addresses = instance.addresses.iter().chain(&instance.excluded_addresses);
    vrrp::Vmac {
        name: name.clone().unwrap_or_else(|| made_up_name(instance, config)),
        mac: mac.unwrap_or_else(|| vrrp::ip::virtual_mac(instance.family, instance.vrid)),
        ipv6: addresses.any(|address| address.dev.is_none() && address.cidr.family() == Family::V6),
        xmit_base: *xmit_base,
    }
}

/// `vrrp.51`, `vrrp6.51`; where an instance on another interface has that already, `vrrp.51.1` and so on. A prefix too
/// long for the name of an interface gives way to the default.
fn made_up_name(instance: &model::VrrpInstance, config: &model::Config) -> IfName {
    let made_up = |other: &&model::VrrpInstance| {
        let same = (other.vrid, other.family) == (instance.vrid, instance.family);
        same && other.vmac.as_ref().is_some_and(|vmac| vmac.name.is_none())
    };
    let before = config.instances.iter().filter(made_up).take_while(|other| other.name != instance.name).count();
    let family = match instance.family {
        Family::V4 => "",
        Family::V6 => "6",
    };
    let number = if before == 0 { String::new() } else { format!(".{before}") };
    let name = |prefix: &str| format!("{prefix}{family}.{}{number}", instance.vrid).parse();
    let prefix = config.global.vmac_prefix.as_deref().unwrap_or("vrrp");
    name(prefix).or_else(|_| name("vrrp")).unwrap_or_else(|_| instance.interface.clone())
}

/// The addresses, and the interfaces that are made for some of them: one for each interface and family.
pub(super) fn place(
    instance: &model::VrrpInstance,
    global: &model::Global,
) -> (Vec<vrrp::VirtualAddress>, Vec<vrrp::Device>) {
    let mut devices: Vec<vrrp::Device> = vec![];
    let mut placed = vec![];
    let own = instance.addresses.iter().map(|address| (address, false));
    for (address, excluded) in own.chain(instance.excluded_addresses.iter().map(|address| (address, true))) {
        let mut held = virtual_address(address, excluded);
        // A check that the kernel sends from a VIP never comes back from a real server that has the VIP too. A secondary
        // IPv4 address is no source either.
        if held.cidr.family() == Family::V6 {
            held.options.preferred.get_or_insert(false);
        }
        if let Some(base) = base(address, instance) {
            let family = held.cidr.family();
            if instance.vmac.is_some() && *base == instance.interface && family == instance.family {
                held.dev = None; // The instance's own has the same MAC address.
            } else {
                let device = device(base, family, instance, global);
                held.dev = Some(device.vmac.name.clone());
                if !devices.contains(&device) {
                    devices.push(device);
                }
            }
        }
        placed.push(held);
    }
    // They stay for as long as the virtual router, and most have one.
    placed.shrink_to_fit();
    (placed, devices)
}

/// Below the interface that is made for this address, where there is one.
fn base<'a>(address: &'a model::VirtualAddress, instance: &'a model::VrrpInstance) -> Option<&'a IfName> {
    let base = address.dev.as_ref().unwrap_or(&instance.interface);
    let elsewhere = *base != instance.interface || address.cidr.family() != instance.family;
    (address.use_vmac || instance.vmac_addresses && elsewhere).then_some(base)
}

fn device(base: &IfName, family: Family, instance: &model::VrrpInstance, global: &model::Global) -> vrrp::Device {
    let prefix = global.vmac_addr_prefix.as_ref().or(global.vmac_prefix.as_ref()).map_or("vrrp", String::as_str);
    let number = match family {
        Family::V4 => "",
        Family::V6 => "6",
    };
    // Of a name that would be too long, the end tells interfaces apart.
    let ends = base.as_str().char_indices().map(|(at, _)| base.as_str().get(at..).unwrap_or_default());
    let mut names = ends.filter_map(|end| format!("{prefix}{number}.{}.{end}", instance.vrid).parse().ok());
    let vmac = vrrp::Vmac {
        name: names.next().unwrap_or_else(|| base.clone()),
        mac: vrrp::ip::virtual_mac(family, instance.vrid),
        ipv6: family == Family::V6,
        xmit_base: true,
    };
    vrrp::Device { base: base.clone(), vmac }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::io::loader::{LoadOptions, load_text};

    #[test]
    fn an_address_may_have_an_interface_of_its_own() {
        let rows = [
            ("192.0.2.9/24 dev eth1 use_vmac", "", "vrrp.7.eth1", "eth1 vrrp.7.eth1 00:00:5e:00:01:07"),
            ("192.0.2.9/24 dev eth1", "use_vmac_addr", "vrrp.7.eth1", "eth1 vrrp.7.eth1 00:00:5e:00:01:07"),
            (
                "192.0.2.9/24 dev enp0s31f6v200 use_vmac",
                "",
                "vrrp.7.31f6v200",
                "enp0s31f6v200 vrrp.7.31f6v200 00:00:5e:00:01:07",
            ),
            ("2001:db8::9/64", "use_vmac_addr", "vrrp6.7.eth0", "eth0 vrrp6.7.eth0 00:00:5e:00:02:07"),
            ("192.0.2.9/24 use_vmac", "use_vmac", "vrrp.7", ""),
            ("192.0.2.9/24", "use_vmac_addr", "eth0", ""),
        ];
        for (line, more, dev, device) in rows {
            let text = format!(
                "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 7\n{more}\nvirtual_ipaddress {{\n192.0.2.1/24\n}}\n\
                 virtual_ipaddress_excluded {{\n{line}\n}}\n}}\n"
            );
            let config = load_text("a.conf", &text, &LoadOptions { system: false, ..LoadOptions::default() }).config;
            let above = super::super::Above { group4: None, group6: None, garp: &config.global.garp, config: &config };
            let settings = super::super::instance(&config.instances[0], &above);
            assert_eq!(settings.device_of(&settings.addresses[1]).as_str(), dev, "{line} {more}");
            let devices: Vec<String> = settings
                .address_devices
                .iter()
                .map(|vrrp::Device { base, vmac }| {
                    let mac = vmac.mac.map(|byte| format!("{byte:02x}")).join(":");
                    format!("{base} {} {mac}", vmac.name)
                })
                .collect();
            assert_eq!(devices.join("; "), device, "{line} {more}");
        }
    }
}
