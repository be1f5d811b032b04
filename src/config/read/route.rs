//! The lines of `virtual_routes` and `static_routes`: `[TYPE] [to] PREFIX|default OPTION...`, the words of ip-route(8).

mod words;

use std::ops::RangeInclusive;

use super::value::{error, parsed};
use crate::base::{Beside, Cidr, Family, Hop, Route, RouteKind, RouterPreference, WeightedHop};
use crate::config::model::KernelRoute;
use crate::config::names::Names;
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};
use words::metric;
pub use words::{OWN_PROTOCOL, Words, family_word, foreign_protocol, leave_out, missing, protocol, realms, table, tos};

/// A line that is right, as help.
const EXAMPLE: &str = "as: 198.51.100.0/24 via 192.0.2.254 dev eth0";

/// All lines of a block; one that is not understood is left out. `virtual_routes` want a device, to be tracked by, and
/// `static_routes` where they have a `track_group`.
pub fn read(block: &Statement<'_>, names: &Names, routes: &mut Vec<KernelRoute>, problems: &mut Vec<Problem>) {
    let is_virtual = block.keyword.text == "virtual_routes";
    for line in block.statements() {
        let before = problems.len();
        let mut reader = Reader {
            problems,
            names,
            is_virtual,
            family: None,
            no_track: false,
            track_group: None,
            protocol: None,
            wrong: false,
        };
        let read = reader.line(line);
        let Reader { mut no_track, mut track_group, protocol, wrong, .. } = reader;
        let Some(mut route) = read.filter(|_| !wrong) else {
            leave_out(problems.get_mut(before..).unwrap_or_default(), "route");
            continue;
        };
        if let Some(at) = protocol.filter(|_| !no_track && route.protocol != Some(OWN_PROTOCOL)) {
            problems.push(foreign_protocol(at, "route"));
            route.protocol = None;
        }
        // keepalived tracks by the device of the route itself, not by those of its next hops.
        let tracked = !no_track || track_group.is_some();
        if tracked && route.hop.dev.is_none() {
            let message = format!("the route `{}` names no device, and cannot be tracked", line.keyword.text);
            problems.push(
                error("route-without-device", line.keyword, message)
                    .label("not tracked")
                    .help("add: dev IFNAME, before any nexthop, or no_track"),
            );
            track_group = None;
            no_track = true;
        }
        routes.push(KernelRoute { route, no_track, track_group, at: line.keyword.at });
    }
}

struct Reader<'a> {
    problems: &'a mut Vec<Problem>,
    names: &'a Names,
    is_virtual: bool,
    /// `inet` or `inet6`, for `default`.
    family: Option<Family>,
    no_track: bool,
    track_group: Option<String>,
    /// Where the word `protocol` stands.
    protocol: Option<Span>,
    /// Something was not understood.
    wrong: bool,
}

