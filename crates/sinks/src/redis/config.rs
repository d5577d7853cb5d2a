//! Settings of the Redis sink, and the reason for each default.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Secret, ServerUrl, Template};

/// Settings of [`Redis`](crate::Redis).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `redis://host[:port][/db]`, with TLS `rediss://`. Credentials do not belong here.
    pub url: ServerUrl,
    /// The stream, list, key or channel.
    pub key: Template,
    /// What records become. Default: a stream without a limit.
    #[serde(default)]
    pub into: RedisInto,
    /// Who logs in. Default: the server's default user.
    #[serde(default)]
    pub username: Option<String>,
    /// The password. Read whenever a connection is made.
    #[serde(default)]
    pub password: Option<Secret>,
    /// How long an idempotency key is remembered, in a key of its own in the same database; zero remembers none. Default:
    /// `1h`, since duplicates come within a reconnect, a restart or a rollout.
    #[serde(default = "remember", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub remember: Duration,
    /// What the keys that remember begin with; the length of the record's key in bytes, that key and the idempotency key
    /// follow, each behind a colon. Default: `tidemill:written:`.
    #[serde(default = "remember_prefix")]
    pub remember_prefix: String,
    /// How long the server may take for a batch, and a connection to be made. Default: `5s`.
    #[serde(default = "timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// With `rediss://` trusts only servers that are signed by a certificate in this PEM file. Default: whom the system
    /// trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn remember() -> Duration {
    Duration::from_secs(60 * 60)
}

fn remember_prefix() -> String {
    "tidemill:written:".to_owned()
}

fn timeout() -> Duration {
    Duration::from_secs(5)
}

impl RedisConfig {
    /// Settings for this server and key, the rest as by default.
    #[must_use]
    pub fn new(url: impl Into<ServerUrl>, key: Template) -> Self {
        Self {
            url: url.into(),
            key,
            into: RedisInto::default(),
            username: None,
            password: None,
            remember: remember(),
            remember_prefix: remember_prefix(),
            timeout: timeout(),
            ca_file: None,
        }
    }

    /// Sets what records become.
    #[must_use]
    pub fn into(mut self, into: RedisInto) -> Self {
        self.into = into;
        self
    }

    /// Sets the password.
    #[must_use]
    pub fn password(mut self, password: Secret) -> Self {
        self.password = Some(password);
        self
    }
}

/// What records become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum RedisInto {
    /// An entry of a stream, with the fields `payload`, `key`, `topic`, `content_type` and `header:<name>`.
    Stream {
        /// Keeps about this many entries, 0 all. Default: all, nothing is deleted unasked.
        #[serde(default)]
        max_len: u64,
    },
    /// The last element of a list: the payload.
    List,
    /// The value of a key: the payload.
    Value {
        /// How long the key lives; zero for ever. Default: for ever.
        #[serde(default, with = "humantime_serde")]
        #[schemars(with = "String")]
        expires: Duration,
    },
    /// A message on a channel: the payload. Who does not listen just then misses it.
    Channel,
}

impl Default for RedisInto {
    fn default() -> Self {
        Self::Stream { max_len: 0 }
    }
}
