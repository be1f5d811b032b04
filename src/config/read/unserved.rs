//! Blocks that keepalived carries out and nobody here does yet: their values are checked all the same. That
//! they have no effect is told by `schema.rs`.

use super::value::error;
use super::virtual_address;
use crate::base::Cidr;
use crate::config::problem::Problem;
use crate::config::tree::{Statement, Word};

/// Options of a route that have a value.
const WITH_VALUE: [&str; 30] = [
    "src",
    "via",
    "gw",
    "from",
    "tos",
    "dsfield",
    "table",
    "protocol",
    "scope",
    "metric",
    "priority",
    "preference",
    "dev",
    "oif",
    "expires",
    "mtu",
    "hoplimit",
    "advmss",
    "rtt",
    "rttvar",
    "reordering",
    "window",
    "cwnd",
    "ssthresh",
    "realms",
    "rto_min",
    "initcwnd",
    "initrwnd",
    "features",
    "or",
];
const WITH_VALUE_TOO: [&str; 8] =
    ["quickack", "congctl", "pref", "ttl-propagate", "fastopen_no_cookie", "track_group", "vrf", "as"];
/// Options of a route that stand alone, and kinds of routes.
const ALONE: [&str; 16] = [
    "to",
    "inet",
    "inet6",
    "onlink",
    "add",
    "prepend",
    "append",
    "no_track",
    "unicast",
    "local",
    "broadcast",
    "multicast",
    "throw",
    "unreachable",
    "prohibit",
    "blackhole",
];

/// Read the block if it is one of them; false: it is another.
pub fn read(block: &Statement<'_>, problems: &mut Vec<Problem>) -> bool {
    match block.keyword.text {
        "static_ipaddress" => virtual_address::read(block, &mut vec![], problems),
        "static_routes" | "virtual_routes" => {
            let tracked = block.keyword.text == "virtual_routes";
            block.statements().iter().for_each(|line| route(line, tracked, problems));
        }
        "static_rules" | "virtual_rules" => block.statements().iter().for_each(|line| rule(line, problems)),
        "bfd_instance" => return needs(block, &["neighbor_ip", "neighbour_ip"], problems),
        _ => return false,
    }
    true
}

/// A named block that is nothing without one of its keywords.
fn needs(block: &Statement<'_>, keywords: &[&str], problems: &mut Vec<Problem>) -> bool {
    let given = block.statements().iter().any(|inner| keywords.contains(&inner.keyword.text));
    if let (false, Some(name), Some(keyword)) = (given, block.arg(0), keywords.first()) {
        let message = format!("{} `{}` has no `{keyword}`, and is left out", block.keyword.text, name.text);
        problems.push(error("block-incomplete", name, message).label("left out").help(format!("add: {keyword}")));
    }
    true
}

fn words<'a>(line: &Statement<'a>) -> impl Iterator<Item = Word<'a>> {
    std::iter::once(line.keyword).chain(line.args.iter().copied())
}

/// `[TYPE] [to] PREFIX|default OPTIONS`, the words of ip-route(8).
fn route(line: &Statement<'_>, tracked: bool, problems: &mut Vec<Problem>) {
    let (mut device, mut free) = (false, !tracked);
    let mut all = words(line).peekable();
    while let Some(word) = all.next() {
        match word.text {
            "nexthop" | "encap" => {
                device |= line.args.iter().any(|word| word.text == "dev" || word.text == "oif");
                break;
            }
            "no_track" => free = true,
            text if ALONE.contains(&text) => {}
            text if WITH_VALUE.contains(&text) || WITH_VALUE_TOO.contains(&text) => {
                device |= text == "dev" || text == "oif";
                if let Some(new) =
                    [("gw", "via"), ("or", "nexthop")].iter().find_map(|(old, new)| (*old == text).then_some(new))
                {
                    let message = format!("`{text}` of a route is deprecated");
                    problems.push(
                        error("deprecated-keyword", word, message).label("deprecated").help(format!("write `{new}`")),
                    );
                }
                if all.next_if(|word| matches!(word.text, "lock" | "inet" | "inet6")).is_some() || all.peek().is_some()
                {
                    all.next();
                }
            }
            "default" | "all" => {}
            text if text.parse::<Cidr>().is_ok() => {}
            text => {
                let message = format!("`{text}` is neither an option of a route nor a destination");
                problems.push(
                    error("unknown-word", word, message)
                        .label("not known here")
                        .help("as: 198.51.100.0/24 via 192.0.2.254 dev eth0"),
                );
            }
        }
    }
    if !device && !free {
        let message = format!("the route `{}` names no device, and cannot be tracked", line.keyword.text);
        problems.push(
            error("route-without-device", line.keyword, message)
                .label("not tracked")
                .help("add: dev IFNAME, or no_track"),
        );
    }
}

/// The words of ip-rule(8), as far as keepalived complains about them.
fn rule(line: &Statement<'_>, problems: &mut Vec<Problem>) {
    let all: Vec<Word<'_>> = words(line).collect();
    if !all.iter().any(|word| matches!(word.text, "preference" | "priority" | "order")) {
        let message = "the rule has no preference, and gets one that nobody chose";
        problems.push(
            error("rule-without-preference", line.keyword, message)
                .label("16384 or below")
                .help("add: preference 1000"),
        );
    }
    for pair in all.windows(2) {
        if let [Word { text: "from" | "to", .. }, given] = pair
            && !matches!(given.text, "all" | "default")
            && given.text.parse::<Cidr>().is_err()
        {
            let message = format!("`{}` is no address and no network", given.text);
            problems.push(error("not-an-address", *given, message).label("not an address"));
        }
    }
}
