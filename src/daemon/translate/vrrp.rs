//! `vrrp_instance` to the virtual router's settings.

mod statics;
mod vmac;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::base::{Cidr, Family, IfName, Route, Rule};
use crate::config::model;
use crate::vrrp;
use crate::vrrp::settings::{GROUP_V4, GROUP_V6, GarpLane};
pub use statics::statics;

/// What an instance takes from outside of its block.
#[derive(Clone, Copy, Debug)]
pub struct Above<'a> {
    /// `vrrp_mcast_group4` and `vrrp_mcast_group6`.
    pub group4: Option<Ipv4Addr>,
    pub group6: Option<Ipv6Addr>,
    pub garp: &'a model::Garp,
    /// Sync groups, and what is tracked.
    pub config: &'a model::Config,
}

impl Above<'_> {
    fn garp_group(&self, interface: &IfName) -> Option<&model::GarpGroup> {
        self.config.garp_groups.iter().find(|group| group.interfaces.contains(interface))
    }

    /// The global values, with those of a `garp_group` of this interface before them.
    fn announcing(&self, interface: &IfName) -> model::Garp {
        let group = self.garp_group(interface);
        let (interval, gna_interval) = group.map_or((None, None), |group| (group.interval, group.gna_interval));
        model::Garp {
            interval: interval.or(self.garp.interval),
            gna_interval: gna_interval.or(self.garp.gna_interval),
            ..*self.garp
        }
    }

    fn group(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.group4.unwrap_or(GROUP_V4).into(),
            Family::V6 => self.group6.unwrap_or(GROUP_V6).into(),
        }
    }
}

pub fn instance(instance: &model::VrrpInstance, above: &Above<'_>) -> vrrp::Settings {
    #[rustfmt::skip] // What is read elsewhere stands on one line.
    let model::VrrpInstance {
        name,
        at: _,
        state,
        interface,
        vmac,
        vmac_addresses: _, addresses: _, excluded_addresses: _, // In `vmac.rs`.
        accept,
        vrid,
        priority,
        interval,
        version,
        family, strict,
        preempt, preempt_delay,
        auth_pass,
        auth_header,
        // In `transport`.
        source: _, unicast_peers: _, unicast_fault_no_peer: _, unicast_ttl: _, mcast_group: _, check_unicast_src: _,
        checksum_as_v2: _, old_unicast_checksum: _, // In `checksums`.
        track_source,
        skip_check_adv_addr: _, // The list is checked once per sender in any case, and only warned of.
        lower_prio_no_advert, higher_prio_send_advert,
        owner_ignore_adverts,
        down_timer_adverts,
        garp: own_garp,
        dont_track_primary,
        track: _, // In `tracked`.
        routes,
        rules,
        promote_secondaries,
        notify: _,
    } = instance;
    let (addresses, address_devices) = vmac::place(instance, &above.config.global);
    let group = above.config.sync_groups.iter().find(|group| group.members.contains(name));
    let (track, link_delays) = tracked(instance, group, above.config);
    vrrp::Settings {
        name: name.clone(),
        vrid: *vrid,
        family: *family,
        interface: interface.clone(),
        garp_lanes: garp_lanes(instance, &addresses, &address_devices, above),
        waits_for_interface: above.config.global.dynamic_interfaces,
        vmac: vmac.as_ref().map(|vmac| vmac::own(vmac, instance, above.config)),
        address_devices,
        accept: *accept,
        version: self::version(*version),
        priority: *priority,
        start_as_active: *state == model::InitialState::Master,
        interval: *interval,
        down_timer_adverts: *down_timer_adverts,
        preempt: *preempt,
        preempt_delay: *preempt_delay,
        auth: auth_pass.as_deref().map(|pass| authentication(pass, *auth_header)),
        transport: transport(instance, above),
        track_source: *track_source,
        addresses,
        routes: routes.iter().map(route).collect(),
        rules: rules.iter().map(rule).collect(),
        promote_secondaries: *promote_secondaries,
        silent_to_lower: *lower_prio_no_advert,
        last_word: *higher_prio_send_advert,
        owner_ignores_adverts: *owner_ignore_adverts,
        strict_address_list: *strict,
        checksums: checksums(instance),
        garp: garp(own_garp, &above.announcing(interface), *family),
        track,
        link_delays,
        dont_track_primary: *dont_track_primary,
        sync_group: group.map(sync_group),
    }
}

