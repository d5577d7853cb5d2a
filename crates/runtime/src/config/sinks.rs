//! Settings of the engine in front of a sink. Where a sink writes to is its own affair; this is how it is fed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::dotted;
use super::units::{self, BytesText, DurationText};
use super::validate::Report;

/// More writes at a time than any target takes from one worker.
pub(super) const MAX_IN_FLIGHT: u32 = 256;
/// More records than a process should hold for one sink.
pub(super) const MAX_QUEUE_RECORDS: u32 = 10_000_000;
/// More bytes than a process should hold for one sink; they are counted in 32 bits.
const MAX_QUEUE_BYTES: u64 = 4 * 1024 * 1024 * 1024 - 1;

/// What a worker does at its start when a sink cannot be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SinkStart {
    /// The worker ends with an error, and whoever started it tries again.
    #[default]
    Fail,
    /// It is tried again for as long as `start_timeout`; the worker joins its group after that.
    Wait,
}

/// How a sink is fed: batches, queue, retries, circuit breaker, rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SinkSettings {
    /// Most records of one write. Batches are no larger than what the queue may hold.
    pub max_batch_records: u32,
    /// Most bytes of one write, of payloads, keys and headers; a single larger record is written alone.
    #[serde(with = "units::bytes")]
    #[schemars(with = "BytesText")]
    pub max_batch_bytes: u64,
    /// How long a batch that is not full waits for more records. 0s: it takes what is there.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub linger: Duration,
    /// Most records that wait or are being written; beyond that, events wait before they hand in theirs.
    #[schemars(range(min = 1, max = MAX_QUEUE_RECORDS))]
    pub queue_records: u32,
    /// Most bytes of them; a single larger record waits until it is alone.
    #[serde(with = "units::bytes")]
    #[schemars(with = "BytesText")]
    pub queue_bytes: u64,
    /// Most writes under way at the same time, 1 to 256. A sink that keeps order gets one write per key at a time.
    #[schemars(range(min = 1, max = MAX_IN_FLIGHT))]
    pub in_flight: u32,
    /// How long one write may take; a longer one is cut and counts as failed. 0s: no limit.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub write_timeout: Duration,
    /// Least wait before every further try. The longest is twice that before the second, then doubled, with jitter.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub min_delay: Duration,
    /// Upper bound of all waits between tries; a target that asks to be left alone for longer is.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub max_delay: Duration,
    /// After so many failed writes in a row the breaker opens: one write is tried at a time, every `probe_interval`,
    /// until one succeeds. 0: never for their number.
    pub breaker_failures: u32,
    /// After failing for this long the breaker opens as well. 0s: never for the time.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub breaker_after: Duration,
    /// How often a write is tried while the breaker is open, with jitter.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub probe_interval: Duration,
    /// Most records written a second, tries included. 0: no limit.
    pub max_rate: u32,
    /// How many records may go at once after a quiet time, where `max_rate` is set; batches are no larger. 0: as many as
    /// `max_batch_records`.
    pub burst: u32,
    /// What happens at the worker's start when the sink cannot be opened.
    pub start: SinkStart,
    /// How long opening the sink may take, tries included.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub start_timeout: Duration,
    /// Whether `/readyz` says no while the breaker is open. It always does for a sink that is set up wrongly.
    pub affects_readiness: bool,
}

impl Default for SinkSettings {
    fn default() -> Self {
        Self {
            // Large enough to pay for one round trip or one fsync, small enough to be tried again whole.
            max_batch_records: 500,
            max_batch_bytes: 1024 * 1024,
            // While a batch is written the next one gathers; waiting longer would only add latency.
            linger: Duration::ZERO,
            // A few batches; the window bounds it further.
            queue_records: 4096,
            queue_bytes: 64 * 1024 * 1024,
            // The largest batches, and order for free. More pays where one write is slow, and the target takes several.
            in_flight: 1,
            // Longer than a target that works ever takes; a hung connection is found nevertheless.
            write_timeout: Duration::from_secs(30),
            min_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            // A restart of a database is over before; five tries take about two seconds.
            breaker_failures: 5,
            // Writes that hang until they are cut are few.
            breaker_after: Duration::from_secs(30),
            // Seldom enough to leave the target alone, often enough not to be what one waits for.
            probe_interval: Duration::from_secs(5),
            max_rate: 0,
            burst: 0,
            // Kubernetes restarts what fails, and a wrong address is seen at once.
            start: SinkStart::Fail,
            // What a database takes to come up.
            start_timeout: Duration::from_secs(60),
            // A worker gets no requests that readiness could keep away, and a rollout during an outage should end.
            affects_readiness: false,
        }
    }
}

impl SinkSettings {
    /// Reports every broken rule, under the name of the sink.
    pub(crate) fn check(&self, name: &str) -> Vec<super::ConfigProblem> {
        let mut report = Report::default();
        let key = |field: &str| dotted(&["sinks".to_owned(), name.to_owned(), field.to_owned()]);
        let least_one = [
            ("max_batch_records", u64::from(self.max_batch_records)),
            ("max_batch_bytes", self.max_batch_bytes),
            ("queue_records", u64::from(self.queue_records)),
            ("queue_bytes", self.queue_bytes),
        ];
        for (field, value) in least_one {
            report.refuse(value == 0, &key(field), "without room nothing is written", "set it to at least 1");
        }
        report.refuse(
            !(1..=MAX_IN_FLIGHT).contains(&self.in_flight),
            &key("in_flight"),
            "a sink has 1 to 256 writes under way",
            "set a number in that range",
        );
        report.refuse(
            self.queue_records > MAX_QUEUE_RECORDS,
            &key("queue_records"),
            "it is above 10000000",
            "set a lower number; the window of the instances bounds what waits anyway",
        );
        report.refuse(
            self.queue_bytes > MAX_QUEUE_BYTES,
            &key("queue_bytes"),
            "it is 4GiB or more",
            "set a lower size",
        );
        let durations = [
            ("linger", self.linger, true),
            ("write_timeout", self.write_timeout, true),
            ("min_delay", self.min_delay, false),
            ("max_delay", self.max_delay, false),
            ("breaker_after", self.breaker_after, true),
            ("probe_interval", self.probe_interval, false),
            ("start_timeout", self.start_timeout, false),
        ];
        for (field, value, zero) in durations {
            let none = !zero && value.is_zero();
            report.refuse(none, &key(field), "0s has no meaning here", "set a duration above 0s");
            let too_long = value > super::validate::MAX_DURATION;
            report.refuse(too_long, &key(field), "it is longer than 365 days", "set a shorter duration");
        }
        report.refuse(
            self.min_delay > self.max_delay,
            &key("min_delay"),
            "it is above max_delay",
            "lower it or raise max_delay",
        );
        report.refuse(
            self.burst > 0 && self.max_rate == 0,
            &key("burst"),
            "there is no rate that it belongs to",
            "set max_rate, or remove it",
        );
        report.0
    }
}
