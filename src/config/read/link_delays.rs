//! `interface_up_down_delays`: how long an interface is down, or up, before it counts as that.

use super::value::{SECOND, parsed, seconds_word};
use crate::config::model::LinkDelay;
use crate::config::problem::{Problem, Severity};
use crate::config::tree::Statement;

/// `IFNAME DOWN_S [UP_S]` each; the last line of an interface counts.
pub fn read(block: &Statement<'_>, delays: &mut Vec<LinkDelay>, problems: &mut Vec<Problem>) {
    for line in block.statements() {
        if let Some(delay) = delay(line, problems) {
            delays.retain(|known| known.interface != delay.interface);
            delays.push(delay);
        }
    }
}

fn delay(line: &Statement<'_>, problems: &mut Vec<Problem>) -> Option<LinkDelay> {
    let at = line.keyword.at;
    let interface = parsed(problems, "bad-interface-name", line.keyword)?;
    let Some(down) = line.arg(0) else {
        let message = format!("the line of `{interface}` says no delay");
        let problem = Problem::new("value-missing", Severity::Warning, at, message).label("no effect");
        problems.push(problem.help(format!("write: {interface} DOWN_SECONDS [UP_SECONDS]")));
        return None;
    };
    let mut time =
        |what: &str, word| seconds_word(problems, &format!("{what} delay of {interface}"), word, 0..=255 * SECOND);
    let down = time("down", down)?;
    let up = line.arg(1).map_or(Some(down), |word| time("up", word))?;
    Some(LinkDelay { interface, at, down, up })
}
