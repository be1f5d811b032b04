//! `vrrp_instance NAME`: what its statements say. What follows from them together is `instance/settle.rs`.

mod settle;

use std::net::IpAddr;
use std::time::Duration;

use super::global::{VERSIONS, is_link_local, multicast, read_garp};
use super::value::{SECOND, choice, error, flag, host_word, interface, number, number_word, parsed, seconds, set};
use super::{notify, route, rule, track, virtual_address};
use crate::base::{IfName, Vrid};
use crate::config::model::{
    Garp, Global, InitialState, KernelRoute, KernelRule, Notify, OldUnicastChecksum, Tracking, UnicastPeer,
    VirtualAddress, Vmac, VrrpInstance, VrrpVersion,
};
use crate::config::names::Names;
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};

/// The longest `preempt_delay`, in microseconds.
const PREEMPT_DELAY_MAX: u64 = 1000 * SECOND;
/// `auth_pass` has this many bytes in a packet (RFC 2338 section 5.3.6).
const AUTH_PASS_MAX: usize = 8;

/// What the statements of one instance said; `None`: nothing.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the file, free of the others")]
struct Draft {
    state: Option<(InitialState, Span)>,
    interface: Option<IfName>,
    vmac: Option<Vmac>,
    /// The last byte of its MAC address is the VRID.
    vmac_by_vrid: bool,
    xmit_base: Option<Span>,
    vrf: Option<Span>,
    native_ipv6: Option<Span>,
    vmac_addresses: bool,
    accept: Option<bool>,
    vrid: Option<Vrid>,
    priority: Option<u8>,
    interval: Option<(Duration, Span)>,
    version: Option<(VrrpVersion, Span)>,
    strict: Option<bool>,
    nopreempt: Option<Span>,
    preempt_delay: Option<(Duration, Span)>,
    auth: Option<Auth>,
    mcast_source: Option<IpAddr>,
    unicast_source: Option<IpAddr>,
    /// A keyword of unicast was met.
    unicast: Option<Span>,
    peers: Vec<(UnicastPeer, Span)>,
    fault_without_peers: bool,
    unicast_ttl: Option<(u8, Span)>,
    mcast_group: Option<(IpAddr, Span)>,
    checksum_as_v2: Option<bool>,
    old_unicast_checksum: OldUnicastChecksum,
    track_source: bool,
    check_unicast_src: bool,
    skip_check_adv_addr: bool,
    lower_prio_no_advert: Option<(bool, Span)>,
    higher_prio_send_advert: Option<(bool, Span)>,
    owner_ignores_adverts: Option<bool>,
    down_timer_adverts: Option<u8>,
    garp: Garp,
    dont_track_primary: bool,
    track: Tracking,
    addresses: Vec<VirtualAddress>,
    excluded: Vec<VirtualAddress>,
    routes: Vec<KernelRoute>,
    rules: Vec<KernelRule>,
    promote_secondaries: bool,
    notify: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuthKind {
    Pass,
    Ah,
}

#[derive(Debug)]
struct Auth {
    kind: Option<AuthKind>,
    pass: Option<String>,
    at: Span,
}

/// One instance; `None` where it could not run, with the problem that says why.
pub fn read(
    statement: &Statement<'_>,
    global: &Global,
    names: &Names,
    problems: &mut Vec<Problem>,
) -> Option<VrrpInstance> {
    let name = statement.arg(0)?;
    let mut draft = Draft::default();
    for inner in statement.statements() {
        if !core(inner, names, &mut draft, problems) && !lists(inner, &mut draft, problems) {
            options(inner, &mut draft, problems);
        }
    }
    settle::settle(statement, name, draft, global, problems)
}

/// What every instance has.
fn core(inner: &Statement<'_>, names: &Names, draft: &mut Draft, problems: &mut Vec<Problem>) -> bool {
    const STATES: [(&str, InitialState); 2] = [("MASTER", InitialState::Master), ("BACKUP", InitialState::Backup)];
    match inner.keyword.text {
        "state" => state(&mut draft.state, choice(problems, inner, 0, &STATES), inner, problems),
        "interface" => set(
            &mut draft.interface,
            interface(problems, inner, 0).filter(|_| is_no_loopback(inner, problems)).map(Some),
        ),
        "virtual_router_id" => {
            let vrid = number::<u8>(problems, inner, 0, 1..=255, "").and_then(|vrid| Vrid::new(vrid).ok());
            set(&mut draft.vrid, vrid.map(Some));
        }
        "priority" => set(&mut draft.priority, number(problems, inner, 0, 1..=255, "").map(Some)),
        "advert_int" => {
            let interval = seconds(problems, inner, 0, SECOND / 100..=255 * SECOND);
            set(&mut draft.interval, interval.map(|interval| Some((interval, inner.at()))));
        }
        "version" => {
            let version = choice(problems, inner, 0, &VERSIONS);
            match (draft.version, version) {
                (Some((first, at)), Some(second)) if first != second => problems.push(
                    Problem::new("version-given-twice", Severity::Error, inner.at(), "there is a version already")
                        .label("passed over")
                        .related(at, "the first one is used")
                        .help("remove one of the two, and let the other router have the same"),
                ),
                (_, Some(version)) => draft.version = Some((version, inner.at())),
                (_, None) => {}
            }
        }
        "virtual_ipaddress" => virtual_address::read(inner, &mut draft.addresses, problems),
        "virtual_ipaddress_excluded" => virtual_address::read(inner, &mut draft.excluded, problems),
        "virtual_routes" => route::read(inner, names, &mut draft.routes, problems),
        "virtual_rules" => rule::read(inner, names, &mut draft.rules, problems),
        "authentication" => draft.auth = Some(authentication(inner, draft.auth.take(), problems)),
        _ => return false,
    }
    true
}

/// MASTER stays once it is said; BACKUP gives way.
fn state(
    held: &mut Option<(InitialState, Span)>,
    given: Option<InitialState>,
    inner: &Statement<'_>,
    problems: &mut Vec<Problem>,
) {
    match (*held, given) {
        (Some((InitialState::Master, first)), Some(InitialState::Backup)) => problems.push(
            Problem::new("state-given-twice", Severity::Error, inner.at(), "`state` is MASTER already")
                .label("passed over")
                .related(first, "this one counts")
                .help("remove one of the two"),
        ),
        (_, Some(state)) => *held = Some((state, inner.at())),
        (_, None) => {}
    }
}

/// `mcast_dst_ip`: of IPv6, a group that stays on its link.
fn own_group(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<(IpAddr, Span)> {
    let group = multicast(problems, inner)?;
    if matches!(group, IpAddr::V6(group) if !is_link_local(group)) {
        let message = format!("`mcast_dst_ip` is {group}, and adverts stay on their link (ff02::)");
        let problem = Problem::new("not-link-local", Severity::Error, inner.at(), message);
        problems.push(problem.label("left out: the global group is used").help("write a group of ff02::/16"));
        return None;
    }
    Some((group, inner.at()))
}

/// Addresses of others, and what is tracked.
fn lists(inner: &Statement<'_>, draft: &mut Draft, problems: &mut Vec<Problem>) -> bool {
    match inner.keyword.text {
        "unicast_peer" => {
            draft.unicast = Some(inner.keyword.at);
            for line in inner.statements() {
                draft.peers.extend(peer(line, problems));
            }
        }
        "unicast_src_ip" => {
            draft.unicast = Some(draft.unicast.unwrap_or(inner.keyword.at));
            draft.unicast_source = inner.arg(0).and_then(|word| host_word(problems, "unicast_src_ip", word));
        }
        "mcast_src_ip" => draft.mcast_source = inner.arg(0).and_then(|word| host_word(problems, "mcast_src_ip", word)),
        _ => return track::read(inner, &mut draft.track, problems) || notify::read(inner, &mut draft.notify, problems),
    }
    true
}

fn options(inner: &Statement<'_>, draft: &mut Draft, problems: &mut Vec<Problem>) {
    match inner.keyword.text {
        "nopreempt" => draft.nopreempt = Some(inner.keyword.at),
        "preempt" => draft.nopreempt = None,
        "preempt_delay" => {
            let delay = seconds(problems, inner, 0, 0..=PREEMPT_DELAY_MAX);
            draft.preempt_delay = delay.map(|delay| (delay, inner.at()));
        }
        "strict_mode" => draft.strict = flag(problems, inner),
        "track_src_ip" => draft.track_source = true,
        "dont_track_primary" => draft.dont_track_primary = true,
        "check_unicast_src" => {
            draft.check_unicast_src = true;
            draft.unicast = Some(draft.unicast.unwrap_or(inner.keyword.at));
        }
        "old_unicast_checksum" => {
            draft.old_unicast_checksum = match inner.arg(0) {
                None => OldUnicastChecksum::Always,
                Some(_) => choice(problems, inner, 0, &[("never", OldUnicastChecksum::Never)]).unwrap_or_default(),
            };
            draft.unicast = Some(draft.unicast.unwrap_or(inner.keyword.at));
        }
        // Whatever boolean follows, keepalived turns it on.
        "skip_check_adv_addr" => draft.skip_check_adv_addr = flag(problems, inner).is_some(),
        "lower_prio_no_advert" => draft.lower_prio_no_advert = flag(problems, inner).zip(Some(inner.at())),
        "down_timer_adverts" => {
            set(&mut draft.down_timer_adverts, number(problems, inner, 0, 1..=100, "").map(Some));
        }
        "owner_ignore_adverts" => draft.owner_ignores_adverts = flag(problems, inner),
        "higher_prio_send_advert" => draft.higher_prio_send_advert = flag(problems, inner).zip(Some(inner.at())),
        "unicast_fault_no_peer" => draft.fault_without_peers = true,
        "unicast_ttl" => {
            set(&mut draft.unicast_ttl, number(problems, inner, 0, 0..=255, "").map(|ttl| Some((ttl, inner.at()))));
        }
        "mcast_dst_ip" => set(&mut draft.mcast_group, own_group(inner, problems).map(Some)),
        "v3_checksum_as_v2" => draft.checksum_as_v2 = flag(problems, inner),
        "debug" => {
            number::<u8>(problems, inner, 0, 0..=4, "");
        }
        "use_vmac" => vmac(inner, draft, problems),
        "use_vmac_addr" => draft.vmac_addresses = true,
        "vmac_xmit_base" => draft.xmit_base = Some(inner.keyword.at),
        "vrf" => draft.vrf = Some(inner.at()),
        "native_ipv6" => draft.native_ipv6 = Some(inner.keyword.at),
        "accept" => draft.accept = Some(true),
        "no_accept" => draft.accept = Some(false),
        "promote_secondaries" => draft.promote_secondaries = true,
        keyword => {
            read_garp(keyword, inner, &mut draft.garp, problems);
        }
    }
}

/// `[NAME] [MAC] [name NAME] [netlink_notify_msg] [group GROUP]`; of the MAC address, the last byte may be left to the
/// VRID.
fn vmac(inner: &Statement<'_>, draft: &mut Draft, problems: &mut Vec<Problem>) {
    let mut vmac = Vmac { name: None, mac: None, xmit_base: false };
    let mut words = inner.args.iter().copied();
    while let Some(word) = words.next() {
        let mut unserved = |word: Word<'_>| {
            let message = format!("`{}` of `use_vmac` has no effect yet", word.text);
            problems.push(Problem::new("not-served-yet", Severity::Warning, word.at, message));
        };
        match word.text {
            "name" => vmac.name = words.next().and_then(|word| parsed(problems, "bad-interface-name", word)),
            "netlink_notify_msg" => unserved(word),
            "group" => {
                unserved(word);
                words.next();
            }
            text if text.contains(':') => match mac(text) {
                Some([0, 0, 0x5e, 0, 1 | 2, _]) => problems.push(
                    error(
                        "bad-mac",
                        word,
                        format!("`{text}` is an address of a virtual router (RFC 9568 section 7.3)"),
                    )
                    .label("passed over")
                    .help("leave it out: the one of this VRID is taken by itself"),
                ),
                Some(bytes) => {
                    vmac.mac = Some(bytes);
                    draft.vmac_by_vrid = text.split(':').count() < bytes.len();
                }
                None => problems
                    .push(error("bad-mac", word, format!("`{text}` is no MAC address of an interface")).help(
                    "six bytes in hexadecimal, as 02:00:00:00:01:33, or the first five; not of a group, not only zeros",
                )),
            },
            text if vmac.name.is_some() => {
                let message = format!("`use_vmac` names its interface already, before `{text}`");
                problems.push(error("surplus-words", word, message).label("passed over"));
            }
            _ => vmac.name = parsed(problems, "bad-interface-name", word),
        }
    }
    draft.vmac = Some(vmac);
}

fn hex_byte(text: &str) -> Option<u8> {
    u8::from_str_radix(text, 16).ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Six bytes, or five and a 0.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes: Vec<u8> = text.split(':').map(hex_byte).collect::<Option<_>>()?;
    if bytes.len() == 5 {
        bytes.push(0);
    }
    let mac: [u8; 6] = bytes.try_into().ok()?;
    let group = mac.first().is_some_and(|first| first & 1 == 1);
    (!group && mac != [0; 6]).then_some(mac)
}

/// A loopback interface has nobody on it to share an address with: keepalived takes none either.
fn is_no_loopback(inner: &Statement<'_>, problems: &mut Vec<Problem>) -> bool {
    let Some(word) = inner.arg(0).filter(|word| word.text == "lo") else { return true };
    problems.push(
        error("bad-interface-name", word, "VRRP cannot run on the loopback interface")
            .label("left out")
            .help("name the interface on which the other router is"),
    );
    false
}

const PEER_FORM: &str = "one peer a line: ADDR [min_ttl 0..255] [max_ttl 0..255]";

/// [`PEER_FORM`].
fn peer(line: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<(UnicastPeer, Span)> {
    let addr = host_word(problems, "unicast_peer", line.keyword)?;
    let mut peer = UnicastPeer { addr, ttl_min: 0, ttl_max: u8::MAX };
    let mut words = line.args.iter();
    while let Some(name) = words.next() {
        let field = match name.text {
            "min_ttl" => &mut peer.ttl_min,
            "max_ttl" => &mut peer.ttl_max,
            other => {
                let message = format!("`{other}` is no option of a peer");
                problems.push(error("unknown-word", *name, message).label("not read").help(PEER_FORM));
                continue;
            }
        };
        match words.next() {
            Some(ttl) => set(field, number_word(problems, name.text, *ttl, 0..=255, "")),
            None => problems.push(
                error("missing-argument", *name, format!("`{}` has no value", name.text))
                    .label("not read")
                    .help(PEER_FORM),
            ),
        }
    }
    if peer.ttl_min > peer.ttl_max {
        let message = format!("the peer {addr} has min_ttl {} above max_ttl {}", peer.ttl_min, peer.ttl_max);
        problems.push(error("ttl-range", line.keyword, message).label("nothing from it is taken"));
    }
    Some((peer, line.keyword.at))
}

/// What a block says adds to what one before it said.
fn authentication(block: &Statement<'_>, before: Option<Auth>, problems: &mut Vec<Problem>) -> Auth {
    const KINDS: [(&str, AuthKind); 2] = [("PASS", AuthKind::Pass), ("AH", AuthKind::Ah)];
    let mut auth = before.unwrap_or(Auth { kind: None, pass: None, at: block.keyword.at });
    for inner in block.statements() {
        match inner.keyword.text {
            "auth_type" => auth.kind = choice(problems, inner, 0, &KINDS),
            "auth_pass" => auth.pass = inner.arg(0).map(|word| password(word, problems)),
            _ => {}
        }
    }
    auth
}

/// The first eight bytes of a password, cut where a character ends.
fn password(word: Word<'_>, problems: &mut Vec<Problem>) -> String {
    if word.text.len() <= AUTH_PASS_MAX {
        return word.text.to_owned();
    }
    problems.push(
        error(
            "auth-pass-too-long",
            word,
            format!("auth_pass has {} bytes, and a packet carries {AUTH_PASS_MAX}", word.text.len()),
        )
        .label("cut after eight bytes")
        .help("both directors cut alike; write no more than eight to keep what you see and what is sent the same"),
    );
    let mut kept = String::new();
    for character in word.text.chars() {
        if kept.len() + character.len_utf8() > AUTH_PASS_MAX {
            break;
        }
        kept.push(character);
    }
    kept
}
