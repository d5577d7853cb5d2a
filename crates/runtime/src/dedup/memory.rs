//! A store inside the process: every replica recognises what it handled itself.
//!
//! INVARIANT: it holds at most as many keys as its limits allow, forgets the oldest first, and never knows a key that is
//! past its age, removed or not. Both operations cost the same however many keys have come of age in between.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hashbrown::HashMap;
use tidemill_core::BoxError;
use tokio::time::Instant;

use super::{DedupKey, DedupStore, StoreStats};

/// What a key costs at most, with the spare room that a hash table and a queue keep when they have just grown.
const ENTRY_BYTES: usize = 168;
/// How many keys past their age an operation removes.
const REMOVED_AT_ONCE: usize = 4;

/// How much a [`MemoryStore`] remembers; whichever limit is reached first holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryLimits {
    /// Keys at most; zero keeps none.
    pub max_entries: usize,
    /// Bytes of memory at most. A key costs up to 168 of them, whatever it was made of.
    pub max_bytes: usize,
    /// How long a key is remembered after its event was handled; zero keeps none, [`Duration::MAX`] keeps them until
    /// the other limits are reached.
    pub max_age: Duration,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            // 100 events a second for as long as the age below.
            max_entries: 360_000,
            // Holds that many.
            max_bytes: 64 * 1024 * 1024,
            // Duplicates come within a reconnect, a restart or a rollout: minutes.
            max_age: Duration::from_secs(60 * 60),
        }
    }
}

impl MemoryLimits {
    /// Sets how many keys are kept.
    #[must_use]
    pub fn max_entries(mut self, max_entries: usize) -> Self {
        self.max_entries = max_entries;
        self
    }

    /// Sets how many bytes they may take.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets how long they are kept.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// How many keys fit within both limits.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.max_entries.min(self.max_bytes / ENTRY_BYTES)
    }
}

/// Keys in memory; see the [limits](MemoryLimits). They are gone with the process, so that an event that a replica
/// handled and could not acknowledge before it crashed is handled again. It answers on the spot.
pub struct MemoryStore {
    capacity: usize,
    max_age: Duration,
    /// What ages are measured from.
    epoch: Instant,
    inner: Mutex<Inner>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("capacity", &self.capacity)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    /// When each key was inserted, in milliseconds since the epoch.
    known: HashMap<DedupKey, u64, foldhash::fast::FixedState>,
    /// The same, oldest first. A key that came of age and was inserted again is in it twice; the older entry, which the
    /// map no longer agrees with, stands before every key that is within its age.
    order: VecDeque<(u64, DedupKey)>,
    evicted: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> Self {
        Self { capacity: limits.capacity(), max_age: limits.max_age, epoch: Instant::now(), inner: Mutex::default() }
    }

    /// What is inside, and the time; read under the lock, so that times in the queue never go back.
    fn with<T>(&self, work: impl FnOnce(&mut Inner, Clock) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = millis(self.epoch.elapsed());
        let clock = Clock { now, max_age: millis(self.max_age) };
        for _ in 0..REMOVED_AT_ONCE {
            if !inner.order.front().is_some_and(|(at, _)| clock.is_past(*at)) {
                break;
            }
            inner.forget_oldest();
        }
        work(&mut inner, clock)
    }

    fn knows(&self, key: &DedupKey) -> bool {
        self.with(|inner, clock| inner.known.get(key).is_some_and(|at| !clock.is_past(*at)))
    }

    fn remember(&self, key: DedupKey) {
        if self.capacity == 0 {
            return;
        }
        self.with(|inner, clock| {
            if inner.known.get(&key).is_some_and(|at| !clock.is_past(*at)) {
                return;
            }
            while inner.order.len() >= self.capacity {
                let oldest = inner.forget_oldest();
                if oldest.is_some_and(|at| !clock.is_past(at)) {
                    inner.evicted += 1;
                }
            }
            inner.known.insert(key, clock.now);
            inner.order.push_back((clock.now, key));
        });
    }
}

impl Inner {
    /// Removes the oldest entry, and gives when it was inserted.
    fn forget_oldest(&mut self) -> Option<u64> {
        let (at, key) = self.order.pop_front()?;
        if self.known.get(&key) == Some(&at) {
            self.known.remove(&key);
        }
        Some(at)
    }
}

#[derive(Clone, Copy)]
struct Clock {
    now: u64,
    max_age: u64,
}

impl Clock {
    fn is_past(self, inserted: u64) -> bool {
        self.now.saturating_sub(inserted) >= self.max_age
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl DedupStore for MemoryStore {
    async fn contains(&self, key: &DedupKey) -> Result<bool, BoxError> {
        Ok(self.knows(key))
    }

    async fn insert(&self, key: &DedupKey) -> Result<(), BoxError> {
        self.remember(*key);
        Ok(())
    }

    fn try_contains(&self, key: &DedupKey) -> Option<bool> {
        Some(self.knows(key))
    }

    fn try_insert(&self, key: &DedupKey) -> bool {
        self.remember(*key);
        true
    }

    fn stats(&self) -> Option<StoreStats> {
        self.with(|inner, _| Some(StoreStats { entries: inner.order.len(), evicted: inner.evicted }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> DedupKey {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        DedupKey::from_bytes(bytes)
    }

    /// What the containers hold on to.
    fn allocated(store: &MemoryStore) -> usize {
        store.with(|inner, _| inner.known.allocation_size() + inner.order.capacity() * size_of::<(u64, DedupKey)>())
    }

    #[test]
    fn memory_stays_within_its_limit_whatever_the_number_of_keys() {
        for max_bytes in (20_000..400_000).step_by(7_919) {
            let store = MemoryStore::new(MemoryLimits::default().max_bytes(max_bytes));
            let mut most = 0;
            for number in 0..12_000 {
                store.remember(key(number));
                most = most.max(allocated(&store));
            }
            assert!(most <= max_bytes, "{most} bytes of {max_bytes}");
        }
    }
}
