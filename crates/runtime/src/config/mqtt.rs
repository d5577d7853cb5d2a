//! Settings of the connection to the broker. The rules about them stand in `validate`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidemill_core::QoS;

use super::units::{self, BytesText, DurationText, QosNumber};
use super::{BrokerAddress, ConfigProblem, Secret, address, shown};
use crate::profile::Profile;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum MqttVersion {
    /// MQTT 5.0.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1, without properties and reason codes.
    #[serde(rename = "3.1.1")]
    V3_1_1,
}

/// The connection to the broker; every instance has one of its own.
///
/// Neither `Debug` nor a serialised form shows the password, nor what a URL should not hold.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MqttConfig {
    /// Address of the broker: `mqtt://`, `mqtts://` (TLS), `ws://` or `wss://`, with a host and perhaps a port. User
    /// name and password have keys of their own.
    #[serde(serialize_with = "shown::url")]
    #[schemars(with = "String", extend("x-shape" = "a URL"))]
    pub url: String,
    /// Further addresses of the same broker or cluster, tried in turn whenever the one in use cannot be reached.
    #[serde(serialize_with = "shown::urls")]
    #[schemars(with = "Vec<String>")]
    pub fallback_urls: Vec<String>,
    /// Which broker it is, so that a worker can refuse what cannot work on it and warn of what can lose events.
    /// `tidemill doctor` finds out which of these yours behaves like.
    pub broker: Profile,
    /// Version of the protocol.
    pub version: MqttVersion,
    /// QoS of the subscriptions. 2 is refused: an unfinished QoS 2 event sticks to the member that received it.
    #[serde(with = "units::qos")]
    #[schemars(with = "QosNumber")]
    pub qos: QoS,
    /// User name.
    pub username: Option<String>,
    /// Password. Prefer `password_file`.
    pub password: Option<Secret>,
    /// File that holds the password. One line break at its end does not count. It is read again on every connect.
    #[schemars(extend("x-shape" = "a path"))]
    pub password_file: Option<PathBuf>,
    /// A ping is sent after this long without traffic; whole seconds, at most `65535s`. `0s` switches pings off.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub keep_alive: Duration,
    /// How long one attempt to connect may take, TLS and CONNACK included.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub connect_timeout: Duration,
    /// How long after its start a worker may be without any connection before it gives up and ends with an error. 0s: it
    /// tries for ever.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub startup_timeout: Duration,
    /// How long the answer to a ping may take before the connection counts as lost.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub ping_timeout: Duration,
    /// How many events of one instance may be unfinished: the Receive Maximum of MQTT 5, and the high-water mark where
    /// the session stops reading.
    #[schemars(range(min = 1))]
    pub window: u16,
    /// How many bytes of unfinished events one instance holds before its session stops reading: topic, payload and
    /// properties. What is read comes in pieces of 64 KiB, and an event keeps the piece that it lies in: few small
    /// events that stay unfinished may hold that much each.
    #[serde(with = "units::bytes")]
    #[schemars(with = "BytesText")]
    pub max_unfinished_bytes: u64,
    /// The largest packet that is accepted, from `1KiB` to 268435460 bytes.
    #[serde(with = "units::bytes")]
    #[schemars(with = "BytesText")]
    pub max_packet_bytes: u32,
    /// How many topic aliases the broker may use for events (MQTT 5). 0 means none.
    pub topic_alias_max: u16,
    /// How long the broker keeps the session after a disconnect. Only `0s` goes with an ephemeral identity.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub session_expiry: Duration,
    /// How old a connection may become before its instance is replaced, without loss and one at a time, give or take a
    /// tenth: it spreads connections over a broker cluster that has grown. 0s: never.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub max_connection_age: Duration,
    /// User properties of CONNECT (MQTT 5).
    pub user_properties: BTreeMap<String, String>,
    /// Message that the broker publishes when an instance is lost. Unset: none.
    pub will: Option<WillConfig>,
    /// TLS, for `mqtts://` and `wss://`.
    pub tls: TlsConfig,
    /// Waiting between attempts to connect.
    pub reconnect: ReconnectConfig,
    /// How long acks of events that come singly may wait to leave together, four at most, 100ms at most; a wait ends
    /// with the clock's next millisecond. Acks wait only while reads follow each other more closely than this on average:
    /// with the default that is a flow of 20 000 events/s and more. Longer values do the same at lower rates where the broker
    /// sends the next event meanwhile; Mosquitto without `set_tcp_nodelay` waits for the acks instead, and then they linger
    /// ever more rarely. Below that rate, down to some 50 events/s, the kernel may keep an ack until the broker sends the next
    /// event or has confirmed the ack before, which takes 40 ms at most on Linux (Nagle's algorithm, for acks alone). 0s:
    /// every ack leaves at once.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub ack_linger: Duration,
    /// Sends small packets at once instead of gathering them (`TCP_NODELAY`), acks excepted as `mqtt.ack_linger` says.
    pub tcp_nodelay: bool,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            // What a developer has running; in production the key is always set.
            url: "mqtt://127.0.0.1:1883".into(),
            // Most brokers have one address, or one in front of all.
            fallback_urls: Vec::new(),
            // What is not known is warned of.
            broker: Profile::Generic,
            // Only MQTT 5 has Receive Maximum, reason codes and user properties.
            version: MqttVersion::V5,
            // QoS 0 loses what is unfinished, QoS 2 cannot move to another member.
            qos: QoS::AtLeastOnce,
            username: None,
            password: None,
            password_file: None,
            // A dead member keeps its share of the events for 1.5 times this long.
            keep_alive: Duration::from_secs(30),
            // Longer than TLS over a bad link, shorter than an operator's patience.
            connect_timeout: Duration::from_secs(10),
            // Long enough for a broker that starts beside the worker; a wrong address should not look like a quiet day.
            startup_timeout: Duration::from_secs(60),
            // Far above any round trip; with `keep_alive` it finds a dead link within 40 s.
            ping_timeout: Duration::from_secs(10),
            // Enough for 100 000 events/s at 10 ms per event; memory stays bounded by `max_unfinished_bytes`.
            window: 1024,
            // A full window of 64 KiB payloads.
            max_unfinished_bytes: 64 * 1024 * 1024,
            // Above telemetry by far, and one packet can never eat the whole budget.
            max_packet_bytes: 1024 * 1024,
            // A few hot topics save most of the bytes; every alias costs memory on both sides.
            topic_alias_max: 16,
            // An ephemeral instance never comes back to its session.
            session_expiry: Duration::ZERO,
            // A single broker gains nothing from new connections.
            max_connection_age: Duration::ZERO,
            user_properties: BTreeMap::new(),
            will: None,
            tls: TlsConfig::default(),
            reconnect: ReconnectConfig::default(),
            // Cheap where that costs no time: in a dense flow the acks that one waits for are about to come.
            ack_linger: Duration::from_micros(50),
            // Acks are small; the session batches them by itself.
            tcp_nodelay: true,
        }
    }
}

