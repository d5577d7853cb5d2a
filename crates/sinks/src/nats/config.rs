//! Settings of the NATS sink, and the reason for each default.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Secret, ServerUrl, Template};

/// Settings of [`Nats`](crate::Nats).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NatsConfig {
    /// `nats://host[:port]`, with TLS `tls://`; several for a cluster. Credentials do not belong here.
    pub servers: Vec<ServerUrl>,
    /// The subject. What a record says stays one word of it; `{topic}` becomes words between dots.
    pub subject: Template,
    /// Whether messages are stored. No default: it decides what is lost.
    pub mode: NatsMode,
    /// Who logs in, with `password`. Default: nobody.
    #[serde(default)]
    pub username: Option<String>,
    /// The password. Read whenever a connection is made.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token instead of name and password.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The content of a `.creds` file, with a JWT and a seed: as in `{ file = "/run/secrets/nats.creds" }`.
    #[serde(default)]
    pub credentials: Option<Secret>,
    /// With `tls://` trusts only servers that are signed by a certificate in this PEM file. Default: whom the system
    /// trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long the server may take for a connection, and for all answers to a batch. Default: `5s`.
    #[serde(default = "timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

fn timeout() -> Duration {
    Duration::from_secs(5)
}

impl NatsConfig {
    /// Settings for this server, subject and mode, the rest as by default.
    #[must_use]
    pub fn new(server: impl Into<ServerUrl>, subject: Template, mode: NatsMode) -> Self {
        Self {
            servers: vec![server.into()],
            subject,
            mode,
            username: None,
            password: None,
            token: None,
            credentials: None,
            ca_file: None,
            timeout: timeout(),
        }
    }

    /// Sets who logs in.
    #[must_use]
    pub fn login(mut self, username: impl Into<String>, password: Secret) -> Self {
        (self.username, self.password) = (Some(username.into()), Some(password));
        self
    }

    /// Sets the content of a `.creds` file.
    #[must_use]
    pub fn credentials(mut self, credentials: Secret) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

/// Whether messages are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum NatsMode {
    /// In a stream, which says so: at least once, and once within its duplicate window for records that have an
    /// idempotency key.
    #[serde(rename = "jetstream")]
    JetStream {
        /// The stream. A subject that is another stream's is refused.
        stream: String,
        /// Creates the stream where it does not exist, on disk, with the subjects that begin as `subject` does. Default:
        /// no, since limits and replicas of a stream are its owner's to choose.
        #[serde(default)]
        create: bool,
    },
    /// Not at all: who does not listen just then misses it, and what is on the way when a connection is lost is gone. At
    /// most once.
    Core,
}

impl NatsMode {
    /// An existing stream.
    #[must_use]
    pub fn stream(name: impl Into<String>) -> Self {
        Self::JetStream { stream: name.into(), create: false }
    }

    /// A stream that is created where it does not exist.
    #[must_use]
    pub fn create(name: impl Into<String>) -> Self {
        Self::JetStream { stream: name.into(), create: true }
    }
}
