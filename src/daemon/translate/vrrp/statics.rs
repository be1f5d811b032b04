//! What the host holds while the daemon runs, and which virtual routers depend on it.

use super::{route, rule, virtual_address};
use crate::base::{AddressOptions, Cidr, IfName};
use crate::config::model;
use crate::vrrp;

/// What the host holds while the daemon runs, whoever is MASTER.
pub fn statics(statics: &model::Statics, locals: &[model::LocalAddressGroup]) -> vrrp::Holdings {
    let model::Statics { addresses, routes, rules } = statics;
    let mut held: Vec<_> = addresses.iter().map(|address| virtual_address(address, true)).collect();
    for local in locals.iter().flat_map(local_addresses) {
        // Two groups may share one.
        if held.iter().all(|known| known.cidr.addr() != local.cidr.addr()) {
            held.push(local);
        }
    }
    vrrp::Holdings {
        addresses: held,
        routes: routes.iter().map(route).collect(),
        rules: rules.iter().map(rule).collect(),
        promote_secondaries: false,
        refuse: false,
        devices: vec![],
    }
}

/// Where `FullNat` connections begin: those that name an interface, each alone, since the way to the real servers is
/// that of the interface's own network.
fn local_addresses(group: &model::LocalAddressGroup) -> impl Iterator<Item = vrrp::VirtualAddress> {
    let model::LocalAddressGroup { name: _, at: _, lines } = group;
    lines.iter().flat_map(|line| {
        let model::LocalAddresses { addresses, interface, at: _ } = line;
        interface.iter().flat_map(|dev| {
            addresses.iter().map(|addr| vrrp::VirtualAddress {
                cidr: Cidr::host(*addr),
                dev: Some(dev.clone()),
                label: None,
                broadcast: None,
                scope: 0,
                options: AddressOptions::NONE,
                excluded: true,
            })
        })
    })
}

/// The static items of the track groups that this instance is in, with the interfaces that they stand on: without these
/// a route or a rule is there at best by name.
pub(super) fn tracked(instance: &str, config: &model::Config) -> Vec<vrrp::Track> {
    let is_member = |group: &model::TrackGroup| group.members.iter().any(|member| member == instance);
    let groups: Vec<&str> =
        config.track_groups.iter().filter(|group| is_member(group)).map(|group| group.name.as_str()).collect();
    let is_tracked = |group: &Option<String>| group.as_deref().is_some_and(|group| groups.contains(&group));
    let model::Statics { addresses, routes, rules } = &config.statics;
    let mut found = vec![];
    for address in addresses.iter().filter(|item| is_tracked(&item.track_group)) {
        found.push(vrrp::Tracked::Static(format!("address {}", address.cidr)));
        found.extend(address.dev.iter().map(interface));
    }
    for model::KernelRoute { route, .. } in routes.iter().filter(|item| is_tracked(&item.track_group)) {
        found.push(vrrp::Tracked::Static(format!("route {route}")));
        found.extend(route.devices().map(interface));
    }
    for model::KernelRule { rule, .. } in rules.iter().filter(|item| is_tracked(&item.track_group)) {
        found.push(vrrp::Tracked::Static(format!("rule {rule}")));
        found.extend(rule.iif.iter().filter_map(|name| name.parse().ok()).map(vrrp::Tracked::Interface));
    }
    found.into_iter().map(|what| vrrp::Track { what, weight: None, reverse: false }).collect()
}

fn interface(name: &IfName) -> vrrp::Tracked {
    vrrp::Tracked::Interface(name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::io::loader::{LoadOptions, load_text};

    #[test]
    fn the_members_of_a_group_track_its_items_and_their_interfaces() {
        let text = "track_group G {\ngroup {\nA B\n}\n}\n\
                    static_ipaddress {\n192.0.2.9/24 track_group G\n192.0.2.8/24 dev eth1\n}\n\
                    static_routes {\n198.51.100.0/24 dev eth2 track_group G\n}\n\
                    static_rules {\niif eth3 table 100 preference 7 track_group G\n}\n";
        let options = LoadOptions { system: false, ..LoadOptions::default() };
        let config = load_text("a.conf", text, &options).config;
        let tracked = |name| tracked(name, &config).iter().map(|track| track.what.to_string()).collect::<Vec<_>>();
        assert_eq!(tracked("C"), Vec::<String>::new());
        let wanted = [
            "static address 192.0.2.9/24",
            "interface eth0",
            "static route unicast 198.51.100.0/24 dev eth2",
            "interface eth2",
            "static rule inet iif eth3 preference 7 table 100",
            "interface eth3",
        ];
        assert_eq!(tracked("B"), wanted);
    }
}
