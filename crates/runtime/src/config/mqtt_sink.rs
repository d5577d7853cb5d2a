//! Settings of the sink that publishes, and the reason for each default.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_core::QoS;

use super::MqttConfig;
use super::units::{self, DurationText, QosNumber};

/// Settings of [`MqttSink`](crate::MqttSink).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MqttSinkConfig {
    /// The broker, with the same keys as `[mqtt]`: the worker's own or another one.
    pub broker: MqttConfig,
    /// The topic. A level may be `{name}`, for what the record's route captured as that, `{key}` for its key or `{topic}`
    /// for all levels of its topic.
    pub topic: String,
    /// Client ID of the connection; no other client of that broker may have it. Default: one that is generated.
    #[serde(default)]
    pub client_id: Option<String>,
    /// 0 or 1. Default: 1, since 0 loses what is on the way when a connection is lost.
    #[serde(default = "qos", with = "units::qos")]
    #[schemars(with = "QosNumber")]
    pub qos: QoS,
    /// Whether the broker keeps the last of each topic for later subscribers. Default: no.
    #[serde(default)]
    pub retain: bool,
    /// After how long the broker drops what nobody has fetched (MQTT 5). Default: `0s`, never.
    #[serde(default, with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub expires: Duration,
    /// How long the broker may take for a batch, and a connection to be made, before the write counts as failed. What it
    /// has not confirmed by then is waited for when the batch is written again; a connection that was silent all that
    /// time is given up. Default: `10s`.
    #[serde(default = "timeout", with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
}

fn qos() -> QoS {
    QoS::AtLeastOnce
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

impl MqttSinkConfig {
    /// Settings for this broker and topic, the rest as by default.
    #[must_use]
    pub fn new(broker: MqttConfig, topic: impl Into<String>) -> Self {
        Self {
            broker,
            topic: topic.into(),
            client_id: None,
            qos: qos(),
            retain: false,
            expires: Duration::ZERO,
            timeout: timeout(),
        }
    }
}
