//! Dedup: events that were handled before and come again, because their acknowledgement was lost, are recognised by a
//! key that their publisher gives them, and acknowledged without being handled again.
//!
//! ```text
//! event ── key? ── no ─────────────────────────────> handled, never recognised
//!            └ yes ── store knows it? ── yes ──────> duplicate: acknowledged, not handled
//!                          ├ no ──> handled ── every record written ── key inserted ── acknowledged
//!                          └ the store fails ──────> handled all the same, counted as unchecked
//! ```
//!
//! INVARIANT: a key is inserted only after its event is finished as handled, that is after every record that it emitted
//! was written. A crash in between leaves the key out: the event comes again and is handled twice, never lost. For the
//! same reason a store that fails costs duplicates and neither events nor standstill.
//!
//! What this does not do: two copies of an event that are under way at the same time, on two replicas or before and
//! after a lost connection, are both handled, since neither is finished when the other is checked.

mod breaker;
mod check;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod store;

pub use crate::idempotency::{DedupKey, IdempotencyKey, KeyFunction};
pub use check::{Check, Dedup, DedupStats};
pub use memory::{MemoryLimits, MemoryStore};
#[cfg(feature = "redis")]
pub use redis::{RedisSettings, RedisStore, RedisStoreError, RedisStoreErrorKind};
pub use store::{DedupStore, StoreStats};
