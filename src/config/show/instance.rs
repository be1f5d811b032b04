//! `vrrp_instance`: what was decided from the blocks above it is written out in its own.

use std::net::IpAddr;

use super::node::{Node, Nodes, boolean, word};
use super::{global, track};
use crate::base::AddressOptions;
use crate::config::model::{
    Broadcast, Global, InitialState, KernelRoute, KernelRule, OldUnicastChecksum, Statics, UnicastPeer, VirtualAddress,
    Vmac, VrrpInstance,
};

pub(super) fn instance(instance: &VrrpInstance, above: &Global) -> Node {
    let VrrpInstance {
        name,
        at: _,
        state,
        interface,
        vmac,
        vmac_addresses,
        accept,
        vrid,
        priority,
        interval,
        version,
        family: _, // The addresses tell.
        strict,
        preempt,
        preempt_delay,
        auth_pass,
        auth_header,
        source,
        unicast_peers,
        unicast_fault_no_peer: _, // These four are in `unicast`.
        unicast_ttl: _,
        mcast_group,
        checksum_as_v2: _,
        old_unicast_checksum: _,
        track_source,
        check_unicast_src: _, // These five are in `hearing`.
        skip_check_adv_addr: _,
        lower_prio_no_advert: _,
        higher_prio_send_advert: _,
        owner_ignore_adverts: _,
        down_timer_adverts,
        garp,
        dont_track_primary,
        track,
        addresses,
        excluded_addresses,
        routes,
        rules,
        promote_secondaries,
        notify,
    } = instance;
    let mut nodes = Nodes::default();
    nodes.put(Node::plain("state", self::state(*state)));
    nodes.put(Node::word("interface", interface.as_str()));
    self::vmac(&mut nodes, vmac.as_ref(), *vmac_addresses);
    nodes.put(Node::plain("virtual_router_id", vrid));
    nodes.put(Node::plain("priority", priority));
    nodes.put(Node::plain("version", global::version(*version)));
    nodes.put(Node::plain("advert_int", interval));
    nodes.put(Node::plain("down_timer_adverts", down_timer_adverts));
    nodes.plain("strict_mode", Some(*strict).filter(|own| *own != above.strict).map(boolean));
    self::accept(&mut nodes, *accept, *strict);
    nodes.flag("nopreempt", !preempt);
    nodes.time("preempt_delay", Some(*preempt_delay).filter(|delay| !delay.is_zero()));
    hearing(&mut nodes, instance, above);
    nodes.flag("dont_track_primary", *dont_track_primary);
    authentication(&mut nodes, auth_pass.as_deref(), *auth_header);
    nodes.plain("mcast_dst_ip", *mcast_group);
    self::source(&mut nodes, *source, *track_source, unicast_peers);
    unicast(&mut nodes, instance, above);
    global::garp(&mut nodes, "", garp);
    track::tracked(&mut nodes, track);
    self::addresses(&mut nodes, addresses, excluded_addresses);
    nodes.list("virtual_routes", routes.iter().map(route).collect());
    nodes.list("virtual_rules", rules.iter().map(rule).collect());
    nodes.flag("promote_secondaries", *promote_secondaries);
    track::notify(&mut nodes, notify);
    Node::block("vrrp_instance", word(name), nodes.0)
}

/// What becomes of the adverts of others.
fn hearing(nodes: &mut Nodes, instance: &VrrpInstance, above: &Global) {
    nodes.put(Node::plain("lower_prio_no_advert", boolean(instance.lower_prio_no_advert)));
    let default = !instance.strict && above.higher_prio_send_advert.unwrap_or(true);
    let last_word = Some(instance.higher_prio_send_advert).filter(|own| *own != default);
    nodes.plain("higher_prio_send_advert", last_word.map(boolean));
    let ignores = Some(instance.owner_ignore_adverts).filter(|own| *own != above.owner_ignore_adverts);
    nodes.plain("owner_ignore_adverts", ignores.map(boolean));
    nodes.flag("skip_check_adv_addr", instance.skip_check_adv_addr);
    nodes.flag("check_unicast_src", instance.check_unicast_src && !above.check_unicast_src);
}

fn unicast(nodes: &mut Nodes, instance: &VrrpInstance, above: &Global) {
    nodes.flag("unicast_fault_no_peer", instance.unicast_fault_no_peer);
    nodes.plain("unicast_ttl", instance.unicast_ttl);
    nodes.plain(
        "v3_checksum_as_v2",
        Some(instance.checksum_as_v2).filter(|own| *own != above.checksum_as_v2).map(boolean),
    );
    nodes.plain("old_unicast_checksum", self::old_unicast_checksum(instance.old_unicast_checksum));
}

/// `Some("")`: the keyword alone.
const fn old_unicast_checksum(old: OldUnicastChecksum) -> Option<&'static str> {
    match old {
        OldUnicastChecksum::Auto => None,
        OldUnicastChecksum::Always => Some(""),
        OldUnicastChecksum::Never => Some("never"),
    }
}

fn accept(nodes: &mut Nodes, accept: bool, strict: bool) {
    nodes.flag("no_accept", !accept);
    nodes.flag("accept", accept && strict);
}

fn authentication(nodes: &mut Nodes, pass: Option<&str>, header: bool) {
    if let Some(pass) = pass {
        let kind = Node::plain("auth_type", if header { "AH" } else { "PASS" });
        nodes.put(Node::block("authentication", String::new(), vec![kind, Node::word("auth_pass", pass)]));
    }
}

