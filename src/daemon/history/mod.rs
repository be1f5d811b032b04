//! The flight recorder: what each virtual router lived through lately, with causes and numbers. Bounded.
//!
//! It keeps what the heartbeat tells and what trackers found; how that reads is `words.rs`, its file is `file.rs`.

pub mod file;
pub mod words;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::MonoTime;
use crate::vrrp::Happened;
use crate::vrrp::settings::{Outcome, Tracked};

/// Entries of one virtual router; the oldest goes first.
pub const ENTRIES_MAX: usize = 256;
/// Entries of all together; then the longest history loses its oldest.
pub const TOTAL_MAX: usize = 16_384;

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since 1970, as the clock stood when it was recorded.
    pub unix_s: f64,
    /// The last of those that were counted together with it.
    pub until_unix_s: Option<f64>,
    /// What concerns all is there once.
    #[serde(with = "shared")]
    pub what: Arc<What>,
}

/// Each is written for itself, and read so.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::What;

    pub(super) fn serialize<S: Serializer>(what: &Arc<What>, to: S) -> Result<S::Ok, S::Error> {
        What::serialize(what, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<What>, D::Error> {
        What::deserialize(from).map(Arc::new)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Happened(Happened),
    /// A tracker has its first result, or changed its mind.
    Tracker {
        what: Tracked,
        outcome: Outcome,
        reason: String,
    },
    /// Of the daemon itself: it started, it took up another configuration, an operator asked for something.
    Daemon {
        text: String,
    },
}

/// All histories, by the name of the instance.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: BTreeMap<String, VecDeque<Entry>>,
    total: usize,
    /// Not in the file yet.
    unwritten: bool,
}

impl History {
    /// What an earlier run left, up to the limits.
    pub fn of(entries: BTreeMap<String, VecDeque<Entry>>) -> Self {
        let mut history = Self::default();
        for (name, old) in entries {
            for entry in old {
                history.push(&name, entry);
            }
        }
        history.unwritten = false;
        history
    }

    /// Keep what the heartbeat told. `now` is the heartbeat's clock and `unix_s` the calendar's, at one moment.
    pub fn happened<'a>(
        &mut self,
        now: MonoTime,
        unix_s: f64,
        happened: &Happened,
        names: impl Iterator<Item = &'a str>,
    ) {
        let unix_s = unix_s - now.since(at(happened)).as_secs_f64();
        let what = Arc::new(What::Happened(happened.clone()));
        match of(happened) {
            Of::Instance(name) => self.keep(name, unix_s, what),
            // It concerns all.
            Of::All => names.for_each(|name| self.keep(name, unix_s, Arc::clone(&what))),
            Of::Nobody => (),
        }
    }

    /// Keep one entry, or count it together with one like it since the last move.
    pub fn keep(&mut self, name: &str, unix_s: f64, what: impl Into<Arc<What>>) {
        let what = what.into();
        self.unwritten = true;
        if let Some(entries) = self.entries.get_mut(name) {
            let since_move = entries.iter_mut().rev().take_while(|entry| !is_move(&entry.what));
            for entry in since_move {
                if says_the_same(&entry.what, &what) {
                    count_in(Arc::make_mut(&mut entry.what), &what);
                    entry.until_unix_s = Some(unix_s);
                    return;
                }
            }
        }
        self.push(name, Entry { unix_s, until_unix_s: None, what });
    }

    fn push(&mut self, name: &str, entry: Entry) {
        let full = self.entries.get(name).is_some_and(|entries| entries.len() >= ENTRIES_MAX);
        if full {
            self.drop_oldest_of(name);
        } else if self.total >= TOTAL_MAX
            && let Some(longest) = self.entries.iter().max_by_key(|(_, entries)| entries.len())
        {
            let longest = longest.0.clone();
            self.drop_oldest_of(&longest);
        }
        let entries = self.entries.entry(name.to_owned()).or_default();
        if entries.len() == entries.capacity() {
            // A quarter more, not twice as much: most histories are short, and there may be thousands of entries.
            entries.reserve_exact(entries.len() / 4 + 1);
        }
        entries.push_back(entry);
        self.total += 1;
    }

    fn drop_oldest_of(&mut self, name: &str) {
        if let Some(entries) = self.entries.get_mut(name)
            && entries.pop_front().is_some()
        {
            self.total = self.total.saturating_sub(1);
        }
    }

    /// Oldest first.
    pub fn of_instance(&self, name: &str) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.get(name).into_iter().flatten()
    }

    /// Forget those that nobody configures any more, once they have nothing else to tell.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|name, _| keep(name));
        self.total = self.entries.values().map(VecDeque::len).sum();
        self.unwritten = true;
    }

    pub const fn is_unwritten(&self) -> bool {
        self.unwritten
    }

    /// Everything, to be written by somebody who may wait.
    pub fn to_write(&mut self) -> BTreeMap<String, VecDeque<Entry>> {
        self.unwritten = false;
        self.entries.clone()
    }
}

