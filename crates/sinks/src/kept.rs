//! What a sink makes when it first needs it, and keeps: a connection, or settings that are checked and secrets that are
//! read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidemill_core::SinkError;
use tokio::task;

/// Made at the first use, and anew after it was forgotten.
pub(crate) struct Kept<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Kept<T> {
    fn current(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept, made if there is nothing. Of two that are made at once the first one is kept, for both.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn or_make(&self, make: impl Future<Output = Result<T, SinkError>>) -> Result<Arc<T>, SinkError> {
        if let Some(kept) = &*self.current() {
            return Ok(Arc::clone(kept));
        }
        let made = Arc::new(make.await?);
        Ok(Arc::clone(self.current().get_or_insert(made)))
    }

    /// Makes another one next time, unless that was done already. Who still uses this one goes on with it.
    pub(crate) fn forget(&self, gone: &Arc<T>) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, gone)) {
            drop(current.take());
        }
    }

    /// Lets go of what is kept.
    pub(crate) fn clear(&self) {
        drop(self.current().take());
    }
}

/// Does something where it may block: reading files, for one.
///
/// # Errors
/// Its own; `Unavailable` when it panicked or the async runtime is shutting down.
pub(crate) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    task::spawn_blocking(job).await.map_err(SinkError::unavailable)?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn it_is_made_once_until_it_is_forgotten() {
        let kept = Kept::default();
        let first = kept.or_make(async { Ok(1) }).await.unwrap();
        assert_eq!(*kept.or_make(async { Ok(2) }).await.unwrap(), 1);
        kept.forget(&first);
        let second = kept.or_make(async { Ok(3) }).await.unwrap();
        kept.forget(&first);
        assert_eq!(*kept.or_make(async { Ok(4) }).await.unwrap(), 3, "one that is gone already costs nothing");
        kept.forget(&second);
        kept.or_make(async { Err(SinkError::unavailable("not now")) }).await.unwrap_err();
        assert_eq!(*kept.or_make(async { Ok(5) }).await.unwrap(), 5);
    }
}
