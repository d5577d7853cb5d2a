//! What one write at a time uses, and another one after it: connections, channels, clients.
//!
//! Invariant: what a write has taken out comes back only when nothing of that write is left on it. A write that fails or
//! is dropped keeps it, and it ends. So no write hears what was said of another one's records.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// As many as there were writes at once.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Pool<T> {
    fn idle(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that nobody uses; the one that was used last, so that those that are too many are not kept in use.
    pub(crate) fn take(&self) -> Option<T> {
        self.idle().pop()
    }

    /// Gives one back.
    pub(crate) fn put(&self, one: T) {
        self.idle().push(one);
    }
}
