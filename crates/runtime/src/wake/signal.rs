//! Tells one task that there is something for it. What `tokio::sync::Notify` does for many, at a fraction of the
//! instructions: nobody is queued, and a wait that is given up leaves nothing to be removed.
//!
//! INVARIANT: what is told while nobody waits is found by the next who does, once.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// See the module's description. One task waits at a time; of several, the one that began last is woken.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    told: AtomicBool,
    waiter: AtomicWaker,
}

impl Signal {
    /// Wakes who waits, or spares the next one the wait.
    pub(crate) fn tell(&self) {
        // Who was told and has not looked is awake, or was not waiting.
        if !self.told.swap(true, Ordering::AcqRel) {
            self.waiter.wake();
        }
    }

    /// Waits until something was told since the last wait. Cancel-safe. Takes nothing of the task's budget: who may be told
    /// without an end yields by itself.
    pub(crate) async fn told(&self) {
        poll_fn(|cx| self.poll_told(cx)).await;
    }

    fn poll_told(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.waiter.register(cx.waker());
        // Told in between: perhaps before there was anybody to wake.
        if self.take() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn take(&self) -> bool {
        self.told.load(Ordering::Relaxed) && self.told.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests;
