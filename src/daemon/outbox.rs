//! Events for a reader that may be slow: what waits is at most one event for each key, the newest.
//!
//! It bounds memory by the number of keys, never makes the sender wait, and never loses a last state.

use std::collections::BTreeMap;
use std::future::pending;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The sender's end of an event queue.
#[derive(Debug)]
pub struct Outbox<K, E> {
    sender: mpsc::Sender<E>,
    waiting: BTreeMap<K, E>,
}

impl<K: Ord, E> Outbox<K, E> {
    /// An outbox and its reader; `depth` events are handed over in order before newer ones replace older.
    pub fn new(depth: usize) -> (Self, mpsc::Receiver<E>) {
        let (sender, receiver) = mpsc::channel(depth);
        (Self { sender, waiting: BTreeMap::new() }, receiver)
    }

    /// Put an event in the place of an older one that nobody has seen.
    pub fn put(&mut self, key: K, event: E) {
        self.waiting.insert(key, event);
    }

    /// Hand one event over. It waits for ever where there is none or nobody reads; dropping it loses nothing.
    pub async fn deliver(&mut self) {
        if self.waiting.is_empty() {
            return pending().await;
        }
        let Ok(place) = self.sender.reserve().await else {
            self.waiting.clear();
            return;
        };
        if let Some((_, event)) = self.waiting.pop_first() {
            place.send(event);
        }
    }

    /// Hand over what there is room for; whether that was all.
    pub fn hand_over(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match self.sender.try_reserve() {
                Ok(place) => {
                    if let Some((_, event)) = self.waiting.pop_first() {
                        place.send(event);
                    }
                }
                Err(TrySendError::Full(())) => return false,
                Err(TrySendError::Closed(())) => self.waiting.clear(),
            }
        }
        true
    }

    /// Until there is room, or nobody reads any more.
    pub fn room(&self) -> impl Future<Output = ()> + use<K, E> {
        let sender = self.sender.clone();
        async move { drop(sender.reserve().await) }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_slow_reader_gets_the_newest_of_each_key() {
        let (mut outbox, mut reader) = Outbox::new(1);
        outbox.put("a", 1);
        outbox.deliver().await;
        for (key, event) in [("a", 2), ("b", 3), ("a", 4)] {
            outbox.put(key, event);
        }
        let full = timeout(Duration::ZERO, outbox.deliver()).await;
        assert!(full.is_err(), "the reader has not taken the first");
        let mut got = vec![];
        for _ in 0..2 {
            got.extend(reader.recv().await);
            outbox.deliver().await;
        }
        got.extend(reader.recv().await);
        assert_eq!(got, [1, 4, 3]);
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_waits_until_the_reader_made_some() {
        let (mut outbox, mut reader) = Outbox::new(2);
        assert!(outbox.hand_over(), "there is nothing");
        for (key, event) in [("a", 1), ("b", 2), ("c", 3), ("c", 4)] {
            outbox.put(key, event);
        }
        assert!(!outbox.hand_over());
        let mut room = pin!(outbox.room());
        assert!(timeout(Duration::ZERO, &mut room).await.is_err(), "nobody has read");
        assert_eq!(reader.recv().await, Some(1));
        room.await;
        assert!(outbox.hand_over());
        assert_eq!((reader.recv().await, reader.recv().await), (Some(2), Some(4)));
        outbox.put("a", 5);
        drop(reader);
        assert!(outbox.hand_over(), "it is for nobody");
    }
}
