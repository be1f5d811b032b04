//! From what an instance's statements said to the instance: defaults, what excludes what, and what is missing.

mod answers;

use std::net::IpAddr;
use std::time::Duration;

use super::{AuthKind, Draft};
use crate::base::{AdvertInterval, Family, Priority};
use crate::config::model::{
    Global, InitialState, InstanceAt, UnicastPeer, VirtualAddress, Vmac, VrrpInstance, VrrpVersion,
};
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};
use answers::answers;

const DOWN_TIMER_ADVERTS: u8 = 3;

pub(super) fn settle(
    block: &Statement<'_>,
    name: Word<'_>,
    mut draft: Draft,
    global: &Global,
    problems: &mut Vec<Problem>,
) -> Option<VrrpInstance> {
    let mut told = Told { name: name.text, problems };
    let family = family(&draft);
    let strict = draft.strict.unwrap_or(global.strict);
    let version = version(&draft, family, global, &mut told);
    let priority = priority(&draft);
    let state = state(&draft, priority, strict, &mut told);
    let (preempt, preempt_delay) = preempt(&draft, state, priority, strict, &mut told);
    let (auth_pass, kind) = auth(&mut draft, version, state, strict, &mut told).unzip();
    let auth_header = kind == Some(AuthKind::Ah);
    let state = if auth_header { InitialState::Backup } else { state };
    let interval = interval(&draft, version, &mut told);
    let peers = peers(&draft, family, strict, &mut told);
    let unicast_ttl = unicast_ttl(&draft, &peers, &mut told);
    let asked = if draft.unicast_source.is_some() { "unicast_src_ip" } else { "mcast_src_ip" };
    let source = source(&draft, family, at_of(block, asked, name), &mut told);
    let mcast_group = mcast_group(&draft, family, &mut told);
    sort_families(&mut draft, family, &mut told);
    own_interface(&mut draft, &mut told);
    without_what_they_are_for(&draft, family, &mut told);
    link_local_first(&draft, strict, &mut told);
    let (lower_prio_no_advert, higher_prio_send_advert) = answers(&mut draft, global, strict, block, &mut told);

    if !told.could_run(&draft, block, name, version) {
        return None;
    }
    let vmac = vmac(&mut draft, &peers, &mut told);
    // A list grows by steps of four, and most have one address: the model is kept.
    draft.addresses.shrink_to_fit();
    Some(VrrpInstance {
        name: name.text.to_owned(),
        at: places(block, name),
        state,
        interface: draft.interface?,
        vmac_addresses: draft.vmac_addresses,
        vmac,
        // The owner of the addresses takes packets for them in any case (RFC 9568 section 6.1, Accept_Mode).
        accept: priority.is_owner() || draft.accept.unwrap_or(!strict),
        vrid: draft.vrid?,
        priority,
        interval,
        version,
        family,
        strict,
        preempt,
        preempt_delay,
        auth_pass,
        auth_header,
        source,
        unicast_peers: peers,
        unicast_fault_no_peer: draft.fault_without_peers,
        unicast_ttl,
        mcast_group,
        track_source: draft.track_source,
        checksum_as_v2: draft.checksum_as_v2.unwrap_or(global.checksum_as_v2),
        old_unicast_checksum: draft.old_unicast_checksum,
        check_unicast_src: draft.check_unicast_src || global.check_unicast_src,
        skip_check_adv_addr: draft.skip_check_adv_addr || global.skip_check_adv_addr,
        lower_prio_no_advert,
        higher_prio_send_advert,
        owner_ignore_adverts: draft.owner_ignores_adverts.unwrap_or(global.owner_ignore_adverts),
        down_timer_adverts: draft.down_timer_adverts.or(global.down_timer_adverts).unwrap_or(DOWN_TIMER_ADVERTS),
        garp: draft.garp,
        dont_track_primary: draft.dont_track_primary,
        track: draft.track,
        routes: draft.routes,
        rules: draft.rules,
        promote_secondaries: draft.promote_secondaries,
        addresses: draft.addresses,
        excluded_addresses: draft.excluded,
        notify: draft.notify,
    })
}

