//! The broker's books: counters that are always kept, and the trace that is kept on request.

use tokio::time::Instant;

use super::message::Delivery;
use super::session::Session;
use super::stats::Counters;
use super::trace::{Trace, What};
use super::window::Origin;

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) counters: Counters,
    pub(super) trace: Trace,
}

impl Ledger {
    pub(super) fn new(trace: usize) -> Self {
        Self { counters: Counters::default(), trace: Trace::new(trace, Instant::now()) }
    }

    /// An event was handed to a connection for the first time in this window.
    pub(super) fn delivered(&mut self, session: &Session, delivery: &Delivery, origin: Origin) {
        self.counters.delivered += 1;
        self.counters.redelivered += u64::from(delivery.dup);
        self.trace.record(&session.client, || What::sent(delivery, origin != Origin::Plain));
    }
}
