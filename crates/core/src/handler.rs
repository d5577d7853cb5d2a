//! Handlers: what users implement.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{BoxError, Context, Event, HandlerResult};

/// Handles the events of a route.
///
/// One value serves all instances of a worker, concurrently for different keys; events of one key come one after
/// another. `handle` may wait, panic (caught: a failed attempt) or be cut at the route's timeout, which drops the
/// future at its current `.await`: keep what must not be half done out of cancellation's reach.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "give the route a type that implements `Handler`, or wrap a closure in `handler_fn`",
    note = "a closure is wrapped like this: `handler_fn(|event: Event, cx: Context| async move {{ Ok(()) }})`"
)]
pub trait Handler: Send + Sync + 'static {
    /// Handles one event. `Ok` acknowledges it once every emitted record is written.
    ///
    /// # Errors
    /// `?` retries; see [`ResultExt`](crate::ResultExt) for the other dispositions.
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult;

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
impl<H: Handler + ?Sized> Handler for Arc<H> {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        (**self).handle(event, cx).await
    }

    async fn start(&self) -> Result<(), BoxError> {
        (**self).start().await
    }

    async fn stop(&self) {
        (**self).stop().await;
    }
}

/// A handler made of a closure; see [`handler_fn`].
#[derive(Clone, Debug)]
pub struct HandlerFn<F>(F);

/// Makes a handler of a closure that takes the event and its context by value.
///
/// ```
/// use tidemill_core::prelude::*;
///
/// let hello = handler_fn(|event: Event, mut cx: Context| async move {
///     cx.emit("greetings", Record::new(format!("hello {}", event.topic())))?;
///     Ok(())
/// });
/// # fn takes(_: impl Handler) {}
/// # takes(hello);
/// ```
pub fn handler_fn<F, Fut>(handle: F) -> HandlerFn<F>
where
    F: Fn(Event, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send,
{
    HandlerFn(handle)
}

#[async_trait]
impl<F, Fut> Handler for HandlerFn<F>
where
    F: Fn(Event, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send,
{
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        (self.0)(event.clone(), cx.lend()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::TopicName;
    use crate::{Record, Scope};

    #[tokio::test]
    async fn records_of_a_closure_reach_the_context() {
        let scope = Scope { sinks: Arc::from(["out".into()]), ..Scope::default() };
        let mut cx = Context::new(Arc::new(scope));
        let handler = handler_fn(|event: Event, mut cx: Context| async move {
            cx.emit("out", Record::new(event.topic().to_owned()))?;
            Ok(())
        });
        let event = Event::new(TopicName::new("a/b").unwrap(), "");
        handler.handle(&event, &mut cx).await.unwrap();
        assert_eq!(cx.take_emitted()[0].record.payload, "a/b");
    }
}
