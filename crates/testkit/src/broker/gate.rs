//! How full a queue is, and who waits for it to empty.
//!
//! Publishers that must wait are woken together once an eighth of the room is free, not one by one at the brim.

use std::sync::Arc;

use super::config::QueueLimits;
use super::conn::Conn;

#[derive(Debug, Default)]
pub(super) struct Gate {
    events: usize,
    bytes: usize,
    waiting: Vec<Arc<Conn>>,
}

impl Gate {
    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.events -= 1;
        self.bytes -= bytes;
    }

    pub(super) fn is_full(&self, limits: &QueueLimits) -> bool {
        self.events >= limits.events || self.bytes >= limits.bytes
    }

    /// Twice the limit: what even a publisher that is never made to wait may not pass.
    pub(super) fn is_overrun(&self, limits: &QueueLimits) -> bool {
        self.events >= limits.events.saturating_mul(2) || self.bytes >= limits.bytes.saturating_mul(2)
    }

    pub(super) fn wait(&mut self, publisher: &Arc<Conn>) {
        publisher.block();
        if !self.waiting.iter().any(|known| Arc::ptr_eq(known, publisher)) {
            self.waiting.push(Arc::clone(publisher));
        }
    }

    /// Lets the waiting publishers go on if there is room again.
    pub(super) fn let_on(&mut self, limits: &QueueLimits) {
        let roomy = |used: usize, limit: usize| used <= limit - limit.div_ceil(8).min(limit);
        if !self.waiting.is_empty() && roomy(self.events, limits.events) && roomy(self.bytes, limits.bytes) {
            self.open();
        }
    }

    /// Lets the waiting publishers go on because the queue is no more.
    pub(super) fn open(&mut self) {
        self.waiting.drain(..).for_each(|publisher| publisher.unblock());
    }
}
