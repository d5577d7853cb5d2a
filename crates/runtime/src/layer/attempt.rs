//! The request of a layered stack: one attempt to handle one event, owned, so that layers can keep it over an await.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tidemill_core::{Context, Event};

use super::waits::Waits;

/// One attempt to handle one event: what layers pass on to the handler.
///
/// The event and its context survive when the attempt is dropped half way: the runtime keeps the originals. Records
/// that a layer emits to `cx` are written when the attempt succeeds, like those of the handler.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The event. A layer may replace it by another one; the handler sees that, acknowledgement, retries and dead
    /// letters keep to the original.
    pub event: Event,
    /// The context of the attempt.
    pub cx: Context,
    pub(super) waits: Arc<Waits>,
}

impl Attempt {
    /// An attempt outside a worker, for tests of layers.
    #[must_use]
    pub fn new(event: Event, cx: Context) -> Self {
        Self { event, cx, waits: Arc::default() }
    }

    /// Waits for the attempt's turn: for room, for a token, for whatever holds it back without being its fault. The time
    /// does not count towards the route's timeout, the context's deadline moves along, and the wait is counted in
    /// `tidemill_layer_wait_seconds_total`.
    ///
    /// Cancel-safe if `turn` is. Never wait like this for the service inside: nothing would ever cut it.
    pub async fn wait<F: Future>(&mut self, turn: F) -> F::Output {
        let mut turn = pin!(turn);
        // Most turns come at once, and cost no clock then.
        if let Poll::Ready(output) = futures_util::poll!(turn.as_mut()) {
            return output;
        }
        let before = self.waits.total();
        let wait = self.waits.begin();
        let output = turn.await;
        drop(wait);
        if let Some(deadline) = self.cx.deadline() {
            self.cx.set_deadline(deadline.checked_add(self.waits.total().saturating_sub(before)));
        }
        output
    }
}
