//! `garp_group`: how far apart announcements are on some interfaces.

use super::value::{TIME_MAX, interface, parsed, seconds, set};
use crate::config::model::GarpGroup;
use crate::config::problem::{Problem, Severity};
use crate::config::tree::Statement;

pub fn read(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> GarpGroup {
    let mut group = GarpGroup::default();
    for inner in statement.statements() {
        match inner.keyword.text {
            "garp_interval" => set(&mut group.interval, seconds(problems, inner, 0, 0..=TIME_MAX).map(Some)),
            "gna_interval" => set(&mut group.gna_interval, seconds(problems, inner, 0, 0..=TIME_MAX).map(Some)),
            "interface" => group.interfaces.extend(interface(problems, inner, 0)),
            "interfaces" => {
                let words =
                    inner.statements().iter().flat_map(|line| std::iter::once(&line.keyword).chain(line.args.iter()));
                group.interfaces.extend(words.filter_map(|word| parsed(problems, "bad-interface-name", *word)));
            }
            _ => {}
        }
    }
    if group.interval.is_none() && group.gna_interval.is_none() {
        let message = "the garp_group has neither `garp_interval` nor `gna_interval`";
        problems.push(
            Problem::new("block-incomplete", Severity::Error, statement.keyword.at, message)
                .label("has no effect")
                .help("add: garp_interval SECONDS"),
        );
    }
    group
}
