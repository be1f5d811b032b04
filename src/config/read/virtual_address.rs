//! The lines of `virtual_ipaddress` and `virtual_ipaddress_excluded`: `ADDR[/PREFIX] [dev IF] [label L] ...`.

use std::net::IpAddr;

use super::value::{c_number_word, error, number_word, parsed};
use crate::base::{AddressOptions, Cidr, CidrError, Family};
use crate::config::model::{Broadcast, VirtualAddress};
use crate::config::problem::Problem;
use crate::config::tree::{Statement, Word};

/// `RT_SCOPE_*` of linux/rtnetlink.h by the names of iproute2.
const SCOPES: [(&str, u8); 5] = [("global", 0), ("site", 200), ("link", 253), ("host", 254), ("nowhere", 255)];
/// Bytes of a label without the final NUL (`IFNAMSIZ`).
const LABEL_MAX: usize = 15;

/// All lines of a block; a line without an address is left out. In `static_ipaddress` an address may have a
/// `track_group`.
pub fn read(block: &Statement<'_>, addresses: &mut Vec<VirtualAddress>, problems: &mut Vec<Problem>) {
    let is_static = block.keyword.text == "static_ipaddress";
    for line in block.statements() {
        addresses.extend(read_line(line, is_static, problems));
    }
}

fn read_line(line: &Statement<'_>, is_static: bool, problems: &mut Vec<Problem>) -> Option<VirtualAddress> {
    let mut address = VirtualAddress {
        cidr: cidr(line.keyword, problems)?,
        dev: None,
        dev_at: line.keyword.at,
        label: None,
        broadcast: None,
        scope: 0,
        options: AddressOptions::NONE,
        track_group: None,
        use_vmac: false,
        at: line.keyword.at,
    };
    let mut words = line.args.iter().copied();
    while let Some(option) = words.next() {
        match option.text {
            "home" => address.options.home = true,
            "mngtmpaddr" => address.options.manage_temporary = true,
            "noprefixroute" => address.options.no_prefix_route = true,
            "autojoin" => address.options.auto_join = true,
            "use_vmac" if !is_static => address.use_vmac = true,
            "no_track" | "-nodad" => {}
            text if has_value(text, is_static) => {
                let Some(given) = words.next() else {
                    let message = format!("nothing follows `{}`", option.text);
                    problems.push(error("value-missing", option, message).label("a value is missing"));
                    break;
                };
                take(option.text, given, &mut address, problems);
            }
            text => {
                let message = format!("`{text}` is no option of a virtual address");
                problems.push(error("unknown-word", option, message).label("left out").help(
                    "the options are dev, label, broadcast, scope, peer, preferred_lft, home, noprefixroute, use_vmac, no_track",
                ));
            }
        }
    }
    Some(address)
}

fn has_value(option: &str, is_static: bool) -> bool {
    match option {
        "dev" | "label" | "broadcast" | "brd" | "scope" | "peer" | "preferred_lft" => true,
        "track_group" => is_static,
        _ => false,
    }
}

fn take(option: &str, given: Word<'_>, address: &mut VirtualAddress, problems: &mut Vec<Problem>) {
    match option {
        "dev" if address.dev.is_some() => {
            problems.push(error("surplus-words", given, "the address has a device already").label("passed over"));
        }
        "peer" if address.options.peer.is_some() => {
            problems.push(error("surplus-words", given, "the address has a peer already").label("passed over"));
        }
        "peer" => address.options.peer = peer(given, address, problems),
        "dev" => {
            address.dev = parsed(problems, "bad-interface-name", given);
            address.dev_at = given.at;
        }
        "label" if given.text.len() > LABEL_MAX => {
            let message =
                format!("the label `{}` has {} bytes, and the most is {LABEL_MAX}", given.text, given.text.len());
            problems.push(error("label-too-long", given, message).label("left out"));
        }
        "label" => address.label = Some(given.text.to_owned()),
        "broadcast" | "brd" => address.broadcast = broadcast(given, address.cidr.family(), problems),
        "scope" => {
            address.scope = scope(given, problems);
            if address.scope != 0 && address.cidr.family() == Family::V6 {
                let message = format!("`scope` is for IPv4, and {} has the scope of its prefix", address.cidr);
                problems.push(error("wrong-family", given, message).label("passed over").help("remove `scope`"));
                address.scope = 0;
            }
        }
        "track_group" => address.track_group = Some(given.text.to_owned()),
        "preferred_lft" if given.text == "forever" => address.options.preferred = Some(true),
        "preferred_lft" => {
            let seconds = number_word::<u32>(problems, option, given, 0..=4_294_967_295, "s");
            address.options.preferred = seconds.map(|seconds| seconds > 0);
        }
        // Known, and without effect here: the kernel's defaults hold.
        _ => {}
    }
}

