//! A batch: records side by side, as a sink takes them, and what is owed for each.

use std::iter::once_with;

use tidemill_core::Record;
use tokio::time::Instant;

use super::ticket::{Item, Owed};

/// Records that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// One for each record.
    pub(super) owed: Vec<Owed>,
    /// When the oldest event arrived that a record came from, also one that has left the batch since.
    pub(super) oldest: Option<Instant>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Puts a record in whose event arrived then. It is made, or moved, right into its place: it is large.
    #[inline]
    pub(super) fn put(&mut self, received: Instant, record: impl FnOnce() -> Record, owed: impl FnOnce() -> Owed) {
        self.oldest = Some(self.oldest.map_or(received, |oldest| oldest.min(received)));
        self.records.extend(once_with(record));
        self.owed.extend(once_with(owed));
    }

    /// The first half stays, the second comes back. Both have a record when there are two.
    pub(super) fn halve(&mut self) -> Self {
        let half = self.len().div_ceil(2);
        Self { records: self.records.split_off(half), owed: self.owed.split_off(half), oldest: self.oldest }
    }

    /// What all records count for in the queue.
    pub(super) fn bytes(&self) -> u64 {
        self.owed.iter().map(|owed| u64::from(owed.bytes)).sum()
    }

    /// Forgets everything but the room it took.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.owed.clear();
        self.oldest = None;
    }
}

impl Extend<Item> for Batch {
    fn extend<T: IntoIterator<Item = Item>>(&mut self, items: T) {
        for Item { record, owed } in items {
            self.put(owed.ticket.received(), || record, || owed);
        }
    }
}
