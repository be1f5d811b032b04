//! Looking a keyword up: one slice per block, ordered by length and then by letters, so that most comparisons are
//! of two numbers.

use super::{Context, Keyword};

pub(super) struct Index {
    /// By [`Context::ALL`]'s order.
    blocks: Vec<Vec<&'static Keyword>>,
}

fn order(word: &str) -> (usize, &str) {
    (word.len(), word)
}

impl Index {
    pub(super) fn new(rows: &(impl Iterator<Item = &'static Keyword> + Clone)) -> Self {
        let block = |context: Context| {
            let mut words: Vec<_> = rows.clone().filter(|row| row.contexts.contains(&context)).collect();
            words.sort_by_key(|row| order(row.word));
            words
        };
        Self { blocks: Context::ALL.into_iter().map(block).collect() }
    }

    fn block(&self, context: Context) -> &[&'static Keyword] {
        // The discriminants count from 0 in the order of `ALL`, which a test holds.
        #[expect(clippy::as_conversions, reason = "the discriminant of a field-less enum")]
        self.blocks.get(context as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn find(&self, context: Context, word: &str) -> Option<&'static Keyword> {
        let words = self.block(context);
        let at = words.binary_search_by(|row| order(row.word).cmp(&order(word))).ok()?;
        words.get(at).copied()
    }

    pub(super) fn of(&self, context: Context) -> impl Iterator<Item = &'static Keyword> {
        let mut words = self.block(context).to_vec();
        words.sort_by_key(|row| row.word);
        words.into_iter()
    }
}
