//! What users implement.

use std::sync::Arc;

use async_trait::async_trait;
use tidemill_core::{BoxError, Context, Event, HandlerResult};

/// Handles the events of a route many at a time; [`Batched`](super::Batched) makes a handler of it.
///
/// One value serves all instances of a worker, and handles several batches concurrently. `handle` may wait or panic. It
/// is cut, by dropping the future at its current `.await`, when the last of its events has given up waiting: at the
/// route's timeout, or because the worker is forced to stop.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a batch handler",
    label = "give a type that implements `BatchHandler`"
)]
pub trait BatchHandler: Send + Sync + 'static {
    /// Handles a batch of at least one event, and gives one result for each, in the order of `batch`. The batch may be
    /// reordered: results go by its order at the end.
    ///
    /// Events without a result, because there are fewer or because of a panic, have failed and are tried again. With
    /// more results than events nobody can tell whose they are, and all have failed.
    async fn handle(&self, batch: &mut [BatchItem]) -> Vec<HandlerResult>;

    /// Called once before the worker connects.
    ///
    /// # Errors
    /// What the worker's start should fail with.
    async fn start(&self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Called once after the last event was handled.
    async fn stop(&self) {}
}

#[async_trait]
impl<H: BatchHandler + ?Sized> BatchHandler for Arc<H> {
    async fn handle(&self, batch: &mut [BatchItem]) -> Vec<HandlerResult> {
        (**self).handle(batch).await
    }

    async fn start(&self) -> Result<(), BoxError> {
        (**self).start().await
    }

    async fn stop(&self) {
        (**self).stop().await;
    }
}

/// One event of a batch.
#[derive(Debug)]
pub struct BatchItem {
    /// The event.
    pub event: Event,
    /// The context of the event's attempt. What is emitted here is written if this event's result is `Ok`, and before
    /// this event is acknowledged.
    pub cx: Context,
    /// Whose result it is. Travels with the item when a handler sorts its batch.
    pub(super) seat: usize,
}

impl BatchItem {
    /// An item outside a batch, for tests of batch handlers.
    #[must_use]
    pub fn new(event: Event, cx: Context) -> Self {
        Self { event, cx, seat: 0 }
    }
}
