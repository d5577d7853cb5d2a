//! What the rest of the broker may do to a connection task: wake it, hold its reading back, and end it.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;

/// Identifies a connection; never used twice.
pub(super) type ConnId = u64;

/// Why a connection ended, or is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Close {
    /// The client said DISCONNECT with this reason code.
    Client(u8),
    /// The broker ends it; an MQTT 5 client is told this reason code.
    Broker(u8),
    /// The connection broke, or the broker cut it without a word.
    Lost,
}

const OPEN: u16 = 0;
const CUT: u16 = 0x200;
const TELL: u16 = 0x100;

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    waker: AtomicWaker,
    signal: AtomicBool,
    blocked: AtomicBool,
    close: AtomicU16,
}

impl Conn {
    pub(super) fn new(id: ConnId) -> Self {
        Self {
            id,
            waker: AtomicWaker::new(),
            signal: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            close: AtomicU16::new(OPEN),
        }
    }

    /// Makes the task look for something to write.
    pub(super) fn wake(&self) {
        if !self.signal.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Whether [`wake`](Self::wake) was called since the last time this answered `true`.
    pub(super) fn poll_wake(&self, cx: &Context<'_>) -> bool {
        if self.signal.swap(false, Ordering::AcqRel) {
            return true;
        }
        self.waker.register(cx.waker());
        self.signal.swap(false, Ordering::AcqRel)
    }

    /// Ends the connection. The first call counts.
    pub(super) fn close(&self, close: Close) {
        let value = match close {
            Close::Broker(reason) => TELL | u16::from(reason),
            Close::Client(_) | Close::Lost => CUT,
        };
        // Whether the connection was being closed already does not matter here.
        _ = self.close.compare_exchange(OPEN, value, Ordering::AcqRel, Ordering::Acquire);
        self.wake();
    }

    /// Whether the connection is to end, and how.
    pub(super) fn closing(&self) -> Option<Close> {
        match self.close.load(Ordering::Acquire) {
            OPEN => None,
            CUT => Some(Close::Lost),
            value => Some(Close::Broker(value.to_be_bytes()[1])),
        }
    }

    pub(super) fn block(&self) {
        self.blocked.store(true, Ordering::Release);
    }

    pub(super) fn unblock(&self) {
        self.blocked.store(false, Ordering::Release);
        self.wake();
    }

    /// Whether the task must not read from its client for now.
    pub(super) fn blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }
}
