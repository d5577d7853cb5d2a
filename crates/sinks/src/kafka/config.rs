//! Settings of the Kafka sink, and the reason for each default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PlainValues, Secret, ServerUrl, Template};

/// Settings of [`Kafka`](crate::Kafka).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KafkaConfig {
    /// Some brokers of the cluster, as `host:port`; the others are learnt from them.
    pub brokers: Vec<ServerUrl>,
    /// The topic. What a record says stays one word of it; `{topic}` becomes words between dots.
    pub topic: Template,
    /// How long a batch may take until all its messages are delivered; what is not by then is withdrawn. Default: `10s`,
    /// time enough for a partition to get another leader.
    #[serde(default = "timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Encrypts connections. Needs the feature `kafka-tls`. Default: no.
    #[serde(default)]
    pub tls: bool,
    /// With `tls` trusts only brokers that are signed by a certificate in this PEM file. Default: whom the system
    /// trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Who logs in. Default: nobody.
    #[serde(default)]
    pub sasl: Option<KafkaSasl>,
    /// Further settings of librdkafka, such as `compression.type = "lz4"`. Those that this sink's promises rest on are
    /// refused, and those whose names tell of a secret.
    #[serde(default)]
    pub properties: PlainValues,
    /// The same for secrets, such as `ssl.key.password`. Read when a client is made.
    #[serde(default)]
    pub secret_properties: BTreeMap<String, Secret>,
}

/// Who logs in to Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KafkaSasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; SCRAM needs the feature `kafka-tls`.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// The password. Read when the client is made.
    pub password: Secret,
}

impl KafkaSasl {
    /// This user, by this mechanism.
    #[must_use]
    pub fn new(mechanism: impl Into<String>, username: impl Into<String>, password: Secret) -> Self {
        Self { mechanism: mechanism.into(), username: username.into(), password }
    }
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

impl KafkaConfig {
    /// Settings for this broker and topic, the rest as by default.
    #[must_use]
    pub fn new(broker: impl Into<ServerUrl>, topic: Template) -> Self {
        Self {
            brokers: vec![broker.into()],
            topic,
            timeout: timeout(),
            tls: false,
            ca_file: None,
            sasl: None,
            properties: PlainValues::default(),
            secret_properties: BTreeMap::new(),
        }
    }

    /// Encrypts connections, and sets who logs in.
    #[must_use]
    pub fn secured(mut self, sasl: KafkaSasl) -> Self {
        (self.tls, self.sasl) = (true, Some(sasl));
        self
    }

    /// Sets a further setting of librdkafka.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }
}
