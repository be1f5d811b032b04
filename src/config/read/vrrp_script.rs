//! `vrrp_script NAME`.

use std::time::Duration;

use super::track::{WEIGHTS, weight};
use super::value::{SECOND, TIME_MAX, number, seconds, set};
use super::{command, value};
use crate::config::model::VrrpScript;
use crate::config::problem::Problem;
use crate::config::tree::Statement;

/// One script; `None` where it has no command.
pub fn read(statement: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<VrrpScript> {
    let name = statement.arg(0)?;
    let mut script = VrrpScript {
        name: name.text.to_owned(),
        at: name.at,
        command: crate::config::model::Command { argv: vec![], user: None, at: name.at },
        interval: Duration::from_secs(1),
        timeout: Duration::ZERO,
        rise: 1,
        fall: 1,
        weight: 0,
        reverse: false,
        init_fail: false,
    };
    let mut timeout = None;
    let mut user = None;
    let mut named = false;
    for inner in statement.statements() {
        match inner.keyword.text {
            "script" => {
                if let Some(read) = command::alone(problems, inner) {
                    script.command = read;
                }
                named = inner.arg(0).is_some();
            }
            "interval" => set(&mut script.interval, seconds(problems, inner, 0, 1000..=TIME_MAX)),
            "timeout" => timeout = seconds(problems, inner, 0, 1000..=TIME_MAX),
            "weight" => {
                let (weight, reverse) = weight(problems, inner, WEIGHTS);
                set(&mut script.weight, weight);
                script.reverse = reverse;
            }
            "rise" => set(&mut script.rise, number(problems, inner, 0, 1..=i64::from(i32::MAX), "")),
            "fall" => set(&mut script.fall, number(problems, inner, 0, 1..=i64::from(i32::MAX), "")),
            "user" => user = command::user(inner),
            "init_fail" => script.init_fail = true,
            _ => {}
        }
    }
    script.timeout = timeout.unwrap_or(script.interval);
    script.command.user = user;
    if script.command.argv.is_empty() {
        if !named {
            problems.push(no_command(name, &script));
        }
        return None;
    }
    debug_assert!(script.interval >= Duration::from_micros(SECOND / 1000));
    Some(script)
}

fn no_command(name: crate::config::tree::Word<'_>, script: &VrrpScript) -> Problem {
    value::error(
        "script-without-command",
        name,
        format!("vrrp_script `{}` has no command, and is left out", script.name),
    )
    .label("left out")
    .help("add: script \"/path/of/the/check\"")
}
