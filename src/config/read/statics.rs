//! `static_ipaddress`, `static_routes`, `static_rules`, and the `track_group`s that name who depends on them.

use std::collections::HashSet;

use super::value::error;
use super::{route, rule, virtual_address};
use crate::base::{Family, IfName};
use crate::config::model::{Config, KernelRule, Statics, TrackGroup};
use crate::config::names::Names;
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// keepalived's `default_interface` where the file has none.
const DEFAULT_INTERFACE: &str = "eth0";
/// Of the first rule that names no preference.
const RULE_PREFERENCE: u32 = 16384;

/// One of the three blocks.
pub fn read(block: &Statement<'_>, names: &Names, statics: &mut Statics, problems: &mut Vec<Problem>) {
    match block.keyword.text {
        "static_ipaddress" => virtual_address::read(block, &mut statics.addresses, problems),
        "static_routes" => route::read(block, names, &mut statics.routes, problems),
        _ => rule::read(block, names, &mut statics.rules, problems),
    }
}

/// `track_group NAME { group { INSTANCE... } }`
pub fn group(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<TrackGroup> {
    let name = statement.arg(0)?;
    let mut group = TrackGroup { name: name.text.to_owned(), at: name.at, members: vec![] };
    let mut blocks = statement.statements().iter().filter(|inner| inner.keyword.text == "group");
    if let Some(inner) = blocks.next() {
        for line in inner.statements() {
            let words = std::iter::once(&line.keyword).chain(line.args.iter());
            group.members.extend(words.map(|word| word.text.to_owned()));
        }
        if inner.block.is_some() && inner.statements().is_empty() {
            let message = format!("the group block of track_group `{}` is empty", group.name);
            problems.push(error("empty-block", inner.keyword, message).label("no member in it"));
        }
    }
    if let Some(again) = blocks.next() {
        let problem = error("group-given-twice", again.keyword, "there is a `group` already").label("passed over");
        problems.push(problem.help("name all members in one block: group { NAME NAME }"));
    }
    Some(group)
}

/// What was read before all was known: static addresses without a device get the default one, and groups are looked for.
pub fn finish(config: &mut Config, problems: &mut Vec<Problem>) {
    let default = config.global.default_interface.clone().or_else(|| DEFAULT_INTERFACE.parse::<IfName>().ok());
    for address in config.statics.addresses.iter_mut().filter(|address| address.dev.is_none()) {
        address.dev.clone_from(&default);
    }
    let groups: HashSet<&str> = config.track_groups.iter().map(|group| group.name.as_str()).collect();
    for (name, at) in named(&config.statics).filter(|(name, _)| !groups.contains(name)) {
        let message = format!("a static item names the track_group `{name}`, which does not exist");
        let problem = Problem::new("undefined-track-group", Severity::Error, at, message).label("tracked by nobody");
        problems.push(problem.help("define it, or remove track_group"));
    }
}

/// Rules without a preference get one, as keepalived gives it: 16384 and downwards in each family, in the order of the file.
/// The kernel's own choice would be another one each time.
pub fn number_rules(config: &mut Config) {
    let mut next = [RULE_PREFERENCE; 2];
    let rules = config.instances.iter_mut().flat_map(|instance| &mut instance.rules);
    for KernelRule { rule, .. } in config.statics.rules.iter_mut().chain(rules) {
        let [v4, v6] = &mut next;
        let next = if rule.family == Family::V4 { v4 } else { v6 };
        if rule.preference.is_none() {
            rule.preference = Some(*next);
            *next = next.saturating_sub(1);
        }
    }
}

/// The groups that static items name, and where.
fn named(statics: &Statics) -> impl Iterator<Item = (&str, Span)> {
    let Statics { addresses, routes, rules } = statics;
    let addresses = addresses.iter().map(|item| (&item.track_group, item.at));
    let routes = routes.iter().map(|item| (&item.track_group, item.at));
    let rules = rules.iter().map(|item| (&item.track_group, item.at));
    addresses.chain(routes).chain(rules).filter_map(|(name, at)| Some((name.as_deref()?, at)))
}
