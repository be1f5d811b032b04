//! A plan as people read it: `+` added, `~` changed, `-` removed.

use super::{Change, Plan};

/// The escape sequences of the signs, or nothing.
#[derive(Clone, Copy, Debug)]
struct Colours {
    added: &'static str,
    changed: &'static str,
    removed: &'static str,
    end: &'static str,
}

const NONE: Colours = Colours { added: "", changed: "", removed: "", end: "" };
const ANSI: Colours = Colours { added: "\x1b[32m", changed: "\x1b[33m", removed: "\x1b[31m", end: "\x1b[0m" };

impl Plan {
    /// The whole plan; it ends in a line feed.
    pub fn render(&self, colour: bool) -> String {
        let colours = if colour { ANSI } else { NONE };
        let mut text = String::new();
        for change in &self.changes {
            put(&mut text, change, 0, colours);
        }
        if !self.transitions.is_empty() && !self.changes.is_empty() {
            text.push_str("\nvirtual routers\n");
            for transition in &self.transitions {
                text.push_str(&format!("    {transition}\n"));
            }
        }
        for keyword in &self.at_next_start {
            text.push_str(&format!("\nnote: `{keyword}` takes effect when vipd starts again\n"));
        }
        if let Some(refused) = &self.refused {
            text.push_str(&format!("\na running daemon REFUSES this: {refused}\n"));
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text + &self.summary()
    }

    fn summary(&self) -> String {
        if self.changes.is_empty() {
            return "nothing changes\n".to_owned();
        }
        let (mut added, mut changed, mut removed) = (0, 0, 0);
        for change in &self.changes {
            match change {
                Change::Added { .. } => added += 1,
                Change::Removed { .. } => removed += 1,
                Change::Value { .. } | Change::Inside { .. } | Change::Order { .. } => changed += 1,
            }
        }
        format!("{added} added, {changed} changed, {removed} removed\n")
    }
}

fn put(text: &mut String, change: &Change, depth: usize, colours: Colours) {
    let blank = "    ".repeat(depth);
    let Colours { added, changed, removed, end } = colours;
    match change {
        Change::Added { text: all, .. } => lines(text, all, &blank, '+', added, end),
        Change::Removed { text: all, .. } => lines(text, all, &blank, '-', removed, end),
        Change::Value { what, old, new } => {
            let value = |value: &str| if value.is_empty() { "(nothing)".to_owned() } else { value.to_owned() };
            let arrow = if old == new { new.clone() } else { format!("{} -> {}", value(old), value(new)) };
            text.push_str(&format!("{blank}{changed}~ {what} {arrow}{end}\n"));
        }
        Change::Order { what } => text.push_str(&format!("{blank}{changed}~ {what}: another order{end}\n")),
        Change::Inside { what, changes } => {
            text.push_str(&format!("{blank}{changed}~ {what}{end}\n"));
            for inner in changes {
                put(text, inner, depth + 1, colours);
            }
        }
    }
}

fn lines(text: &mut String, all: &str, blank: &str, sign: char, colour: &str, end: &str) {
    for line in all.lines() {
        text.push_str(&format!("{blank}{colour}{sign} {line}{end}\n"));
    }
}
