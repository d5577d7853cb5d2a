//! The check before an event is handled and the confirmation after, in front of any store.
//!
//! INVARIANT: whatever the store does, fails, hangs or panics, `is_duplicate` and `confirm` end within the limit, and no
//! event is called a duplicate unless the store said so. While the store fails, one event at a time pays for asking it.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidemill_core::{BoxError, Event};
use tokio::time::timeout;
use tracing::error;

use super::breaker::Breaker;
use super::{DedupKey, DedupStore, IdempotencyKey};
use crate::guard::{guarded, panic_message, panicked};

/// How long a store may take to answer. A local server takes a thousandth of it.
const LIMIT: Duration = Duration::from_millis(500);
/// Who panicked, in what is told of it.
const STORE: &str = "the store";

/// What is known of an event before it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Check {
    /// It was not handled before, as far as the store remembers. [Confirm](Dedup::confirm) the key when it is finished.
    Fresh(DedupKey),
    /// It was handled before: acknowledge it, do not handle it.
    Duplicate,
    /// It has no key: handle it.
    NoKey,
    /// The store cannot tell: handle it. Confirm the key when it is finished, for the store may be back by then.
    Unchecked(DedupKey),
}

impl Check {
    /// Whether the event must not be handled.
    #[must_use]
    pub fn is_duplicate(self) -> bool {
        self == Self::Duplicate
    }

    /// The key to confirm once the event is handled and its records are written.
    #[must_use]
    pub fn to_confirm(self) -> Option<DedupKey> {
        match self {
            Self::Fresh(key) | Self::Unchecked(key) => Some(key),
            Self::Duplicate | Self::NoKey => None,
        }
    }
}

/// Dedup of a route: an idempotency key and the store that remembers it. May serve all instances of a worker.
///
/// ```
/// # use std::sync::Arc;
/// # use tidemill_core::{Event, topic::TopicName};
/// # use tidemill_runtime::dedup::{Dedup, IdempotencyKey, MemoryLimits, MemoryStore};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
/// let dedup = Dedup::new(IdempotencyKey::JsonPointer("/id".to_owned()), store);
///
/// let event = Event::new(TopicName::new("orders").unwrap(), r#"{"id": "a7"}"#);
/// let check = dedup.is_duplicate("orders", &event).await;
/// assert!(!check.is_duplicate());
/// // The event is handled, and every record that it emitted is written. Then:
/// if let Some(key) = check.to_confirm() {
///     dedup.confirm(key).await;
/// }
/// assert!(dedup.is_duplicate("orders", &event).await.is_duplicate());
/// # });
/// ```
pub struct Dedup {
    key: IdempotencyKey,
    store: Arc<dyn DedupStore>,
    limit: Duration,
    breaker: Breaker,
    counters: Counters,
    key_failed: AtomicBool,
}

