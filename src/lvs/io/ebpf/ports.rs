//! Which interfaces XDP serves, how, and where it may send to. Decides only; `xdp` does.

use netlink_packet_route::link::{InfoKind, XdpAttached};

use super::abi;
use super::netlink::Link;
use crate::lvs::datapath::{Hook, HookMode, HookReason};

/// `NETDEV_XDP_ACT_BASIC` and `NETDEV_XDP_ACT_NDO_XMIT` (`linux/netdev.h`).
const CAN_RUN: u64 = 1;
const CAN_TAKE: u64 = 4;

/// What carries packets of the network itself: hardware, and a bond of it.
fn is_real(link: &Link) -> bool {
    matches!(link.kind, None | Some(InfoKind::Bond))
}

/// The ways to attach to an interface, the best one first; none: TC alone.
///
/// `auto` takes XDP where it is faster: between virtual interfaces it makes the kernel finish checksums and cut segments
/// that TC hands on whole, and generic XDP does what TC does, and more.
///
/// None takes it below a VLAN device: hardware takes the tag off before XDP sees the frame, which then looks untagged.
pub(super) fn ways(mode: HookMode, link: &Link) -> &'static [Hook] {
    let serves = link.mac.is_some() && link.index < abi::PORTS && !link.has_vlans;
    // Where the kernel does not tell, hardware may be tried; a virtual link would have nobody to send to.
    let can_run = link.features.map_or(is_real(link), |features| features & CAN_RUN != 0);
    match mode {
        HookMode::Auto if serves && can_run && is_real(link) && !link.is_port => &[Hook::Xdp],
        HookMode::Xdp if serves && can_run => &[Hook::Xdp, Hook::GenericXdp],
        HookMode::Xdp if serves => &[Hook::GenericXdp],
        HookMode::Auto | HookMode::Xdp | HookMode::Tc => &[],
    }
}

/// Why the interface is served at this hook; `None` is TC. `refusal`: what the kernel said to XDP.
pub(super) fn because(mode: HookMode, link: &Link, hook: Option<Hook>, refusal: Option<&str>) -> HookReason {
    match (hook, refusal) {
        (Some(Hook::Xdp), _) => HookReason::DriverRuns,
        (None, Some(words)) if !ways(mode, link).is_empty() => HookReason::Refused(words.to_owned()),
        (None, _) if link.mac.is_none() => HookReason::NotEthernet,
        (None, _) if link.index >= abi::PORTS => HookReason::FarIndex,
        (None, _) if link.has_vlans => HookReason::Vlans,
        (None, _) if link.is_port => HookReason::Member,
        (None, _) if !is_real(link) => HookReason::Virtual,
        (Some(Hook::GenericXdp | Hook::Tc) | None, _) => HookReason::DriverLacks,
    }
}

/// By which hook of XDP a program is there.
pub(super) fn attached(link: &Link) -> Option<Hook> {
    let attached = link.attached?;
    if matches!(attached, XdpAttached::Driver | XdpAttached::Hardware) {
        return Some(Hook::Xdp);
    }
    (attached == XdpAttached::SocketBuffer).then_some(Hook::GenericXdp)
}

