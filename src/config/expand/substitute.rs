//! `${NAME}` and `$NAME` in a line are replaced, again and again, until nothing is left to replace.

use super::definitions::{self, Definition, Use};
use super::line::Line;
use super::{Expander, Frame, LINE_BYTES_MAX, SUBSTITUTIONS_MAX, WORK_MAX, WORK_STEP};
use crate::config::near::nearest;
use crate::config::problem::{Problem, Severity};
use crate::config::source::Span;
use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

fn endless(name: &str, at: Span) -> Problem {
    Problem::new("endless-definition", Severity::Error, at, format!("the definition of `{name}` leads to itself"))
        .help("a definition may use others, and not itself")
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Same,
    Changed,
    /// A limit was passed: the line is not used.
    Refused,
}

/// The greatest number of `${_RANDOM}` without parameters.
const RANDOM_MAX: u64 = 32_767;

impl Expander<'_> {
    /// Replace what is defined. `count` is the number of substitutions in this line so far.
    pub(super) fn substitute(&mut self, line: &mut Line, count: &mut usize) -> Outcome {
        let mut outcome = Outcome::Same;
        let mut from = 0;
        while let Some(at) = line.text().get(from..).and_then(|rest| rest.find('$')).map(|at| from + at) {
            from = at;
            let Some(found) = line.text().get(at..).and_then(definitions::a_use) else {
                from += 1;
                continue;
            };
            let range = at..at + found.length;
            let Some(definition) = self.lookup(found, line, &range) else {
                from += 1;
                continue;
            };
            *count += 1;
            self.work += line.text().len() + WORK_STEP;
            if *count > SUBSTITUTIONS_MAX || self.work > WORK_MAX {
                let problem = if self.leads_to_itself(found.name) {
                    endless(found.name, line.span(range))
                } else {
                    let message = format!("more than {SUBSTITUTIONS_MAX} substitutions in one line");
                    Problem::new("endless-definition", Severity::Error, line.span(range), message)
                        .help("definitions that use others several times multiply: spread them over lines")
                };
                self.problems.push(problem.label("the line is not used"));
                return Outcome::Refused;
            }
            let text = definition.first();
            let length = line.text().len() - range.len() + text.len();
            if length > LINE_BYTES_MAX {
                let problem = if self.leads_to_itself(found.name) {
                    endless(found.name, line.span(range))
                } else {
                    let message =
                        format!("the line has {length} bytes after substitution, and {LINE_BYTES_MAX} is the limit");
                    Problem::new("line-too-long", Severity::Error, line.span(range), message)
                };
                self.problems.push(problem.label("the line is not used"));
                return Outcome::Refused;
            }
            let span = line.span(range.clone());
            line.replace(range, text);
            outcome = Outcome::Changed;
            if definition.multiline {
                self.push_frame(Frame::Definition { lines: Rc::clone(&definition.lines), next: 1, at: span }, span);
            }
            // What a repetition repeats is substituted in each turn.
            if text.trim_start_matches([' ', '\t']).starts_with('~') {
                break;
            }
        }
        outcome
    }

    /// Whether what stands for a name uses it, by itself or through others.
    fn leads_to_itself(&self, name: &str) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            let Some(text) = self.definitions.get(next).map(Definition::first) else { continue };
            let uses = text.match_indices('$').filter_map(|(at, _)| definitions::a_use(text.get(at..)?));
            for found in uses {
                if found.name == name {
                    return true;
                }
                if seen.insert(found.name) {
                    open.push(found.name);
                }
            }
        }
        false
    }

    /// What a use, which stands in `range` of the line, is replaced by.
    fn lookup(&mut self, found: Use<'_>, line: &Line, range: &Range<usize>) -> Option<Definition> {
        if let Some(definition) = self.definitions.get(found.name) {
            let fits = found.parameters.is_none() && (range.end == line.text().len() || !definition.multiline);
            return fits.then(|| definition.clone());
        }
        let text = match (found.name, found.parameters) {
            ("_PWD", None) => self.dir().display().to_string(),
            ("_INSTANCE", None) => self.settings.config_id.to_owned(),
            ("_HASH", None) => "#".to_owned(),
            ("_BANG", None) => "!".to_owned(),
            ("_RANDOM", None) => self.random(0, RANDOM_MAX).to_string(),
            ("_RANDOM", Some(parameters)) => {
                if !parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ') {
                    return None;
                }
                let mut numbers = parameters.split(' ').filter_map(|number| number.parse().ok());
                let least = numbers.next().unwrap_or(0);
                let most = numbers.next().unwrap_or(RANDOM_MAX);
                self.random(least, most).to_string()
            }
            ("_ENV", Some(name)) => {
                let value = self.outside.variable(name);
                if value.is_none() {
                    let message = format!("the environment has no variable `{name}`: nothing stands here");
                    let at = line.span(range.clone());
                    self.problems.push(Problem::new("unset-variable", Severity::Warning, at, message));
                }
                // A value of several lines would end the statement in its middle.
                value.unwrap_or_default().split(['\n', '\0']).next().unwrap_or_default().to_owned()
            }
            _ => return None,
        };
        Some(Definition::plain(text))
    }

    /// A number from `least` to `most` (xorshift: fair enough to spread start times, and the same for the same seed).
    fn random(&mut self, least: u64, most: u64) -> u64 {
        let mut state = self.random ^ 0x9e37_79b9_7f4a_7c15;
        state = if state == 0 { 1 } else { state };
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random = state;
        match most.checked_sub(least).and_then(|width| width.checked_add(1)) {
            Some(width) => least + (state >> 11) % width,
            None => least,
        }
    }

    /// Tell of `${NAME}` outside quotes that nothing defines: keepalived sees braces there.
    pub(super) fn undefined_uses(&mut self, line: &Line) {
        let mut quoted = false;
        for (at, c) in line.text().char_indices() {
            quoted ^= c == '"';
            if c != '$' || quoted {
                continue;
            }
            let rest = line.text().get(at..).unwrap_or_default();
            let Some(found) = definitions::a_use(rest).filter(|_| rest.starts_with("${")) else { continue };
            let message = match self.definitions.get(found.name) {
                Some(definition) if definition.multiline => {
                    format!("`{}` has several lines, and is expanded only at the end of a line", found.name)
                }
                Some(_) | None => format!("nothing defines `{}`", found.name),
            };
            let span = line.span(at..at + found.length);
            let problem = Problem::new("undefined-name", Severity::Error, span, message);
            let known = self.definitions.keys().map(String::as_str).filter(|name| *name != found.name);
            self.problems.push(problem.help(match nearest(found.name, known) {
                Some(near) => format!("did you mean `${{{near}}}`?"),
                None => format!("define it in a line above: ${}=TEXT", found.name),
            }));
        }
    }
}
