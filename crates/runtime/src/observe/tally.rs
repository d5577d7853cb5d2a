//! What one dispatcher did since its last report, in plain integers; the shared counters are touched once per report.

use std::sync::Arc;

use tokio::time::Instant;

use super::metrics::{InstanceMetrics, Outcome};
use crate::dispatch::RouteRuntime;

#[derive(Debug, Default)]
struct RouteTally {
    received: u64,
    finished: [u64; Outcome::COUNT],
    /// Handled on the spot in the current burst: they share the burst's age.
    inline: u64,
    /// Received and neither finished nor handed over to the sinks.
    open: u64,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Tally {
    routes: Vec<RouteTally>,
    dropped: u64,
    touched: bool,
}

impl Tally {
    pub(crate) fn new(routes: usize) -> Self {
        Self { routes: (0..routes).map(|_| RouteTally::default()).collect(), dropped: 0, touched: false }
    }

    #[inline]
    pub(crate) fn received(&mut self, route: usize) {
        self.touched = true;
        let tally = &mut self.routes[route];
        tally.received += 1;
        tally.open += 1;
    }

    /// An event of the route may be finished by others from here on, such as a sink: it is counted as received first.
    pub(crate) fn announce(&mut self, route: usize, runtime: &RouteRuntime) {
        let received = std::mem::take(&mut self.routes[route].received);
        if received > 0 {
            runtime.metrics.received(received);
        }
    }

    /// An event of the current burst was finished on the spot.
    #[inline(always)]
    pub(crate) fn finished(&mut self, route: usize, outcome: Outcome) {
        let tally = &mut self.routes[route];
        tally.finished[outcome as usize] += 1;
        tally.inline += 1;
        tally.open -= 1;
    }

    /// An event was finished at a time of its own.
    pub(crate) fn finished_alone(&mut self, route: usize, outcome: Outcome) {
        self.touched = true;
        let tally = &mut self.routes[route];
        tally.finished[outcome as usize] += 1;
        tally.open -= 1;
    }

    /// The sinks have an event's records, and will report its outcome.
    pub(crate) fn handed_over(&mut self, route: usize) {
        self.routes[route].open -= 1;
    }

    /// QoS 0 events were dropped by the session.
    pub(crate) fn dropped(&mut self, events: u64) {
        self.dropped += events;
        self.touched |= events > 0;
    }

    /// All events of a burst have been started: those that are finished have the burst's age.
    pub(crate) fn end_burst(&mut self, at: Instant, routes: &[Arc<RouteRuntime>]) {
        let mut age = None;
        for (tally, route) in self.routes.iter_mut().zip(routes) {
            if tally.inline > 0 {
                let age = *age.get_or_insert_with(|| at.elapsed());
                route.metrics.age.observe(age, std::mem::take(&mut tally.inline));
            }
        }
    }

    /// An event that had to wait has been started: if it is finished, then at a time of its own.
    pub(crate) fn end_late(&mut self, route: usize, at: Instant, runtime: &RouteRuntime) {
        let tally = &mut self.routes[route];
        if tally.inline > 0 {
            self.touched = true;
            runtime.metrics.age.observe(at.elapsed(), std::mem::take(&mut tally.inline));
        }
    }

    /// Everything that is open is abandoned.
    pub(crate) fn abandon_open(&mut self) {
        self.touched = true;
        for tally in &mut self.routes {
            tally.finished[Outcome::Abandoned as usize] += std::mem::take(&mut tally.open);
        }
    }

    /// Adds everything to the shared counters.
    pub(crate) fn flush(&mut self, routes: &[Arc<RouteRuntime>], metrics: &InstanceMetrics) {
        if !std::mem::take(&mut self.touched) {
            return;
        }
        metrics.dropped(std::mem::take(&mut self.dropped));
        for (tally, route) in self.routes.iter_mut().zip(routes) {
            if tally.received > 0 {
                route.metrics.received(std::mem::take(&mut tally.received));
            }
            for outcome in Outcome::ALL {
                let count = std::mem::take(&mut tally.finished[outcome as usize]);
                if count > 0 {
                    route.metrics.finished(outcome, count);
                }
            }
        }
    }
}
