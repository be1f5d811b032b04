//! Looking a keyword up: one slice per block, ordered by length and then by letters, so that most comparisons are
//! of two numbers.

use super::{Context, Keyword};

pub(super) struct Index {
    /// By [`Context::ALL`]'s order.
    blocks: Vec<Vec<&'static Keyword>>,
    /// The same, each block ordered by letters alone: as people read them.
    alphabets: Vec<Vec<&'static Keyword>>,
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
        Self { blocks: all(false), alphabets: all(true) }
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

fn in_block<'a>(blocks: &'a [Vec<&'static Keyword>], context: Context) -> &'a [&'static Keyword] {
    // The discriminants count from 0 in the order of `ALL`, which a test holds.
    #[expect(clippy::as_conversions, reason = "the discriminant of a field-less enum")]
    blocks.get(context as usize).map_or(&[], Vec::as_slice)
}
