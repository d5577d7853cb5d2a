//! Observability: metrics by name, and the tally that turns a burst of events into a handful of counter updates.
//!
//! Everything hangs off the `prometheus::Registry` that the worker was given; nothing is static. Labels come from enums
//! or from names known at build, never from events.

mod gauges;
mod histogram;
mod metrics;
mod oldest;
mod rarely;
mod tally;

pub(crate) use gauges::{Gauges, Snapshot};
pub(crate) use metrics::{Busy, InstanceMetrics, Metrics, Outcome, RouteMetrics, SinkMetrics};
pub(crate) use oldest::Oldest;
pub(crate) use rarely::Rarely;
pub(crate) use tally::Tally;