impl fmt::Debug for Dedup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedup").field("key", &self.key).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Dedup {
    /// Recognises events by this key, remembered in this store.
    #[must_use]
    pub fn new(key: IdempotencyKey, store: Arc<dyn DedupStore>) -> Self {
        Self {
            key,
            store,
            limit: LIMIT,
            breaker: Breaker::new(),
            counters: Counters::default(),
            key_failed: AtomicBool::new(false),
        }
    }

    /// Sets how long the store may take for an answer; 500 ms otherwise. A store that takes longer has failed.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Whether the event was handled before. Ends within the limit.
    ///
    /// Cancel-safe: it changes nothing but counters.
    pub async fn is_duplicate(&self, route: &str, event: &Event) -> Check {
        match self.try_is_duplicate(route, event) {
            Ok(check) => check,
            Err(key) => self.ask(key).await,
        }
    }

    /// Whether the event was handled before, without waiting.
    ///
    /// # Errors
    /// The event's key when the store cannot answer on the spot: [`ask`](Self::ask) it.
    pub fn try_is_duplicate(&self, route: &str, event: &Event) -> Result<Check, DedupKey> {
        let Some(key) = self.key_of(route, event) else { return Ok(self.counted(Check::NoKey)) };
        if !self.breaker.may_ask(self.limit) {
            return Ok(self.counted(Check::Unchecked(key)));
        }
        match catch_unwind(AssertUnwindSafe(|| self.store.try_contains(&key))) {
            Ok(None) => Err(key),
            Ok(Some(known)) => Ok(self.answered(key, &Ok(known))),
            Err(panic) => Ok(self.answered(key, &Err(panicked(STORE, &*panic).into()))),
        }
    }

    /// Asks the store for a key that [`try_is_duplicate`](Self::try_is_duplicate) gave. Ends within the limit.
    ///
    /// Cancel-safe: it changes nothing but counters.
    pub async fn ask(&self, key: DedupKey) -> Check {
        self.answered(key, &self.limited(async { self.store.contains(&key).await }).await)
    }

    /// Remembers the key of an event that was handled. ORDER: call it after every record of the event was written, and
    /// before the event is acknowledged, so that an acknowledgement that is lost finds the key inserted. It is right
    /// also when the session was lost in between: that is when the event comes again.
    ///
    /// Ends within the limit; a failure is counted and costs no more than a duplicate. Cancel-safe: the key is then
    /// inserted or not.
    pub async fn confirm(&self, key: DedupKey) {
        if self.breaker.may_ask(self.limit) {
            if !self.try_confirm(key) {
                self.inserted(&self.limited(async { self.store.insert(&key).await }).await);
            }
        } else {
            self.counters.unconfirmed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Remembers the key of an event that was handled, without waiting; see [`confirm`](Self::confirm). `false` when
    /// only that can do it, and nothing was done.
    pub fn try_confirm(&self, key: DedupKey) -> bool {
        match catch_unwind(AssertUnwindSafe(|| self.store.try_insert(&key))) {
            Ok(false) => return false,
            Ok(true) => self.inserted(&Ok(())),
            Err(panic) => self.inserted(&Err(panicked(STORE, &*panic).into())),
        }
        true
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> DedupStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DedupStats {
            fresh: read(&self.counters.fresh),
            duplicates: read(&self.counters.duplicates),
            no_key: read(&self.counters.no_key),
            unchecked: read(&self.counters.unchecked),
            confirmed: read(&self.counters.confirmed),
            unconfirmed: read(&self.counters.unconfirmed),
        }
    }

    /// The store that remembers the keys.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn DedupStore> {
        &self.store
    }

    fn key_of(&self, route: &str, event: &Event) -> Option<DedupKey> {
        catch_unwind(AssertUnwindSafe(|| self.key.of(route, event))).unwrap_or_else(|panic| {
            // Said once: it may happen with every event.
            if !self.key_failed.swap(true, Ordering::Relaxed) {
                error!(
                    route,
                    error = panic_message(&*panic),
                    "the key function of dedup panicked; such events are handled unchecked"
                );
            }
            None
        })
    }

    async fn limited<T>(&self, work: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
        match timeout(self.limit, guarded(work)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => Err(panicked(STORE, &*panic).into()),
            Err(_) => Err(format!("no answer within {:?}", self.limit).into()),
        }
    }

    fn answered(&self, key: DedupKey, answer: &Result<bool, BoxError>) -> Check {
        self.breaker.note(answer.as_ref().err());
        self.counted(match answer {
            Ok(true) => Check::Duplicate,
            Ok(false) => Check::Fresh(key),
            Err(_) => Check::Unchecked(key),
        })
    }

    fn inserted(&self, answer: &Result<(), BoxError>) {
        self.breaker.note(answer.as_ref().err());
        let counter = if answer.is_ok() { &self.counters.confirmed } else { &self.counters.unconfirmed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn counted(&self, check: Check) -> Check {
        let counter = match check {
            Check::Fresh(_) => &self.counters.fresh,
            Check::Duplicate => &self.counters.duplicates,
            Check::NoKey => &self.counters.no_key,
            Check::Unchecked(_) => &self.counters.unchecked,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        check
    }
}

#[derive(Default)]
struct Counters {
    fresh: AtomicU64,
    duplicates: AtomicU64,
    no_key: AtomicU64,
    unchecked: AtomicU64,
    confirmed: AtomicU64,
    unconfirmed: AtomicU64,
}

/// What a [`Dedup`] has seen. The first four add up to the events that were checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DedupStats {
    /// Events whose key was not known.
    pub fresh: u64,
    /// Events that were handled before.
    pub duplicates: u64,
    /// Events without a key.
    pub no_key: u64,
    /// Events that the store could not tell about.
    pub unchecked: u64,
    /// Keys that were inserted.
    pub confirmed: u64,
    /// Keys that could not be inserted: when their events come again, they are handled again.
    pub unconfirmed: u64,
}
