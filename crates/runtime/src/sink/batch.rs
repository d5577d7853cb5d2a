//! A batch: records side by side, as a sink takes them, and what is owed for each.

use std::sync::Arc;

use tidemill_core::Record;
use tokio::time::Instant;

use super::ticket::{Item, Ticket};

/// What is owed for a record.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) ticket: Arc<Ticket>,
    /// What the record counts for in the queue.
    pub(super) bytes: u32,
    /// When its event arrived.
    pub(super) received: Instant,
    /// How often the dead-letter destination has refused it.
    pub(super) refusals: u32,
}

/// Records that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// One for each record.
    pub(super) owed: Vec<Owed>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn push(&mut self, record: Record, owed: Owed) {
        self.records.push(record);
        self.owed.push(owed);
    }

    /// The first half stays, the second comes back. Both have a record when there are two.
    pub(super) fn halve(&mut self) -> Self {
        let half = self.len().div_ceil(2);
        Self { records: self.records.split_off(half), owed: self.owed.split_off(half) }
    }

    /// What all records count for in the queue.
    pub(super) fn bytes(&self) -> u64 {
        self.owed.iter().map(|owed| u64::from(owed.bytes)).sum()
    }

    /// When the oldest event arrived that has a record here.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.owed.iter().map(|owed| owed.received).min()
    }
}

impl FromIterator<Item> for Batch {
    fn from_iter<T: IntoIterator<Item = Item>>(items: T) -> Self {
        let items = items.into_iter();
        let count = items.size_hint().0;
        let mut batch = Self { records: Vec::with_capacity(count), owed: Vec::with_capacity(count) };
        for Item { record, ticket, bytes, received, refusals } in items {
            batch.push(record, Owed { ticket, bytes, received, refusals });
        }
        batch
    }
}
