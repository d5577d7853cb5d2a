//! Settings of the PostgreSQL sink, and the reason for each default.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{ID, default_columns};
use crate::{Column, Identifier, Secret, ServerUrl};

/// Settings of [`Postgres`](crate::Postgres). Host, database, user and table have no default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// The server's name or address, or the directory of its socket. No URL.
    pub host: ServerUrl,
    /// Its port. Default: 5432.
    #[serde(default = "port")]
    pub port: u16,
    /// The database.
    pub database: String,
    /// Who writes. It needs the privilege INSERT on the table, with a key SELECT on it too, with `on_conflict = "update"`
    /// also UPDATE, and with `create` CREATE on the schema.
    pub user: String,
    /// The password, read anew for every connection. Default: none, for servers that ask for none.
    #[serde(default)]
    pub password: Option<Secret>,
    /// When to use TLS. Default: everywhere but on this machine.
    #[serde(default)]
    pub tls: PostgresTls,
    /// Trusts only servers that are signed by a certificate in this PEM file. Default: whom the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The table, with its schema if that is not in the user's search path: `plant.readings`.
    pub table: Identifier,
    /// The columns to write and where their values come from. Values are cast to the types that the table has. Default:
    /// `id` (idempotency key), `time`, `topic`, `key`, `payload` and `headers`.
    #[serde(default = "default_columns")]
    pub columns: Vec<Column>,
    /// The columns of the table's unique index that tells known records; empty for none, which makes the sink write at
    /// least once. A record that has no value for one of them is refused. Default: `id`.
    #[serde(default = "default_key")]
    pub key: Vec<Identifier>,
    /// What happens to a record that is known by its key. Default: `nothing`, the first one stays.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// Creates the table with a unique index on the key, if it is not there. Default: no, since workers should not be
    /// allowed to.
    #[serde(default)]
    pub create: bool,
    /// How many connections at most. Default: 4; PostgreSQL has a process for each, and one is seldom what limits.
    #[serde(default = "connections")]
    pub connections: NonZeroUsize,
    /// How long a batch may take; also set as the server's `statement_timeout`, so that a batch that was given up does
    /// not go on for long. Default: `10s`.
    #[serde(default = "timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// How long a connection may take to be made and the table to be looked at. Default: `5s`, enough for a server far
    /// away, with TLS.
    #[serde(default = "connect_timeout", with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
}

fn default_key() -> Vec<Identifier> {
    Identifier::new(ID).into_iter().collect()
}

fn port() -> u16 {
    5432
}

fn connections() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(3)
}

fn timeout() -> Duration {
    Duration::from_secs(10)
}

fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

impl PostgresConfig {
    /// Settings for this table, the rest as by default.
    #[must_use]
    pub fn new(
        host: impl Into<ServerUrl>,
        database: impl Into<String>,
        user: impl Into<String>,
        table: Identifier,
    ) -> Self {
        Self {
            host: host.into(),
            port: port(),
            database: database.into(),
            user: user.into(),
            password: None,
            tls: PostgresTls::default(),
            ca_file: None,
            table,
            columns: default_columns(),
            key: default_key(),
            on_conflict: OnConflict::default(),
            create: false,
            connections: connections(),
            timeout: timeout(),
            connect_timeout: connect_timeout(),
        }
    }

    /// Sets the port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the password.
    #[must_use]
    pub fn password(mut self, password: Secret) -> Self {
        self.password = Some(password);
        self
    }

    /// Sets the columns, and those of them that tell known records.
    #[must_use]
    pub fn columns(mut self, columns: Vec<Column>, key: Vec<Identifier>) -> Self {
        self.columns = columns;
        self.key = key;
        self
    }

    /// Sets what happens to a record that is known by its key.
    #[must_use]
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    /// Creates the table if it is not there.
    #[must_use]
    pub fn create(mut self) -> Self {
        self.create = true;
        self
    }

    /// Whether connections use TLS.
    pub(super) fn uses_tls(&self) -> bool {
        match self.tls {
            PostgresTls::Always => true,
            PostgresTls::Never => false,
            PostgresTls::ExceptLoopback => !is_loopback(&self.host),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.starts_with('/') || host == "localhost" || host.parse().is_ok_and(|addr: IpAddr| addr.is_loopback())
}

/// When to use TLS. Where it is used, the server's certificate and its name are always verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PostgresTls {
    /// Everywhere but on this machine.
    #[default]
    ExceptLoopback,
    /// Everywhere.
    Always,
    /// Nowhere: only on networks that nobody else can read.
    Never,
}

/// What happens to a record whose key is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnConflict {
    /// The row stays as it is.
    #[default]
    Nothing,
    /// The row gets the other columns of the new record: the last one written stays, as for the newest state of each
    /// machine. Batches are written one at a time then, so that the last one is the newest.
    Update,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        let config = |host: &str| PostgresConfig::new(host, "d", "u", Identifier::new("t").unwrap());
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "::1", "/run/postgresql"] {
            assert!(!config(host).uses_tls(), "{host}");
        }
        for host in ["db.example.org", "10.0.0.1", "localhost.example.org"] {
            assert!(config(host).uses_tls(), "{host}");
        }
    }

    #[test]
    fn settings_read_as_they_are_documented() {
        let config: PostgresConfig = serde_json::from_value(serde_json::json!({
            "host": "db", "database": "d", "user": "u", "password": {"file": "/p"}, "table": "plant.readings",
            "columns": [
                {"name": "id", "from": "idempotency_key"},
                {"name": "celsius", "from": {"field": "/celsius"}, "type": "float"},
                {"name": "line", "from": {"template": "line {line}"}},
            ],
            "key": ["id"], "on_conflict": "update", "timeout": "3s",
        }))
        .unwrap();
        assert_eq!(config.columns.len(), 3);
        assert_eq!(config.timeout, Duration::from_secs(3));
        assert!(serde_json::from_str::<PostgresConfig>(r#"{"host":"h","databse":"d"}"#).is_err());
    }
}
