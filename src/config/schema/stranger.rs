//! A word that its block does not know: misspelt, or a keyword of another block.

use super::{Checker, Context, Severity, Statement, keyword};
use crate::config::keyword::Standing;
use crate::config::near::nearest;

/// More blocks than this are not listed.
const HOMES_MAX: usize = 3;
/// A word that is a part of more keywords than this says too little.
const PARTS_MAX: usize = 3;
/// What was meant is remembered for so many words of a block.
pub(super) const MEANT_MAX: usize = 1000;

impl Checker {
    /// Tell of the statement, and return the statements that remain to be looked at.
    pub(super) fn stranger<'s, 't>(
        &mut self,
        context: Context,
        statement: &Statement<'_>,
        after: &'s [Statement<'t>],
    ) -> &'s [Statement<'t>] {
        let mut homes = keyword::homes(statement.keyword.text).to_vec();
        if homes.is_empty() {
            self.unknown(context, statement);
            return after;
        }
        // A lost brace puts a whole block at the wrong place: one cause, one problem.
        let mut rest = after;
        let mut more = 0_usize;
        while let Some((next, later)) = rest.split_first() {
            let mut common = keyword::homes(next.keyword.text).to_vec();
            common.retain(|home| homes.contains(home));
            if common.is_empty() || keyword::find(context, next.keyword.text).is_some() {
                break;
            }
            homes = common;
            more += 1;
            rest = later;
        }
        self.misplaced(context, statement, &homes, more);
        rest
    }

    fn unknown(&mut self, context: Context, statement: &Statement<'_>) {
        let word = statement.keyword.text;
        let message = format!("{} has no keyword `{word}`", context.name());
        let label =
            if statement.block.is_some() { "not known here; its block is passed over" } else { "not known here" };
        // Nobody sees the help of a problem that is one too many.
        let searched = !self.problems.is_full();
        let help = if searched { self.meant(context, word).or_else(|| habit(context, statement)) } else { None };
        self.tell(Severity::Error, "unknown-keyword", statement.keyword.at, message, |problem| {
            let problem = problem.label(label);
            if let Some(help) = help { problem.help(help) } else { problem }
        });
    }

    fn meant(&mut self, context: Context, word: &str) -> Option<String> {
        let known = self.meant.entry(context).or_default();
        if let Some(meant) = known.get(word) {
            return meant.clone();
        }
        let meant = meant(context, word);
        if known.len() < MEANT_MAX {
            known.insert(word.to_owned(), meant.clone());
        }
        meant
    }

    fn misplaced(&mut self, context: Context, statement: &Statement<'_>, homes: &[Context], more: usize) {
        let word = statement.keyword.text;
        let message = format!("`{word}` stands {}, not {}", places(homes), context.place());
        let label = match more {
            0 if statement.block.is_some() => "not known here; its block is passed over".to_owned(),
            0 => "not known here".to_owned(),
            1 => "this and the next statement are not known here".to_owned(),
            _ => format!("this and the next {more} statements are not known here"),
        };
        let help = if more > 0 {
            Some(format!(
                "is the line that opens {} missing or misspelt, or is there a `}}` too many above?",
                homes.first().map_or("the block", |home| home.name())
            ))
        } else {
            part_of(context, word).map(|known| format!("here it may be {known}"))
        };
        self.tell(Severity::Error, "misplaced-keyword", statement.keyword.at, message, |problem| {
            let problem = problem.label(label);
            if let Some(help) = help { problem.help(help) } else { problem }
        });
    }
}

/// ``inside `a` ``, ``inside `a` or `b` ``, ``inside `a`, `b`, `c` and others``.
fn places(homes: &[Context]) -> String {
    let inside: Vec<&str> =
        homes.iter().filter(|&&home| home != Context::Top).take(HOMES_MAX).map(|home| home.name()).collect();
    let others = homes.iter().filter(|&&home| home != Context::Top).count() > HOMES_MAX;
    let at_top = homes.contains(&Context::Top);
    let inside = match inside.split_last() {
        None => return "at the top level".to_owned(),
        Some((_, _)) if others => format!("inside {} and others", inside.join(", ")),
        Some((last, [])) => format!("inside {last}"),
        Some((last, before)) => format!("inside {} or {last}", before.join(", ")),
    };
    if at_top { format!("at the top level or {inside}") } else { inside }
}

/// The keyword that was meant: near in letters, glued to what follows, or a part of it was written.
fn meant(context: Context, word: &str) -> Option<String> {
    let current =
        || keyword::of(context).filter(|known| !matches!(known.standing, Standing::Removed(_))).map(|known| known.word);
    // The names of checks are alike after their first letters: LDAP_CHECK is not UDP_CHECK.
    if let Some(stem) = word.strip_suffix("_CHECK").filter(|_| context == Context::RealServer) {
        let stems = || current().filter_map(|known| known.strip_suffix("_CHECK"));
        return Some(match nearest(stem, stems()) {
            Some(known) => format!("did you mean `{known}_CHECK`?"),
            None => format!("the checks are {}", checks()),
        });
    }
    if let Some(known) = nearest(word, current()) {
        let case = known.eq_ignore_ascii_case(word);
        return Some(format!("did you mean `{known}`?{}", if case { " Keywords are case sensitive" } else { "" }));
    }
    let glued = current().filter(|known| word.starts_with(known)).max_by_key(|known| known.len());
    if let Some(known) = glued {
        let rest = word.get(known.len()..).unwrap_or("").trim_start_matches(['_', '-', '=', ':']);
        return Some(format!("a blank is missing: {known} {rest}").trim_end().to_owned());
    }
    if let Some(known) = part_of(context, word) {
        return Some(format!("did you mean {known}?"));
    }
    // A typo of a keyword of another block.
    let elsewhere = Context::ALL.into_iter().filter(|&home| home != context && home.holds() == super::Holds::Keywords);
    let words = elsewhere.flat_map(keyword::of).map(|known| known.word);
    let known = nearest(word, words)?;
    Some(format!("`{known}` is known {}", places(keyword::homes(known)))).filter(|_| !keyword::homes(known).is_empty())
}

/// The few keywords that have `word` as their beginning or end, up to an underscore.
fn part_of(context: Context, word: &str) -> Option<String> {
    let found: Vec<String> = keyword::of(context)
        .map(|known| known.word)
        .filter(|known| {
            known.strip_prefix(word).is_some_and(|rest| rest.starts_with('_'))
                || known.strip_suffix(word).is_some_and(|rest| rest.ends_with('_'))
        })
        .map(|known| format!("`{known}`"))
        .collect();
    (1..=PARTS_MAX).contains(&found.len()).then(|| found.join(" or "))
}

fn checks() -> String {
    let opens_check = |word: &str| word.ends_with("_CHECK") || word.ends_with("_GET");
    let names: Vec<&str> =
        keyword::of(Context::RealServer).map(|known| known.word).filter(|word| opens_check(word)).collect();
    names.join(", ")
}

/// Lines that people write without the block that they belong to.
fn habit(context: Context, statement: &Statement<'_>) -> Option<String> {
    let word = statement.keyword.text;
    if context == Context::SyncGroup && statement.args.is_empty() && statement.block.is_none() {
        return Some(format!("members stand in a block: group {{ {word} }}, one or more a line"));
    }
    let address = word.split('/').next().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok());
    if context == Context::Instance && address {
        return Some("addresses stand in a block: virtual_ipaddress { }".to_owned());
    }
    None
}