fn places(block: &Statement<'_>, name: Word<'_>) -> InstanceAt {
    let at = |keyword| at_of(block, keyword, name);
    InstanceAt { name: name.at, interface: at("interface"), vrid: at("virtual_router_id") }
}

/// Where the last statement of this keyword stands; the name of the instance where there is none.
fn at_of(block: &Statement<'_>, keyword: &str, name: Word<'_>) -> Span {
    last(block, keyword).map_or(name.at, Statement::at)
}

fn last<'s, 'a>(block: &'s Statement<'a>, keyword: &str) -> Option<&'s Statement<'a>> {
    block.statements().iter().rfind(|inner| inner.keyword.text == keyword)
}

/// Problems of one instance.
struct Told<'a> {
    name: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Told<'_> {
    fn error(&mut self, code: &'static str, at: Span, message: &str, label: &str, help: &str) {
        let message = format!("vrrp_instance `{}`: {message}", self.name);
        let problem = Problem::new(code, Severity::Error, at, message).label(label);
        self.problems.push(if help.is_empty() { problem } else { problem.help(help) });
    }

    /// The keyword is not there, or its value was refused.
    fn left_out(&mut self, code: &'static str, block: &Statement<'_>, name: Word<'_>, keyword: &str, example: &str) {
        let (at, message, help) = match last(block, keyword) {
            Some(refused) => (
                refused.arg(0).unwrap_or(refused.keyword).at,
                format!("`{keyword}` says nothing that can be used, and without it the instance is left out"),
                format!("write: {example}"),
            ),
            None => (
                name.at,
                format!("there is no `{keyword}`, and without it the instance is left out"),
                format!("add: {example}"),
            ),
        };
        self.error(code, at, &message, "left out", &help);
    }

    /// Says what is missing.
    fn could_run(&mut self, draft: &Draft, block: &Statement<'_>, name: Word<'_>, version: VrrpVersion) -> bool {
        if draft.interface.is_none() {
            self.left_out("interface-missing", block, name, "interface", "interface eth0");
        }
        if draft.vrid.is_none() {
            self.left_out("vrid-missing", block, name, "virtual_router_id", "virtual_router_id 51");
        }
        if draft.addresses.is_empty() {
            self.no_address(block, name, version);
        }
        let named = draft.interface.is_some() && draft.vrid.is_some();
        named && (version == VrrpVersion::V2 || !draft.addresses.is_empty())
    }

    fn no_address(&mut self, block: &Statement<'_>, name: Word<'_>, version: VrrpVersion) {
        match version {
            VrrpVersion::V3 => {
                let example = "virtual_ipaddress { ADDR/PREFIX }";
                self.left_out("address-missing", block, name, "virtual_ipaddress", example);
            }
            VrrpVersion::V2 => self.error(
                "address-missing",
                name.at,
                "there is no virtual address",
                "elects, and owns nothing",
                "add: virtual_ipaddress { ADDR/PREFIX }",
            ),
        }
    }
}

fn vmac(draft: &mut Draft, peers: &[UnicastPeer], told: &mut Told<'_>) -> Option<Vmac> {
    let mut vmac = draft.vmac.take()?;
    vmac.xmit_base = draft.xmit_base.is_some() || !peers.is_empty();
    if let Some(at) = draft.unicast.filter(|_| vmac.xmit_base && draft.xmit_base.is_none()) {
        let message = "unicast with `use_vmac` is sent from the interface below: `vmac_xmit_base`";
        told.error("unicast-from-vmac", at, message, "taken as if it stood there", "add: vmac_xmit_base");
    }
    if let Some([.., last]) = vmac.mac.as_mut().filter(|_| draft.vmac_by_vrid) {
        *last = draft.vrid?.get();
    }
    Some(vmac)
}

