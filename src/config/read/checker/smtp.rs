//! `SMTP_CHECK`, and its deprecated `host` blocks.

use super::{empty, shared};
use crate::base::HeloName;
use crate::config::model::{Checker, CheckerKind};
use crate::config::problem::Problem;
use crate::config::read::value::parsed;
use crate::config::tree::Statement;

/// One check; with `host` blocks one for each, which takes from the check what it does not say itself.
pub fn read(block: &Statement<'_>, problems: &mut Vec<Problem>) -> Vec<Checker> {
    let mut helo = HeloName::default();
    let mut checker = empty(block, CheckerKind::Tcp);
    for inner in block.statements() {
        match (inner.keyword.text, inner.arg(0)) {
            ("helo_name", Some(name)) => helo = parsed(problems, "bad-helo-name", name).unwrap_or_default(),
            ("host", _) => {}
            _ => {
                shared(inner, &mut checker, problems);
            }
        }
    }
    checker.kind = CheckerKind::Smtp { helo };
    let hosts: Vec<_> = block.statements().iter().filter(|inner| inner.keyword.text == "host").collect();
    if hosts.is_empty() {
        return vec![checker];
    }
    let host = |host: &&Statement<'_>| {
        let mut one = Checker { at: host.keyword.at, ..checker.clone() };
        for inner in host.statements() {
            shared(inner, &mut one, problems);
        }
        one
    };
    hosts.iter().map(host).collect()
}
