//! The seam between dedup and where its keys are kept.

use async_trait::async_trait;
use tidemill_core::BoxError;

use super::DedupKey;

/// Remembers keys of handled events, for as long as it can and may.
///
/// A store may forget at any time: a forgotten key costs a duplicate. It must never claim to know a key that was not
/// inserted: that costs an event. Both questions are asked by many tasks at once; each is cut at the limit of the
/// [`Dedup`](super::Dedup) in front, by dropping its future. A panic counts as a failure.
#[async_trait]
pub trait DedupStore: Send + Sync + 'static {
    /// Whether the key was inserted and is still remembered.
    ///
    /// # Errors
    /// When the store cannot tell; the event is handled then.
    async fn contains(&self, key: &DedupKey) -> Result<bool, BoxError>;

    /// Remembers the key from now on. A key that is remembered already keeps its age.
    ///
    /// # Errors
    /// When the key is not known to be remembered.
    async fn insert(&self, key: &DedupKey) -> Result<(), BoxError>;

    /// [`contains`](Self::contains) on the spot; `None` when only that can tell.
    fn try_contains(&self, key: &DedupKey) -> Option<bool> {
        let _ = key;
        None
    }

    /// [`insert`](Self::insert) on the spot; `false` when only that can do it, and nothing was done.
    fn try_insert(&self, key: &DedupKey) -> bool {
        let _ = key;
        false
    }

    /// What the store holds; `None` when it does not know.
    fn stats(&self) -> Option<StoreStats> {
        None
    }
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Keys that are remembered, with those that are past their age but not yet removed.
    pub entries: usize,
    /// Keys that were forgotten before their age, to make room. When this grows, duplicates slip through that the age
    /// alone would catch.
    pub evicted: u64,
}