fn source(nodes: &mut Nodes, source: Option<IpAddr>, tracked: bool, peers: &[UnicastPeer]) {
    nodes.plain(if peers.is_empty() { "mcast_src_ip" } else { "unicast_src_ip" }, source);
    nodes.flag("track_src_ip", tracked);
    nodes.list("unicast_peer", peers.iter().map(peer).collect());
}

fn peer(peer: &UnicastPeer) -> Node {
    let UnicastPeer { addr, ttl_min, ttl_max } = peer;
    let least = (*ttl_min > 0).then(|| format!("min_ttl {ttl_min}"));
    let most = (*ttl_max < u8::MAX).then(|| format!("max_ttl {ttl_max}"));
    let words: Vec<String> = least.into_iter().chain(most).collect();
    Node { value: words.join(" "), ..Node::item(&addr.to_string()) }
}

fn vmac(nodes: &mut Nodes, vmac: Option<&Vmac>, of_addresses: bool) {
    nodes.flag("use_vmac_addr", of_addresses);
    let Some(vmac) = vmac else { return };
    let Vmac { name, mac, xmit_base } = vmac;
    let name = name.as_ref().map(|name| word(name.as_str()));
    let mac = mac.map(|[a, b, c, d, e, f]| format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"));
    let words: Vec<String> = name.into_iter().chain(mac).collect();
    nodes.put(Node { value: words.join(" "), ..Node::flag("use_vmac") });
    nodes.flag("vmac_xmit_base", *xmit_base);
}

fn addresses(nodes: &mut Nodes, own: &[VirtualAddress], excluded: &[VirtualAddress]) {
    nodes.list("virtual_ipaddress", own.iter().map(address).collect());
    nodes.list("virtual_ipaddress_excluded", excluded.iter().map(address).collect());
}

/// The blocks of what is there as long as the daemon runs.
pub(super) fn statics(statics: &Statics) -> Vec<Node> {
    let Statics { addresses, routes, rules } = statics;
    let mut nodes = Nodes::default();
    nodes.list("static_ipaddress", addresses.iter().map(address).collect());
    nodes.list("static_routes", routes.iter().map(route).collect());
    nodes.list("static_rules", rules.iter().map(rule).collect());
    nodes.0
}

fn route(route: &KernelRoute) -> Node {
    let KernelRoute { route, no_track, track_group, at: _ } = route;
    let text = route.to_string();
    // Next hops come last.
    let (before, hops) = text.find(" nexthop").and_then(|at| text.split_at_checked(at)).unwrap_or((&text, ""));
    let tracked = if *no_track { " no_track" } else { "" };
    line(&format!("{before}{tracked}"), track_group.as_deref(), hops)
}

fn rule(rule: &KernelRule) -> Node {
    let KernelRule { rule, track_group, at: _ } = rule;
    // What has another protocol than ours cannot be tracked.
    let tracked = if rule.protocol.is_some() { " no_track" } else { "" };
    line(&format!("{rule}{tracked}"), track_group.as_deref(), "")
}

fn line(text: &str, track_group: Option<&str>, after: &str) -> Node {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let group = track_group.into_iter().flat_map(|group| ["track_group", group]);
    let rest = rest.split_whitespace().chain(group).chain(after.split_whitespace());
    let rest: Vec<String> = rest.map(word).collect();
    Node { value: rest.join(" "), ..Node::item(first) }
}

const fn state(state: InitialState) -> &'static str {
    match state {
        InitialState::Master => "MASTER",
        InitialState::Backup => "BACKUP",
    }
}

fn address(address: &VirtualAddress) -> Node {
    let VirtualAddress { cidr, dev, dev_at: _, label, broadcast, scope, options, track_group, use_vmac, at: _ } =
        address;
    let mut words = vec![];
    let mut put = |option: &str, value: String| words.push(format!("{option} {value}"));
    if let Some(dev) = dev {
        put("dev", word(dev.as_str()));
    }
    if let Some(label) = label {
        put("label", word(label));
    }
    match broadcast {
        Some(Broadcast::Ones) => put("broadcast", "+".to_owned()),
        Some(Broadcast::Zeros) => put("broadcast", "-".to_owned()),
        Some(Broadcast::Address(addr)) => put("broadcast", addr.to_string()),
        None => {}
    }
    // `RT_SCOPE_*` of linux/rtnetlink.h by the names of iproute2.
    match scope {
        0 => {}
        200 => put("scope", "site".to_owned()),
        253 => put("scope", "link".to_owned()),
        254 => put("scope", "host".to_owned()),
        255 => put("scope", "nowhere".to_owned()),
        other => put("scope", other.to_string()),
    }
    let AddressOptions { preferred, home, manage_temporary, no_prefix_route, auto_join, peer } = *options;
    if let Some(peer) = peer {
        put("peer", peer.to_string());
    }
    if let Some(preferred) = preferred {
        put("preferred_lft", if preferred { "forever" } else { "0" }.to_owned());
    }
    let flags = [
        ("use_vmac", *use_vmac),
        ("home", home),
        ("mngtmpaddr", manage_temporary),
        ("noprefixroute", no_prefix_route),
        ("autojoin", auto_join),
    ];
    words.extend(flags.iter().filter(|(_, on)| *on).map(|(word, _)| (*word).to_owned()));
    words.extend(track_group.iter().map(|group| format!("track_group {}", word(group))));
    Node { value: words.join(" "), ..Node::item(&cidr.to_string()) }
}
