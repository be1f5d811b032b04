//! Virtual addresses that are in the kernel before we begin: a daemon before us left them, or somebody set them by hand.
//!
//! keepalived's addresses bear no mark and live for ever, so that a Backup would answer for them until somebody looks.

use std::borrow::Borrow;
use std::net::IpAddr;

use super::happened::Happened;
use super::links::{Held, Link, Links, is_link_local};
use super::settings::Settings;
use crate::base::{Family, IfName, MonoTime};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub instance: String,
    pub interface: IfName,
    /// Of the interface.
    pub index: u32,
    pub held: Held,
    /// It is not to be removed: without it the host, or an advert, would have nothing to come from, or other addresses
    /// would go along.
    pub stays: bool,
}

impl Leftover {
    /// What there is to tell; nothing of what bears our mark.
    pub fn happened(self, at: MonoTime) -> Option<Happened> {
        let Self { instance, interface, index: _, held, stays } = self;
        let removed = !stays;
        (!held.ours).then_some(Happened::AddressFound { at, instance, interface, address: held.cidr, removed })
    }
}

/// What is there of the addresses of these virtual routers, but for what their owner (priority 255) has by itself.
///
/// What bears our mark is found wherever it stands, anything else only where it is to stand.
pub fn leftovers<S: Borrow<Settings>>(all: &[S], links: &Links) -> Vec<Leftover> {
    let all: Vec<&Settings> = all.iter().map(Borrow::borrow).collect();
    let on_link = |(name, link): (&IfName, &Link)| {
        let of = |held: &Held| if held.ours { marked(&all, held) } else { unmarked(&all, name, held) };
        let found: Vec<(Held, &Settings)> = link.addresses.iter().filter_map(|held| Some((*held, of(held)?))).collect();
        let gone: Vec<Held> = found.iter().map(|(held, _)| *held).collect();
        let leftover = |(held, settings): (Held, &Settings)| Leftover {
            instance: settings.name.clone(),
            interface: name.clone(),
            index: link.index,
            held,
            stays: !held.ours && is_needed(&all, name, link, &held, &gone),
        };
        found.into_iter().map(leftover).collect::<Vec<_>>()
    };
    links.0.iter().flat_map(on_link).collect()
}

fn marked<'a>(all: &[&'a Settings], held: &Held) -> Option<&'a Settings> {
    all.iter().copied().find(|one| one.addresses.iter().any(|address| address.cidr == held.cidr))
}

fn unmarked<'a>(all: &[&'a Settings], name: &IfName, held: &Held) -> Option<&'a Settings> {
    let wants = |one: &Settings| {
        one.addresses.iter().any(|address| one.device_of(address) == name && held.is_same_as(address.cidr))
    };
    let mut wanting = all.iter().copied().filter(|one| wants(one)).peekable();
    let first = wanting.peek().copied();
    first.filter(|_| !wanting.any(|one| one.priority.is_owner()))
}

