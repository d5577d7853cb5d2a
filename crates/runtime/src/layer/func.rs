//! Layers made of a function, for those that need no service type of their own. They speak the handler's language:
//! what they return is a [`HandlerResult`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tidemill_core::HandlerResult;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::failed::{boxed, handler_error};
use super::{Attempt, HandlerService, Stack};

/// What a layer stands around: the layers inside and the handler.
#[derive(Debug)]
pub struct Next(Stack);

impl Next {
    /// Passes the attempt on. Not calling this ends the attempt here: `Ok` acknowledges the event unhandled.
    ///
    /// # Errors
    /// What the handler or a layer inside returned; pass it on with `?`, and its disposition stays.
    pub async fn run(mut self, mut attempt: Attempt) -> HandlerResult {
        attempt.wait(async { self.0.ready().await.map(|_| ()) }).await.map_err(handler_error)?;
        self.0.call(attempt).await.map_err(handler_error)
    }
}

/// A layer made of a function; see [`from_fn`].
#[derive(Clone)]
pub struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FromFn({})", std::any::type_name::<F>())
    }
}

/// Makes a layer of a function that takes the attempt and what to pass it on to.
///
/// ```
/// use tidemill_core::prelude::*;
/// use tidemill_runtime::layer::{Attempt, Next, from_fn};
///
/// // Acknowledges what a test rig sends, without handling it.
/// let no_tests = from_fn(|attempt: Attempt, next: Next| async move {
///     if attempt.event.user_property("rig").is_some() {
///         return Ok(());
///     }
///     next.run(attempt).await
/// });
/// # fn takes(_: impl tidemill_runtime::layer::HandlerLayer) {}
/// # takes(no_tests);
/// ```
pub fn from_fn<F, Fut>(layer: F) -> FromFn<F>
where
    F: Fn(Attempt, Next) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'static,
{
    FromFn(layer)
}

impl<S, F, Fut> Layer<S> for FromFn<F>
where
    S: HandlerService,
    F: Fn(Attempt, Next) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult> + Send + 'static,
{
    type Service = Stack;

    fn layer(&self, inner: S) -> Stack {
        // Shared, so that a clone of the stack stops here and does not go down to the handler.
        let shared = Arc::new((self.0.clone(), inner.into_stack()));
        service_fn(move |attempt: Attempt| {
            let (layer, inner) = &*shared;
            let passed = layer(attempt, Next(inner.clone()));
            async move { passed.await.map_err(boxed) }
        })
        .into_stack()
    }
}