impl MqttConfig {
    /// The parts of `url`.
    ///
    /// # Errors
    /// What is wrong with the URL. The text never contains a user name or a password.
    pub fn broker(&self) -> Result<BrokerAddress, ConfigProblem> {
        address::parse("mqtt.url", &self.url)
    }

    /// Takes all addresses apart, that of `url` first.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = Result<BrokerAddress, ConfigProblem>> {
        let further = self.fallback_urls.iter().map(|url| address::parse("mqtt.fallback_urls", url));
        std::iter::once(self.broker()).chain(further)
    }

    /// The password: `password`, or the content of `password_file`, read now so that a rotated secret is seen.
    ///
    /// Blocks for as long as the file system takes.
    ///
    /// # Errors
    /// The file cannot be used; names the key and the path, never the content.
    pub fn read_password(&self) -> Result<Option<Secret>, ConfigProblem> {
        match (&self.password, &self.password_file) {
            (Some(password), _) => Ok(Some(password.clone())),
            (None, Some(path)) => Secret::read("mqtt.password_file", path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Message that the broker publishes when it loses an instance without a DISCONNECT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WillConfig {
    /// Topic of the message. Must be set where there is a will.
    pub topic: String,
    /// Payload of the message.
    pub payload: String,
    /// QoS of the message, 0 or 1.
    #[serde(with = "units::qos")]
    #[schemars(with = "QosNumber")]
    pub qos: QoS,
    /// Whether the broker retains the message.
    pub retain: bool,
}

impl Default for WillConfig {
    fn default() -> Self {
        Self {
            // No name fits everybody; `validate` asks for one.
            topic: String::new(),
            payload: String::new(),
            // Whoever watches for lost instances wants to know of each.
            qos: QoS::AtLeastOnce,
            // Instance IDs are generated: a retained message of each would stay for ever.
            retain: false,
        }
    }
}

/// TLS of the connection to the broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsConfig {
    // Every default is the verified one: system roots, the name in the URL, no client certificate.
    /// PEM file with the certificates to trust. Unset: those of the system.
    #[schemars(extend("x-shape" = "a path"))]
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate and its chain.
    #[schemars(extend("x-shape" = "a path"))]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the key of the client certificate.
    #[schemars(extend("x-shape" = "a path"))]
    pub key_file: Option<PathBuf>,
    /// Name that the server certificate must carry. Unset: the host of `mqtt.url`.
    pub server_name: Option<String>,
    /// Accepts every server certificate: whoever is on the path can read and change everything. For tests only.
    pub insecure_skip_verify: bool,
}

/// Waiting between attempts to connect, with full jitter: anything between nothing and an upper bound, which is doubled
/// after each failure. So the instances that have lost one broker come back evenly over that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReconnectConfig {
    /// Upper bound of the first wait.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub min: Duration,
    /// Upper bound of all waits.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub max: Duration,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            // A thousand instances that lost one broker come back as one a millisecond; an instance waits for half of it.
            min: Duration::from_secs(1),
            // A whole fleet after an outage: a few connects per second and thousand instances stay bearable.
            max: Duration::from_secs(30),
        }
    }
}
