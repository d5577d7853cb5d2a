//! A waker that remembers: it wakes the task that waits, and whoever looks later sees that it rang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    owner: AtomicWaker,
}

impl Bell {
    /// Whom it wakes from now on.
    pub(crate) fn register(&self, owner: &Waker) {
        self.owner.register(owner);
    }

    /// Whether it rang since it was silenced last.
    pub(crate) fn has_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Rings without waking anybody.
    pub(crate) fn mark(&self) {
        self.rung.store(true, Ordering::Release);
    }

    /// Forgets that it rang. To be called before the look that it asks for: what rings during that asks for another.
    pub(crate) fn silence(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }

    /// Wakes the owner, and leaves no trace.
    pub(crate) fn wake_owner(&self) {
        self.owner.wake();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mark();
        self.owner.wake();
    }
}
