//! A handler with layers around it, which is a handler again: the dispatcher knows nothing of layers, and a route
//! without them pays nothing for them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Counter;
use tidemill_core::{BoxError, Context, Event, Handler, HandlerError, HandlerResult, async_trait};
use tokio::time::Instant;
use tower::{Service, ServiceExt, service_fn};

use super::failed::handler_error;
use super::waits::Waits;
use super::{Attempt, AttemptFailed, HandlerLayer, HandlerService, Stack};

/// A handler in a stack of layers.
///
/// [`Route::layer`](crate::Route::layer) makes these. Made by hand, it serves to test layers without a worker:
///
/// ```
/// use tidemill_core::prelude::*;
/// use tidemill_runtime::layer::{Layered, TraceLayer};
///
/// let handler = handler_fn(|_: Event, _: Context| async { Ok(()) });
/// let layered = Layered::new(handler).layer(TraceLayer::new());
/// # fn takes(_: impl Handler) {}
/// # takes(layered);
/// ```
pub struct Layered {
    handler: Arc<dyn Handler>,
    layers: Vec<Arc<dyn HandlerLayer>>,
    stack: Stack,
    timeout: Option<Duration>,
    waited: Option<Counter>,
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("layers", &self.layers.len()).field("timeout", &self.timeout).finish()
    }
}

impl Layered {
    /// A handler without layers yet.
    #[must_use]
    pub fn new(handler: impl Handler) -> Self {
        Self::assemble(Arc::new(handler), Vec::new(), None, None)
    }

    /// Adds a layer inside of those that were added before.
    #[must_use]
    pub fn layer(self, layer: impl HandlerLayer) -> Self {
        let mut layers = self.layers;
        layers.push(Arc::new(layer));
        Self::assemble(self.handler, layers, self.timeout, self.waited)
    }

    /// Cuts an attempt that takes longer, beside what it [waits](Attempt::wait) for its turns.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        Self { timeout: Some(limit), ..self }
    }

    /// The first layer is the outermost. `waited` counts the seconds that attempts wait for their turns.
    pub(crate) fn assemble(
        handler: Arc<dyn Handler>,
        layers: Vec<Arc<dyn HandlerLayer>>,
        timeout: Option<Duration>,
        waited: Option<Counter>,
    ) -> Self {
        let stack = layers.iter().rev().fold(innermost(&handler), |inner, layer| layer.around(inner));
        Self { handler, layers, stack, timeout, waited }
    }
}

/// The handler itself as a service.
fn innermost(handler: &Arc<dyn Handler>) -> Stack {
    let handler = Arc::clone(handler);
    service_fn(move |mut attempt: Attempt| {
        let handler = Arc::clone(&handler);
        async move {
            // A branch: a layer may make good what the handler failed at, and what that emitted must not be written.
            let mut branch = attempt.cx.branch();
            handler.handle(&attempt.event, &mut branch).await.map_err(AttemptFailed::from)?;
            attempt.cx.merge(branch);
            Ok::<(), BoxError>(())
        }
    })
    .into_stack()
}

#[async_trait]
impl Handler for Layered {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let mut stack = self.stack.clone();
        let mut attempt = Attempt::new(event.clone(), cx.lend());
        let waits = Arc::clone(&attempt.waits);
        let _counted = Counted { waits: &waits, waited: self.waited.as_ref() };
        attempt.wait(async { stack.ready().await.map(|_| ()) }).await.map_err(handler_error)?;
        let Some(limit) = self.timeout else { return stack.call(attempt).await.map_err(handler_error) };
        let started = Instant::now();
        let before = waits.total();
        attempt.cx.set_deadline(started.checked_add(limit).map(Instant::into_std));
        tokio::select! {
            biased;
            result = stack.call(attempt) => result.map_err(handler_error),
            () = waits.used_up(limit, started, before) => {
                Err(HandlerError::retry("the handler or a layer took longer than the route's timeout and was cut"))
            }
        }
    }

    async fn start(&self) -> Result<(), BoxError> {
        self.handler.start().await
    }

    async fn stop(&self) {
        self.handler.stop().await;
    }
}

/// Counts the waits of an attempt when it ends, however it ends.
struct Counted<'a> {
    waits: &'a Waits,
    waited: Option<&'a Counter>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let Some(counter) = self.waited else { return };
        let total = self.waits.total();
        if !total.is_zero() {
            counter.inc_by(total.as_secs_f64());
        }
    }
}
