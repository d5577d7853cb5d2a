//! What the rest of the worker sees of an instance's connection: its phase, as something to wait for, and counters that
//! cost the session one store per burst.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::watch;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Connecting, or waiting to connect again.
    Connecting,
    /// Connected; the subscriptions are not granted yet.
    Subscribing,
    /// Connected and subscribed.
    Ready,
    /// Unsubscribed, finishing what was received.
    Leaving,
    /// Ended.
    Ended,
}

impl Phase {
    /// All phases, in their order.
    pub const ALL: [Self; 5] = [Self::Connecting, Self::Subscribing, Self::Ready, Self::Leaving, Self::Ended];

    /// The name in metrics and in `/status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Subscribing => "subscribing",
            Self::Ready => "ready",
            Self::Leaving => "leaving",
            Self::Ended => "ended",
        }
    }
}

/// Shared between a connection, its worker and the admin server.
#[derive(Debug)]
pub(crate) struct Status {
    phase: watch::Sender<Phase>,
    epoch: AtomicU64,
    received: AtomicU64,
    acked: AtomicU64,
    connects: AtomicU64,
    unacked: AtomicUsize,
    occupied: AtomicUsize,
    full: AtomicBool,
    last_error: std::sync::Mutex<Option<String>>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Connecting),
            epoch: AtomicU64::new(0),
            received: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            unacked: AtomicUsize::new(0),
            occupied: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            last_error: std::sync::Mutex::new(None),
        }
    }
}

impl Status {
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|current| std::mem::replace(current, phase) != phase);
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn begin_epoch(&self) -> u64 {
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(crate) fn count_received(&self, events: u64) {
        self.received.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn count_acks(&self, acks: usize) {
        self.acked.fetch_add(acks as u64, Ordering::Relaxed);
    }

    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_occupied(&self, unacked: usize, occupied: usize) {
        self.unacked.store(unacked, Ordering::Relaxed);
        self.occupied.store(occupied, Ordering::Relaxed);
    }

    /// Unacknowledged events of the session.
    pub(crate) fn unacked(&self) -> usize {
        self.unacked.load(Ordering::Relaxed)
    }

    /// Everything that counts against the high-water mark.
    pub(crate) fn occupied(&self) -> usize {
        self.occupied.load(Ordering::Relaxed)
    }

    /// Says whether the session has reached its high-water mark, in events or in bytes.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Whether the session has no room for another event.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn set_last_error(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = error;
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
