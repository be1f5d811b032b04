//! Looking a keyword up: one slice per block, ordered by length and then by letters, so that most comparisons are
//! of two numbers.

use std::collections::HashMap;

use super::{Context, Holds, Keyword, Standing};

pub(super) struct Index {
    /// By [`Context::ALL`]'s order.
    blocks: Vec<Vec<&'static Keyword>>,
    /// The same, each block ordered by letters alone: as people read them.
    alphabets: Vec<Vec<&'static Keyword>>,
    /// The blocks of keywords that know a word and have not dropped it, in the same order.
    homes: HashMap<&'static str, Vec<Context>>,
}

fn order(word: &str) -> (usize, &str) {
    (word.len(), word)
}

impl Index {
    pub(super) fn new(rows: &(impl Iterator<Item = &'static Keyword> + Clone)) -> Self {
        let block = |context: Context, alphabet: bool| {
            let mut words: Vec<_> = rows.clone().filter(|row| row.contexts.contains(&context)).collect();
            words.sort_by_key(|row| if alphabet { (0, row.word) } else { order(row.word) });
            words
        };
        let all = |alphabet: bool| Context::ALL.into_iter().map(|context| block(context, alphabet)).collect();
        Self { blocks: all(false), alphabets: all(true), homes: homes(rows) }
    }

    pub(super) fn homes(&self, word: &str) -> &[Context] {
        self.homes.get(word).map_or(&[], Vec::as_slice)
    }

    pub(super) fn find(&self, context: Context, word: &str) -> Option<&'static Keyword> {
        let words = in_block(&self.blocks, context);
        let at = words.binary_search_by(|row| order(row.word).cmp(&order(word))).ok()?;
        words.get(at).copied()
    }

    pub(super) fn of(&self, context: Context) -> impl Iterator<Item = &'static Keyword> {
        in_block(&self.alphabets, context).iter().copied()
    }
}

fn homes(rows: &(impl Iterator<Item = &'static Keyword> + Clone)) -> HashMap<&'static str, Vec<Context>> {
    let mut homes: HashMap<&str, Vec<Context>> = HashMap::new();
    for context in Context::ALL.into_iter().filter(|context| context.holds() == Holds::Keywords) {
        let current = rows.clone().filter(|row| !matches!(row.standing, Standing::Removed(_)));
        for row in current.filter(|row| row.contexts.contains(&context)) {
            homes.entry(row.word).or_default().push(context);
        }
    }
    homes
}

fn in_block<'a>(blocks: &'a [Vec<&'static Keyword>], context: Context) -> &'a [&'static Keyword] {
    // The discriminants count from 0 in the order of `ALL`, which a test holds.
    #[expect(clippy::as_conversions, reason = "the discriminant of a field-less enum")]
    blocks.get(context as usize).map_or(&[], Vec::as_slice)
}