fn unicast_ttl(draft: &Draft, peers: &[UnicastPeer], told: &mut Told<'_>) -> Option<u8> {
    let (ttl, at) = draft.unicast_ttl?;
    if peers.is_empty() {
        let message = "`unicast_ttl` is for peers, and there is none that can be used";
        told.error("unicast-without-peers", at, message, "left out", "name the other router in `unicast_peer`");
        return None;
    }
    Some(ttl)
}

/// Keywords that only say how something else is done, which is not asked for.
fn without_what_they_are_for(draft: &Draft, family: Family, told: &mut Told<'_>) {
    let vmac = draft.vmac.is_some() || draft.addresses.iter().chain(&draft.excluded).any(|address| address.use_vmac);
    if let Some(at) = draft.xmit_base.filter(|_| !vmac) {
        let message = "`vmac_xmit_base` is for an interface of `use_vmac`, and there is none";
        told.error("vmac-missing", at, message, "has no effect", "add: use_vmac");
    }
    if let Some(at) = draft.vrf.filter(|_| draft.interface.is_some()) {
        let message = "`vrf` is for an instance without `interface`, and there is one";
        told.error("vrf-with-interface", at, message, "left out", "remove `vrf`: the interface knows its own");
    }
    if let Some(at) = draft.native_ipv6.filter(|_| family == Family::V4 && !draft.addresses.is_empty()) {
        let message = "`native_ipv6` does not go with IPv4 addresses";
        told.error("wrong-family", at, message, "has no effect", "remove the line: the addresses say it");
    }
}

/// Of the first virtual address, else of the peers or the source, else of the excluded addresses, else IPv4.
fn family(draft: &Draft) -> Family {
    let advertised = draft.addresses.first().map(|address| address.cidr.family());
    let unicast = draft.peers.first().map(|(peer, _)| peer.addr).or(draft.unicast_source).or(draft.mcast_source);
    let excluded = || draft.excluded.first().map(|address| address.cidr.family());
    advertised.or(unicast.map(Family::of)).or_else(excluded).unwrap_or(Family::V4)
}

fn version(draft: &Draft, family: Family, global: &Global, told: &mut Told<'_>) -> VrrpVersion {
    match (draft.version, family) {
        (Some((VrrpVersion::V2, at)), Family::V6) => {
            let message = format!("vrrp_instance `{}`: VRRP version 2 has no IPv6: version 3 is used", told.name);
            let problem = Problem::new("version-2-with-ipv6", Severity::Warning, at, message);
            told.problems.push(problem.help("write `version 3` here and on the other router"));
            VrrpVersion::V3
        }
        (Some((version, _)), _) => version,
        (None, Family::V6) => VrrpVersion::V3,
        (None, Family::V4) => global.vrrp_version.unwrap_or(VrrpVersion::V2),
    }
}

fn priority(draft: &Draft) -> Priority {
    let master = draft.state.is_some_and(|(state, _)| state == InitialState::Master);
    let default = if master { Priority::OWNER } else { Priority::DEFAULT };
    draft.priority.and_then(|priority| Priority::new(priority).ok()).unwrap_or(default)
}

fn state(draft: &Draft, priority: Priority, strict: bool, told: &mut Told<'_>) -> InitialState {
    let by_priority = if priority.is_owner() { InitialState::Master } else { InitialState::Backup };
    match draft.state {
        None => by_priority,
        Some((state, at)) if strict && state != by_priority => {
            let help = "write `state BACKUP` (the priority decides), or priority 255 for the owner of the addresses";
            told.error(
                "state-not-strict",
                at,
                "in strict mode only the address owner starts as MASTER",
                "does not fit the priority",
                help,
            );
            by_priority
        }
        Some((state, _)) => state,
    }
}

