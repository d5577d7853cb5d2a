//! What a throughput is bound by, told from what was measured, with the figures that say so. Pure.

mod rule;

use serde::{Deserialize, Serialize};

pub(crate) use rule::name;

/// What a throughput is bound by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// The broker, or the way to it.
    Broker,
    /// CPU time: of the worker, or cores that the machine does not have.
    Cpu,
    /// Places for unfinished events.
    Window,
    /// There was no more to handle.
    Offered,
}

impl Bound {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Cpu => "cpu",
            Self::Window => "window",
            Self::Offered => "offered",
        }
    }
}

/// A bound and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) bound: Bound,
    pub(crate) reason: String,
}

/// What was measured with one set of settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) instances: u32,
    pub(crate) window: u16,
    /// Handlers of one instance at a time; 0 is as many as the window.
    pub(crate) concurrency: u32,
    pub(crate) events_per_s: f64,
    /// What was to be published per second; `None` is as much as possible.
    pub(crate) offered_per_s: Option<f64>,
    /// Without an offer: events that are published and not handled at most.
    pub(crate) ahead: Option<u64>,
    pub(crate) handler_mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) window_use: f64,
    /// Cores that the machine has.
    pub(crate) cores: usize,
    /// Cores that each part kept busy; of its busiest thread the part of the time in which it ran, and in which it was
    /// ready to run and no core was free.
    pub(crate) worker_cores: f64,
    pub(crate) worker_thread: f64,
    pub(crate) worker_thread_waits: f64,
    pub(crate) publishers_cores: f64,
    pub(crate) publishers_thread: f64,
    pub(crate) publishers_thread_waits: f64,
    /// `None` for a broker that is none of our processes.
    pub(crate) broker_cores: Option<f64>,
    pub(crate) broker_thread: Option<f64>,
    pub(crate) broker_thread_waits: Option<f64>,
    /// Events under way to instances on average, as the broker says; `None` when it does not.
    pub(crate) inflight: Option<f64>,
    /// How busy the machine was, 0 to 1.
    pub(crate) machine: Option<f64>,
    pub(crate) lost: u64,
    /// Publications that the broker refused.
    pub(crate) refused: u64,
    pub(crate) duplicated: u64,
}

impl Point {
    /// Events that can be in handlers at one time.
    pub(crate) fn places(&self) -> f64 {
        let each = match self.concurrency {
            0 => u32::from(self.window),
            concurrency => concurrency.min(u32::from(self.window)),
        };
        f64::from(self.instances) * f64::from(each)
    }

    /// What is measured beside this point: other numbers of places for the same load.
    fn is_beside(&self, other: &Self) -> bool {
        self.concurrency == other.concurrency && self.offered_per_s == other.offered_per_s
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
