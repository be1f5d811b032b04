//! Problems as reading finds them: no more are kept than a person could read.

use super::problem::{Problem, Severity};
use super::source::SourceId;
use crate::base::Count;

/// So many are kept; of further ones only those that are worse than all before, so that the exit status stays right.
pub const PROBLEMS_MAX: usize = 10_000;

/// So many of one kind at one place are told one by one: more come of a repetition or a substitution.
const ALIKE_MAX: usize = 3;

/// The problems in the order of the files. Of many alike at one place the first ones are kept, and a note of how many more
/// there are.
pub fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(place);
    let mut told = Vec::with_capacity(problems.len());
    for here in problems.chunk_by(|one, other| one.at.is_some() && place(one) == place(other)) {
        let mut counts: Vec<((&str, Severity), usize)> = vec![];
        for problem in here {
            let kind = (problem.code, problem.severity);
            let known = counts.iter().position(|(counted, _)| *counted == kind);
            let at = known.unwrap_or_else(|| {
                counts.push((kind, 0));
                counts.len() - 1
            });
            let Some((_, count)) = counts.get_mut(at) else { continue };
            *count += 1;
            if *count <= ALIKE_MAX {
                told.push(problem.clone());
            }
        }
        let more = counts.iter().filter(|(_, count)| *count > ALIKE_MAX);
        told.extend(more.map(|((code, _), count)| {
            let message = format!("{} `{code}` at this place", Count(count - ALIKE_MAX, "more problem"));
            let at = here.first().and_then(|first| first.at).unwrap_or_default();
            Problem::new("more-alike", Severity::Note, at, message).label("repeated or substituted")
        }));
    }
    told
}

fn place(problem: &Problem) -> Option<(SourceId, u32)> {
    problem.at.map(|at| (at.source, at.start))
}

/// A bounded list of problems.
#[derive(Debug, Default)]
pub struct Problems {
    kept: Vec<Problem>,
    dropped: usize,
    worst: Option<Severity>,
}

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        let worse = self.worst.is_none_or(|worst| problem.severity < worst);
        if worse {
            self.worst = Some(problem.severity);
        }
        if worse || self.kept.len() < PROBLEMS_MAX {
            self.kept.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// Of further ones, those that are no worse are not kept: nothing that only words them better needs to be found out.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= PROBLEMS_MAX
    }

    pub fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    /// All that were kept, and a note about the others.
    pub fn finish(self) -> Vec<Problem> {
        let mut all = self.kept;
        if self.dropped > 0 {
            let words = format!("{} not shown", Count(self.dropped, "more problem"));
            all.push(Problem::general("too-many-problems", Severity::Note, words));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::exit_code;
    use crate::config::source::Span;

    #[test]
    fn the_list_is_bounded_and_keeps_the_worst() {
        let mut problems = Problems::default();
        for _ in 0..PROBLEMS_MAX * 2 {
            problems.push(Problem::general("slip", Severity::Warning, "a slip"));
        }
        problems.push(Problem::general("fault", Severity::Error, "a fault"));
        let all = problems.finish();
        assert_eq!(all.len(), PROBLEMS_MAX + 2);
        assert_eq!(exit_code(&all), 5);
        assert_eq!(all.last().map(|last| last.message.as_str()), Some("10000 more problems not shown"));
    }

    #[test]
    fn many_alike_at_one_place_are_told_by_the_first() {
        let at = |start| Span { source: SourceId(0), start, end: start + 1 };
        let slip = |start, code, severity| Problem::new(code, severity, at(start), "a slip");
        let mut all = vec![slip(7, "other", Severity::Error), slip(9, "slip", Severity::Error)];
        all.extend((0..100).map(|_| slip(7, "slip", Severity::Warning)));
        all.extend((0..9).map(|_| Problem::general("general", Severity::Note, "of no place")));
        let told: Vec<_> = in_order(all).iter().map(|told| (told.code, told.message.clone())).collect();
        let slip = |code| (code, "a slip".to_owned());
        assert_eq!(told.iter().filter(|(code, _)| *code == "general").count(), 9);
        let more = ("more-alike", "97 more problems `slip` at this place".to_owned());
        assert_eq!(told[9..], [slip("other"), slip("slip"), slip("slip"), slip("slip"), more, slip("slip")]);
    }
}
