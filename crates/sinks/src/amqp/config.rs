//! Settings of the AMQP sink, and the reason for each default.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Secret, ServerUrl, Template};

/// Settings of [`Amqp`](crate::Amqp).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AmqpConfig {
    /// `amqp://host[:port][/vhost]`, with TLS `amqps://`. Credentials do not belong here.
    pub url: ServerUrl,
    /// The exchange, which must exist. The empty one is the default exchange, where the routing key names a queue.
    pub exchange: Template,
    /// The routing key. What a record says stays one word of it; `{topic}` becomes words between dots.
    pub routing_key: Template,
    /// Refuses a record whose message no queue takes. Default: yes, since the server would drop it in silence.
    #[serde(default = "yes")]
    pub mandatory: bool,
    /// Messages survive a restart of the server in queues that do. Default: yes.
    #[serde(default = "yes")]
    pub persistent: bool,
    /// Who logs in. Default: `guest`, whom RabbitMQ lets in from its own machine alone.
    #[serde(default = "guest")]
    pub username: String,
    /// The password. Read whenever a connection is made. Default: `guest`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// With `amqps://` trusts servers that are signed by a certificate in this PEM file, too. Default: whom the system
    /// trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long the server may take for a connection, and for all confirmations of a batch. Default: `10s`, since a
    /// confirmation waits for the disk.
    #[serde(default = "timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

fn yes() -> bool {
    true
}

fn guest() -> String {
    "guest".to_owned()
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

impl AmqpConfig {
    /// Settings for this server, exchange and routing key, the rest as by default.
    #[must_use]
    pub fn new(url: impl Into<ServerUrl>, exchange: Template, routing_key: Template) -> Self {
        Self {
            url: url.into(),
            exchange,
            routing_key,
            mandatory: yes(),
            persistent: yes(),
            username: guest(),
            password: None,
            ca_file: None,
            timeout: timeout(),
        }
    }

    /// Sets who logs in.
    #[must_use]
    pub fn login(mut self, username: impl Into<String>, password: Secret) -> Self {
        (self.username, self.password) = (username.into(), Some(password));
        self
    }
}