fn peer(given: Word<'_>, address: &VirtualAddress, problems: &mut Vec<Problem>) -> Option<IpAddr> {
    let Ok(peer) = given.text.parse::<IpAddr>() else {
        let message = format!("`peer` is `{}`, and it is an address without a prefix", given.text);
        problems.push(error("not-an-address", given, message).label("passed over"));
        return None;
    };
    let addr = address.cidr.addr();
    if address.cidr != Cidr::host(addr) {
        let message = format!("{addr} has a prefix, and a `peer`, which has one of its own");
        problems.push(
            error("prefix-with-peer", given, message)
                .label("passed over")
                .help(format!("write: {addr} peer {}", given.text)),
        );
        return None;
    }
    if Family::of(peer) != Family::of(addr) {
        let message = format!("the peer of {addr} is {peer}, and they are of one family");
        problems.push(error("wrong-family", given, message).label("passed over"));
        return None;
    }
    Some(peer)
}

fn broadcast(given: Word<'_>, family: Family, problems: &mut Vec<Problem>) -> Option<Broadcast> {
    if family == Family::V6 {
        problems.push(error("wrong-family", given, "an IPv6 address has no broadcast address").label("left out"));
        return None;
    }
    match given.text {
        "+" => Some(Broadcast::Ones),
        "-" => Some(Broadcast::Zeros),
        text => match text.parse() {
            Ok(IpAddr::V4(addr)) => Some(Broadcast::Address(addr)),
            Ok(IpAddr::V6(_)) | Err(_) => {
                let message = format!("the broadcast address is `{text}`, and it is an IPv4 address, + or -");
                problems.push(error("not-an-address", given, message).label("left out"));
                None
            }
        },
    }
}

pub fn scope(given: Word<'_>, problems: &mut Vec<Problem>) -> u8 {
    match SCOPES.iter().find(|(name, _)| *name == given.text) {
        Some((_, scope)) => *scope,
        None => c_number_word(problems, "scope", given, 255).unwrap_or(0),
    }
}

fn cidr(word: Word<'_>, problems: &mut Vec<Problem>) -> Option<Cidr> {
    match word.text.parse::<Cidr>() {
        Ok(cidr) => Some(cidr),
        Err(CidrError::Address { .. }) => {
            let text = word.text;
            let mut problem =
                error("not-an-address", word, format!("`{text}` is not an IPv4 or IPv6 address")).label("left out");
            if text.chars().next().is_some_and(char::is_alphabetic) && !text.contains(':') {
                problem = problem.help("names are not looked up here: write the address");
            } else if !text.contains(':') {
                problem = problem.help("an IPv4 address has four numbers, as 192.0.2.10/24");
            }
            problems.push(problem);
            None
        }
        Err(bad @ (CidrError::Prefix { .. } | CidrError::PrefixText { .. })) => {
            problems
                .push(error("bad-prefix", word, bad.to_string()).label("the address alone is taken, as /32 or /128"));
            let addr: IpAddr = word.text.split_once('/')?.0.parse().ok()?;
            Some(Cidr::host(addr))
        }
    }
}
