//! What can be done to one connection while it carries bytes.
//!
//! INVARIANT: the first end counts. A link that was cut is never reset or silenced later.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the client to the broker.
    Up,
    /// From the broker to the client.
    Down,
}

/// How bytes travel in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    pub(super) delay: Duration,
    /// Bytes are taken and never arrive.
    pub(super) silent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides see the end of the stream.
    Closed,
    /// Both sides see a reset, where the transport has such a thing.
    Reset,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    pub(super) up: Lane,
    pub(super) down: Lane,
    pub(super) end: Option<End>,
}

impl How {
    pub(super) fn lane(&self, way: Way) -> Lane {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }

    /// Nothing gets through, not even that a side has gone.
    pub(super) fn half_open(&self) -> bool {
        self.up.silent && self.down.silent
    }
}

#[derive(Debug, Default)]
struct State {
    how: Mutex<How>,
    waker: AtomicWaker,
}

/// A connection through [`Faults`](super::Faults). Cloning it gives another handle on the same one.
#[derive(Clone)]
pub struct Link {
    id: u64,
    state: Arc<State>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).field("live", &self.is_live()).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(id: u64, up: Duration, down: Duration) -> Self {
        let link = Self { id, state: Arc::default() };
        link.delay(up, down);
        link
    }

    /// Its number; counts up over all connections of the network.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.how().end.is_none()
    }

    /// Whether something was done to it that its two ends cannot see yet.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let how = self.how();
        how.up.silent || how.down.silent
    }

    /// Ends it at once: both sides see the end of the stream, and what was under way is lost.
    pub fn cut(&self) {
        self.change(|how| how.end = Some(End::Closed));
    }

    /// Ends it at once with RST on TCP; in memory the same as [`cut`](Self::cut).
    pub fn reset(&self) {
        self.change(|how| how.end = Some(End::Reset));
    }

    /// Nothing arrives any more, in either direction, and neither side is told: what a firewall that forgot the
    /// connection does. Only time-outs end it.
    pub fn half_open(&self) {
        self.change(|how| (how.up.silent, how.down.silent) = (true, true));
    }

    /// What the client sends from here on is lost, acknowledgements above all, while it still receives. Follow it with
    /// [`cut`](Self::cut) or [`half_open`](Self::half_open): a stream does not go on after a gap.
    pub fn lose_acks(&self) {
        self.change(|how| how.up.silent = true);
    }

    /// What the server sends from here on is lost, while it still receives: it acts, and the client does not hear so.
    /// Follow it with [`cut`](Self::cut) or [`half_open`](Self::half_open).
    pub fn lose_answers(&self) {
        self.change(|how| how.down.silent = true);
    }

    /// Bytes that come from now on take so long.
    pub fn delay(&self, up: Duration, down: Duration) {
        self.change(|how| (how.up.delay, how.down.delay) = (up, down));
    }

    pub(super) fn how(&self) -> How {
        *self.state.how.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.state.waker.register(waker);
    }

    fn change(&self, change: impl FnOnce(&mut How)) {
        {
            let mut how = self.state.how.lock().unwrap_or_else(PoisonError::into_inner);
            if how.end.is_some() {
                return;
            }
            change(&mut how);
        }
        self.state.waker.wake();
    }
}