/// Of the interfaces that its addresses stand on, the one below where that is one of its own: those that are spaced
/// otherwise than its own interface for itself.
fn garp_lanes(
    instance: &model::VrrpInstance,
    addresses: &[vrrp::VirtualAddress],
    own: &[vrrp::settings::Device],
    above: &Above<'_>,
) -> BTreeMap<IfName, GarpLane> {
    let named = addresses.iter().filter_map(|address| address.dev.as_ref());
    let all = std::iter::once(&instance.interface).chain(named).chain(own.iter().map(|device| &device.base));
    let lane = |name: &IfName| {
        let leader = above.garp_group(name).and_then(|group| group.interfaces.first()).unwrap_or(name).clone();
        GarpLane { leader, interval: garp(&instance.garp, &above.announcing(name), instance.family).interval }
    };
    let plain = lane(&instance.interface).interval;
    let lanes = all.map(|name| (name.clone(), lane(name)));
    lanes.filter(|(name, lane)| lane.leader != *name || lane.interval != plain).collect()
}

fn tracked(
    instance: &model::VrrpInstance,
    group: Option<&model::SyncGroup>,
    config: &model::Config,
) -> (Vec<vrrp::Track>, Vec<vrrp::LinkDelay>) {
    let track = tracks(&instance.name, &instance.track, group, config);
    let link_delays = link_delays(instance, &track, &config.link_delays);
    (track, link_delays)
}

/// Those of the interfaces that it uses or tracks.
fn link_delays(
    instance: &model::VrrpInstance,
    track: &[vrrp::Track],
    all: &[model::LinkDelay],
) -> Vec<vrrp::LinkDelay> {
    let tracked =
        |interface: &IfName| track.iter().any(|track| track.what == vrrp::Tracked::Interface(interface.clone()));
    let most =
        |interface: &IfName| if *interface == instance.interface { instance.link_delay_most() } else { Duration::MAX };
    let of = all.iter().filter(|delay| delay.interface == instance.interface || tracked(&delay.interface));
    of.map(|delay| {
        let model::LinkDelay { interface, at: _, down, up } = delay;
        let most = most(interface);
        vrrp::LinkDelay { interface: interface.clone(), down: (*down).min(most), up: (*up).min(most) }
    })
    .collect()
}

fn sync_group(group: &model::SyncGroup) -> vrrp::SyncGroup {
    vrrp::SyncGroup { name: group.name.clone(), tracking_weight: group.tracking_weight }
}

const fn version(version: model::VrrpVersion) -> vrrp::Version {
    match version {
        model::VrrpVersion::V2 => vrrp::Version::V2,
        model::VrrpVersion::V3 => vrrp::Version::V3,
    }
}

const fn checksums(instance: &model::VrrpInstance) -> vrrp::settings::Checksums {
    use vrrp::settings::{Checksums, OldUnicastChecksum as Old};
    let old_unicast = match instance.old_unicast_checksum {
        model::OldUnicastChecksum::Auto => Old::Auto,
        model::OldUnicastChecksum::Always => Old::Always,
        model::OldUnicastChecksum::Never => Old::Never,
    };
    Checksums { bare: instance.checksum_as_v2, old_unicast }
}

fn transport(instance: &model::VrrpInstance, above: &Above<'_>) -> vrrp::Transport {
    let source = instance.source;
    if instance.unicast_peers.is_empty() && !instance.unicast_fault_no_peer {
        let group = instance.mcast_group.unwrap_or_else(|| above.group(instance.family));
        return vrrp::Transport::Multicast { group, source };
    }
    let peers = instance.unicast_peers.iter().map(peer).collect();
    let ttl = instance.unicast_ttl.unwrap_or(u8::MAX);
    vrrp::Transport::Unicast { source, peers, ttl, only_peers: instance.check_unicast_src }
}

