//! A future that is polled only after it was woken. Others that the same task waits for do not cost it a look.
//!
//! INVARIANT: whatever wakes the future wakes the task that waits for it, and has the future polled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Bell;

/// See the module's description. Polled after its end it does what the future does.
#[derive(Debug)]
pub(crate) struct Dormant<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<F: Future> Dormant<F> {
    pub(crate) fn new(future: F) -> Self {
        let bell = Arc::new(Bell::default());
        // Nothing wakes a future that was never polled.
        bell.mark();
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// The future, to be changed: it is polled the next time.
    pub(crate) fn stir(&mut self) -> Pin<&mut F> {
        self.bell.mark();
        self.future.as_mut()
    }
}

impl<F: Future> Future for Dormant<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Before the look: what rings after it finds a waker.
        self.bell.register(cx.waker());
        if !self.bell.has_rung() {
            return Poll::Pending;
        }
        self.bell.silence();
        let Self { future, waker, .. } = &mut *self;
        let polled = future.as_mut().poll(&mut Context::from_waker(waker));
        if polled.is_ready() {
            self.bell.mark();
        }
        polled
    }
}

#[cfg(test)]
mod tests;