fn preempt(
    draft: &Draft,
    state: InitialState,
    priority: Priority,
    strict: bool,
    told: &mut Told<'_>,
) -> (bool, Duration) {
    let mut nopreempt = draft.nopreempt;
    let mut delay = draft.preempt_delay.filter(|(delay, _)| !delay.is_zero());
    if let Some(at) = nopreempt.filter(|_| state == InitialState::Master || priority.is_owner()) {
        let help = "write `state BACKUP`; the priority still decides who begins";
        told.error("nopreempt-with-master", at, "`nopreempt` has no effect with state MASTER", "cleared", help);
        nopreempt = None;
    }
    if let Some((_, at)) = delay.filter(|_| state == InitialState::Master) {
        let help = "write `state BACKUP`; the priority still decides who begins";
        told.error("preempt-delay-with-master", at, "`preempt_delay` has no effect with state MASTER", "cleared", help);
        delay = None;
    }
    if let Some((_, at)) = delay.filter(|_| strict) {
        told.error(
            "preempt-delay-in-strict",
            at,
            "strict mode has no `preempt_delay`",
            "cleared",
            "remove one of the two",
        );
        delay = None;
    }
    if let Some((_, at)) = delay.filter(|_| nopreempt.is_some()) {
        told.error(
            "preempt-delay-with-nopreempt",
            at,
            "`preempt_delay` has no effect with `nopreempt`",
            "cleared",
            "remove one of the two",
        );
        delay = None;
    }
    (nopreempt.is_none(), delay.map_or(Duration::ZERO, |(delay, _)| delay))
}

/// The password of VRRPv2; nothing where there is none to use.
fn auth(
    draft: &mut Draft,
    version: VrrpVersion,
    state: InitialState,
    strict: bool,
    told: &mut Told<'_>,
) -> Option<(String, AuthKind)> {
    let auth = draft.auth.take()?;
    let kind = auth.kind?;
    let help = "remove the `authentication` block here and on the other router";
    if version == VrrpVersion::V3 {
        told.error("auth-with-v3", auth.at, "VRRP version 3 has no authentication", "left out", help);
        return None;
    }
    if strict {
        told.error("auth-in-strict", auth.at, "strict mode has no authentication", "left out", help);
        return None;
    }
    if auth.pass.as_ref().is_none_or(String::is_empty) {
        told.error(
            "auth-pass-missing",
            auth.at,
            if auth.pass.is_some() { "`auth_pass` is empty" } else { "there is no `auth_pass`" },
            "left out",
            "add: auth_pass, up to eight bytes",
        );
        return None;
    }
    if kind == AuthKind::Ah && state == InitialState::Master {
        let message = "state MASTER does not go with authentication by AH";
        told.error("ah-with-master", auth.at, message, "starts as BACKUP", "write `state BACKUP`");
    }
    auth.pass.map(|pass| (pass, kind))
}

/// Whole seconds in version 2, hundredths up to 40.95 s in version 3.
fn interval(draft: &Draft, version: VrrpVersion, told: &mut Told<'_>) -> AdvertInterval {
    let Some((wanted, at)) = draft.interval else { return AdvertInterval::DEFAULT };
    let (unit_ms, most) = match version {
        VrrpVersion::V2 => (1000, 255_000),
        VrrpVersion::V3 => (10, 40_950),
    };
    let wanted_us = wanted.as_micros();
    let step_us = unit_ms * 1000;
    let rounded_ms = ((wanted_us + step_us / 2) / step_us * unit_ms).clamp(unit_ms, most);
    let centis = u16::try_from(rounded_ms / 10).unwrap_or(u16::MAX);
    let interval = AdvertInterval::from_centis(centis).unwrap_or(AdvertInterval::DEFAULT);
    if rounded_ms * 1000 != wanted_us {
        let (message, help) = match version {
            VrrpVersion::V2 => (
                "VRRP version 2 counts `advert_int` in whole seconds",
                "write `version 3` here and on the other router",
            ),
            VrrpVersion::V3 => (
                "VRRP version 3 carries `advert_int` in hundredths of a second up to 40.95",
                "write what a packet can carry",
            ),
        };
        told.error("advert-int-rounded", at, message, &format!("taken as {interval} s"), help);
    }
    interval
}