fn peer(peer: &model::UnicastPeer) -> vrrp::Peer {
    let model::UnicastPeer { addr, ttl_min, ttl_max } = peer;
    vrrp::Peer { addr: *addr, ttl: *ttl_min..=*ttl_max }
}

fn authentication(pass: &str, header: bool) -> vrrp::Authentication {
    let password = vrrp::Password::new(pass);
    if header { vrrp::Authentication::Header(password) } else { vrrp::Authentication::Password(password) }
}

/// What the instance tracks, what its group tracks for all members, and the static items of its track groups.
fn tracks(
    name: &str,
    own: &model::Tracking,
    group: Option<&model::SyncGroup>,
    config: &model::Config,
) -> Vec<vrrp::Track> {
    let blocks: Vec<&model::Tracking> = std::iter::once(own).chain(group.map(|group| &group.track)).collect();
    let interfaces = blocks.iter().flat_map(|block| &block.interfaces).map(track_interface);
    let named = blocks.iter().flat_map(|block| block.all());
    let named = named.filter_map(|(kind, entry)| track_named(kind, entry, config));
    interfaces.chain(named).chain(statics::tracked(name, config)).collect()
}

fn track_interface(entry: &model::TrackInterface) -> vrrp::Track {
    let model::TrackInterface { interface, weight, reverse, at: _ } = entry;
    vrrp::Track { what: vrrp::Tracked::Interface(interface.clone()), weight: *weight, reverse: *reverse }
}

/// An entry without a weight takes that of what it names, with its direction. What does not exist is left out.
fn track_named(kind: model::Trackable, entry: &model::TrackEntry, config: &model::Config) -> Option<vrrp::Track> {
    let model::TrackEntry { name, weight, reverse, at: _ } = entry;
    let (own_weight, own_reverse) = config.weight_of(kind, name)?;
    let (weight, reverse) = match weight {
        Some(weight) => (Some(*weight), *reverse),
        None => (Some(own_weight), *reverse || own_reverse),
    };
    let what = match kind {
        model::Trackable::Script => vrrp::Tracked::Script(name.clone()),
        model::Trackable::File => vrrp::Tracked::File(name.clone()),
        model::Trackable::Process => vrrp::Tracked::Process(name.clone()),
        model::Trackable::Bfd => vrrp::Tracked::Bfd(name.clone()),
    };
    Some(vrrp::Track { what, weight, reverse })
}

/// `no_track`: what vanishes is put back in any case.
fn route(route: &model::KernelRoute) -> Route {
    let model::KernelRoute { route, no_track: _, track_group: _, at: _ } = route;
    route.clone()
}

fn rule(rule: &model::KernelRule) -> Rule {
    let model::KernelRule { rule, track_group: _, at: _ } = rule;
    rule.clone()
}

fn virtual_address(address: &model::VirtualAddress, excluded: bool) -> vrrp::VirtualAddress {
    let model::VirtualAddress {
        cidr,
        dev,
        dev_at: _,
        label,
        broadcast,
        scope,
        options,
        track_group: _,
        use_vmac: _,
        at: _,
    } = address;
    vrrp::VirtualAddress {
        cidr: *cidr,
        dev: dev.clone(),
        label: label.clone(),
        broadcast: broadcast.and_then(|broadcast| broadcast_address(*cidr, broadcast)),
        scope: *scope,
        options: *options,
        excluded,
    }
}

/// `None` for IPv6, which has no broadcast.
fn broadcast_address(cidr: Cidr, broadcast: model::Broadcast) -> Option<Ipv4Addr> {
    let IpAddr::V4(addr) = cidr.addr() else { return None };
    let host_bits = u32::MAX.checked_shr(cidr.prefix_len().into()).unwrap_or(0);
    Some(match broadcast {
        model::Broadcast::Ones => Ipv4Addr::from_bits(addr.to_bits() | host_bits),
        model::Broadcast::Zeros => Ipv4Addr::from_bits(addr.to_bits() & !host_bits),
        model::Broadcast::Address(addr) => addr,
    })
}