impl Reader<'_> {
    fn line(&mut self, line: &Statement<'_>) -> Option<Route> {
        let mut words = Words::new(line);
        let kind = self.kind(&mut words);
        // The form of keepalived's manual: src ADDRESS [to] DESTINATION.
        let source = words.next_if(|word| word.text == "src");
        let src = source.and_then(|option| self.parsed("not-an-address", option, &mut words));
        let Some(mut to) = words.next() else {
            // keepalived stops at a type that stands alone, and goes on after a source that does.
            let severity = if source.is_some() { Severity::Error } else { Severity::Fatal };
            let message = "the route has no destination";
            self.problems.push(Problem::new("missing-argument", severity, line.at(), message).help(EXAMPLE));
            return None;
        };
        if to.text == "to" {
            to = self.value(to, &mut words)?;
        }
        let destination = self.destination(to, line)?;
        let mut route = Route { kind, src, ..Route::new(destination) };
        while let Some(option) = words.next() {
            if option.text == "nexthop" {
                self.hops(&mut words, &mut route);
            } else if !self.way(option, &mut words, &mut route) && !self.numbers(option, &mut words, &mut route) {
                self.rest(option, &mut words, &mut route);
            }
        }
        Some(route)
    }

    /// `[inet|inet6] [TYPE]`
    fn kind(&mut self, words: &mut Words<'_>) -> RouteKind {
        let mut kind = RouteKind::default();
        while let Some(word) = words.peek() {
            if let Some(family) = family_word(word) {
                self.family = Some(family);
            } else if let Some((found, ..)) = RouteKind::ALL.into_iter().find(|(_, name, _)| *name == word.text) {
                kind = found;
            } else {
                break;
            }
            words.next();
        }
        kind
    }

    fn destination(&mut self, word: Word<'_>, line: &Statement<'_>) -> Option<Cidr> {
        let wide = |family| match family {
            Family::V4 => "0.0.0.0/0".parse().ok(),
            Family::V6 => "::/0".parse().ok(),
        };
        if matches!(word.text, "default" | "all") {
            // The family of a default route is that of its gateway.
            let gateway = line.args.iter().find_map(|word| word.text.parse::<std::net::IpAddr>().ok());
            let named = line.args.iter().find_map(|word| family_word(*word));
            return wide(self.family.or(named).or(gateway.map(Family::of)).unwrap_or(Family::V4));
        }
        let parsed = word.text.parse().ok();
        if parsed.is_none() {
            let message = format!("`{}` is neither an option of a route nor a destination", word.text);
            self.say("unknown-word", word, message, "not known here", EXAMPLE);
        }
        parsed
    }

    fn say(&mut self, code: &'static str, word: Word<'_>, message: String, label: &'static str, help: &'static str) {
        self.wrong = true;
        self.problems.push(error(code, word, message).label(label).help(help));
    }

    fn parsed<T>(&mut self, code: &'static str, option: Word<'_>, words: &mut Words<'_>) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let given = words.next();
        let Some(word) = given else {
            return self.value(option, words).and(None);
        };
        let value = parsed(self.problems, code, word);
        self.wrong |= value.is_none();
        value
    }

    /// A number, or none with a problem.
    fn number<T: TryFrom<i64>>(
        &mut self,
        option: Word<'_>,
        words: &mut Words<'_>,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        let given = self.value(option, words)?;
        let value = super::value::number_word(self.problems, option.text, given, range, "");
        self.wrong |= value.is_none();
        value
    }

    fn value<'w>(&mut self, option: Word<'_>, words: &mut Words<'w>) -> Option<Word<'w>> {
        let value = words.next();
        if value.is_none() {
            self.problems.push(missing(option, "route"));
            self.wrong = true;
        }
        value
    }

    /// What says where to go; false: another option.
    fn way(&mut self, option: Word<'_>, words: &mut Words<'_>, route: &mut Route) -> bool {
        match option.text {
            "gw" | "or" | "via" => {
                let new = [("gw", "via"), ("or", "nexthop")].into_iter().find(|(old, _)| *old == option.text);
                if let Some((old, new)) = new {
                    let message = format!("`{old}` of a route is deprecated");
                    let help = format!("write `{new}`");
                    self.problems.push(error("deprecated-keyword", option, message).label("deprecated").help(help));
                }
                words.next_if(|word| family_word(word).is_some());
                let via = self.parsed("not-an-address", option, words);
                if option.text == "or" {
                    let first = std::mem::take(&mut route.hop);
                    let hop = |hop| WeightedHop { hop, weight_less_one: 0 };
                    route.hops = vec![hop(first), hop(Hop { via, ..Hop::default() })];
                } else {
                    route.hop.via = via;
                }
            }
            "dev" | "oif" => route.hop.dev = self.parsed("bad-interface-name", option, words),
            "onlink" => route.hop.onlink = true,
            "src" => route.src = self.parsed("not-an-address", option, words),
            "from" => route.from = self.parsed("not-an-address", option, words),
            _ => return false,
        }
        true
    }

    /// Options with a number; false: another option.
    fn numbers(&mut self, option: Word<'_>, words: &mut Words<'_>, route: &mut Route) -> bool {
        match option.text {
            "tos" | "dsfield" => {
                let given = self.value(option, words);
                route.tos = given.and_then(|word| tos(word, self.names, self.problems)).unwrap_or(0);
            }
            "table" => match self.value(option, words).and_then(|word| table(word, self.names, self.problems)) {
                Some(table) => route.table = table,
                None => self.wrong = true,
            },
            "protocol" => {
                self.protocol = Some(option.at);
                let given = self.value(option, words);
                route.protocol = given.and_then(|word| protocol(word, self.names, self.problems));
            }
            "scope" => {
                let given = self.value(option, words);
                route.scope = given.map(|word| super::virtual_address::scope(word, self.problems));
            }
            "metric" | "priority" | "preference" => {
                route.metric = self.number(option, words, 0..=u32::MAX.into());
            }
            "expires" => route.expires_s = self.number(option, words, 0..=u32::MAX.into()),
            "realms" => {
                let given = self.value(option, words);
                route.realms = given.and_then(|word| realms(word, self.names, self.problems));
            }
            _ => return false,
        }
        true
    }

    fn rest(&mut self, option: Word<'_>, words: &mut Words<'_>, route: &mut Route) {
        match option.text {
            "no_track" => self.no_track = true,
            "add" => route.beside = None,
            "inet" | "inet6" => {}
            "pref" => {
                let given = self.value(option, words);
                route.preference = match given.map(|word| word.text) {
                    Some("low") => Some(RouterPreference::Low),
                    Some("high") => Some(RouterPreference::High),
                    Some(_) | None => Some(RouterPreference::Medium),
                };
            }
            "congctl" => {
                let locked = words.next_if(|word| word.text == "lock").is_some();
                route.congestion = self.value(option, words).map(|word| (word.text.to_owned(), locked));
            }
            "track_group" if !self.is_virtual => {
                self.track_group = self.value(option, words).map(|word| word.text.to_owned());
            }
            "append" => route.beside = Some(Beside::Last),
            "prepend" => route.beside = Some(Beside::First),
            "encap" | "ttl-propagate" | "vrf" => self.unserved(option, words),
            "as" if words.peek().is_none() => _ = self.value(option, words),
            "as" => {
                let message = "`as` of a route is refused by keepalived too".to_owned();
                self.say("unknown-word", option, message, "the route is left out", "remove it");
                while words.next().is_some() {}
            }
            _ => self.metric(option, words, route),
        }
    }

    fn metric(&mut self, option: Word<'_>, words: &mut Words<'_>, route: &mut Route) {
        if let Ok(metric) = metric(option, words, self.problems) {
            route.metrics.extend(metric);
            return;
        }
        let message = format!("`{}` is neither an option of a route nor a destination", option.text);
        let help = EXAMPLE;
        self.say("unknown-word", option, message, "not known here", help);
        while words.next().is_some() {}
    }

    /// Options that keepalived carries out and nobody here does.
    fn unserved(&mut self, option: Word<'_>, words: &mut Words<'_>) {
        let message = format!("`{}` of a route has no effect yet", option.text);
        let severity = if option.text == "encap" { Severity::Error } else { Severity::Warning };
        self.problems.push(Problem::new("option-not-served", severity, option.at, message).label("no effect"));
        match option.text {
            "encap" => {
                self.wrong = true;
                while words.next().is_some() {}
            }
            _ => _ = self.value(option, words),
        }
    }

    /// `nexthop via ADDR dev IF weight N onlink`, again and again; all of the rest of the line.
    fn hops(&mut self, words: &mut Words<'_>, route: &mut Route) {
        let mut hop = WeightedHop { hop: Hop::default(), weight_less_one: 0 };
        while let Some(option) = words.next() {
            match option.text {
                "nexthop" => {
                    let done = WeightedHop { hop: Hop::default(), weight_less_one: 0 };
                    route.hops.push(std::mem::replace(&mut hop, done));
                }
                "via" => {
                    words.next_if(|word| family_word(word).is_some());
                    hop.hop.via = self.parsed("not-an-address", option, words);
                }
                "dev" | "oif" => hop.hop.dev = self.parsed("bad-interface-name", option, words),
                "onlink" => hop.hop.onlink = true,
                "weight" => {
                    let weight: Option<u16> = self.number(option, words, 1..=256);
                    hop.weight_less_one =
                        weight.and_then(|weight| u8::try_from(weight.saturating_sub(1)).ok()).unwrap_or(0);
                }
                _ => {
                    let message = format!("`{}` is no option of a next hop", option.text);
                    let help = "as: nexthop via 192.0.2.1 dev eth0 weight 2";
                    self.say("unknown-word", option, message, "not known here", help);
                    break;
                }
            }
        }
        route.hops.push(hop);
    }
}
