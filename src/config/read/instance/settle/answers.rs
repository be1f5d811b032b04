//! What an instance says to routers that are less, or more, than itself: strict mode says nothing.

use std::time::Duration;

use super::{Draft, Told, last};
use crate::config::model::{Garp, Global};
use crate::config::tree::Statement;

/// Whether it leaves a lesser router unanswered, and whether it has a last word for a better one. Strict mode answers neither,
/// by announcements either.
pub(super) fn answers(
    draft: &mut Draft,
    global: &Global,
    strict: bool,
    block: &Statement<'_>,
    told: &mut Told<'_>,
) -> (bool, bool) {
    let (silent, last_word) = (draft.lower_prio_no_advert, draft.higher_prio_send_advert);
    if !strict {
        let last_word = last_word.map(|(on, _)| on).or(global.higher_prio_send_advert);
        return (silent.map_or(global.lower_prio_no_advert, |(on, _)| on), last_word.unwrap_or(true));
    }
    let Garp { lower_prio_repeat, lower_prio_delay, .. } = &mut draft.garp;
    let repeats = lower_prio_repeat.replace(0).is_some_and(|times| times > 0);
    let waits = lower_prio_delay.replace(Duration::ZERO).is_some_and(|delay| !delay.is_zero());
    let garp_at = |keyword| last(block, keyword).map(Statement::at);
    let rows = [
        ("lower_prio_no_advert true", silent.filter(|(on, _)| !on).map(|(_, at)| at)),
        ("higher_prio_send_advert false", last_word.filter(|(on, _)| *on).map(|(_, at)| at)),
        ("garp_lower_prio_repeat 0", garp_at("garp_lower_prio_repeat").filter(|_| repeats)),
        ("garp_lower_prio_delay 0", garp_at("garp_lower_prio_delay").filter(|_| waits)),
    ];
    for (needed, at) in rows {
        if let Some(at) = at {
            let message = format!("in strict mode `{needed}` holds");
            told.error("answer-in-strict", at, &message, "reset", "remove one of the two");
        }
    }
    (true, false)
}