/// The instance's values, then the global ones, then keepalived's defaults.
fn garp(own: &model::Garp, global: &model::Garp, family: Family) -> vrrp::Garp {
    let model::Garp {
        master_delay,
        master_repeat,
        master_refresh,
        master_refresh_repeat,
        lower_prio_delay,
        lower_prio_repeat,
        interval,
        gna_interval,
        extra,
    } = *own;
    let default = vrrp::Garp::default();
    let times = |own: Option<u32>, global: Option<u32>, default: u8| {
        own.or(global).map_or(default, |times| u8::try_from(times).unwrap_or(u8::MAX))
    };
    let wait = |own: Option<Duration>, global: Option<Duration>, default| own.or(global).unwrap_or(default);
    let repeat = times(master_repeat, global.master_repeat, default.repeat);
    let delay = wait(master_delay, global.master_delay, default.delay);
    vrrp::Garp {
        repeat,
        delay,
        refresh: wait(master_refresh, global.master_refresh, default.refresh),
        refresh_repeat: times(master_refresh_repeat, global.master_refresh_repeat, default.refresh_repeat),
        // Where nobody says otherwise, as on becoming Active.
        lower_repeat: times(lower_prio_repeat, global.lower_prio_repeat, repeat),
        lower_delay: wait(lower_prio_delay, global.lower_prio_delay, delay),
        interval: match family {
            Family::V4 => wait(interval, global.interval, default.interval),
            Family::V6 => wait(gna_interval, global.gna_interval, default.interval),
        },
        extra: extra.or(global.extra).map_or(default.extra, |extra| extra.interval),
        extra_everywhere: extra.or(global.extra).is_some_and(|extra| extra.all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broadcast_of_a_prefix_is_its_highest_or_lowest_address() {
        let rows = [
            ("10.1.2.3/24", model::Broadcast::Ones, Some("10.1.2.255")),
            ("10.1.2.3/24", model::Broadcast::Zeros, Some("10.1.2.0")),
            ("10.1.2.3/32", model::Broadcast::Ones, Some("10.1.2.3")),
            ("10.1.2.3/0", model::Broadcast::Ones, Some("255.255.255.255")),
            ("2001:db8::1/64", model::Broadcast::Ones, None),
        ];
        for (cidr, broadcast, wanted) in rows {
            let got = broadcast_address(cidr.parse().unwrap(), broadcast).map(|addr| addr.to_string());
            assert_eq!(got.as_deref(), wanted, "{cidr} {broadcast:?}");
        }
    }

    /// `interface eth0`, a VRID, an address and these lines, below these of `global_defs`.
    fn settings(global: &str, lines: &str, vip: &str) -> vrrp::Settings {
        let text = format!(
            "global_defs {{\n{global}\n}}\nvrrp_instance A {{\ninterface eth0\nvirtual_router_id 7\n{lines}\n\
             virtual_ipaddress {{\n{vip}\n}}\n}}\n"
        );
        let options = crate::config::io::loader::LoadOptions { system: false, ..Default::default() };
        let config = crate::config::io::loader::load_text("a.conf", &text, &options).config;
        let (group4, group6) = (config.global.mcast_group4, config.global.mcast_group6);
        let above = Above { group4, group6, garp: &config.global.garp, config: &config };
        instance(&config.instances[0], &above)
    }

    #[test]
    fn the_group_of_the_whole_daemon_holds_where_an_instance_names_none() {
        let (v4, v6) = ("192.0.2.1", "2001:db8::1");
        let both = "vrrp_mcast_group4 224.0.0.19\nvrrp_mcast_group6 ff02::13";
        let rows = [
            ("", "", v4, "224.0.0.18"),
            ("", "", v6, "ff02::12"),
            (both, "", v4, "224.0.0.19"),
            (both, "", v6, "ff02::13"),
            (both, "mcast_dst_ip 224.0.0.20", v4, "224.0.0.20"),
        ];
        for (global, lines, vip, wanted) in rows {
            match settings(global, lines, vip).transport {
                vrrp::Transport::Multicast { group, source: None } => {
                    assert_eq!(group.to_string(), wanted, "{global} {lines} {vip}");
                }
                other @ (vrrp::Transport::Multicast { .. } | vrrp::Transport::Unicast { .. }) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_ipv6_address_is_no_source_unless_the_configuration_says_so() {
        let rows = [
            ("2001:db8::1/64", Some(false)),
            ("2001:db8::1/128", Some(false)),
            ("2001:db8::1/64 preferred_lft forever", Some(true)),
            ("2001:db8::1/128 preferred_lft 60", Some(true)),
            ("192.0.2.1/24", None),
        ];
        for (line, wanted) in rows {
            assert_eq!(settings("", "", line).addresses[0].options.preferred, wanted, "{line}");
        }
    }

    /// keepalived's `vrrp_complete_instance`, but for `higher_prio_send_advert`, which is off there where nobody asks for it.
    #[test]
    fn strict_mode_is_the_instances_own_and_changes_what_it_says_to_others() {
        let (on, off) = ("strict_mode true", "strict_mode false");
        let lower = "lower_prio_no_advert";
        let last_word = "vrrp_higher_prio_send_advert false";
        // (global, instance, drops other lists, silent to lesser ones, last word, announcements to lesser ones)
        let rows = [
            ("", "", false, false, true, 5),
            ("vrrp_strict", "", true, true, false, 0),
            ("vrrp_strict", off, false, false, true, 5),
            ("", on, true, true, false, 0),
            ("", lower, false, true, true, 5),
            (last_word, "", false, false, false, 5),
            (last_word, "higher_prio_send_advert true", false, false, true, 5),
            ("", "garp_lower_prio_repeat 2", false, false, true, 2),
            ("vrrp_strict", "garp_lower_prio_repeat 2\nhigher_prio_send_advert true", true, true, false, 0),
            ("vrrp_garp_lower_prio_repeat 3", on, true, true, false, 0),
        ];
        for (global, lines, strict, silent, last_word, repeat) in rows {
            let got = settings(global, lines, "192.0.2.1");
            let said = (got.strict_address_list, got.silent_to_lower, got.last_word, got.garp.lower_repeat);
            assert_eq!(said, (strict, silent, last_word, repeat), "{global}; {lines}");
        }
    }

    #[test]
    fn the_delays_of_all_interfaces_that_matter_are_known_and_the_own_one_is_bounded() {
        let text = "interface_up_down_delays {\neth0 9 1\neth1 9\neth2 9\neth3 9\n}\n\
                    vrrp_instance A {\ninterface eth0\nvirtual_router_id 7\nadvert_int 1\nvirtual_ipaddress {\n192.0.2.1\n}\n\
                    track_interface {\neth1\n}\n}\n\
                    vrrp_instance B {\ninterface eth0\nvirtual_router_id 8\nvirtual_ipaddress {\n192.0.2.2\n}\n}\n\
                    vrrp_sync_group G {\ngroup {\nA B\n}\ntrack_interface {\neth2\n}\n}\n";
        let options = crate::config::io::loader::LoadOptions { system: false, ..Default::default() };
        let config = crate::config::io::loader::load_text("a.conf", text, &options).config;
        let garp = model::Garp::default();
        let above = Above { group4: None, group6: None, garp: &garp, config: &config };
        let delays = instance(&config.instances[0], &above).link_delays;
        let said: Vec<String> =
            delays.iter().map(|delay| format!("{} {:?} {:?}", delay.interface, delay.down, delay.up)).collect();
        assert_eq!(said, ["eth0 2s 1s", "eth1 9s 9s", "eth2 9s 9s"]);
    }

    #[test]
    fn an_announcement_setting_comes_from_the_instance_then_from_above() {
        let own = model::Garp { master_repeat: Some(1), ..model::Garp::default() };
        let global = model::Garp {
            master_repeat: Some(7),
            master_refresh: Some(Duration::from_mins(1)),
            ..model::Garp::default()
        };
        let got = garp(&own, &global, Family::V4);
        assert_eq!((got.repeat, got.lower_repeat, got.refresh.as_secs(), got.delay.as_secs()), (1, 1, 60, 5));
    }
}