/// Whom an event concerns.
enum Of<'a> {
    Instance(&'a str),
    All,
    Nobody,
}

fn of(happened: &Happened) -> Of<'_> {
    match happened {
        Happened::Moved { instance, .. }
        | Happened::Conflict { instance, .. }
        | Happened::PriorityChanged { instance, .. }
        | Happened::PeerChanged { instance, .. }
        | Happened::LinkChanged { instance, .. }
        | Happened::LinkFlapped { instance, .. }
        | Happened::Warned { instance, .. }
        | Happened::AddressLost { instance, .. }
        | Happened::AddressFound { instance, .. }
        | Happened::RouteRestored { instance, .. }
        | Happened::Claimed { instance, .. }
        | Happened::Failed { instance, .. }
        | Happened::Discarded { instance: Some(instance), .. } => Of::Instance(instance),
        // Virtual routers of others.
        Happened::Discarded { instance: None, .. } => Of::Nobody,
        Happened::Stalled { .. } | Happened::Resynced { .. } => Of::All,
    }
}

const fn at(happened: &Happened) -> MonoTime {
    match happened {
        Happened::Moved { at, .. }
        | Happened::Conflict { at, .. }
        | Happened::PriorityChanged { at, .. }
        | Happened::PeerChanged { at, .. }
        | Happened::LinkChanged { at, .. }
        | Happened::LinkFlapped { at, .. }
        | Happened::Warned { at, .. }
        | Happened::AddressLost { at, .. }
        | Happened::AddressFound { at, .. }
        | Happened::RouteRestored { at, .. }
        | Happened::Claimed { at, .. }
        | Happened::Failed { at, .. }
        | Happened::Discarded { at, .. }
        | Happened::Stalled { at, .. }
        | Happened::Resynced { at, .. } => *at,
    }
}

const fn is_move(what: &What) -> bool {
    matches!(what, What::Happened(Happened::Moved { .. }))
}

/// Whether `next` is counted together with `kept`.
fn says_the_same(kept: &What, next: &What) -> bool {
    let (What::Happened(kept), What::Happened(next)) = (kept, next) else { return false };
    match (kept, next) {
        (Happened::Discarded { reason, .. }, Happened::Discarded { reason: next, .. }) => reason == next,
        (Happened::Claimed { mac, address, .. }, Happened::Claimed { mac: next_mac, address: next_address, .. }) => {
            mac == next_mac && address == next_address
        }
        (
            Happened::LinkFlapped { interface, state, .. },
            Happened::LinkFlapped { interface: next_interface, state: next_state, .. },
        ) => interface == next_interface && state == next_state,
        (Happened::Failed { failure, .. }, Happened::Failed { failure: next, .. }) => failure == next,
        (Happened::Warned { from, warning, .. }, Happened::Warned { from: next_from, warning: next, .. }) => {
            from == next_from && warning == next
        }
        _ => false,
    }
}

/// Two that say the same become one, which says how often.
fn count_in(kept: &mut What, next: &What) {
    let (What::Happened(kept), What::Happened(next)) = (kept, next) else { return };
    match (kept, next) {
        (Happened::Discarded { from, count, .. }, Happened::Discarded { from: last, count: more, .. }) => {
            *from = *last;
            *count = count.saturating_add(*more);
        }
        (Happened::Claimed { count, .. }, Happened::Claimed { count: more, .. }) => {
            *count = count.saturating_add(*more);
        }
        (Happened::LinkFlapped { lasted, count, .. }, Happened::LinkFlapped { lasted: next, count: more, .. }) => {
            *lasted = (*lasted).max(*next);
            *count = count.saturating_add(*more);
        }
        _ => (),
    }
}

#[cfg(test)]
mod tests;
