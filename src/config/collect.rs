//! Problems as reading finds them: no more are kept than a person could read.

use super::problem::{Problem, Severity};

/// So many are kept; of further ones only those that are worse than all before, so that the exit status stays right.
pub const PROBLEMS_MAX: usize = 10_000;

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
            let words = format!("{} more problems are not shown", self.dropped);
            all.push(Problem::general("too-many-problems", Severity::Note, words));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::exit_code;

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
        assert_eq!(all.last().map(|last| last.message.as_str()), Some("10000 more problems are not shown"));
    }
}
