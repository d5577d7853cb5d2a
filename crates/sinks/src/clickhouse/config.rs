//! Settings of the ClickHouse sink, and the reason for each default.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::default_columns;
use crate::{Column, Identifier, Secret, ServerUrl};

/// Settings of [`Clickhouse`](crate::Clickhouse). URL and table have no default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ClickhouseConfig {
    /// The HTTP interface: scheme, host and port, such as `https://clickhouse.example.org:8443`.
    pub url: ServerUrl,
    /// The table, with its database if that is not the user's default: `plant.readings`.
    pub table: Identifier,
    /// Who writes. It needs the privilege INSERT on the table. Default: the server's default user.
    #[serde(default)]
    pub user: Option<String>,
    /// The password. Read at the start, and again after the server refused it, so that a mounted file may be renewed.
    /// Default: none.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The columns to write and where their values come from. The value of a field is sent as the JSON that it is, unless
    /// the column has the type `text` or `json`: then as a string. Default: `id` (idempotency key), `time`, `topic`,
    /// `key`, `payload` and `headers`, the last two as strings.
    #[serde(default = "default_columns")]
    pub columns: Vec<Column>,
    /// Sends with each batch a token made of the idempotency keys in it, by which the server knows a batch that comes
    /// again. Needs ClickHouse 22.2, and a replicated table or the setting `non_replicated_deduplication_window`.
    /// Default: yes; a server that is too old says so when the sink opens.
    #[serde(default = "yes")]
    pub deduplicate: bool,
    /// Lets the server gather small batches (`async_insert`); the sink waits until they are written all the same.
    /// Default: no, since the worker makes batches itself.
    #[serde(default)]
    pub async_insert: bool,
    /// Compresses with gzip. Default: yes.
    #[serde(default = "yes")]
    pub gzip: bool,
    /// How long a request may take from its beginning to the end of its answer. Default: `30s`; merges may slow a server
    /// down for some time.
    #[serde(default = "timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// How long a connection may take to be made. Default: `5s`, enough for a server far away, with TLS.
    #[serde(default = "connect_timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// Trusts only servers that are signed by a certificate in this PEM file. Default: whom the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

fn timeout() -> Duration {
    Duration::from_secs(30)
}

fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

impl ClickhouseConfig {
    /// Settings for this table, the rest as by default.
    #[must_use]
    pub fn new(url: impl Into<ServerUrl>, table: Identifier) -> Self {
        Self {
            url: url.into(),
            table,
            user: None,
            password: None,
            columns: default_columns(),
            deduplicate: true,
            async_insert: false,
            gzip: true,
            timeout: timeout(),
            connect_timeout: connect_timeout(),
            ca_file: None,
        }
    }

    /// Sets who writes.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: Secret) -> Self {
        self.user = Some(user.into());
        self.password = Some(password);
        self
    }

    /// Sets the columns.
    #[must_use]
    pub fn columns(mut self, columns: Vec<Column>) -> Self {
        self.columns = columns;
        self
    }
}