/// Whether this host would have no address there, or adverts none to come from: then it may be the host's own, which
/// somebody took for a virtual one.
fn is_needed(all: &[&Settings], name: &IfName, link: &Link, held: &Held, gone: &[Held]) -> bool {
    if all.iter().any(|one| one.is_own_device(name)) {
        return false;
    }
    let addr = held.cidr.addr();
    let as_good = |other: &&Held| {
        let other_addr = other.cidr.addr();
        Family::of(other_addr) == Family::of(addr) && (is_link_local(other_addr) || !is_link_local(addr))
    };
    let mut rest = link.addresses.iter().filter(|other| !other.ours && !gone.contains(other));
    let is_source = |source: Option<IpAddr>| source == Some(addr);
    !rest.any(|other| as_good(&other)) || all.iter().any(|one| is_source(one.transport.source()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Priority, Vrid};
    use crate::vrrp::ip::virtual_mac;
    use crate::vrrp::settings::{GROUP_V4, Transport, VirtualAddress, Vmac};

    fn router(family: Family, vips: &[&str]) -> Settings {
        let addresses = vips.iter().map(|vip| VirtualAddress::new(vip.parse().unwrap())).collect();
        Settings { addresses, ..Settings::new("VI_1", "eth0".parse().unwrap(), Vrid::new(7).unwrap(), family) }
    }

    fn owner(vips: &[&str]) -> Settings {
        Settings { priority: Priority::OWNER, ..router(Family::V4, vips) }
    }

    fn sending_from(source: &str, vips: &[&str]) -> Settings {
        let transport = Transport::Multicast { group: GROUP_V4.into(), source: source.parse().ok() };
        Settings { transport, ..router(Family::V4, vips) }
    }

    fn elsewhere(dev: &str, vip: &str) -> Settings {
        let address = VirtualAddress { dev: dev.parse().ok(), ..VirtualAddress::new(vip.parse().unwrap()) };
        Settings { addresses: vec![address], ..router(Family::V4, &[]) }
    }

    fn vmac(vip: &str) -> Settings {
        let plain = router(Family::V4, &[vip]);
        let mac = virtual_mac(Family::V4, plain.vrid);
        Settings { vmac: Some(Vmac { name: "vrrp.7".parse().unwrap(), mac, ipv6: false, xmit_base: false }), ..plain }
    }

    /// Name, routers, interface, what is there, what is found.
    type Row<'a> = (&'a str, Vec<Settings>, &'a str, &'a [&'a str], &'a [&'a str]);

    /// `+` before an address: it bears our mark. The result has `-` before what goes, and `=` before what stays.
    fn found(routers: &[Settings], interface: &str, addresses: &[&str]) -> Vec<String> {
        let held = |text: &&str| {
            let cidr = text.trim_start_matches('+').parse().unwrap();
            Held { cidr, peer: None, ours: text.starts_with('+'), usable: true }
        };
        let addresses = addresses.iter().map(held).collect();
        let link = Link { index: 2, running: true, mac: None, downs: 0, addresses };
        let all = leftovers(routers, &Links([(interface.parse().unwrap(), link)].into()));
        let shown = |one: &Leftover| format!("{}{}", if one.stays { '=' } else { '-' }, one.held.cidr);
        all.iter().map(shown).collect()
    }

    #[test]
    fn what_others_left_goes_unless_the_host_would_have_nothing_then() {
        use Family::{V4, V6};
        let vip = "10.0.0.9/24";
        let other = Settings { name: "VI_2".to_owned(), ..owner(&[vip]) };
        let rows: [Row<'_>; 16] = [
            ("left", vec![router(V4, &[vip])], "eth0", &["10.0.0.1/24", vip], &["-10.0.0.9/24"]),
            ("left, and first", vec![router(V4, &[vip])], "eth0", &[vip, "10.0.0.1/24"], &["-10.0.0.9/24"]),
            (
                "another prefix is another address",
                vec![router(V4, &[vip])],
                "eth0",
                &["10.0.0.1/24", "10.0.0.9/32"],
                &[],
            ),
            ("nobody's", vec![router(V4, &[vip])], "eth0", &["10.0.0.1/24"], &[]),
            ("the owner's", vec![owner(&[vip])], "eth0", &["10.0.0.1/24", vip], &[]),
            ("also the owner's", vec![router(V4, &[vip]), other], "eth0", &["10.0.0.1/24", vip], &[]),
            ("all that there is", vec![router(V4, &[vip])], "eth0", &[vip], &["=10.0.0.9/24"]),
            (
                "all that there is, twice",
                vec![router(V4, &[vip, "10.0.0.8/24"])],
                "eth0",
                &[vip, "10.0.0.8/24", "fe80::1/64"],
                &["=10.0.0.9/24", "=10.0.0.8/24"],
            ),
            ("ours is not the host's", vec![router(V4, &[vip])], "eth0", &[vip, "+10.0.0.7/24"], &["=10.0.0.9/24"]),
            (
                "adverts come from it",
                vec![sending_from("10.0.0.9", &[vip])],
                "eth0",
                &["10.0.0.1/24", vip],
                &["=10.0.0.9/24"],
            ),
            ("on another interface", vec![router(V4, &[vip])], "eth1", &["10.0.0.1/24", vip], &[]),
            (
                "on the one that it names",
                vec![elsewhere("eth1", vip)],
                "eth1",
                &["10.0.0.1/24", vip],
                &["-10.0.0.9/24"],
            ),
            ("marked, anywhere", vec![router(V4, &[vip])], "eth1", &["+10.0.0.9/24"], &["-10.0.0.9/24"]),
            ("alone on an interface of its own", vec![vmac(vip)], "vrrp.7", &[vip], &["-10.0.0.9/24"]),
            (
                "IPv6, whatever its prefix",
                vec![router(V6, &["2001:db8::9/64"])],
                "eth0",
                &["fe80::1/64", "2001:db8::9/128"],
                &["-2001:db8::9/128"],
            ),
            (
                "the only link-local one",
                vec![router(V6, &["fe80::9/64"])],
                "eth0",
                &["2001:db8::1/64", "fe80::9/64"],
                &["=fe80::9/64"],
            ),
        ];
        for (name, routers, interface, addresses, expected) in rows {
            assert_eq!(found(&routers, interface, addresses), expected, "{name}");
        }
    }
}
