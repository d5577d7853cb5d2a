//! Inner parts for the micro-benchmarks of this repository. Not part of the API: anything here may change at any time.

use smallvec::SmallVec;
use tidemill_core::Span;
use tidemill_core::topic::Pattern;

use crate::session::AckWindow;
pub use crate::sink::SinkRig;

/// A router over these patterns.
#[derive(Debug)]
pub struct Router {
    inner: crate::router::Router,
    spans: SmallVec<[Span; 4]>,
}

impl Router {
    /// Builds it; `None` when two patterns match the same topics.
    #[must_use]
    pub fn new(patterns: &[Pattern]) -> Option<Self> {
        Some(Self { inner: crate::router::Router::new(patterns).ok()?, spans: SmallVec::new() })
    }

    /// How many captures the topic's route has; `None` without a route.
    pub fn route(&mut self, topic: &str) -> Option<usize> {
        self.spans.clear();
        self.inner.route(topic, &mut self.spans).map(|_| self.spans.len())
    }
}

/// An ack window.
#[derive(Debug, Default)]
pub struct Window(AckWindow);

impl Window {
    /// Receives a burst of so many events, finishes them from the last to the first, and counts the acks that are due.
    pub fn burst(&mut self, events: u16) -> usize {
        let numbers: Vec<u64> = (1..=events).map(|pkid| self.0.receive(pkid, 128)).collect();
        for number in numbers.into_iter().rev() {
            self.0.finish(number);
        }
        self.0.take_due(|_| ())
    }
}