fn peers(draft: &Draft, family: Family, strict: bool, told: &mut Told<'_>) -> Vec<UnicastPeer> {
    let mut peers = Vec::with_capacity(draft.peers.len());
    for (peer, at) in &draft.peers {
        if Family::of(peer.addr) == family {
            peers.push(*peer);
        } else {
            let message = format!("the peer {} is not of the family of the instance", peer.addr);
            told.error(
                "unicast-family",
                *at,
                &message,
                "left out",
                "peers, source and virtual addresses are of one family",
            );
        }
    }
    match draft.unicast {
        Some(_) if peers.is_empty() && draft.fault_without_peers => {}
        Some(at) if peers.is_empty() => {
            let help = "name the other router in `unicast_peer`, or remove the keywords of unicast";
            told.error(
                "unicast-without-peers",
                at,
                "unicast is asked for, and there is no peer that can be used",
                "multicast is used",
                help,
            );
        }
        Some(at) if strict => {
            let message =
                format!("vrrp_instance `{}`: strict mode and unicast, which the RFC does not have", told.name);
            told.problems.push(
                Problem::new("unicast-in-strict", Severity::Warning, at, message)
                    .label("both hold")
                    .help("remove one of the two"),
            );
        }
        Some(_) | None => {}
    }
    peers
}

fn source(draft: &Draft, family: Family, at: Span, told: &mut Told<'_>) -> Option<IpAddr> {
    let source = draft.unicast_source.or(draft.mcast_source)?;
    if Family::of(source) == family {
        return Some(source);
    }
    let message = format!("the source {source} is not of the family of the instance");
    told.error(
        "source-family",
        at,
        &message,
        "the source is left out",
        "peers, source and virtual addresses are of one family",
    );
    None
}

fn mcast_group(draft: &Draft, family: Family, told: &mut Told<'_>) -> Option<IpAddr> {
    let (group, at) = draft.mcast_group?;
    if Family::of(group) == family {
        return Some(group);
    }
    let message = format!("the group {group} is not of the family of the instance");
    told.error(
        "group-family",
        at,
        &message,
        "left out: the global group is used",
        "write one of the family of its addresses",
    );
    None
}

/// Virtual addresses of the other family cannot be advertised: they become excluded ones.
fn sort_families(draft: &mut Draft, family: Family, told: &mut Told<'_>) {
    let (fit, odd): (Vec<VirtualAddress>, _) =
        std::mem::take(&mut draft.addresses).into_iter().partition(|address| address.cidr.family() == family);
    draft.addresses = fit;
    for address in odd {
        let message = format!("{} is not of the family of the first virtual address", address.cidr);
        let help = "write it in `virtual_ipaddress_excluded`, or give it an instance of its own";
        told.error("mixed-families", address.at, &message, "held, and not advertised", help);
        draft.excluded.push(address);
    }
}

fn own_interface(draft: &mut Draft, told: &mut Told<'_>) {
    let Some(own) = draft.interface.as_ref() else { return };
    draft.track.interfaces.retain(|tracked| {
        let is_own = tracked.interface == *own;
        if is_own {
            let message = format!("`{own}` is the interface of the instance, which is tracked anyway");
            told.error("tracks-own-interface", tracked.at, &message, "left out", "remove the line");
        }
        !is_own
    });
}

fn link_local_first(draft: &Draft, strict: bool, told: &mut Told<'_>) {
    if !strict || self::family(draft) != Family::V6 {
        return;
    }
    let first = draft.addresses.first().map(|address| (address.cidr.addr(), address.at));
    if let Some((IpAddr::V6(addr), at)) = first
        && !addr.is_unicast_link_local()
    {
        let message = format!("in strict mode the first address is link-local, and {addr} is not");
        told.error("first-not-link-local", at, &message, "not link-local", "put an address of fe80::/10 first");
    }
}