/// The map's value; `ours`: the program on it is ours.
pub(super) fn port(link: &Link, ours: bool) -> abi::Port {
    let Some(mac) = link.mac else { return abi::Port::default() };
    let hook = attached(link);
    let takes = link.features.is_some_and(|features| features & CAN_TAKE != 0);
    // Hardware takes frames of others only while it has the rings for them: with a program of its own.
    let is_target = takes && (!is_real(link) || hook == Some(Hook::Xdp));
    let bits = [
        (ours && hook.is_some(), abi::PORT_ON),
        (hook == Some(Hook::GenericXdp), abi::PORT_GENERIC),
        // A veth sends back only where its other end has a program too; but it takes frames of its own as of others.
        (hook == Some(Hook::Xdp) && link.kind != Some(InfoKind::Veth), abi::PORT_BACK),
        (is_target, abi::PORT_TARGET),
        (true, abi::PORT_ETHERNET),
        (hook == Some(Hook::GenericXdp) || !is_real(link), abi::PORT_OFFLOADS),
    ];
    let flags = bits.into_iter().filter(|(set, _)| *set).fold(0, |flags, (_, bit)| flags | bit);
    abi::Port { mac, flags, reserved: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(kind: Option<InfoKind>, features: Option<u64>) -> Link {
        Link { index: 2, name: "eth0".to_owned(), mac: Some([2, 0, 0, 0, 0, 1]), kind, features, ..Link::default() }
    }

    #[test]
    fn auto_is_for_what_carries_the_network_and_xdp_for_all_that_can() {
        let (nic, old) = (link(None, Some(CAN_RUN)), link(None, None));
        let (veth, bond) = (link(Some(InfoKind::Veth), Some(CAN_RUN)), link(Some(InfoKind::Bond), Some(CAN_RUN)));
        let silent = link(Some(InfoKind::Veth), None);
        let bridge = link(Some(InfoKind::Bridge), Some(0));
        let member = Link { is_port: true, ..nic.clone() };
        let point = Link { mac: None, ..nic.clone() };
        let far = Link { index: abi::PORTS, ..nic.clone() };
        let trunk = Link { has_vlans: true, ..nic.clone() };
        let (native, both, generic): (&[Hook], &[Hook], &[Hook]) =
            (&[Hook::Xdp], &[Hook::Xdp, Hook::GenericXdp], &[Hook::GenericXdp]);
        let rows: [(&str, &Link, &[Hook], &[Hook]); 10] = [
            ("hardware", &nic, native, both),
            ("hardware, a kernel that does not tell", &old, native, both),
            ("a bond", &bond, native, both),
            ("its member", &member, &[], both),
            ("veth", &veth, &[], both),
            ("veth, a kernel that does not tell", &silent, &[], generic),
            ("a bridge", &bridge, &[], generic),
            ("without Ethernet", &point, &[], &[]),
            ("an index past the map", &far, &[], &[]),
            ("below VLAN devices", &trunk, &[], &[]),
        ];
        for (what, link, auto, xdp) in rows {
            assert_eq!(ways(HookMode::Auto, link), auto, "{what}");
            assert_eq!(ways(HookMode::Xdp, link), xdp, "{what}");
            assert_eq!(ways(HookMode::Tc, link), [], "{what}");
        }
    }

    #[test]
    fn why_an_interface_is_served_where_it_is() {
        let (nic, veth) = (link(None, Some(CAN_RUN)), link(Some(InfoKind::Veth), Some(CAN_RUN)));
        let poor = link(None, Some(0));
        let member = Link { is_port: true, ..nic.clone() };
        let busy = Some("another program is there");
        let (auto, xdp) = (HookMode::Auto, HookMode::Xdp);
        let rows = [
            ("hardware", because(auto, &nic, Some(Hook::Xdp), None), HookReason::DriverRuns),
            ("without a driver for it", because(auto, &poor, None, None), HookReason::DriverLacks),
            ("generic", because(xdp, &poor, Some(Hook::GenericXdp), None), HookReason::DriverLacks),
            ("veth", because(auto, &veth, None, None), HookReason::Virtual),
            ("a member", because(auto, &member, None, None), HookReason::Member),
            ("a trunk", because(xdp, &Link { has_vlans: true, ..nic.clone() }, None, None), HookReason::Vlans),
            ("without Ethernet", because(xdp, &Link { mac: None, ..nic.clone() }, None, None), HookReason::NotEthernet),
            ("taken", because(auto, &nic, None, busy), HookReason::Refused("another program is there".to_owned())),
            ("refused before the mode changed", because(auto, &veth, None, busy), HookReason::Virtual),
        ];
        for (what, told, expected) in rows {
            assert_eq!(told, expected, "{what}");
        }
    }

    #[test]
    fn frames_go_only_where_they_are_taken() {
        let on = |kind, features, attached| Link { attached, ..link(kind, features) };
        let (native, generic) = (Some(XdpAttached::Driver), Some(XdpAttached::SocketBuffer));
        let both = Some(CAN_RUN | CAN_TAKE);
        let ethernet = abi::PORT_ETHERNET;
        let rows = [
            ("hardware of ours", on(None, both, native), true, abi::PORT_ON | abi::PORT_BACK | abi::PORT_TARGET),
            ("hardware without rings", on(None, both, None), true, 0),
            ("of others", on(None, both, native), false, abi::PORT_BACK | abi::PORT_TARGET),
            ("veth that takes", on(Some(InfoKind::Veth), both, None), true, abi::PORT_TARGET | abi::PORT_OFFLOADS),
            (
                "veth whose peer does not",
                on(Some(InfoKind::Veth), Some(CAN_RUN), native),
                true,
                abi::PORT_ON | abi::PORT_OFFLOADS,
            ),
            ("generic", on(None, Some(CAN_RUN), generic), true, abi::PORT_ON | abi::PORT_GENERIC | abi::PORT_OFFLOADS),
        ];
        for (what, link, ours, flags) in rows {
            assert_eq!(port(&link, ours).flags, flags | ethernet, "{what}");
        }
        assert_eq!(port(&Link { mac: None, ..link(None, both) }, true), abi::Port::default());
    }
}
