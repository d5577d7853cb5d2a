//! What stays the same over all sessions of an instance.

use std::time::Duration;

use tidemill_core::QoS;

use crate::config::{Config, MqttVersion, Overflow};

/// See the module's description.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) version: MqttVersion,
    /// Filters as they stand in SUBSCRIBE; empty for a connection that only publishes.
    pub(crate) filters: Vec<String>,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE at most.
    pub(crate) filters_at_once: usize,
    pub(crate) qos: QoS,
    pub(crate) high_water: usize,
    pub(crate) max_unfinished_bytes: usize,
    pub(crate) max_packet_bytes: u32,
    pub(crate) topic_alias_max: u16,
    pub(crate) qos0_overflow: Overflow,
    pub(crate) ping_timeout: Duration,
    pub(crate) ack_linger: Duration,
    pub(crate) subscribe_timeout: Duration,
}

impl Settings {
    /// What the configuration says, for a connection that subscribes to these filters.
    pub(crate) fn new(config: &Config, filters: Vec<String>) -> Self {
        let at_once = config.mqtt.broker.facts().max_filters;
        Self {
            version: config.mqtt.version,
            filters,
            filters_at_once: at_once.map_or(MANY, |most| usize::from(most).max(1)),
            qos: config.mqtt.qos,
            high_water: usize::from(config.mqtt.window),
            max_unfinished_bytes: usize::try_from(config.mqtt.max_unfinished_bytes).unwrap_or(usize::MAX),
            max_packet_bytes: config.mqtt.max_packet_bytes,
            topic_alias_max: config.mqtt.topic_alias_max,
            qos0_overflow: config.dispatch.qos0_overflow,
            ping_timeout: config.mqtt.ping_timeout,
            ack_linger: config.mqtt.ack_linger,
            subscribe_timeout: config.mqtt.connect_timeout,
        }
    }
}

/// What every broker's packet limit has room for: filters are 65 535 bytes at most, and rarely above a hundred.
const MANY: usize = 1024;
