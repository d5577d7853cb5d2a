//! Settings of the elastic mode, and the rules about them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{self, DurationText};
use super::validate::Report;

/// When instances are added and taken away, where `instances` has limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ElasticConfig {
    /// Share of all windows in use, from 0 to 1, at which the worker counts as saturated.
    pub grow_at: f64,
    /// Share of their windows, from 0 to 1, that the remaining instances may use after one is taken away. Below
    /// `elastic.grow_at`.
    pub shrink_below: f64,
    /// Share of the CPU that this process may use, from 0 to 1, at which no instance is added any more.
    pub max_cpu: f64,
    /// How long the worker is saturated before an instance is added.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub grow_after: Duration,
    /// How long the others could carry the load before an instance is taken away. Doubled, up to 64 times, each time that
    /// this proves wrong.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub shrink_after: Duration,
    /// How long nothing is decided after a change.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub cool_down: Duration,
}

impl Default for ElasticConfig {
    fn default() -> Self {
        Self {
            // Windows fill up quickly once the load is above what the instances can carry.
            grow_at: 0.8,
            // Far enough below `grow_at` that taking one away does not saturate the others.
            shrink_below: 0.5,
            // Above it another instance only takes the CPU from the others.
            max_cpu: 0.9,
            // Longer than a burst, shorter than users wait.
            grow_after: Duration::from_secs(10),
            // An instance too many costs a connection, one too few costs latency.
            shrink_after: Duration::from_secs(60),
            // A new member gets its share of the events within seconds.
            cool_down: Duration::from_secs(15),
        }
    }
}

/// Rules about each key.
pub(super) fn shares(elastic: &ElasticConfig, report: &mut Report) {
    let shares = [
        ("elastic.grow_at", elastic.grow_at),
        ("elastic.shrink_below", elastic.shrink_below),
        ("elastic.max_cpu", elastic.max_cpu),
    ];
    for (key, share) in shares {
        report.refuse(
            !(share > 0.0 && share <= 1.0),
            key,
            "it is a share above 0 and up to 1",
            "set it to 0.5 for half",
        );
    }
}

/// The rule about the two marks.
pub(super) fn marks(elastic: &ElasticConfig, report: &mut Report) {
    report.refuse(
        elastic.shrink_below >= elastic.grow_at,
        "elastic.shrink_below",
        "it is not below elastic.grow_at, so that instances would come and go for ever",
        "lower it or raise elastic.grow_at",
    );
}
